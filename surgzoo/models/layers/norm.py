"""Root-mean-square norm and layer norm."""

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


class LayerNorm(nnx.Module):
    """(x - mean) / deviation * scale + bias over the last axis, in float32, returned in x's dtype.

    Source: arXiv 1607.06450.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        self.eps = eps
        self.scale = parameter.ones((width,), (None,))
        self.bias = parameter.zeros((width,), (None,))

    def __call__(self, x: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
        wide = x.astype(jnp.float32)
        wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
        wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.eps)
        return (wide * self.scale[...] + self.bias[...]).astype(x.dtype)


def unit(x: Float[Array, "*B E"]) -> Float[Array, "*B E"]:
    """Vectors of length one, float32. A zero vector stays zero, with a finite gradient."""
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
