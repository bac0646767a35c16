"""Multi-head self-attention with one kernel for queries, keys and values."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from surgzoo.models.layers.attention import attend
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.parameter import Axes


class Attention(nnx.Module):
    """softmax(q k' / sqrt(D)) v with biases. `axes` names (width, heads)."""

    def __init__(self, width: int, heads: int, axes: Axes, *, rngs: nnx.Rngs, out_gain: float):
        self.heads = heads
        # An axis of its own for the three: cutting the heads over devices cuts them alike.
        self.qkv = Linear((width, 3, width), (axes[0], None, axes[1]), rngs=rngs, bias=True)
        self.out = Linear((width, width), axes[::-1], rngs=rngs, bias=True, gain=out_gain)

    def __call__(
        self, x: Float[Array, "B S H"], mask: Bool[Array, "B S S"] | None = None
    ) -> Float[Array, "B S H"]:
        qkv = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1)
        q, k, v = jnp.moveaxis(qkv, 2, 0)
        return self.out(attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask).reshape(x.shape))
