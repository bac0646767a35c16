"""Sizes of the temporal models. Importing this does not import JAX.

Sources: arXiv 2003.10751 (TeCNO), arXiv 1903.01945 (MS-TCN).
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from surgzoo.core.contract import Reads
from surgzoo.models.architecture import Architecture


@dataclasses.dataclass(frozen=True)
class TemporalConfig(Architecture):
    """A causal MS-TCN; `build()` for the model."""

    reads: ClassVar[Reads] = "features"
    module: ClassVar[str] = "surgzoo.models.temporal.model:CausalTCN"
    weights: ClassVar[str] = "surgzoo.models.temporal.weights"

    features: int = 2048  # of a frame
    classes: int = 7  # phases of Cholec80
    stages: int = 2
    layers: int = 8  # of a stage; the last one looks back 2 * 2**(layers - 1) frames
    maps: int = 32

    def __post_init__(self):
        for name in ("features", "classes", "stages", "layers", "maps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}")

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Of one minute at a frame a second."""
        return {"features": ((60, self.features), "float32"), "labels": ((60,), "int32")}

    @property
    def reach(self) -> int:
        """How many frames back an answer can depend on."""
        return self.stages * 2 * (2**self.layers - 1)


def base() -> TemporalConfig:
    """ResNet-50's features, Cholec80's phases, two stages of eight layers."""
    return TemporalConfig()


def tiny() -> TemporalConfig:
    """64 features a frame; sees 60 frames back."""
    return TemporalConfig(features=64, maps=16, layers=4)
