"""Qwen2.5-VL of transformers, fed from the rows of our processor."""

import numpy as np
import torch
from qwen_small import Oracle, picture, stack_rows

from surgzoo.core.contract import Message

SIZES = ((168, 140), (112, 112), (56, 224), (300, 200))  # of the pictures, whatever they become


def turns(rows):
    words = ["Which", "phase", "is", "it?", "Say", "it", "in", "a", "few", "words."]
    return [
        ([Message("user", " ".join(words[: 3 + 2 * row]), 1)], [picture(*SIZES[row], seed=row)])
        for row in range(rows)
    ]


def inputs(config, rows):
    processor = config.processor()
    bucket = next(bucket for bucket in processor.buckets if bucket.patches)
    return stack_rows(
        [processor.encode(talk, seen, bucket=bucket, generate=True) for talk, seen in turns(rows)]
    )


def parity(config, folder, inputs):
    """Nothing is said of the padding: NaN."""
    oracle, processor = Oracle(folder), config.processor()
    rows, length = inputs["tokens"].shape
    out = {
        "forward": np.full((rows, length, config.text.vocab), np.nan, np.float32),
        "prefill": np.zeros((rows, config.text.vocab), np.float32),
        "extend": np.zeros((rows, 1, config.text.vocab), np.float32),
        "embed_frames": np.zeros((rows, config.text.width), np.float32),
    }
    for number, (_, seen) in enumerate(turns(rows)):
        row = {name: value[number] for name, value in inputs.items()}
        asked = oracle.inputs(processor, row, seen)
        logits = oracle.logits(asked)
        out["forward"][number, : len(logits)] = logits
        out["prefill"][number] = logits[-1]
        seen = oracle.model.model.get_image_features(asked["pixel_values"], asked["image_grid_thw"])
        out["embed_frames"][number] = torch.cat(tuple(seen.pooler_output)).mean(0).numpy()
        longer = torch.tensor([[int(logits[-1].argmax())]])
        for name, more in (("input_ids", longer), ("attention_mask", torch.ones_like(longer)),
                           ("mm_token_type_ids", torch.zeros_like(longer).int())):  # fmt: skip
            asked[name] = torch.cat([asked[name], more], 1)
        out["extend"][number, 0] = oracle.logits(asked)[-1]
    return out
