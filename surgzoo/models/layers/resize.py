"""Resizing as two products with tables of weights, as torch's `interpolate` defines them.

`jax.image.resize` has neither corners that stay corners nor torch's cubic kernel. As products the
backward pass has no scattered sums, which are slow on every accelerator.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Weights = Callable[[int, int], np.ndarray]

_CUBIC = -0.75  # torch's slope at distance 1; PIL and JAX have -0.5


def corners(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Linear, first and last pixel stay where they are (torch: bilinear, align_corners=True)."""
    place = np.arange(new) * ((old - 1) / max(new - 1, 1))
    return np.maximum(1 - np.abs(place[:, None] - np.arange(old)), 0).astype(np.float32)


def cubic(old: int, new: int) -> Float[np.ndarray, "new old"]:
    """Cubic through four pixels, the border repeated (torch: bicubic, align_corners=False).

    Source of the kernel: Keys, IEEE TASSP 1981, with a = -0.75.
    """
    place = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(place).astype(int)
    out = np.zeros((new, old))
    for offset in (-1, 0, 1, 2):
        distance = np.abs(place - (first + offset))
        near = ((_CUBIC + 2) * distance - (_CUBIC + 3)) * distance**2 + 1
        far = ((_CUBIC * distance - 5 * _CUBIC) * distance + 8 * _CUBIC) * distance - 4 * _CUBIC
        column = np.clip(first + offset, 0, old - 1)
        np.add.at(out, (np.arange(new), column), np.where(distance <= 1, near, far))
    return out.astype(np.float32)


def resize(
    x: Float[Array, "B H W C"], height: int, width: int, weights: Weights = corners
) -> Float[Array, "B height width C"]:
    """`x` in another size, in its dtype."""
    if x.shape[1] != height:
        x = jnp.einsum("ph,bhwc->bpwc", jnp.asarray(weights(x.shape[1], height), x.dtype), x)
    if x.shape[2] != width:
        x = jnp.einsum("qw,bhwc->bhqc", jnp.asarray(weights(x.shape[2], width), x.dtype), x)
    return x
