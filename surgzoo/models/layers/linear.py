"""Dense layers. All of them go through one function, on flattened tokens."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter
from surgzoo.models.layers.parameter import Axes


def linear(
    x: Float[Array, "*B I"],
    kernel: Float[Array, "I *O"],  # noqa: UP037
    bias: Float[Array, "*O"] | None = None,
    dtype: jnp.dtype | None = None,
) -> Float[Array, "*B *O"]:
    """x @ kernel + bias in the dtype of x; `dtype` asks for a wider result (logits in float32).

    Leading axes are flattened first: a weight gradient that contracts two axes leaves XLA:CPU's
    fast path and costs about twice as much; on a GPU the reshape is free.
    """
    flat = jnp.matmul(
        x.reshape(-1, x.shape[-1]),
        kernel.reshape(kernel.shape[0], -1).astype(x.dtype),
        preferred_element_type=dtype or x.dtype,
    )
    if bias is not None:
        flat = flat + bias.reshape(-1).astype(flat.dtype)
    return flat.reshape(*x.shape[:-1], *kernel.shape[1:])


class Linear(nnx.Module):
    """A kernel [I, *O] and, with `bias`, a bias [*O]. There may be several output axes.

    `lora.add_adapters` gives it lora_a [I, R] and lora_b [R, *O], whose scaled product is added.

    Kernels start normal with deviation gain / sqrt(I), which is near 0.02 at the widths of the
    published models and keeps small ones trainable; biases start at zero.
    """

    def __init__(self, shape: tuple[int, ...], axes: Axes, *, rngs, bias=False, gain: float = 1.0):
        self.kernel = parameter.normal(rngs, shape, axes, gain * shape[0] ** -0.5)
        if bias:
            self.bias = parameter.zeros(shape[1:], (None,) * len(shape[1:]))

    def __call__(self, x: Float[Array, "*B I"]) -> Float[Array, "*B *O"]:
        bias = self.bias[...] if hasattr(self, "bias") else None
        out = linear(x, self.kernel[...], bias)
        if hasattr(self, "lora_a"):
            inner = linear(x, self.lora_a[...])
            out = out + self.lora_scale * linear(inner, self.lora_b[...])
        return out
