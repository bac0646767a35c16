"""Sizes and choices of the BSA family. Importing this does not import JAX.

Sources: arXiv 2603.12787 (the tasks, ViT-B/16 with space-time attention, two heads, evidential
loss) and arXiv 2102.05095 (TimeSformer: divided attention, sizes, 8 frames). Where the first is
silent the choice is ours; README.md beside this file lists these choices.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, ClassVar

from surgzoo.core.contract import Reads
from surgzoo.models.architecture import Architecture

if TYPE_CHECKING:
    from surgzoo.models.bsa.processor import ClipProcessor

# The labels of the paper, in alphabetical order: the order of the logits.
ACTIONS = (
    "aspiration",
    "clipping",
    "coagulation",
    "dissection",
    "knot-tying",
    "needle grasping",
    "needle puncture",
    "packaging",
    "suture pulling",
    "tissue retraction",
)
_DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class BSAConfig(Architecture):
    """The video model: `build()` for the model, `processor()` for its processor."""

    reads: ClassVar[Reads] = "clips"
    module: ClassVar[str] = "surgzoo.models.bsa.model:BSA"
    weights: ClassVar[str] = "surgzoo.models.bsa.weights"

    actions: int = len(ACTIONS)
    skills: int = 3  # levels, as SAR-RARP50's in the paper; 0 = no skill head
    dual: bool = True  # a second head for the actions, trained with every action weighing the same
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    frames: int = 8
    image_size: int = 224  # pixels, square
    patch: int = 16  # pixels
    norm_eps: float = 1e-6
    compute_dtype: str = "float32"  # or bfloat16: of products
    remat: str = "none"  # or dots, full: what the backward pass recomputes
    scan_layers: bool = True  # stacked layers; False = side by side, see layers/stack.py
    scan_unroll: int = 1
    init_std: float = 0.02  # of the places and of the token of the whole clip

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")
        if self.image_size % self.patch:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of the patch, {self.patch} pixels"
            )
        if self.compute_dtype not in _DTYPES:
            raise ValueError(f"compute_dtype is float32 or bfloat16, not '{self.compute_dtype}'")

    @property
    def patches(self) -> int:
        """Patches of one frame."""
        return (self.image_size // self.patch) ** 2

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        size = self.image_size
        return {
            "video": ((self.frames, size, size, 3), "float32"),
            "action": ((), "int32"),
            "balance": ((), "float32"),
        }

    def processor(self, folder: str | pathlib.Path | None = None) -> ClipProcessor:
        """Frames of any size and number to what the model reads."""
        from surgzoo.models.bsa.processor import ClipProcessor

        return ClipProcessor(self.frames, self.image_size)


@dataclasses.dataclass(frozen=True)
class PlannerConfig(Architecture):
    """The planner: which action comes next after a recognised history."""

    reads: ClassVar[Reads] = "histories"
    module: ClassVar[str] = "surgzoo.models.bsa.planner:Planner"
    weights: ClassVar[str] = "surgzoo.models.bsa.planner_weights"

    actions: int = len(ACTIONS)
    longest: int = 64  # most actions of a history
    width: int = 128
    depth: int = 4
    heads: int = 4
    mlp: int = 256
    norm_eps: float = 1e-6
    scan_layers: bool = True

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of the {self.heads} heads")

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return {"actions": ((self.longest,), "int32")}


def base() -> BSAConfig:
    """ViT-B/16, 224 pixels, 8 frames: 121 M parameters."""
    return BSAConfig(compute_dtype="bfloat16", remat="dots")


def tiny() -> BSAConfig:
    """0.4 M parameters, 64 pixels, 4 frames: trains on a CPU in minutes."""
    return BSAConfig(
        width=96, depth=3, heads=4, mlp=192, frames=4, image_size=64, patch=16,
        init_std=0.2,  # without pre-training 0.02 drowns in the patches, and places are lost
    )  # fmt: skip


def planner() -> PlannerConfig:
    """0.5 M parameters: trains on a CPU."""
    return PlannerConfig()
