"""Sizes of the temporal models. Importing this does not import JAX.

Sources: arXiv 2003.10751 (TeCNO), arXiv 1903.01945 (MS-TCN).
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax
    from jaxtyping import PyTree

    from surgzoo.models.base import Model


@dataclasses.dataclass(frozen=True)
class TemporalConfig:
    """A causal MS-TCN; `build()` for the model."""

    features: int = 2048  # of a frame
    classes: int = 7  # phases of Cholec80
    stages: int = 2
    layers: int = 8  # of a stage; the last one looks back 2 * 2**(layers - 1) frames
    maps: int = 32

    def __post_init__(self):
        for name in ("features", "classes", "stages", "layers", "maps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, not {getattr(self, name)}")

    @property
    def reach(self) -> int:
        """How many frames back an answer can depend on."""
        return self.stages * 2 * (2**self.layers - 1)

    def build(self) -> Model:
        """The model's functions."""
        from surgzoo.models.base import Model
        from surgzoo.models.temporal.model import CausalTCN

        return Model(self, CausalTCN)

    def load_weights(
        self, folder: str | pathlib.Path, abstract: PyTree[jax.ShapeDtypeStruct] | None = None
    ) -> dict[str, Any]:
        """Parameters from safetensors. See `weights.load`."""
        from surgzoo.models.temporal import weights

        return weights.load(self, folder, abstract)

    def save_weights(
        self, params: dict[str, Any], folder: str | pathlib.Path
    ) -> list[pathlib.Path]:
        """Safetensors and config.json. See `weights.save`."""
        from surgzoo.models.temporal import weights

        return weights.save(self, params, folder)


def base() -> TemporalConfig:
    """ResNet-50's features, Cholec80's phases, two stages of eight layers."""
    return TemporalConfig()


def tiny() -> TemporalConfig:
    """64 features a frame; sees 60 frames back."""
    return TemporalConfig(features=64, maps=16, layers=4)
