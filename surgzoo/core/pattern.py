"""A regular language as a value: what an answer may look like, as a task describes it.

Tasks build patterns out of these nodes (`tasks/answers.py`); `decode/automaton.py` compiles one
over the tokens of a tokenizer. Patterns are hashable and compare by what they say, so that equal
ones are compiled once.
"""

from __future__ import annotations

import dataclasses

Pattern = "Text | Among | Either | Then | Many | Listed | Field"


@dataclasses.dataclass(frozen=True)
class Text:
    """These characters and no others."""

    text: str


@dataclasses.dataclass(frozen=True)
class Among:
    """One of these ASCII characters."""

    characters: str


@dataclasses.dataclass(frozen=True)
class Either:
    """One of the options."""

    options: tuple[Pattern, ...]


@dataclasses.dataclass(frozen=True)
class Then:
    """One part after the other."""

    parts: tuple[Pattern, ...]


@dataclasses.dataclass(frozen=True)
class Many:
    """The part once or more often, with `between` between two."""

    part: Pattern
    between: str = ""


@dataclasses.dataclass(frozen=True)
class Listed:
    """Some of the items, at least one, each at most once, in this order; `between` between two.

    A node of its own because the same out of the others grows with the square of the items.
    """

    items: tuple[str, ...]
    between: str = ", "


@dataclasses.dataclass(frozen=True)
class Field:
    """A decimal number whose digits a decoder remembers; points in it are skipped.

    `name` is "x1" or "y1", which are kept, or "x2" or "y2", which must come out larger than the
    last x1 or y1. A finite automaton cannot compare numbers; a decoder needs two registers for it.
    """

    name: str
    part: Pattern

    NAMES = ("x1", "y1", "x2", "y2")

    def __post_init__(self):
        if self.name not in self.NAMES:
            raise ValueError(f"a field is one of {', '.join(self.NAMES)}, not '{self.name}'")


def then(*parts: Pattern | str) -> Then:
    """Parts in a row; a string stands for its text."""
    return Then(tuple(Text(part) if isinstance(part, str) else part for part in parts))


def either(*options: Pattern | str) -> Either:
    """Alternatives; a string stands for its text. Raises ValueError without any."""
    if not options:
        raise ValueError("a pattern without options admits nothing")
    return Either(tuple(Text(item) if isinstance(item, str) else item for item in options))
