"""What residual networks are made of: convolution without bias, pooling, batch norm."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter
from surgzoo.models.layers.conv import conv2d
from surgzoo.models.layers.parameter import Axes


def max_pool(
    x: Float[Array, "B H W C"], size: int, stride: int, padding: int
) -> Float[Array, "B h w C"]:
    """The largest value of each window; padding never is."""
    pads = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, pads)


class Conv2d(nnx.Module):
    """A square kernel without bias and with padding (size - 1) / 2, as residual networks use it."""

    def __init__(
        self,
        size: int,
        shape: tuple[int, int],
        axes: Axes,
        stride: int,
        how: str,
        *,
        rngs: nnx.Rngs,
    ):
        self.stride, self.padding, self.how = stride, (size - 1) // 2, how
        std = (2 / (size * size * shape[0])) ** 0.5  # arXiv 1502.01852, for the ReLU behind it
        self.kernel = parameter.normal(rngs, (size, size, *shape), (None, None, *axes), std)

    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B h w O"]:
        return conv2d(x, self.kernel[...], self.stride, self.padding, self.how)


class FrozenBatchNorm(nnx.Module):
    """(x - mean) / sqrt(var + eps) * scale + bias a channel, with the stored statistics.

    Scale and bias are trained, mean and var get no gradient: parameters are a plain dict that the
    loss does not change, and statistics over a small batch of near frames would be poor ones.
    """

    def __init__(self, channels: int, eps: float = 1e-5, scale: float = 1.0):
        self.eps = eps
        self.scale = nnx.Param(jnp.full((channels,), scale, jnp.float32), logical_axes=(None,))
        self.bias = parameter.zeros((channels,), (None,))
        self.mean = parameter.zeros((channels,), (None,))
        self.var = parameter.ones((channels,), (None,))

    def __call__(self, x: Float[Array, "*B C"]) -> Float[Array, "*B C"]:
        mean, var = jax.lax.stop_gradient((self.mean[...], self.var[...]))
        factor = self.scale[...] * jax.lax.rsqrt(var + self.eps)
        return x * factor.astype(x.dtype) + (self.bias[...] - mean * factor).astype(x.dtype)
