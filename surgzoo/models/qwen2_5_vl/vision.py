"""The vision transformer: patches to tokens of the language model.

Source: arXiv 2502.13923, section 2.1. Attention stays inside windows of 112 pixels but for a few
layers that see a whole image (or one temporal slice of a video).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from surgzoo.models.layers.attention import attend
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.mlp import SwiGLU
from surgzoo.models.layers.norm import RMSNorm
from surgzoo.models.layers.rotary import Rotation, rope_2d, rotate
from surgzoo.models.layers.stack import make_layers, run_kinds
from surgzoo.models.layers.windows import attend_in_windows

if TYPE_CHECKING:
    from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig, VisionConfig


# Attention on queries, keys and values [B, P, N, D] among the patches of a frame or of a window.
Among = Callable[[Array, Array, Array], Array]


class VisionAttention(nnx.Module):
    """Multi-head attention; `among` says among which patches."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs, out_gain: float):
        self.heads = config.heads
        width = config.width
        # Query, key and value have an axis of their own, so that cutting the heads over devices
        # cuts all three alike.
        self.qkv = Linear(
            (width, 3, width), ("vision_embed", None, "vision_heads"), rngs=rngs, bias=True
        )
        self.out = Linear(
            (width, width), ("vision_heads", "vision_embed"), rngs=rngs, bias=True, gain=out_gain
        )

    def __call__(
        self, x: Float[Array, "B P H"], rotation: Rotation, among: Among
    ) -> Float[Array, "B P H"]:
        batch, patches, width = x.shape
        qkv = self.qkv(x).reshape(batch, patches, 3, self.heads, -1)
        q, k, v = jnp.moveaxis(qkv, 2, 0)
        out = among(rotate(q, rotation), rotate(k, rotation), v)
        return self.out(out.reshape(batch, patches, width))


class VisionLayer(nnx.Module):
    """Norm, attention, norm, gated feed-forward; both with a residual."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        out_gain = (2 * config.depth) ** -0.5  # keeps the residual stream's size at any depth
        self.norm1 = RMSNorm(config.width, config.norm_eps)
        self.attention = VisionAttention(config, rngs=rngs, out_gain=out_gain)
        self.norm2 = RMSNorm(config.width, config.norm_eps)
        self.mlp = SwiGLU(
            config.width, config.mlp, ("vision_embed", "vision_mlp"),
            rngs=rngs, bias=True, out_gain=out_gain,
        )  # fmt: skip

    def __call__(self, x: Array, rotation: Rotation, among: Among) -> Array:
        x = x + self.attention(self.norm1(x), rotation, among)
        return x + self.mlp(self.norm2(x))


class Merger(nnx.Module):
    """Joins merge x merge neighbouring patches and maps them to the language model's width."""

    def __init__(self, config: VisionConfig, out_width: int, *, rngs: nnx.Rngs):
        joined = config.width * config.merge**2
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.fc1 = Linear((joined, joined), ("vision_embed", "merger"), rngs=rngs, bias=True)
        self.fc2 = Linear((joined, out_width), ("merger", "embed"), rngs=rngs, bias=True)

    def __call__(self, x: Float[Array, "B P H"]) -> Float[Array, "B M O"]:
        x = self.norm(x)
        # The processor puts the patches of one merged token next to each other.
        x = x.reshape(x.shape[0], -1, self.fc1.kernel.shape[0])
        return self.fc2(jax.nn.gelu(self.fc1(x), approximate=False))


class VisionTower(nnx.Module):
    """Patch embedding, layers, merger."""

    def __init__(self, config: Qwen25VLConfig, *, rngs: nnx.Rngs):
        vision = config.vision
        self.config = vision
        self.remat, self.unroll = config.vision_remat, config.scan_unroll
        self.whole_windows = config.whole_windows
        # The 3-D convolution of the paper has stride = kernel: it is one product per patch.
        self.patch = Linear((vision.patch_dim, vision.width), ("patch", "vision_embed"), rngs=rngs)
        self.layers = make_layers(
            lambda r: VisionLayer(vision, rngs=r), vision.depth, rngs=rngs,
            stacked=config.scan_layers,
        )  # fmt: skip
        self.merger = Merger(vision, config.text.width, rngs=rngs)

    def __call__(
        self,
        patches: Float[Array, "B P D"],
        hw: Int[Array, "B P 2"],
        window: Int[Array, "B P"],
        frame: Int[Array, "B P"],
    ) -> Float[Array, "B M O"]:
        """Merged tokens, in the order of the patches. Padding patches give rows without meaning.

        The patches of a window adjoin, and so do those of a frame.
        """
        rotation = rope_2d(hw, self.config.head_dim)

        def in_frame(q, k, v):
            mask = (frame[:, :, None] == frame[:, None, :]) & (frame >= 0)[:, None, :]
            return attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask)

        def in_window(q, k, v):
            size = self.config.window_patches
            return attend_in_windows(q, k, v, window, size, self.whole_windows)

        def step(among):
            return lambda x, layer, _: (layer(x, rotation, among), None)

        steps = {True: step(in_frame), False: step(in_window)}
        kinds = [number in self.config.full_attention_layers for number in range(self.config.depth)]
        x = self.patch(patches)
        x = run_kinds(self.layers, steps, kinds, x, self.remat, self.unroll)
        return self.merger(x)
