"""Rotary position embeddings: angles from positions, and their application."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Rotation(NamedTuple):
    """Cosines and sines of the angles, float32, one per pair of head dimensions."""

    cos: Float[Array, "B S F"]
    sin: Float[Array, "B S F"]


def mrope(
    positions: Int[Array, "B 3 S"], head_dim: int, sections: tuple[int, int, int], theta: float
) -> Rotation:
    """Multimodal RoPE: the first sections[0] frequencies turn with time, then height, then width.

    Text has three equal positions and so gets ordinary RoPE. Source: arXiv 2409.12191, section 2.1.
    Raises ValueError when the sections do not add up to head_dim / 2.
    """
    if 2 * sum(sections) != head_dim:
        raise ValueError(f"M-RoPE sections {sections} must add up to half of head_dim {head_dim}")
    component = np.repeat(np.arange(3), sections)  # which position each frequency follows
    angles = positions.swapaxes(1, 2)[..., component] * _frequencies(head_dim, theta)
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rope_2d(hw: Int[Array, "B P 2"], head_dim: int, theta: float = 10000.0) -> Rotation:
    """RoPE of image patches: half of the frequencies turn with the row, half with the column."""
    angles = hw[..., None] * _frequencies(head_dim // 2, theta)  # [B, P, 2, head_dim / 4]
    angles = angles.reshape(*hw.shape[:2], head_dim // 2)
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotate(x: Float[Array, "B S N D"], rotation: Rotation) -> Float[Array, "B S N D"]:
    """Turns each pair (x[i], x[i + D/2]) by its angle; in float32, returned in the dtype of x."""
    cos, sin = rotation.cos[:, :, None], rotation.sin[:, :, None]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def _frequencies(dim: int, theta: float) -> Float[np.ndarray, " F"]:
    return (theta ** -(np.arange(0, dim, 2, dtype=np.float64) / dim)).astype(np.float32)
