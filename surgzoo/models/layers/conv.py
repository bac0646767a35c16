"""Convolutions over [B H W C]. A 1 x 1 convolution is a `Linear`."""

from __future__ import annotations

import jax
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers import parameter
from surgzoo.models.layers.linear import Linear, linear
from surgzoo.models.layers.parameter import Axes

IMPLEMENTATIONS = ("auto", "lax", "gemm")


def conv2d(
    x: Float[Array, "B H W I"],
    kernel: Float[Array, "kh kw I O"],
    stride: int = 1,
    padding: int = 0,
    implementation: str = "auto",
) -> Float[Array, "B h w O"]:
    """Convolution with zero padding on every side, in the dtype of x.

    `lax` is XLA's convolution. `gemm` makes a 1 x 1 kernel one matrix product over all pixels,
    which on a CPU is what XLA's convolutions do not reach; larger kernels stay convolutions. `auto`
    is gemm on a CPU, else lax. Raises ValueError for another name.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"conv_impl is {', '.join(IMPLEMENTATIONS)}, not '{implementation}'")
    if implementation == "auto":
        implementation = "gemm" if jax.default_backend() == "cpu" else "lax"
    if implementation == "gemm" and kernel.shape[:2] == (1, 1) and padding == 0:
        return linear(x[:, ::stride, ::stride], kernel[0, 0])
    return jax.lax.conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        (stride, stride),
        [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


class Conv3(nnx.Module):
    """A 3 x 3 convolution with a border of zeros: kernel [3 3 I O] and, with `bias`, a bias [O].

    With a stride of 2 a side of n becomes (n + 1) // 2. `axes` names (I, O). The kernel starts
    normal with deviation gain / sqrt(9 I).
    """

    def __init__(
        self, shape: tuple[int, int], axes: Axes, *, rngs, stride=1, bias=True, gain: float = 1.0
    ):
        self.stride = stride
        std = gain * (9 * shape[0]) ** -0.5
        self.kernel = parameter.normal(rngs, (3, 3, *shape), (None, None, *axes), std)
        if bias:
            self.bias = parameter.zeros(shape[1:], (None,))

    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B h w O"]:
        out = conv2d(x, self.kernel[...], self.stride, padding=1)
        return out + self.bias[...].astype(x.dtype) if hasattr(self, "bias") else out


class Spread(nnx.Module):
    """A transposed convolution whose stride is its size: every pixel becomes factor x factor ones.

    So it is one product, kernel [I f f O], and a rearrangement; the bias [O] is theirs in common.
    """

    def __init__(self, shape: tuple[int, int], axes: Axes, factor: int, *, rngs: nnx.Rngs):
        inner, outer = shape
        self.product = Linear(
            (inner, factor, factor, outer), (axes[0], None, None, axes[1]), rngs=rngs
        )
        self.bias = parameter.zeros((outer,), (None,))

    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B h w O"]:
        out = self.product(x)
        batch, height, width, factor, _, channels = out.shape
        out = out.transpose(0, 1, 3, 2, 4, 5)
        out = out.reshape(batch, height * factor, width * factor, channels)
        return out + self.bias[...].astype(x.dtype)
