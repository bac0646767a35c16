"""Sizes and choices of Depth Anything V2. Importing this imports neither JAX nor an image library.

Sources: arXiv 2406.09414 (Depth Anything V2), arXiv 2304.07193 (DINOv2), arXiv 2103.13413 (DPT) and
the configuration files of the published checkpoints.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, ClassVar

from surgzoo.core.contract import Reads
from surgzoo.models.architecture import Architecture

if TYPE_CHECKING:
    from surgzoo.models.depth_anything_v2.processor import FrameProcessor


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """The vision transformer."""

    width: int
    depth: int
    heads: int
    taps: tuple[int, int, int, int]  # layers whose output the decoder reads, counted from 1
    mlp_ratio: int = 4
    patch: int = 14  # pixels
    grid: int = 37  # rows and columns of the table of positions; other grids are interpolated
    layer_scale: float = 1.0  # what the factors of a layer's two outputs start at
    norm_eps: float = 1e-6


@dataclasses.dataclass(frozen=True)
class NeckConfig:
    """The decoder: what it reassembles the four taps to, at 4, 2, 1 and 1/2 of the patch grid."""

    channels: tuple[int, int, int, int]
    fusion: int  # channels of the maps that are fused
    head: int = 32  # channels of the last map before the output


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """How the processor turns a frame into pixels. Sizes in pixels, rounded to whole patches."""

    size: int = 518  # of the shorter side at least
    square: bool = False  # True: both sides, aspect ratio dropped
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class EncoderDecoderConfig(Architecture):
    """What the models with this encoder and decoder share; `outputs` says how they differ."""

    reads: ClassVar[Reads] = "frames"
    weights: ClassVar[str] = "surgzoo.models.depth_anything_v2.weights"

    backbone: BackboneConfig
    neck: NeckConfig
    input: InputConfig = InputConfig()
    compute_dtype: str = "float32"  # or bfloat16: of products; parameters and norms stay float32
    remat: str = "none"  # or dots, full: what the encoder's backward pass recomputes
    scan_layers: bool = True  # stacked layers; False = side by side, see layers/stack.py

    def __post_init__(self):
        backbone = self.backbone
        if backbone.width % backbone.heads:
            raise ValueError(
                f"backbone width {backbone.width} is not a multiple of its {backbone.heads} heads"
            )
        taps = tuple(backbone.taps)
        if len(taps) != 4 or sorted({*taps}) != list(taps) or taps[0] < 1:
            raise ValueError(f"backbone.taps are four layers in rising order, not {taps}")
        if taps[-1] != backbone.depth:
            raise ValueError(
                f"the last tap {taps[-1]} must be the last layer {backbone.depth}: layers behind "
                "it would never be used"
            )
        if len(self.neck.channels) != 4:
            raise ValueError(f"neck.channels has one number a tap, four, not {self.neck.channels}")
        if self.neck.fusion % 2:
            raise ValueError(f"neck.fusion is halved in the head; {self.neck.fusion} is odd")
        if self.input.size < 1:
            raise ValueError(f"input.size is in pixels, from 1 on; it is {self.input.size}")
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"compute_dtype is float32 or bfloat16, not '{self.compute_dtype}'")

    @property
    def outputs(self) -> int:
        """Channels of the last layer."""
        raise NotImplementedError

    @property
    def makes(self) -> str:
        """What it learns from beside frames: labels, depth or targets of `FrameAndMap`."""
        raise NotImplementedError

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Of a frame of 1080 x 1920 pixels, where the aspect ratio is kept."""
        return {"images": ((*self.processor().size(1080, 1920), 3), "float32")}

    def processor(self, folder: str | pathlib.Path | None = None) -> FrameProcessor:
        """Frames to normalised pixels, and maps back to the frame's size."""
        from surgzoo.models.depth_anything_v2.processor import FrameProcessor

        return FrameProcessor(self.input, self.backbone.patch)


@dataclasses.dataclass(frozen=True)
class DepthAnythingConfig(EncoderDecoderConfig):
    """A Depth Anything V2 model: call `build()` for the model, `processor()` for its processor."""

    module: ClassVar[str] = "surgzoo.models.depth_anything_v2.model:DepthAnythingV2"

    # None: relative inverse depth, from 0 up. A number: metric depth from 0 to so many metres.
    max_depth: float | None = None

    @property
    def outputs(self) -> int:
        return 1

    @property
    def makes(self) -> str:
        return "depth" if self.max_depth is None else "metres, which no task has"


TINY = {
    # A patch of 8 pixels: the decoder's finest map then has the size of the frame.
    "backbone": BackboneConfig(96, depth=4, heads=4, taps=(1, 2, 3, 4), patch=8, grid=14),
    "neck": NeckConfig((16, 24, 32, 48), fusion=24, head=16),
    "input": InputConfig(size=112, square=True),
}
SMALL = {
    "backbone": BackboneConfig(384, depth=12, heads=6, taps=(3, 6, 9, 12)),
    "neck": NeckConfig((48, 96, 192, 384), fusion=64),
}
BASE = {
    "backbone": BackboneConfig(768, depth=12, heads=12, taps=(3, 6, 9, 12)),
    "neck": NeckConfig((96, 192, 384, 768), fusion=128),
}
LARGE = {
    "backbone": BackboneConfig(1024, depth=24, heads=16, taps=(5, 12, 18, 24)),
    "neck": NeckConfig((256, 512, 1024, 1024), fusion=256),
}


def tiny() -> DepthAnythingConfig:
    """About 0.6 M parameters, 112 x 112 pixels, patches of 8: trains on a CPU in minutes."""
    return DepthAnythingConfig(**TINY)


def small() -> DepthAnythingConfig:
    """ViT-S."""
    return DepthAnythingConfig(**SMALL)


def base() -> DepthAnythingConfig:
    """ViT-B."""
    return DepthAnythingConfig(**BASE)


def large() -> DepthAnythingConfig:
    """ViT-L."""
    return DepthAnythingConfig(**LARGE, remat="dots")
