"""Batched greedy decoding in one compiled function: prefill, then while loops over tokens.

Several questions may share a row of the batch (`Processor.encode_group`): what they share is read
once, and kept once, for all of them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from surgzoo.core.contract import Batch
from surgzoo.models.base import Model, Params, select
from surgzoo.models.layers.stack import unstack


class Generated(NamedTuple):
    """New tokens of each prompt, the end token included; zeros after it."""

    tokens: Int[Array, "B N"]
    lengths: Int[Array, " B"]


class _State(NamedTuple):
    """Between two tokens of B = F * G answers, G to a row of prompts."""

    step: Int[Array, ""]
    cache: Any
    token: Int[Array, " B"]  # the newest
    done: Bool[Array, " B"]
    tokens: Int[Array, "B N"]
    lengths: Int[Array, " B"]


@functools.lru_cache(maxsize=16)  # so that a second evaluation compiles nothing again
def make_greedy(
    model: Model, max_new_tokens: int, eos_id: int | tuple[int, ...]
) -> Callable[[Params, Batch], Generated]:
    """A compiled `generate(params, batch)`.

    The batch holds prompts, right-padded: one a row as `encode(..., generate=True)` makes them, or
    G a row as `encode_group(..., generate=True)` does, with "ends" [F, G] that say where each ends
    (`data/prompts.py`; -1 for none, which costs next to nothing). The result has F * G rows, those
    of one row of the batch beside each other. Each shape of batch compiles once. The loop ends when
    every answer has met an end token or has `max_new_tokens`. `params` may be stacked or side by
    side.

    Raises ValueError when max_new_tokens is not positive.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be positive, not {max_new_tokens}")
    stops = jnp.atleast_1d(jnp.asarray(eos_id, jnp.int32))
    side_by_side = Model(dataclasses.replace(model.config, scan_layers=False), model.module)

    def pick(logits, done):
        token = jnp.where(done, 0, jnp.argmax(logits, axis=-1).astype(jnp.int32))
        return token, done | jnp.isin(token, stops)

    def decode(params: Params, state: _State, group: int) -> _State:
        """Goes on until all is done, with ever fewer questions a row.

        Once no row has more than half of its questions open, the open ones go on by themselves: a
        long answer does not keep the short ones in the batch. The last two stay together, as a
        further loop would cost more to compile than it saves.
        """
        enough = group // 2 if group > 2 else 0

        def unfinished(state):
            still = (~state.done).reshape(-1, group).sum(axis=1).max()
            return (state.step < max_new_tokens) & (still > enough)

        def advance(state):
            logits, cache = side_by_side.extend(params, state.cache, state.token[:, None])
            lengths = state.lengths + ~state.done
            token, done = pick(logits[:, 0], state.done)
            tokens = jax.lax.dynamic_update_slice_in_dim(
                state.tokens, token[:, None], state.step, axis=1
            )
            return _State(state.step + 1, cache, token, done, tokens, lengths)

        state = jax.lax.while_loop(unfinished, advance, state)
        if not enough:
            return state
        # Those still open come first.
        kept = jnp.argsort(state.done.reshape(-1, group), axis=1)[:, :enough]
        rest = _State(state.step, state.cache.select(kept), *(select(a, kept) for a in state[2:]))
        rest = decode(params, rest, enough)
        rows = (jnp.arange(len(kept))[:, None] * group + kept).reshape(-1)
        return state._replace(
            tokens=state.tokens.at[rows].set(rest.tokens),
            lengths=state.lengths.at[rows].set(rest.lengths),
        )

    def generate(params: Params, batch: Batch) -> Generated:
        # Sliced and cast before the loop: inside it both would be done again at every token.
        params = _cast(unstack(params), jnp.dtype(model.config.compute_dtype))
        ends = batch.get("ends")
        rows, group = (batch["tokens"].shape[0], 1) if ends is None else ends.shape
        none = jnp.zeros(rows, bool) if ends is None else ends.reshape(-1) < 0
        logits, cache = side_by_side.prefill(params, batch, max_new_tokens, ends)
        token, done = pick(logits, none)
        tokens = jnp.zeros((rows * group, max_new_tokens), jnp.int32).at[:, 0].set(token)
        lengths = (~none).astype(jnp.int32)
        state = _State(jnp.int32(1), cache, token, done, tokens, lengths)
        state = decode(params, state, group)
        return Generated(state.tokens, state.lengths)

    return jax.jit(generate)


def _cast(params: Params, dtype: jnp.dtype) -> Params:
    """Kernels in the compute dtype; vectors (norms, biases) stay as they are."""
    return jax.tree.map(lambda a: a.astype(dtype) if a.ndim > 1 else a, params)
