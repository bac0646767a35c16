"""The floating-point operations that a model must do for a batch, counted by formula.

What counts is the work of the published architecture, not what an implementation happens to do:
padding, masked halves of attention and recomputed activations are no work. A multiplication with
its addition is two operations; norms, softmax and the like are left out, as is usual for MFU (arXiv
2204.02311, appendix B).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from surgzoo.core.contract import Batch
from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig, VisionConfig

BACKWARD = 2  # times the forward pass: one product for the inputs, one for the weights


class Operations(NamedTuple):
    """Of one forward pass over a batch."""

    text_products: int
    text_attention: int
    vision_products: int
    vision_attention: int

    @property
    def forward(self) -> int:
        return sum(self)

    @property
    def training(self) -> int:
        """Forward and backward, when all parameters are trained."""
        return (1 + BACKWARD) * sum(self)


def count(config: Qwen25VLConfig, batch: Batch) -> Operations:
    """The operations of a batch of any segments, images and clips."""
    text, vision = config.text, config.vision
    tokens = int((batch["segments"] > 0).sum())
    patches = int((batch["patch_frame"] >= 0).sum())
    full = len(vision.full_attention_layers)
    pairs = full * _pairs(batch["patch_frame"])
    pairs += (vision.depth - full) * _pairs(batch["patch_window"])
    return Operations(
        text_products=2 * tokens * text_weights(text),
        text_attention=4 * text.width * text.depth * _seen(batch["segments"], batch["prefix"]),
        vision_products=2 * patches * vision_weights(vision, text.width),
        vision_attention=4 * vision.width * pairs,
    )


def text_weights(text: TextConfig) -> int:
    """Weights that each token is multiplied with, the output head among them."""
    narrow = text.kv_heads * text.head_dim
    layer = 2 * text.width**2 + 2 * text.width * narrow + 3 * text.width * text.mlp
    return text.depth * layer + text.width * text.vocab


def vision_weights(vision: VisionConfig, out_width: int) -> int:
    """Weights that each patch is multiplied with; the merger's count a merge**2-th."""
    layer = 4 * vision.width**2 + 3 * vision.width * vision.mlp
    joined = vision.width * vision.merge**2
    merger = joined * (joined + out_width) // vision.merge**2
    return vision.patch_dim * vision.width + vision.depth * layer + merger


def cache_bytes(text: TextConfig, bytes_each: int) -> int:
    """Keys and values of one token in all layers."""
    return 2 * text.depth * text.kv_heads * text.head_dim * bytes_each


def _pairs(groups: Int[np.ndarray, "B P"]) -> int:
    """Query-key pairs when all that carry the same id, -1 left out, see each other."""
    total = 0
    for row in groups:
        sizes = np.unique(row[row >= 0], return_counts=True)[1]
        total += sum(int(size) ** 2 for size in sizes)
    return total


def _seen(segments: Int[np.ndarray, "B S"], prefix: Int[np.ndarray, "B S"]) -> int:
    """Query-key pairs under the causal mask inside segments, and of segments with their prefix."""
    total = 0
    for row, before in zip(segments, prefix, strict=True):
        for segment in np.unique(row[row > 0]):
            here = row == segment
            size = int(here.sum())
            (first,) = np.unique(before[here])
            total += math.comb(size + 1, 2) + size * (int((row == first).sum()) if first else 0)
    return total
