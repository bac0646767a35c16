"""Conversations and boxes in the formats of other trainers and tools, and back.

pictures     the media of conversations as files
chat         LLaVA, LLaMA-Factory (ShareGPT) and ms-swift records
medvidbench  MedVidBench records
coco         boxes as COCO instances
"""
