"""Conversations that need no prepared source."""

from surgzoo.db.schema import Conversation, Turn


def conversation(video, answer, task="phase_recognition"):
    turns = (Turn("user", "?"), Turn("assistant", str(answer)))
    return Conversation(f"s.c/{video}/000000/{task}/0", task, (), turns, answer, video=video)
