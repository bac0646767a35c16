"""What enters a vision-language model: one typed contract of static shapes.

A model's *processor* turns text turns and decoded images into an `Example` (numpy, one row).
`data/` stacks the rows of one bucket into a `Batch`; the model reads a `Batch` and nothing else.
All ragged geometry (image grids, attention windows, M-RoPE positions) is index arithmetic, done
once on the host by the processor; the device sees rectangles of static shape.

Sizes: B rows, S tokens, P vision patches a row, M = P / merge**2 merged vision tokens a row,
D = channels * temporal_patch * patch * patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypedDict

import numpy as np
from jaxtyping import Float, Int


class Example(TypedDict):
    """One row, as a processor makes it. Padding is at the end of S and of P."""

    tokens: Int[np.ndarray, S]  # int32, pad id where segments == 0
    positions: Int[np.ndarray, "3 S"]  # int32 M-RoPE (time, height, width)
    segments: Int[np.ndarray, S]  # int32, 0 = padding; tokens attend inside their segment ...
    prefix: Int[np.ndarray, S]  # int32 ... and in this earlier segment of the row (0 = none)
    loss_mask: Float[np.ndarray, S]  # float32, weight of *predicting* tokens[i] (0 on the prompt)
    vision_index: Int[
        np.ndarray, S
    ]  # int32, row of the merged vision tokens that stands here, or -1
    patches: Float[np.ndarray, "P D"]  # float32, normalised pixels; merge-unit-major order
    patch_hw: Int[np.ndarray, "P 2"]  # int32 row and column of the patch in its image's grid
    patch_window: Int[np.ndarray, P]  # int32 window id, unique in the row; -1 = padding
    patch_frame: Int[np.ndarray, P]  # int32 id of the image or temporal slice; -1 = padding


# The same keys with a leading batch axis B. (A TypedDict cannot say so; the loader guarantees it.)
Batch = Example


class Bucket(NamedTuple):
    """The static shape of a row: tokens S and vision patches P."""

    tokens: int
    patches: int


class Message(NamedTuple):
    """One turn for a processor. `images` says how many of the row's media stand at its start."""

    role: str
    text: str
    images: int = 0


class Processor(Protocol):
    """Text and pixels in, `Example` out; and back from token ids to text.

    `visuals` holds one entry per image (uint8 RGB, shape H W 3) or video (uint8 RGB, shape T H W 3,
    with its frame rate in `fps`).
    """

    buckets: tuple[Bucket, ...]
    eos_id: int

    def encode(
        self,
        messages: Sequence[Message],
        visuals: Sequence[np.ndarray],
        *,
        fps: Sequence[float] = (),
        generate: bool = False,
        bucket: Bucket | None = None,
    ) -> Example:
        """One row in the smallest bucket that holds it (or in `bucket`).

        With `generate` the row ends after the opening of the assistant's turn, ready to be
        continued. Raises ValueError, naming the sizes, when no bucket holds the row: nothing is
        cut.
        """
        ...

    def encode_group(
        self,
        conversations: Sequence[Sequence[Message]],
        visuals: Sequence[np.ndarray],
        *,
        fps: Sequence[float] = (),
        generate: bool = False,
        bucket: Bucket | None = None,
    ) -> tuple[Example, int]:
        """One row with several conversations about the same visuals, and how many of them fitted.

        The visuals stand once, in a prefix segment that every conversation sees; conversations do
        not see each other, and the positions of each go on from the prefix. So each computes
        exactly what it would compute in a row of its own. With `generate` each ends after the
        opening of the assistant's turn. Raises ValueError when not even the first fits.
        """
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Token ids to text; stops at the first end token, special tokens are left out."""
        ...
