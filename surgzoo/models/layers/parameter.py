"""Creating parameters. Each names its logical axes once, beside its shape."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

Axes = tuple[str | None, ...]

# The names live under a key of our own: under Flax's `sharding_names` every parameter would be
# sharded eagerly and creation would need a mesh in context.


def normal(rngs: nnx.Rngs, shape: tuple[int, ...], axes: Axes, std: float) -> nnx.Param:
    """Normal with standard deviation `std`, float32."""
    return nnx.Param(std * jax.random.normal(rngs.params(), shape, jnp.float32), logical_axes=axes)


def ones(shape: tuple[int, ...], axes: Axes) -> nnx.Param:
    """Ones, float32."""
    return nnx.Param(jnp.ones(shape, jnp.float32), logical_axes=axes)


def zeros(shape: tuple[int, ...], axes: Axes) -> nnx.Param:
    """Zeros, float32."""
    return nnx.Param(jnp.zeros(shape, jnp.float32), logical_axes=axes)
