"""Batched greedy decoding in one compiled function: prefill, then a while loop over tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from surgzoo.core.contract import Batch
from surgzoo.models.base import Model, Params
from surgzoo.models.layers.stack import unstack


class Generated(NamedTuple):
    """New tokens of each row, the end token included; zeros after it."""

    tokens: Int[Array, "B N"]
    lengths: Int[Array, " B"]


def make_greedy(
    model: Model, max_new_tokens: int, eos_id: int | Sequence[int]
) -> Callable[[Params, Batch], Generated]:
    """A compiled `generate(params, batch)`.

    The batch holds prompts (one segment a row, right-padded, as `encode(..., generate=True)` makes
    them); each shape of batch compiles once. The loop ends when every row has met an end token or
    has `max_new_tokens`. `params` may be stacked or side by side.

    Raises ValueError when max_new_tokens is not positive.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be positive, not {max_new_tokens}")
    stops = jnp.atleast_1d(jnp.asarray(eos_id, jnp.int32))
    side_by_side = Model(dataclasses.replace(model.config, scan_layers=False), model.module)

    def generate(params: Params, batch: Batch) -> Generated:
        # Sliced and cast before the loop: inside it both would be done again at every token.
        params = _cast(unstack(params), jnp.dtype(model.config.compute_dtype))
        rows, length = batch["tokens"].shape
        logits, cache = side_by_side.prefill(params, batch, length + max_new_tokens)

        def pick(logits, done):
            token = jnp.where(done, 0, jnp.argmax(logits, axis=-1).astype(jnp.int32))
            return token, done | jnp.isin(token, stops)

        def unfinished(carry):
            step, _, _, done, _, _ = carry
            return (step < max_new_tokens) & ~done.all()

        def advance(carry):
            step, token, cache, done, tokens, lengths = carry
            logits, cache = side_by_side.extend(params, cache, token[:, None])
            lengths = lengths + ~done
            token, done = pick(logits[:, 0], done)
            tokens = jax.lax.dynamic_update_slice_in_dim(tokens, token[:, None], step, axis=1)
            return step + 1, token, cache, done, tokens, lengths

        token, done = pick(logits, jnp.zeros(rows, bool))
        tokens = jnp.zeros((rows, max_new_tokens), jnp.int32).at[:, 0].set(token)
        carry = (jnp.int32(1), token, cache, done, tokens, jnp.ones(rows, jnp.int32))
        _, _, _, _, tokens, lengths = jax.lax.while_loop(unfinished, advance, carry)
        return Generated(tokens, lengths)

    return jax.jit(generate)


def _cast(params: Params, dtype: jnp.dtype) -> Params:
    """Kernels in the compute dtype; vectors (norms, biases) stay as they are."""
    return jax.tree.map(lambda a: a.astype(dtype) if a.ndim > 1 else a, params)
