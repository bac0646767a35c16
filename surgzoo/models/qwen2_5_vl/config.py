"""Sizes and choices of the Qwen2.5-VL family. Importing this imports neither JAX nor a tokenizer.

Sources: arXiv 2502.13923 (table 1) and the configuration files of the published checkpoints.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from surgzoo.core.contract import Bucket, Reads
from surgzoo.models.architecture import Architecture
from surgzoo.models.layers.lora_config import LoraConfig

if TYPE_CHECKING:
    import jax
    from jaxtyping import PyTree

    from surgzoo.models.qwen2_5_vl.processor import QwenProcessor


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The language model."""

    vocab: int
    width: int
    depth: int
    heads: int
    kv_heads: int
    mlp: int
    tied: bool  # the output head is the embedding table
    mrope_sections: tuple[int, int, int] = (16, 24, 24)  # frequencies for time, height, width
    rope_theta: float = 1e6
    norm_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


@dataclasses.dataclass(frozen=True)
class VisionConfig:
    """The vision transformer and its merger."""

    width: int = 1280
    depth: int = 32
    heads: int = 16
    mlp: int = 3420
    full_attention_layers: tuple[int, ...] = (7, 15, 23, 31)  # the others attend inside windows
    channels: int = 3
    patch: int = 14  # pixels
    temporal_patch: int = 2  # frames
    merge: int = 2  # merge x merge patches become one token of the language model
    window: int = 112  # pixels
    norm_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    @property
    def window_patches(self) -> int:
        """Patches of a whole window."""
        return (self.window // self.patch) ** 2

    @property
    def patch_dim(self) -> int:
        """Length D of one flattened patch."""
        return self.channels * self.temporal_patch * self.patch**2


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """How the processor turns pixels and turns of talk into a row. Sizes in pixels."""

    image_size: int | None = None  # fixed square, aspect ratio dropped; None = resize by area
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 1280 * 28 * 28
    video_min_pixels: int = 128 * 28 * 28  # per frame
    video_max_pixels: int = 768 * 28 * 28
    tokens_per_second: int = 2  # M-RoPE time steps per second of video
    # Where text goes on after a video: True = after its largest position in any of the three
    # components, as in the authors' own code; False = after its largest row or column, as
    # transformers does from 5.3 on. They differ when a video lasts longer than its grid is wide.
    text_after_time: bool = True
    system_prompt: str | None = "You are a helpful assistant."
    buckets: tuple[Bucket, ...] = (Bucket(1024, 0), Bucket(1536, 4096), Bucket(4096, 12288))


@dataclasses.dataclass(frozen=True)
class Qwen25VLConfig(Architecture):
    """A Qwen2.5-VL model: call `build()` for the model, `processor()` for its processor."""

    reads: ClassVar[Reads] = "turns"
    module: ClassVar[str] = "surgzoo.models.qwen2_5_vl.model:Qwen25VL"
    weights: ClassVar[str] = "surgzoo.models.qwen2_5_vl.weights"

    text: TextConfig
    vision: VisionConfig = VisionConfig()
    input: InputConfig = InputConfig()
    # float32 or bfloat16: of products. Parameters, softmax, norms and logits stay float32.
    compute_dtype: str = "float32"
    remat: str = "none"  # or dots, full: what the language model's backward pass recomputes
    vision_remat: str = "none"
    scan_layers: bool = True  # stacked layers; False = side by side, see layers/stack.py
    # Kernel of the language model in training: auto, grouped, xla or cudnn (layers/attention.py).
    attention: str = "auto"
    # Most segments in a row (padding is one) that cuDNN is told of: packed rows have no more.
    attention_segments: int = 64
    scan_unroll: int = 1  # layers in one turn of the scan over stacked layers
    init_std: float = 0.02  # of the embedding table
    lora: LoraConfig | None = None  # adapters, see layers/lora.py
    tokenizer: str | None = None  # default folder or file of the tokenizer; None = the shipped one

    def __post_init__(self):
        text, vision = self.text, self.vision
        for what, width, heads in (
            ("text", text.width, text.heads), ("vision", vision.width, vision.heads)
        ):  # fmt: skip
            if width % heads:
                raise ValueError(f"{what} width {width} is not a multiple of its {heads} heads")
        if text.heads % text.kv_heads:
            raise ValueError(f"{text.heads} text heads cannot share {text.kv_heads} kv heads")
        if 2 * sum(text.mrope_sections) != text.head_dim:
            raise ValueError(
                f"mrope_sections {text.mrope_sections} must add up to half of the head size "
                f"{text.head_dim}"
            )
        if vision.head_dim % 4:
            raise ValueError(f"vision head size {vision.head_dim} must be a multiple of 4")
        if vision.window % (vision.patch * vision.merge):
            raise ValueError(
                f"window {vision.window} must be a multiple of patch * merge = "
                f"{vision.patch * vision.merge} pixels"
            )
        if self.compute_dtype not in ("float32", "bfloat16"):
            raise ValueError(f"compute_dtype is float32 or bfloat16, not '{self.compute_dtype}'")
        if self.attention not in ("auto", "grouped", "xla", "cudnn"):
            raise ValueError(f"attention is auto, grouped, xla or cudnn, not '{self.attention}'")
        if self.attention_segments < 2:
            raise ValueError(
                "attention_segments counts the padding too, so it is at least 2; it is "
                f"{self.attention_segments}"
            )
        if self.scan_unroll < 1:
            raise ValueError(f"scan_unroll counts layers, from 1 on; it is {self.scan_unroll}")

    @property
    def whole_windows(self) -> bool:
        """Whether no window is cut off by the edge of a picture, whatever picture comes."""
        size = self.input.image_size
        return size is not None and size % self.vision.window == 0

    def row(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """In the smallest bucket with room for a picture."""
        tokens, patches = next(bucket for bucket in self.input.buckets if bucket[1])
        return {
            "tokens": ((tokens,), "int32"),
            "positions": ((3, tokens), "int32"),
            "segments": ((tokens,), "int32"),
            "loss_mask": ((tokens,), "float32"),
            "vision_index": ((tokens,), "int32"),
            "patches": ((patches, self.vision.patch_dim), "float32"),
            "patch_hw": ((patches, 2), "int32"),
            "patch_window": ((patches,), "int32"),
            "patch_frame": ((patches,), "int32"),
        }

    def save_adapter(
        self, params: dict[str, Any], folder: str | pathlib.Path, **options: Any
    ) -> list[pathlib.Path]:
        """Writes the adapters alone, in the form of the peft library. See `peft.save`."""
        from surgzoo.models.qwen2_5_vl import peft

        return peft.save(self, params, folder, **options)

    def adapter_lora(self, folder: str | pathlib.Path) -> LoraConfig:
        """What `lora` is for the adapters of a folder. See `peft.lora_of`.

        Raises ValueError when this config has adapters already, and they are others.
        """
        from surgzoo.models.qwen2_5_vl import peft

        lora = peft.lora_of(self, folder)
        if self.lora is not None and not peft.adapts_alike(self, self.lora, lora):
            raise ValueError(
                f"the adapter in {folder} has rank {lora.rank}, alpha {lora.alpha:g} and targets "
                f"'{lora.targets}'; the config's lora says rank {self.lora.rank}, alpha "
                f"{self.lora.alpha:g} and targets '{self.lora.targets}'. Leave lora out of "
                "model.overrides: the folder says it"
            )
        return lora

    def load_adapter(
        self,
        params: dict[str, Any],
        folder: str | pathlib.Path,
        abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    ) -> dict[str, Any]:
        """`params` with the adapters of a folder, placed as `abstract` says. See `peft.load`."""
        from surgzoo.models.qwen2_5_vl import peft

        return peft.load(self, params, folder, abstract)[1]

    def processor(
        self,
        folder: str | pathlib.Path | None = None,
        buckets: Sequence[tuple[int, int]] | None = None,
    ) -> QwenProcessor:
        """The processor of this model.

        Args:
          folder: a Qwen folder or a tokenizer.json; default the config's, else the shipped one.
          buckets: static (tokens, patches) shapes of the rows; default the config's.

        Raises ValueError when the tokenizer has more tokens than the model has embeddings.
        """
        from surgzoo.models.qwen2_5_vl.processor import QwenProcessor

        buckets = self.input.buckets if buckets is None else buckets
        return QwenProcessor(self, folder or self.tokenizer, [Bucket(*b) for b in buckets])


def tiny() -> Qwen25VLConfig:
    """About 3 M parameters, 112 x 112 pixels, the shipped tokenizer: trains on a CPU in minutes."""
    from surgzoo.models.qwen2_5_vl import tokenizer

    vocab = tokenizer.vocab_size(tokenizer.SHIPPED)
    return Qwen25VLConfig(
        text=TextConfig(
            vocab=-(-vocab // 64) * 64,  # rounded up: a multiple that any mesh can divide
            width=192, depth=6, heads=4, kv_heads=2, mlp=384, tied=True, mrope_sections=(4, 10, 10),
            # Rows are short and the grid is 4 x 4: at the usual base of a million the columns of an
            # image, which get the slowest frequencies, could not be told apart.
            rope_theta=10.0,
        ),
        vision=VisionConfig(
            width=128, depth=4, heads=4, mlp=256, full_attention_layers=(1, 3), window=56
        ),
        input=InputConfig(
            image_size=112,
            system_prompt=None,
            buckets=(Bucket(64, 0), Bucket(96, 64), Bucket(192, 256), Bucket(384, 512)),
        ),
        init_std=0.1,  # at this width 0.02 drowns the tokens in the residual stream
    )  # fmt: skip


def b3() -> Qwen25VLConfig:
    """Qwen2.5-VL-3B."""
    return _published(
        TextConfig(151936, width=2048, depth=36, heads=16, kv_heads=2, mlp=11008, tied=True), 3420
    )


def b7() -> Qwen25VLConfig:
    """Qwen2.5-VL-7B."""
    return _published(
        TextConfig(152064, width=3584, depth=28, heads=28, kv_heads=4, mlp=18944, tied=False), 3420
    )


def b32() -> Qwen25VLConfig:
    """Qwen2.5-VL-32B."""
    return _published(
        TextConfig(152064, width=5120, depth=64, heads=40, kv_heads=8, mlp=27648, tied=False), 3456
    )


def b72() -> Qwen25VLConfig:
    """Qwen2.5-VL-72B."""
    return _published(
        TextConfig(152064, width=8192, depth=80, heads=64, kv_heads=8, mlp=29568, tied=False), 3456
    )


def _published(text: TextConfig, vision_mlp: int) -> Qwen25VLConfig:
    return Qwen25VLConfig(
        text=text, vision=VisionConfig(mlp=vision_mlp), compute_dtype="bfloat16", remat="dots"
    )
