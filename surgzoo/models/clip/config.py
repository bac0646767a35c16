"""Sizes and choices of CLIP and SigLIP 2. Importing this imports neither JAX nor a tokenizer.

Sources: arXiv 2103.00020 (CLIP, table 19 and 20), arXiv 2303.15343 (SigLIP), arXiv 2502.14786
(SigLIP 2), and the configuration files of the published checkpoints.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import TYPE_CHECKING, ClassVar

from surgzoo.core.contract import Reads
from surgzoo.models.architecture import Architecture

if TYPE_CHECKING:
    from surgzoo.models.clip.processor import DualEncoderProcessor


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The text tower."""

    vocab: int
    width: int
    depth: int
    heads: int
    mlp: int
    length: int  # tokens of a text, start and end included
    start: int | None  # id of the token before a text
    end: int  # id of the token behind a text
    pad: int  # id of the tokens behind that
    lowercase: bool = False  # before the tokenizer, where that does not do it


@dataclasses.dataclass(frozen=True)
class VisionConfig:
    """The image tower: a ViT on square images."""

    width: int
    depth: int
    heads: int
    mlp: int
    patch: int  # pixels
    image_size: int = 224  # pixels

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch) ** 2


@dataclasses.dataclass(frozen=True)
class DualEncoderConfig(Architecture):
    """A dual encoder: call `build()` for the model, `processor()` for its processor.

    `style` is what the two families do differently, all of it together:

    clip    a class token with a norm before the layers gives the image; a causal text tower is read
            at its end token; both are projected; a learnt scale.
    siglip  a learnt query attends to the patches; a text tower that sees everything, padding too,
            is read at its last position; a learnt scale and bias, for the sigmoid loss.
    """

    reads: ClassVar[Reads] = "pairs"
    module: ClassVar[str] = "surgzoo.models.clip.model:DualEncoder"
    weights: ClassVar[str] = "surgzoo.models.clip.weights"

    style: str
    text: TextConfig
    vision: VisionConfig
    embed: int  # E, width of the shared space
    activation: str  # a name of layers.encoder.ACTIVATIONS
    norm_eps: float
    # SigLIP 2's any-resolution files keep the patch kernel as a matrix; read at the square grid.
    naflex_files: bool = False
    resample: str = "bicubic"  # or bilinear: how the processor resizes
    compute_dtype: str = "float32"  # or bfloat16: of products
    remat: str = "none"  # or dots, full: what the backward pass recomputes
    scan_layers: bool = True  # stacked layers; False = side by side, see layers/stack.py
    init_scale: float = 1 / 0.07  # of cosines, at the start of training
    init_bias: float = -10.0  # siglip alone
    tokenizer: str | None = None  # default folder or tokenizer.json; "shipped" = the small one

    def __post_init__(self):
        if self.style not in ("clip", "siglip"):
            raise ValueError(f"style is clip or siglip, not '{self.style}'")
        for what, tower in (("text", self.text), ("vision", self.vision)):
            if tower.width % tower.heads:
                raise ValueError(
                    f"{what} width {tower.width} is not a multiple of its {tower.heads} heads"
                )
        if self.vision.image_size % self.vision.patch:
            raise ValueError(
                f"image_size {self.vision.image_size} is not a multiple of the patch, "
                f"{self.vision.patch} pixels"
            )
        if self.style == "siglip" and self.embed != self.vision.width:
            raise ValueError(
                f"SigLIP does not project images: embed {self.embed} must be the vision width "
                f"{self.vision.width}"
            )
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"compute_dtype is float32 or bfloat16, not '{self.compute_dtype}'")
        if self.resample not in ("bicubic", "bilinear"):
            raise ValueError(f"resample is bicubic or bilinear, not '{self.resample}'")
        if self.init_scale <= 0:
            raise ValueError(f"init_scale must be positive, it is {self.init_scale}")

    @property
    def log_scale(self) -> float:
        return math.log(self.init_scale)

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        size, length = self.vision.image_size, self.text.length
        return {
            "images": ((size, size, 3), "float32"),
            "tokens": ((length,), "int32"),
            "mask": ((length,), "bool"),
        }

    def processor(self, folder: str | pathlib.Path | None = None) -> DualEncoderProcessor:
        """The processor; `folder` has the tokenizer, or is its file; default the config's.

        Raises ValueError when there is none or it has more tokens than the model.
        """
        from surgzoo.models.clip.processor import DualEncoderProcessor

        return DualEncoderProcessor(self, folder or self.tokenizer)


def _clip(
    text: tuple[int, int, int],
    vision: tuple[int, int, int],
    patch: int,
    embed: int,
    size: int = 224,
) -> DualEncoderConfig:
    """Towers as (width, depth, heads)."""
    return DualEncoderConfig(
        style="clip",
        text=TextConfig(
            49408, *text, mlp=4 * text[0], length=77, start=49406, end=49407, pad=49407
        ),
        vision=VisionConfig(*vision, mlp=4 * vision[0], patch=patch, image_size=size),
        embed=embed,
        activation="quick_gelu",
        norm_eps=1e-5,
    )  # fmt: skip


def clip_b32() -> DualEncoderConfig:
    """CLIP ViT-B/32."""
    return _clip((512, 12, 8), (768, 12, 12), 32, 512)


def clip_b16() -> DualEncoderConfig:
    """CLIP ViT-B/16."""
    return _clip((512, 12, 8), (768, 12, 12), 16, 512)


def clip_l14() -> DualEncoderConfig:
    """CLIP ViT-L/14."""
    return _clip((768, 12, 12), (1024, 24, 16), 14, 768)


def clip_l14_336() -> DualEncoderConfig:
    """CLIP ViT-L/14 at 336 pixels."""
    return _clip((768, 12, 12), (1024, 24, 16), 14, 768, 336)


def clip_tiny() -> DualEncoderConfig:
    """For synthetic data on a CPU, with the small tokenizer that is shipped."""
    return dataclasses.replace(
        _clip((64, 2, 4), (64, 3, 4), 8, 64, 64),
        text=TextConfig(
            1024, 64, 2, 4, mlp=256, length=48, start=None, end=0, pad=0
        ),
        tokenizer="shipped",
    )  # fmt: skip


def _siglip2(
    text: tuple[int, int, int, int],
    vision: tuple[int, int, int, int],
    patch: int = 16,
    size: int = 224,
) -> DualEncoderConfig:
    """Towers as (width, depth, heads, mlp)."""
    return DualEncoderConfig(
        style="siglip",
        text=TextConfig(256000, *text, length=64, start=None, end=1, pad=0, lowercase=True),
        vision=VisionConfig(*vision, patch=patch, image_size=size),
        embed=vision[0],
        activation="gelu_tanh",
        norm_eps=1e-6,
        init_scale=10.0,
        resample="bilinear",
    )


_BASE, _LARGE = (768, 12, 12, 3072), (1024, 24, 16, 4096)
_SO400M = (1152, 27, 16, 4304)  # "shape optimised", arXiv 2305.13035


def siglip2_base() -> DualEncoderConfig:
    """SigLIP 2 B/16 at 224 pixels."""
    return _siglip2(_BASE, _BASE)


def siglip2_base_naflex() -> DualEncoderConfig:
    """SigLIP 2 B/16 from the any-resolution files, at the square grid of 16 x 16 patches."""
    return dataclasses.replace(_siglip2(_BASE, _BASE, size=256), naflex_files=True)


def siglip2_large() -> DualEncoderConfig:
    """SigLIP 2 L/16 at 256 pixels."""
    return _siglip2(_LARGE, _LARGE, size=256)


def siglip2_so400m() -> DualEncoderConfig:
    """SigLIP 2 So400m/14 at 224 pixels."""
    return _siglip2(_SO400M, _SO400M, patch=14)


def siglip2_giant() -> DualEncoderConfig:
    """SigLIP 2 g-opt/16 at 256 pixels."""
    return _siglip2(_SO400M, (1536, 40, 16, 6144), size=256)


def siglip2_tiny() -> DualEncoderConfig:
    """For synthetic data on a CPU, with the small tokenizer that is shipped."""
    return dataclasses.replace(
        _siglip2((64, 2, 4, 256), (64, 3, 4, 256), 8, 64),
        text=TextConfig(
            1024, 64, 2, 4, mlp=256, length=48, start=None, end=0, pad=0, lowercase=False
        ),
        tokenizer="shipped",
    )  # fmt: skip
