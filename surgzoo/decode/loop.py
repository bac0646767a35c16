"""Batched decoding in one compiled function: prefill, then while loops over tokens.

Several questions may share a row of the batch (`Processor.encode_group`): what they share is read
once, and kept once, for all of them; so do several samples of one answer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from surgzoo.core.contract import Batch
from surgzoo.decode import constrained, sampling
from surgzoo.decode.constrained import Place, Tables
from surgzoo.decode.sampling import Sampling
from surgzoo.models.base import Model, Params, select
from surgzoo.models.layers.stack import unstack


class Generated(NamedTuple):
    """New tokens of each prompt, the end token included; zeros after it.

    Only sampling says how likely its tokens were: `logprobs` to the model as it is, `drawn` by the
    distribution that they were drawn from (after temperature, cuts and constraints). Zeros after
    the end.
    """

    tokens: Int[Array, "B N"]
    lengths: Int[Array, " B"]
    logprobs: Float[Array, "B N"] | None = None
    drawn: Float[Array, "B N"] | None = None


class _State(NamedTuple):
    """Between two tokens of B = F * G answers, G to a row of prompts. What is not in use is ()."""

    step: Int[Array, ""]
    cache: Any
    token: Int[Array, " B"]  # the newest
    done: Bool[Array, " B"]
    tokens: Int[Array, "B N"]
    lengths: Int[Array, " B"]
    logprobs: tuple[Float[Array, "B N"], ...]  # to the model, and as drawn
    keys: UInt32[Array, "B 2"] | tuple[()]
    place: Place | tuple[()]


Generate = Callable[..., Generated]


@functools.lru_cache(maxsize=16)  # so that a second evaluation compiles nothing again
def make_generate(
    model: Model,
    max_new_tokens: int,
    eos_id: int | tuple[int, ...],
    how: Sampling | None = None,
    samples: int = 1,
    constrain: bool = False,
) -> Generate:
    """A compiled `generate(params, batch)`, or `generate(params, batch, tables)` with `constrain`.

    Args:
      how: draws tokens; without it each is the likeliest one.
      samples: answers to each prompt, which read it once.
      constrain: only answers that each question's rule admits (`decode/constrained.py`).

    The batch holds prompts, right-padded: one a row as `encode(..., generate=True)` makes them, or
    G a row as `encode_group(..., generate=True)` does, with "ends" [F, G] that say where each ends
    (`data/prompts.py`; -1 for none, which costs next to nothing). Sampling needs "keys" [F, G, 2]
    (`sampling.keys_of`), constraints "rules" [F, G] (`constrained.Rules`). The result has
    F * G * samples rows, those of one row of the batch beside each other, the samples of a question
    side by side. Each shape of batch compiles once. The loop ends when every answer has met an end
    token or has `max_new_tokens`. `params` may be stacked or side by side.

    Raises ValueError when max_new_tokens or samples is not positive, and for several samples of the
    likeliest answer, which would be the same.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be positive, not {max_new_tokens}")
    if samples < 1:
        raise ValueError(f"samples must be positive, not {samples}")
    if samples > 1 and how is None:
        raise ValueError(f"{samples} greedy samples are all the same: set a temperature")
    stops = jnp.atleast_1d(jnp.asarray(eos_id, jnp.int32))
    side_by_side = layers_side_by_side(model)

    def choose(logits, step, state: _State, tables):
        """The state with the next token of every answer, after the step's logits [B, V]."""
        likely = logits
        if constrain:
            likely = constrained.mask(tables, state.place, logits, max_new_tokens - 1 - step)
        if how is None:
            token = jnp.argmax(likely, axis=-1).astype(jnp.int32)
        else:
            likely = sampling.warp(likely, how)
            token = sampling.draw(likely, state.keys, step)
        token = jnp.where(state.done, 0, token)
        logprobs = state.logprobs
        if how is not None:
            logprobs = tuple(
                _write(a, jnp.where(state.done, 0.0, sampling.log_probability(b, token)), step)
                for a, b in zip(logprobs, (logits, likely), strict=True)
            )
        place = constrained.advance(tables, state.place, token) if constrain else ()
        return state._replace(
            token=token,
            done=state.done | jnp.isin(token, stops),
            tokens=_write(state.tokens, token, step),
            lengths=state.lengths + ~state.done,
            logprobs=logprobs,
            place=place,
        )

    def decode(params: Params, tables: Tables | None, state: _State, group: int) -> _State:
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
            state = state._replace(cache=cache)
            state = choose(logits[:, 0], state.step, state, tables)
            return state._replace(step=state.step + 1)

        state = jax.lax.while_loop(unfinished, advance, state)
        if not enough:
            return state
        # Those still open come first.
        kept = jnp.argsort(state.done.reshape(-1, group), axis=1)[:, :enough]
        of_row = jax.tree.map(lambda a: select(a, kept), state[2:])
        rest = decode(params, tables, _State(state.step, state.cache.select(kept), *of_row), enough)
        rows = (jnp.arange(len(kept))[:, None] * group + kept).reshape(-1)
        tokens, lengths, logprobs = jax.tree.map(
            lambda a, b: a.at[rows].set(b),
            (state.tokens, state.lengths, state.logprobs),
            (rest.tokens, rest.lengths, rest.logprobs),
        )
        return state._replace(tokens=tokens, lengths=lengths, logprobs=logprobs)

    def generate(params: Params, batch: Batch, tables: Tables | None = None) -> Generated:
        params = for_decoding(model, params)
        ends = batch.get("ends")
        rows, group = (batch["tokens"].shape[0], 1) if ends is None else ends.shape
        none = jnp.zeros(rows, bool) if ends is None else ends.reshape(-1) < 0
        logits, cache = side_by_side.prefill(params, batch, max_new_tokens, ends)
        keys = () if how is None else batch["keys"].reshape(-1, 2)
        place = constrained.begin(batch["rules"].reshape(-1)) if constrain else ()
        if samples > 1:
            again = jnp.broadcast_to(
                jnp.repeat(jnp.arange(group), samples), (rows, group * samples)
            )
            cache = cache.select(again)
            logits, none, keys, place = jax.tree.map(
                lambda a: select(a, again), (logits, none, keys, place)
            )
            keys = sampling.keys_of_samples(keys, samples)
            group *= samples
        count = rows * group
        state = _State(
            step=jnp.int32(1),
            cache=cache,
            token=jnp.zeros(count, jnp.int32),
            done=none,
            tokens=jnp.zeros((count, max_new_tokens), jnp.int32),
            lengths=jnp.zeros(count, jnp.int32),
            logprobs=() if how is None else (jnp.zeros((count, max_new_tokens)),) * 2,
            keys=keys,
            place=place,
        )
        state = decode(params, tables, choose(logits, 0, state, tables), group)
        return Generated(state.tokens, state.lengths, *state.logprobs)

    return jax.jit(generate)


def layers_side_by_side(model: Model) -> Model:
    """The model that decodes: a slice of stacked weights in the loop is copied at every token."""
    return Model(dataclasses.replace(model.config, scan_layers=False), model.module)


def for_decoding(model: Model, params: Params) -> Params:
    """Layers side by side, kernels in the compute dtype; vectors (norms, biases) stay as they are.

    Done before the loop: inside it both would be done again at every token.
    """
    dtype = jnp.dtype(model.config.compute_dtype)
    return jax.tree.map(lambda a: a.astype(dtype) if a.ndim > 1 else a, unstack(params))


def _write(array: Array, column: Array, step: Int[Array, ""]) -> Array:
    """[B, N] with [B] in the place of the step."""
    return jax.lax.dynamic_update_slice_in_dim(array, column[:, None], step, axis=1)
