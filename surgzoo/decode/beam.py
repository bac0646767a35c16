"""Beam search: the k likeliest beginnings of each answer go on together, with a length penalty.

The rules are those of transformers' `generate(num_beams=k, do_sample=False, early_stopping=False)`,
so that the tokens are the same: an answer's score is its log-probability over its length (the end
token included) to the power of the penalty; only endings among the k best candidates of a step are
kept; a question is done when its best open beam can no longer beat the worst of k finished ones.

The beams of a question share what it has read, as the samples of one do: a step reorders only what
the answers added.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from surgzoo.core.contract import Batch
from surgzoo.decode import constrained
from surgzoo.decode.constrained import Place, Tables
from surgzoo.decode.loop import Generate, Generated, for_decoding, layers_side_by_side
from surgzoo.models.base import Model, Params, select

_NEVER = -1e9  # added to what must not be chosen; a sum, as in transformers, keeps their order


class _Beams(NamedTuple):
    """Between two tokens of Q questions with k beams each, the best first."""

    step: Int[Array, ""]
    cache: Any  # of Q * k answers
    open: Bool[Array, " Q"]  # may still improve
    tokens: Int[Array, "Q k N"]
    scores: Float[Array, "Q k"]  # sums of log-probabilities
    place: Place | tuple[()]  # [Q * k]
    ended_tokens: Int[Array, "Q k N"]
    ended_scores: Float[Array, "Q k"]  # after the length penalty
    ended: Bool[Array, "Q k"]


@functools.lru_cache(maxsize=16)
def make_beam(
    model: Model,
    max_new_tokens: int,
    eos_id: int | tuple[int, ...],
    beams: int,
    length_penalty: float = 1.0,
    constrain: bool = False,
) -> Generate:
    """A compiled `generate(params, batch)`, or `generate(params, batch, tables)` with `constrain`.

    As `make_generate`, with one answer a prompt: the best one. `length_penalty` above 0 favours
    long answers, below 0 short ones.

    Raises ValueError when max_new_tokens is not positive, and for fewer than two beams.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be positive, not {max_new_tokens}")
    if beams < 2:
        raise ValueError(f"beam search needs at least 2 beams, not {beams}; one is greedy decoding")
    stops = jnp.atleast_1d(jnp.asarray(eos_id, jnp.int32))
    # Enough that k of them are open although each beam may meet every end token.
    candidates = (1 + len(stops)) * beams
    side_by_side = layers_side_by_side(model)

    def step_on(logits: Float[Array, "Qk V"], state: _Beams, tables: Tables | None):
        """The state after one more token, and from which beam each came, [Q, k]."""
        questions, step = len(state.open), state.step
        logprobs = jax.nn.log_softmax(logits, axis=-1)
        if constrain:
            remaining = max_new_tokens - 1 - step
            logprobs = constrained.mask(tables, state.place, logprobs, remaining)
        vocab = logprobs.shape[-1]
        total = logprobs.reshape(questions, beams, vocab) + state.scores[..., None]
        scores, flat = jax.lax.top_k(total.reshape(questions, -1), candidates)
        origin, token = flat // vocab, (flat % vocab).astype(jnp.int32)
        tokens = _of(state.tokens, origin)
        tokens = jax.lax.dynamic_update_slice_in_dim(tokens, token[..., None], step, axis=2)
        ends = jnp.isin(token, stops) | (step + 1 >= max_new_tokens)

        running, best = jax.lax.top_k(scores + ends * _NEVER, beams)
        origin = jnp.take_along_axis(origin, best, axis=1)
        place = ()
        if constrain:
            place = jax.tree.map(lambda a: select(a, origin), state.place)
            chosen = jnp.take_along_axis(token, best, axis=1).reshape(-1)
            place = constrained.advance(tables, place, chosen)

        # Endings among the k best candidates compete with those found before.
        fresh = ends & (jnp.arange(candidates) < beams)
        final = scores / (step + 1.0) ** length_penalty
        final += (~state.open)[:, None] * _NEVER + ~fresh * _NEVER
        ended_scores, kept = jax.lax.top_k(
            jnp.concatenate([state.ended_scores, final], axis=1), beams
        )
        ended_tokens = _of(jnp.concatenate([state.ended_tokens, tokens], axis=1), kept)
        ended = jnp.take_along_axis(jnp.concatenate([state.ended, fresh], axis=1), kept, axis=1)

        hope = running[:, :1] / (step + 1.0) ** length_penalty
        worst = jnp.where(ended, ended_scores.min(axis=1, keepdims=True), _NEVER)
        may_improve = state.open & (hope > worst).any(axis=1) & ~ends.all(axis=1)
        state = _Beams(
            step=step + 1,
            cache=state.cache,
            open=may_improve,
            tokens=_of(tokens, best),
            scores=running,
            place=place,
            ended_tokens=ended_tokens,
            ended_scores=ended_scores,
            ended=ended,
        )
        return state, origin

    def generate(params: Params, batch: Batch, tables: Tables | None = None) -> Generated:
        params = for_decoding(model, params)
        ends = batch.get("ends")
        if ends is None:
            ends = (batch["segments"] > 0).sum(axis=1, keepdims=True, dtype=jnp.int32) - 1
        rows, group = ends.shape
        questions = rows * group
        logits, cache = side_by_side.prefill(params, batch, max_new_tokens, ends)
        again = jnp.broadcast_to(jnp.repeat(jnp.arange(group), beams), (rows, group * beams))
        place = constrained.begin(batch["rules"].reshape(-1)) if constrain else ()
        logits, place = jax.tree.map(lambda a: select(a, again), (logits, place))
        # All beams begin alike: all but the first must not be chosen from.
        first = jnp.where(jnp.arange(beams) == 0, 0.0, _NEVER)
        empty = jnp.zeros((questions, beams, max_new_tokens), jnp.int32)
        state = _Beams(
            step=jnp.int32(0),
            cache=cache.select(again),
            open=ends.reshape(-1) >= 0,
            tokens=empty,
            scores=jnp.broadcast_to(first, (questions, beams)),
            place=place,
            ended_tokens=empty,
            ended_scores=jnp.full((questions, beams), _NEVER),
            ended=jnp.zeros((questions, beams), bool),
        )
        state, origin = step_on(logits, state, tables)

        def advance(carry):
            state, origin = carry
            number = origin.reshape(rows, group, beams) + beams * jnp.arange(group)[:, None]
            cache = state.cache.select(number.reshape(rows, group * beams))
            newest = state.tokens[:, :, state.step - 1].reshape(-1, 1)
            logits, cache = side_by_side.extend(params, cache, newest)
            return step_on(logits[:, 0], state._replace(cache=cache), tables)

        state, _ = jax.lax.while_loop(lambda carry: carry[0].open.any(), advance, (state, origin))
        best = state.ended_tokens[:, 0]
        stop = jnp.isin(best, stops)
        lengths = jnp.where(stop.any(axis=1), jnp.argmax(stop, axis=1) + 1, max_new_tokens)
        lengths = jnp.where(state.ended[:, 0], lengths, 0)  # nothing was asked
        tokens = jnp.where(jnp.arange(max_new_tokens) < lengths[:, None], best, 0)
        return Generated(tokens, lengths.astype(jnp.int32))

    return jax.jit(generate)


def _of(array: Array, index: Int[Array, "Q k"]) -> Array:
    """Of each question's beams [Q, K, N] those of the index: [Q, k, N]."""
    return jnp.take_along_axis(array, index[..., None], axis=1)
