"""Rows of random tokens and pixels, and a training state with random weights, of any size."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from surgzoo.core import parallel
from surgzoo.core.contract import Bucket
from surgzoo.models.base import Model
from surgzoo.models.qwen2_5_vl import config as configs
from surgzoo.models.qwen2_5_vl.config import (
    InputConfig,
    Qwen25VLConfig,
    TextConfig,
    VisionConfig,
)
from surgzoo.train import optim
from surgzoo.train.experiment import OptimConfig
from surgzoo.train.objectives import OBJECTIVES
from surgzoo.train.state import Tree, abstract_state, init_state
from surgzoo.train.step import make_train_step


@dataclasses.dataclass
class Training:
    """What a step of `train/loop.py` is made of."""

    model: Model
    mesh: Any
    tx: Any
    abstract: Tree
    step: Any  # step(state, batch) -> (state, metrics)
    pattern: str  # of the trainable parameters

    def state(self, seed: int = 0) -> Tree:
        """A fresh state with random weights."""
        rng = jax.random.key(seed)
        return init_state(self.model, self.tx, self.pattern, False, self.mesh, rng)


def training(config: Any, pattern: str = ".*") -> Training:
    """The step that `surgzoo train` runs with the default objective and AdamW, not yet compiled."""
    # One device: what is measured is set against what one can do.
    model, mesh = config.build(), parallel.make_mesh(devices=jax.devices()[:1])
    tx = optim.optimizer(OptimConfig(), steps=1000)
    abstract = abstract_state(model, tx, pattern, False, mesh)
    step = make_train_step(model, OBJECTIVES["causal_lm"], tx, abstract, mesh, pattern=pattern)
    return Training(model, mesh, tx, abstract, step, pattern)


def small(image_size: int = 224, buckets: tuple[tuple[int, int], ...] = ()) -> Qwen25VLConfig:
    """The model of the rows on a CPU: 18 M parameters, the shipped tokenizer."""
    return Qwen25VLConfig(
        text=TextConfig(
            vocab=8192, width=256, depth=6, heads=8, kv_heads=4, mlp=1024, tied=False,
            mrope_sections=(4, 6, 6),
        ),
        vision=VisionConfig(width=256, depth=6, heads=4, mlp=1024, full_attention_layers=(2, 5)),
        input=InputConfig(
            image_size=image_size, system_prompt=None, buckets=tuple(Bucket(*b) for b in buckets)
        ),
    )  # fmt: skip


def published(size: str, layers: int | None, vision_layers: int | None, **more: Any) -> Any:
    """A published size with so many layers; None leaves them all."""
    if size == "tiny":
        return dataclasses.replace(configs.tiny(), compute_dtype="bfloat16", **more)
    config = {"3b": configs.b3, "7b": configs.b7}[size]()
    text, vision = config.text, config.vision
    if layers is not None:
        text = dataclasses.replace(text, depth=layers)
    if vision_layers is not None:
        full = (vision_layers - 1,)
        vision = dataclasses.replace(vision, depth=vision_layers, full_attention_layers=full)
    return dataclasses.replace(config, text=text, vision=vision, **more)


def text_rows(config: Any, rows: int, tokens: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A batch of full rows of random tokens, every one predicted; no pixels."""
    rng = np.random.default_rng(seed)
    return {
        "tokens": rng.integers(0, config.text.vocab, (rows, tokens), np.int32),
        "positions": np.tile(np.arange(tokens, dtype=np.int32), (rows, 3, 1)),
        "segments": np.ones((rows, tokens), np.int32),
        "prefix": np.zeros((rows, tokens), np.int32),
        "loss_mask": np.ones((rows, tokens), np.float32),
        "vision_index": np.full((rows, tokens), -1, np.int32),
        **_patches(np.zeros((rows, 0, config.vision.patch_dim), np.float32)),
    }


def _patches(patches: Float[np.ndarray, "B P D"]) -> dict[str, np.ndarray]:
    rows, count, _ = patches.shape
    return {
        "patches": patches,
        "patch_hw": np.zeros((rows, count, 2), np.int32),
        "patch_window": np.zeros((rows, count), np.int32),
        "patch_frame": np.zeros((rows, count), np.int32),
    }
