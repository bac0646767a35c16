"""Gated feed-forward network."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.parameter import Axes


class SwiGLU(nnx.Module):
    """down(silu(gate(x)) * up(x)). `axes` names (width, hidden). Source: arXiv 2002.05202."""

    def __init__(
        self, width: int, hidden: int, axes: Axes, *, rngs: nnx.Rngs, bias: bool, out_gain: float
    ):
        inward, outward = axes, axes[::-1]
        self.gate = Linear((width, hidden), inward, rngs=rngs, bias=bias)
        self.up = Linear((width, hidden), inward, rngs=rngs, bias=bias)
        self.down = Linear((hidden, width), outward, rngs=rngs, bias=bias, gain=out_gain)

    def __call__(self, x: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))
