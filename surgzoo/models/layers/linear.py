"""Dense layers. All of them go through one function, on flattened tokens."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter
from surgzoo.models.layers.parameter import Axes


def linear(
    x: Float[Array, "*B I"],
    kernel: Float[Array, "I O"],
    bias: Float[Array, " O"] | None = None,
    dtype: jnp.dtype | None = None,
) -> Float[Array, "*B O"]:
    """x @ kernel + bias in the dtype of x; `dtype` asks for a wider result (logits in float32).

    Leading axes are flattened first: a weight gradient that contracts two axes leaves XLA:CPU's
    fast path and costs about twice as much; on a GPU the reshape is free.
    """
    flat = jnp.matmul(
        x.reshape(-1, x.shape[-1]), kernel.astype(x.dtype), preferred_element_type=dtype or x.dtype
    )
    if bias is not None:
        flat = flat + bias.astype(flat.dtype)
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])


class Linear(nnx.Module):
    """A kernel [I, O] and, with `bias`, a bias [O].

    Kernels start normal with deviation gain / sqrt(I), which is near 0.02 at the widths of the
    published models and keeps small ones trainable; biases start at zero.
    """

    def __init__(self, shape: tuple[int, int], axes: Axes, *, rngs, bias=False, gain: float = 1.0):
        self.kernel = parameter.normal(rngs, shape, axes, gain * shape[0] ** -0.5)
        if bias:
            self.bias = parameter.zeros(shape[1:], (None,))

    def __call__(self, x: Float[Array, "*B I"]) -> Float[Array, "*B O"]:
        bias = self.bias[...] if hasattr(self, "bias") else None
        return linear(x, self.kernel[...], bias)
