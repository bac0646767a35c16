"""Root-mean-square norm."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter


class RMSNorm(nnx.Module):
    """x / rms(x) * scale over the last axis, computed in float32, returned in the dtype of x.

    Source: arXiv 1910.07467.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        self.eps = eps
        self.scale = parameter.ones((width,), (None,))

    def __call__(self, x: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
        wide = x.astype(jnp.float32)
        wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        return (wide * self.scale[...]).astype(x.dtype)
