"""Decoding within patterns: only tokens that lead to an admitted answer can be chosen.

Patterns are compiled on the host (`decode/automaton.py`) into tables that the loop reads. Every row
of a batch follows a rule of its own; rule 0 admits everything. A choice that would leave too few of
the new tokens to complete the answer is not admitted either, so every answer comes out whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from surgzoo.core.contract import Vocabulary
from surgzoo.core.pattern import Pattern
from surgzoo.decode.automaton import INSIDE, State, Tokens, compile_pattern, digits_of

FREE = 0  # the state without a rule
_MOST_STATES = 1 << 15
_MOST_DIGITS = 4


class Tables(NamedTuple):
    """S states with at most E ways out of each, of all rules together; state 0 is free."""

    tokens: Int[Array, "S E"]  # what may follow, -1 = nothing more
    next: Int[Array, "S E"]
    left: Int[Array, " S"]  # tokens that complete the answer
    field: Int[Array, " S"]  # the number that is open: 0, x1, y1, x2, y2
    grow: Int[Array, " S"]  # 10 ** digits of the largest rest of the number ...
    rest: Int[Array, " S"]  # ... and its value
    scale: Int[Array, " V"]  # 10 ** digits of a token ...
    amount: Int[Array, " V"]  # ... and their value


class Place(NamedTuple):
    """Where each row stands in its rule."""

    state: Int[Array, " B"]
    value: Int[Array, " B"]  # of the number that is open
    kept: Int[Array, "B 2"]  # the last x1 and y1


def begin(rules: Int[Array, " B"]) -> Place:
    """At the start of each rule."""
    return Place(rules, jnp.zeros_like(rules), jnp.zeros((*rules.shape, 2), rules.dtype))


def mask(
    tables: Tables, place: Place, logits: Float[Array, "B V"], remaining: Int[Array, ""]
) -> Float[Array, "B V"]:
    """The logits, -inf for every token that a row's rule does not admit.

    `remaining` is how many tokens may follow the one that is chosen now.
    """
    allowed = _allowed(tables, place, remaining)
    tokens = tables.tokens[place.state]
    beyond = jnp.where(allowed, tokens, logits.shape[-1])  # dropped
    rows = jnp.arange(len(logits))[:, None]
    admitted = jnp.zeros(logits.shape, bool).at[rows, beyond].set(True, mode="drop")
    return jnp.where(admitted | (place.state == FREE)[:, None], logits, -jnp.inf)


def advance(tables: Tables, place: Place, token: Int[Array, " B"]) -> Place:
    """The place after an admitted token."""
    way = jnp.argmax(tables.tokens[place.state] == token[:, None], axis=-1)
    state = tables.next[place.state, way]
    field, entered = tables.field[place.state], tables.field[state]
    value = place.value * tables.scale[token] + tables.amount[token]
    closed = field != entered
    closes = closed[:, None] & (field[:, None] == jnp.arange(1, 3))
    kept = jnp.where(closes, value[:, None], place.kept)
    return Place(state, jnp.where(closed | (entered == 0), 0, value), kept)


def _allowed(tables: Tables, place: Place, remaining: Int[Array, ""]) -> Bool[Array, "B E"]:
    """Which of the ways out of each row's state it may take."""
    tokens, after = tables.tokens[place.state], tables.next[place.state]
    known = jnp.maximum(tokens, 0)
    allowed = (tokens >= 0) & (tables.left[after] <= remaining)
    # Of x2 and y2: what the number can still become must exceed x1 or y1.
    field = tables.field[place.state][:, None]
    value = place.value[:, None] * tables.scale[known] + tables.amount[known]
    largest = value * tables.grow[after] + tables.rest[after]
    largest = jnp.where(tables.field[after] == field, largest, value)
    least = jnp.where(field == INSIDE + 2, place.kept[:, 1:], place.kept[:, :1])
    return allowed & ((field <= INSIDE) | (largest > least))


class Rules:
    """The rules of many questions, compiled as they come; equal patterns are one rule.

    Once there are many states, the rules of earlier batches make room for those of the next.
    """

    def __init__(self, vocabulary: Vocabulary, stops: int | Sequence[int], max_new_tokens: int):
        self._tokens = Tokens(vocabulary)
        self._stops = tuple(np.atleast_1d(stops).tolist())
        self._room = max_new_tokens
        self._compiled: dict[Pattern, tuple[State, ...]] = {}
        self._starts: dict[Pattern, int] = {}
        self._tables: Tables | None = None
        self._size = 1
        digits = np.array([digits_of(piece) for piece in vocabulary.pieces], object)
        digits[digits[:, 0] > _MOST_DIGITS] = 0  # in no number of ours
        scale, amount = 10 ** digits[:, 0].astype(np.int32), digits[:, 1].astype(np.int32)
        self._of_tokens = jnp.asarray(scale), jnp.asarray(amount)

    def of(self, patterns: Iterable[Pattern | None]) -> tuple[Int[np.ndarray, " B"], Tables]:
        """The rule of each pattern (None: free), and the tables to read them with.

        The tables have few static shapes: sizes are powers of two.

        Raises ValueError when the tokens cannot spell a pattern, or max_new_tokens are too few for
        it.
        """
        patterns = list(patterns)
        wanted = [p for p in dict.fromkeys(patterns) if p]
        new = {p: self._compile(p) for p in wanted if p not in self._starts}
        if self._tables is None or new:
            if self._size + sum(map(len, new.values())) > _MOST_STATES:
                new = {p: new.get(p) or self._compiled[p] for p in wanted}
                self._compiled, self._starts, self._size = {}, {}, 1
            for pattern, states in new.items():
                self._compiled[pattern] = states
                self._starts[pattern] = self._size
                self._size += len(states)
            self._tables = self._build()
        starts = [self._starts[p] if p else FREE for p in patterns]
        return np.array(starts, np.int32), self._tables

    def _compile(self, pattern: Pattern) -> tuple[State, ...]:
        states = compile_pattern(pattern, self._tokens)
        if states[0].left > self._room:
            raise ValueError(
                f"the shortest answer that is admitted has {states[0].left} tokens, "
                f"max_new_tokens is {self._room}: raise it, or decode without constraints"
            )
        return states

    def _build(self) -> Tables:
        states = [(start, s) for p, start in self._starts.items() for s in self._compiled[p]]
        size = _power_of_two(self._size)
        most = max((len(state.edges) for _, state in states), default=0) + len(self._stops)
        tokens = np.full((size, _power_of_two(most)), -1, np.int32)
        after = np.zeros(tokens.shape, np.int32)
        left, field, rest = (np.zeros(size, np.int32) for _ in range(3))
        grow = np.ones(size, np.int32)
        for row, (start, state) in enumerate(states, start=1):
            ways = [(edge.token, start + edge.next) for edge in state.edges]
            ways += [(stop, FREE) for stop in self._stops] if state.ends else []
            if ways:
                tokens[row, : len(ways)], after[row, : len(ways)] = zip(*ways, strict=True)
            left[row], field[row] = state.left, state.field
            grow[row], rest[row] = 10 ** state.largest[0], state.largest[1]
        return Tables(*map(jnp.asarray, (tokens, after, left, field, grow, rest)), *self._of_tokens)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
