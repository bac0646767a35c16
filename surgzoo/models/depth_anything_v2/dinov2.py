"""The encoder: DINOv2's vision transformer.

Source: arXiv 2304.07193; arXiv 2010.11929 (ViT), arXiv 2103.17239 (LayerScale).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter
from surgzoo.models.layers.attention import attend
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.norm import LayerNorm
from surgzoo.models.layers.resize import cubic, resize
from surgzoo.models.layers.stack import Tower, make_layers, run_layers

if TYPE_CHECKING:
    from surgzoo.models.depth_anything_v2.config import BackboneConfig, EncoderDecoderConfig


class Attention(nnx.Module):
    """Multi-head attention of all tokens to all."""

    def __init__(self, config: BackboneConfig, *, rngs: nnx.Rngs, out_gain: float):
        self.heads = config.heads
        shape, axes = (config.width, config.width), ("vision_embed", "vision_heads")
        self.q = Linear(shape, axes, rngs=rngs, bias=True)
        self.k = Linear(shape, axes, rngs=rngs, bias=True)
        self.v = Linear(shape, axes, rngs=rngs, bias=True)
        self.out = Linear(shape, axes[::-1], rngs=rngs, bias=True, gain=out_gain)

    def __call__(self, x: Float[Array, "B S H"]) -> Float[Array, "B S H"]:
        q, k, v = (
            product(x).reshape(*x.shape[:2], self.heads, -1) for product in (self.q, self.k, self.v)
        )
        out = attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), None)
        return self.out(out.reshape(x.shape))


class Layer(nnx.Module):
    """Norm, attention, factor; norm, feed-forward, factor; both with a residual."""

    def __init__(self, config: BackboneConfig, *, rngs: nnx.Rngs):
        out_gain = (2 * config.depth) ** -0.5  # keeps the residual stream's size at any depth
        width, hidden = config.width, config.width * config.mlp_ratio
        self.norm1 = LayerNorm(width, config.norm_eps)
        self.attention = Attention(config, rngs=rngs, out_gain=out_gain)
        self.scale1 = _factors(config)
        self.norm2 = LayerNorm(width, config.norm_eps)
        axes = ("vision_embed", "vision_mlp")
        self.up = Linear((width, hidden), axes, rngs=rngs, bias=True)
        self.down = Linear((hidden, width), axes[::-1], rngs=rngs, bias=True, gain=out_gain)
        self.scale2 = _factors(config)

    def __call__(self, x: Float[Array, "B S H"]) -> Float[Array, "B S H"]:
        x = x + self.attention(self.norm1(x)) * self.scale1[...].astype(x.dtype)
        inner = self.down(jax.nn.gelu(self.up(self.norm2(x)), approximate=False))
        return x + inner * self.scale2[...].astype(x.dtype)


def _factors(config: BackboneConfig) -> nnx.Param:
    return nnx.Param(
        jnp.full((config.width,), config.layer_scale, jnp.float32), logical_axes=(None,)
    )


class Backbone(nnx.Module):
    """Patches, a class token and positions; layers; one norm for what the decoder reads."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs):
        backbone = config.backbone
        self.config, self.remat = backbone, config.remat
        width = backbone.width
        self.patch = Linear(
            (3 * backbone.patch**2, width), ("patch", "vision_embed"), rngs=rngs, bias=True
        )
        self.cls = parameter.normal(rngs, (width,), (None,), 0.02)
        self.positions = parameter.normal(
            rngs, (1 + backbone.grid**2, width), (None, "vision_embed"), 0.02
        )
        self.layers = make_layers(
            lambda r: Layer(backbone, rngs=r), backbone.depth, rngs=rngs, stacked=config.scan_layers
        )
        self.norm = LayerNorm(width, backbone.norm_eps)

    def __call__(self, images: Float[Array, "B H W 3"]) -> list[Float[Array, "B h w E"]]:
        """The normalised patch tokens after each of the taps, as maps.

        Raises ValueError when the sides are not whole patches.
        """
        batch, height, width, _ = images.shape
        size = self.config.patch
        if height % size or width % size:
            raise ValueError(
                f"images of {height} x {width} pixels are not whole patches of {size}: resize them "
                "with the model's processor"
            )
        rows, columns = height // size, width // size
        x = images.reshape(batch, rows, size, columns, size, 3)
        x = x.transpose(0, 1, 3, 5, 2, 4).reshape(batch, rows * columns, -1)  # channel, y, x
        x = self.patch(x)
        cls = jnp.broadcast_to(self.cls[...].astype(x.dtype), (batch, 1, x.shape[-1]))
        x = jnp.concatenate([cls, x], axis=1) + self._positions(rows, columns).astype(x.dtype)
        maps = []
        for start, stop in zip((0, *self.config.taps), self.config.taps, strict=False):
            x, _ = run_layers(
                self._between(start, stop), lambda x, layer, _: (layer(x), None), x,
                remat=self.remat,
            )  # fmt: skip
            maps.append(self.norm(x)[:, 1:].reshape(batch, rows, columns, -1))
        return maps

    def _between(self, start: int, stop: int) -> nnx.Module:
        """Layers [start, stop)."""
        if isinstance(self.layers, Tower):
            return Tower([getattr(self.layers, str(i)) for i in range(start, stop)])
        return jax.tree.map(lambda a: a[start:stop], self.layers)

    def _positions(self, rows: int, columns: int) -> Float[Array, "S E"]:
        """Of the class token and of a grid of patches, interpolated from the table."""
        table, side = self.positions[...], self.config.grid
        grid = resize(table[1:].reshape(1, side, side, -1), rows, columns, cubic)
        return jnp.concatenate([table[:1], grid.reshape(rows * columns, -1)])
