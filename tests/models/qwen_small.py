"""A small Qwen2.5-VL with random weights, and the same weights in transformers as the oracle."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from surgzoo.core.contract import Bucket
from surgzoo.models.qwen2_5_vl import config as configs

BUCKETS = (Bucket(64, 0), Bucket(96, 160), Bucket(192, 512))


def small_config(**changes) -> configs.Qwen25VLConfig:
    """The tiny model, narrower, with free image sizes and windows that do not divide them."""
    base = configs.tiny()
    fields = {
        "text": dataclasses.replace(
            base.text, width=96, depth=3, heads=6, kv_heads=2, mlp=160, mrope_sections=(2, 3, 3)
        ),
        "vision": dataclasses.replace(
            base.vision, width=64, depth=3, heads=2, mlp=96, full_attention_layers=(1,)
        ),
        "input": configs.InputConfig(
            min_pixels=28 * 28,
            max_pixels=224 * 224,
            video_min_pixels=28 * 28,
            video_max_pixels=112 * 112,
            buckets=BUCKETS,
        ),
    }
    return dataclasses.replace(base, **fields | changes)


@functools.cache
def random_params(config, seed: int = 0):
    """Parameters with nothing at zero or one, made without a compiler.

    Not too wild either: sharp attention turns rounding into visible differences.
    """
    rng = np.random.default_rng(seed)
    model = config.build()

    def draw(axes, leaf):
        dims = [n for n, name in zip(leaf.shape, axes, strict=True) if name != "layers"]
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        if len(dims) == 1 or dims[0] == 3:  # scales and biases
            return np.float32(0.5) + np.float32(0.1) * noise
        return noise * np.float32(0.2 if axes[0] == "vocab" else dims[0] ** -0.5)

    is_leaf = lambda x: isinstance(x, tuple)  # noqa: E731
    return jax.tree.map(draw, model.logical_axes(), model.abstract(), is_leaf=is_leaf)


def picture(height: int, width: int, seed: int = 0, frames: int | None = None) -> np.ndarray:
    """Smooth random colours: resizing them is well conditioned."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (frames or 1, 6, 6, 3))
    y, x = np.arange(height) * 6 // height, np.arange(width) * 6 // width
    full = coarse[:, y][:, :, x].astype(np.uint8)
    return full if frames else full[0]


def stack_rows(rows):
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


class Oracle:
    """The model in transformers, fed from the rows of our processor."""

    def __init__(self, folder):
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
        torch.manual_seed(0)
        self.torch = torch
        self.model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()

    def inputs(self, processor, row, visuals, fps=()):
        """Keyword arguments for transformers, without the padding of our row."""
        torch, length = self.torch, int((row["segments"] > 0).sum())
        ids = torch.tensor(row["tokens"][:length].astype(np.int64))[None]
        image, video = (
            processor.tokenizer.token_to_id(t) for t in ("<|image_pad|>", "<|video_pad|>")
        )
        kinds = (ids == image).int() + 2 * (ids == video).int()
        out = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
        patches = {3: [], 4: []}
        grids = {3: [], 4: []}
        for visual in visuals:
            frames = len(visual) if visual.ndim == 4 else None
            patches[visual.ndim].append(processor.patchify(visual))
            grids[visual.ndim].append(list(processor.grid(*visual.shape[-3:-1], frames=frames)))
        if grids[3]:
            out["pixel_values"] = torch.tensor(np.concatenate(patches[3]))
            out["image_grid_thw"] = torch.tensor(grids[3])
        if grids[4]:
            out["pixel_values_videos"] = torch.tensor(np.concatenate(patches[4]))
            out["video_grid_thw"] = torch.tensor(grids[4])
            out["second_per_grid_ts"] = torch.tensor(
                [2.0 / f for f, v in zip(fps, visuals, strict=True) if v.ndim == 4]
            )
        return out

    def logits(self, inputs) -> np.ndarray:
        with self.torch.no_grad():
            return self.model(**inputs).logits[0].numpy()

    def positions(self, inputs) -> np.ndarray:
        names = ("image_grid_thw", "video_grid_thw", "second_per_grid_ts", "attention_mask")
        known = {name: inputs.get(name) for name in names}
        positions, _ = self.model.model.get_rope_index(
            inputs["input_ids"], inputs["mm_token_type_ids"], **known
        )
        return positions[:, 0].numpy()
