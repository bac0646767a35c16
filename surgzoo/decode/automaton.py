"""From a pattern over characters to an automaton over tokens.

A pattern (`core/pattern.py`) becomes a nondeterministic automaton over bytes. The tokens of a
vocabulary are walked through it byte by byte (arXiv 2307.09702), sorted, so that only prefixes that
the pattern admits are looked at. Of the many ways to spell a text in tokens only the tokenizer's
own is kept, which is what a model was trained on: in byte-pair encodings a spelling is the
tokenizer's own where every two neighbours are (arXiv 2506.07956). States that admit the same
endings are merged at last.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from surgzoo.core.contract import Vocabulary
from surgzoo.core.pattern import Among, Either, Field, Listed, Many, Pattern, Text, Then

INSIDE = len(Field.NAMES) // 2  # fields above this one are compared, those up to it are kept


class Edge(NamedTuple):
    """A token and the state after it."""

    token: int
    next: int


@dataclasses.dataclass(frozen=True)
class State:
    """A state of a compiled pattern.

    Attributes:
      edges: by token; none leads where the pattern cannot be completed.
      ends: the text so far is complete.
      field: the number that is being written here: 0 none, then those of `Field.NAMES` from 1 on.
      left: as many tokens complete the text from here, whatever a comparison of fields forbids.
      largest: (digits, value): what the digits that may follow in this field are at most.
    """

    edges: tuple[Edge, ...]
    ends: bool
    field: int
    left: int
    largest: tuple[int, int]


def compile_pattern(pattern: Pattern, tokens: Tokens) -> tuple[State, ...]:
    """The automaton, its start first.

    Raises ValueError when the tokens cannot spell the pattern, and for a compared field that
    nothing follows.
    """
    return _Compiler(pattern, tokens).compile()


def digits_of(piece: bytes | None) -> tuple[int, int]:
    """How many digits a token has, and their value; (0, 0) for none."""
    digits = bytes(byte for byte in piece or b"" if 48 <= byte <= 57)
    return len(digits), int(digits or b"0")


class Tokens:
    """A vocabulary sorted by bytes, and which two tokens may stand beside each other.

    Made once for many patterns: sorting 150 thousand tokens takes longer than a pattern.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.pieces, self._encode = vocabulary
        known = sorted((piece, token) for token, piece in enumerate(self.pieces) if piece)
        self.sorted = [piece for piece, _ in known]
        self.ids = [token for _, token in known]
        self._own: dict[tuple[int | None, int], bool] = {}

    def own(self, before: int | None, token: int) -> bool:
        """Whether the tokenizer itself spells the two in this way; part of a letter passes."""
        pair = before, token
        if pair not in self._own:
            ids = [token] if before is None else [before, token]
            try:
                text = b"".join(self.pieces[i] for i in ids).decode()
            except UnicodeDecodeError:
                self._own[pair] = True
            else:
                self._own[pair] = list(self._encode(text)) == ids
        return self._own[pair]


class _Compiler:
    def __init__(self, pattern: Pattern, tokens: Tokens):
        self.pattern, self.tokens = pattern, tokens
        self.moves: list[dict[int, set[int]]] = []  # of each byte state: byte -> states
        self.free: list[set[int]] = []  # ... without a byte
        self.fields: list[int] = []
        self.start, self.end = self._state(0), self._state(0)
        self._add(pattern, self.start, self.end, 0)
        self._steps: dict[tuple[frozenset, int], frozenset] = {}
        self._walks: dict[frozenset, list[tuple[int, frozenset]]] = {}

    # ---- over bytes ----

    def _state(self, field: int) -> int:
        self.moves.append({})
        self.free.append(set())
        self.fields.append(field)
        return len(self.moves) - 1

    def _add(self, pattern: Pattern, start: int, end: int, field: int) -> None:
        """Thompson's construction."""
        match pattern:
            case Text(text):
                self._text(text, start, end, field)
            case Among(characters):
                for byte in characters.encode("ascii"):
                    self.moves[start].setdefault(byte, set()).add(end)
            case Either(options):
                for option in options:
                    inner = self._state(field)
                    self.free[start].add(inner)
                    self._add(option, inner, end, field)
            case Then(parts):
                for part in parts:
                    after = self._state(field)
                    self._add(part, start, after, field)
                    start = after
                self.free[start].add(end)
            case Many(part, between):
                first, last = self._state(field), self._state(field)
                self.free[start].add(first)
                self._add(part, first, last, field)
                self._text(between, last, first, field)
                self.free[last].add(end)
            case Listed(items, between):
                self._listed(items, between, start, end, field)
            case Field(name, part):
                inside = 1 + Field.NAMES.index(name)
                first, last = self._state(inside), self._state(inside)
                self.free[start].add(first)
                self._add(part, first, last, inside)
                self.free[last].add(end)
            case _:
                raise TypeError(f"{pattern!r} is no pattern")

    def _text(self, text: str, start: int, end: int, field: int) -> None:
        for byte in text.encode():
            after = self._state(field)
            self.moves[start].setdefault(byte, set()).add(after)
            start = after
        self.free[start].add(end)

    def _listed(self, items, between: str, start: int, end: int, field: int) -> None:
        """The start may say any item; `tail[i]`, after `between`, any from i on."""
        tail = [self._state(field) for _ in items]
        for here, below in itertools.pairwise(tail):
            self.free[here].add(below)
        for number, item in enumerate(items):
            said = self._state(field)
            self._text(item, start, said, field)
            self._text(item, tail[number], said, field)
            self.free[said].add(end)
            if number + 1 < len(items):
                self._text(between, said, tail[number + 1], field)

    def _closure(self, states) -> frozenset[int]:
        found, open_ = set(states), list(states)
        while open_:
            for state in self.free[open_.pop()]:
                if state not in found:
                    found.add(state)
                    open_.append(state)
        # The others are only passed through. Those of a field stay: after its last digit a number
        # is still open, until another character closes it.
        return frozenset(s for s in found if self.moves[s] or s == self.end or self.fields[s])

    def _step(self, states: frozenset, byte: int) -> frozenset:
        key = states, byte
        if key not in self._steps:
            reached = set().union(*(self.moves[s].get(byte, ()) for s in states))
            self._steps[key] = self._closure(reached)
        return self._steps[key]

    def _field(self, states: frozenset) -> int:
        """The number that is open, 0 for none."""
        fields = {self.fields[s] for s in states} - {0}
        if len(fields) > 1:
            names = " or ".join(Field.NAMES[n - 1] for n in sorted(fields))
            raise ValueError(f"one text leads into {names}: put other text between fields")
        return fields.pop() if fields else 0

    # ---- over tokens ----

    def _walk(self, states: frozenset) -> list[tuple[int, frozenset]]:
        """The tokens that may follow, and the byte states after each."""
        if states not in self._walks:
            self._walks[states] = list(self._tokens(states, states, b"", 0, len(self.tokens.ids)))
        return self._walks[states]

    def _tokens(
        self, origin: frozenset, states: frozenset, prefix: bytes, low: int, high: int
    ) -> Iterator[tuple[int, frozenset]]:
        """Those of the sorted tokens low..high, which all begin with `prefix`."""
        pieces = self.tokens.sorted
        for byte in sorted(set().union(*(self.moves[s] for s in states))):
            longer = prefix + bytes((byte,))
            first = bisect.bisect_left(pieces, longer, low, high)
            last = bisect.bisect_left(pieces, prefix + bytes((byte + 1,)), first, high)
            if first == last:
                continue
            after = self._step(states, byte)
            at = first
            while at < last and pieces[at] == longer:
                if self._whole(origin, after, longer):
                    yield self.tokens.ids[at], after
                at += 1
            if at < last:
                yield from self._tokens(origin, after, longer, at, last)

    def _whole(self, before: frozenset, after: frozenset, piece: bytes) -> bool:
        """Whether a token has no digit, or lies in one field or in none with all its digits."""
        return not digits_of(piece)[0] or self._field(before) == self._field(after)

    def compile(self) -> tuple[State, ...]:
        begin = (self._closure([self.start]), None)
        numbers, nodes, edges = {begin: 0}, [begin], []
        for states, before in nodes:  # grows while it is walked
            out = []
            for token, after in self._walk(states):
                if self.tokens.own(before, token):
                    node = after, token
                    if node not in numbers:
                        numbers[node] = len(nodes)
                        nodes.append(node)
                    out.append(Edge(token, numbers[node]))
            edges.append(out)
        ends = [self.end in states for states, _ in nodes]
        alive = _reach_end(edges, ends)
        if 0 not in alive:
            raise ValueError(f"the vocabulary cannot spell {str(self.pattern)[:200]}")
        edges = [[edge for edge in out if edge.next in alive] for out in edges]
        fields = [self._field(states) for states, _ in nodes]
        if any(end and field > INSIDE for end, field in zip(ends, fields, strict=True)):
            raise ValueError("an answer ends in a compared field: put text after x2 and y2")
        edges, ends, fields = _merged(edges, ends, fields)
        largest = _largest(edges, fields, self.tokens.pieces)
        left = _left(edges, ends, fields)
        return tuple(
            State(tuple(out), *rest)
            for out, *rest in zip(edges, ends, fields, left, largest, strict=True)
        )


def _reach_end(edges: list[list[Edge]], ends: list[bool]) -> set[int]:
    """The states from which an end can be reached."""
    back: list[list[int]] = [[] for _ in edges]
    for state, out in enumerate(edges):
        for edge in out:
            back[edge.next].append(state)
    open_ = [state for state, end in enumerate(ends) if end]
    alive = set(open_)
    while open_:
        for state in back[open_.pop()]:
            if state not in alive:
                alive.add(state)
                open_.append(state)
    return alive


def _merged(edges, ends, fields):
    """States that cannot be told apart become one (Moore); the start stays first, what it does not
    reach goes."""
    kinds: list = list(zip(ends, fields, strict=True))
    count = 0
    while True:
        known: dict = {}
        kinds = [
            known.setdefault((kind, *((e.token, kinds[e.next]) for e in out)), len(known))
            for kind, out in zip(kinds, edges, strict=True)
        ]
        if len(known) == count:
            break
        count = len(known)
    example = {kind: state for state, kind in reversed(list(enumerate(kinds)))}
    order, numbers = [kinds[0]], {kinds[0]: 0}
    for kind in order:
        for edge in edges[example[kind]]:
            if kinds[edge.next] not in numbers:
                numbers[kinds[edge.next]] = len(order)
                order.append(kinds[edge.next])
    states = [example[kind] for kind in order]
    return (
        [[Edge(e.token, numbers[kinds[e.next]]) for e in edges[s]] for s in states],
        [ends[s] for s in states],
        [fields[s] for s in states],
    )


def _largest(edges, fields, pieces) -> list[tuple[int, int]]:
    """Of each state in a compared field: digits and value of the largest number that may follow.

    More digits are a larger number: numbers begin with no 0, or all have the same length.
    """
    found: dict[int, tuple[int, int]] = {}

    def best(state: int) -> tuple[int, int]:
        if state not in found:
            # A number has an end, so that there is no way round to the same state.
            options = []
            for token, after in edges[state]:
                if fields[after] != fields[state]:
                    options.append((0, 0))
                else:
                    (count, value), (more, rest) = digits_of(pieces[token]), best(after)
                    options.append((count + more, value * 10**more + rest))
            found[state] = max(options)
        return found[state]

    return [best(s) if field > INSIDE else (0, 0) for s, field in enumerate(fields)]


def _left(edges, ends, fields) -> list[int]:
    """Tokens to the nearest end. Inside a compared field the longest number counts, as a comparison
    may forbid all shorter ones."""
    far = 1 << 30
    left = [0 if end else far for end in ends]
    changed = True
    while changed:
        changed = False
        for state in reversed(range(len(edges))):
            inside = [1 + left[e.next] for e in edges[state] if fields[e.next] == fields[state]]
            out = [1 + left[e.next] for e in edges[state] if fields[e.next] != fields[state]]
            if fields[state] > INSIDE:
                new = max([*inside, *([min(out)] if out else [])])
            else:
                new = min([left[state], *inside, *out])
            if new != left[state] and new < far:
                left[state], changed = new, True
    return left
