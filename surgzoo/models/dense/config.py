"""What a dense model makes of a frame. Importing this imports neither JAX nor an image library.

The sizes are those of Depth Anything V2, whose published weights are the start for them.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from surgzoo.models.depth_anything_v2.config import SMALL, TINY, EncoderDecoderConfig

KINDS = ("labels", "residual")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseConfig(EncoderDecoderConfig):
    """A dense model: call `build()` for the model, `processor()` for its processor."""

    module: ClassVar[str] = "surgzoo.models.dense.model:Dense"

    # labels: logits of so many classes; one class is a mask, its logit is above 0 inside.
    # residual: RGB from 0 to 1, what is added to the frame.
    kind: str
    classes: int = 1  # of labels; two or more exclude each other, the background is one of them

    def __post_init__(self):
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(f"kind is {' or '.join(KINDS)}, not '{self.kind}'")
        if self.classes < 1:
            raise ValueError(f"classes counts from 1 on (a mask); it is {self.classes}")

    @property
    def outputs(self) -> int:
        return 3 if self.kind == "residual" else self.classes

    @property
    def makes(self) -> str:
        return "targets" if self.kind == "residual" else "labels"


def instrument_segmentation_tiny() -> DenseConfig:
    """Instruments as one mask; `classes` makes it one of each kind. Trains on a CPU in minutes."""
    return DenseConfig(**TINY, kind="labels")


def instrument_segmentation_small() -> DenseConfig:
    """Instruments as one mask, ViT-S."""
    return DenseConfig(**SMALL, kind="labels")


def tissue_segmentation_tiny() -> DenseConfig:
    """Tissues, 13 labels as CholecSeg8k has with its background and instruments."""
    return DenseConfig(**TINY, kind="labels", classes=13)


def tissue_segmentation_small() -> DenseConfig:
    """Tissues, 13 labels, ViT-S."""
    return DenseConfig(**SMALL, kind="labels", classes=13)


def desmoking_tiny() -> DenseConfig:
    """The frame without its smoke."""
    return DenseConfig(**TINY, kind="residual")


def desmoking_small() -> DenseConfig:
    """The frame without its smoke, ViT-S."""
    return DenseConfig(**SMALL, kind="residual")


def next_frame_tiny() -> DenseConfig:
    """The frame a fixed time later: the one of the pairs it was trained on."""
    return DenseConfig(**TINY, kind="residual")


def next_frame_small() -> DenseConfig:
    """The frame a fixed time later, ViT-S."""
    return DenseConfig(**SMALL, kind="residual")
