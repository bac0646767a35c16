"""Who answers questions, and writes the predictions file that everything else starts from.

chat       a conversation as the messages of a chat API, with its pictures
cost       what a run will cost, and what it did
endpoint   any OpenAI-compatible server: GPT, Gemini, vLLM ...
local      a model of this zoo
questions  which conversations are asked
"""
