"""Sizes and choices of SurgVLP, HecVL and PeskaVLP, which are one graph with different weights.

Sources: arXiv 2307.15220 (SurgVLP), 2405.10075 (HecVL), 2410.00263 (PeskaVLP). Importing this
imports neither JAX nor a tokenizer.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, ClassVar

from surgzoo.core.contract import Reads
from surgzoo.models.architecture import Architecture

if TYPE_CHECKING:
    from surgzoo.models.surgvlp.processor import SurgVLPProcessor


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """The image tower: a residual network of bottleneck blocks (arXiv 1512.03385, table 1)."""

    stem: int = 64  # channels of the first convolution
    widths: tuple[int, ...] = (64, 128, 256, 512)  # of the 3 x 3 convolutions; times 4 goes out
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks

    @property
    def out(self) -> int:
        return 4 * self.widths[-1]


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """The text tower (arXiv 1810.04805); the defaults are those of Bio_ClinicalBERT."""

    vocab: int = 28996
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    positions: int = 512
    last_layers: int = 4  # whose hidden states are added up
    norm_eps: float = 1e-12


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """How the processor makes inputs."""

    resize: tuple[int, int] = (360, 640)  # height, width in pixels; the aspect ratio is dropped
    crop: int = 224  # pixels, from the middle
    length: int = 77  # tokens of a text, with [CLS] and [SEP]
    # Bio_ClinicalBERT's vocabulary is cased, but its folder does not say so, and the tokenizer that
    # was used lowers by default. A tokenizer_config.json beside vocab.txt has the last word.
    lowercase: bool = True


@dataclasses.dataclass(frozen=True)
class SurgVLPConfig(Architecture):
    """A surgical dual encoder: `build()` for the model, `processor()` for its processor."""

    reads: ClassVar[Reads] = "pairs"
    module: ClassVar[str] = "surgzoo.models.surgvlp.model:SurgVLP"
    weights: ClassVar[str] = "surgzoo.models.surgvlp.weights"

    vision: ResNetConfig = ResNetConfig()
    text: BertConfig = BertConfig()
    input: InputConfig = InputConfig()
    scale: float = 100.0  # of cosines in `similarity`; the published protocol's, not learnt
    conv_impl: str = "auto"  # or lax, gemm: see layers/conv.py
    compute_dtype: str = "float32"  # or bfloat16: of products
    remat: str = "none"  # or dots, full: what the text tower's backward pass recomputes
    scan_layers: bool = True  # stacked text layers; False = side by side
    vocab: str | None = None  # default folder or vocab.txt; "shipped" = letters, for the tiny one

    def __post_init__(self):
        text = self.text
        if text.width % text.heads:
            raise ValueError(f"text width {text.width} is not a multiple of its {text.heads} heads")
        if not 1 <= text.last_layers <= text.depth:
            raise ValueError(f"last_layers {text.last_layers} of a text tower of {text.depth}")
        if len(self.vision.widths) != len(self.vision.depths):
            raise ValueError(
                f"{len(self.vision.widths)} widths but {len(self.vision.depths)} depths of stages"
            )
        if self.input.length > text.positions:
            raise ValueError(f"texts of {self.input.length} tokens, but {text.positions} positions")
        if self.input.crop > min(self.input.resize):
            raise ValueError(f"crop {self.input.crop} is larger than resize {self.input.resize}")
        if self.conv_impl not in ("auto", "lax", "gemm"):
            raise ValueError(f"conv_impl is auto, lax or gemm, not '{self.conv_impl}'")
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"compute_dtype is float32 or bfloat16, not '{self.compute_dtype}'")

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        size, length = self.input.crop, self.input.length
        return {
            "images": ((size, size, 3), "float32"),
            "tokens": ((length,), "int32"),
            "mask": ((length,), "bool"),
        }

    def processor(self, folder: str | pathlib.Path | None = None) -> SurgVLPProcessor:
        """The processor; `folder` has vocab.txt, or is that file; default the config's.

        A .pth is weights alone, as published: then too it is the config's.
        """
        from surgzoo.models.surgvlp.processor import SurgVLPProcessor

        if folder is not None and pathlib.Path(folder).suffix in (".pth", ".pt"):
            folder = None
        return SurgVLPProcessor(self, folder or self.vocab)


def base() -> SurgVLPConfig:
    """ResNet-50 and BERT-base: SurgVLP, HecVL and PeskaVLP alike."""
    return SurgVLPConfig()


def tiny() -> SurgVLPConfig:
    """For synthetic data on a CPU; reads texts letter by letter."""
    return SurgVLPConfig(
        vision=ResNetConfig(stem=16, widths=(8, 16, 32, 32), depths=(1, 1, 1, 1)),
        text=BertConfig(vocab=128, width=64, depth=4, heads=4, mlp=128, positions=128),
        input=InputConfig(resize=(64, 64), crop=64, length=96),
        vocab="shipped",
    )
