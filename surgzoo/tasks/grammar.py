"""A small grammar of phrasings: a frame with alternatives expands to many questions.

  (a|b)    one of the alternatives; one may be empty
  [a]      the same as (|a): without it, or with it
  {name}   a field that a task fills; it stays as it is

Groups nest. The order is that of the frame: the first alternatives of all groups first, the last
group turning fastest. Nothing is drawn, so the same frame gives the same tuple everywhere.
"""

from __future__ import annotations

import itertools

_CLOSES = {"(": ")", "[": "]"}


class GrammarError(ValueError):
    """A frame that cannot be expanded; quotes it."""


def expand(frame: str) -> tuple[str, ...]:
    """All readings of a frame, each once, with single spaces and none before "?", "." or ",".

    Raises GrammarError for a bracket without partner or a "|" outside a group.
    """
    texts, end = _sequence(frame, 0, "")
    if end != len(frame):
        raise GrammarError(f"'{frame}' has a '{frame[end]}' without partner at character {end}")
    return tuple(dict.fromkeys(map(_tidy, texts)))


class Phrasings(tuple):
    """The phrasings of one form of question; the first `short` of them were written by hand."""

    short: int = 0


MOST_SHORT = 14  # short phrasings that a task has at most


def phrasings(short: tuple[str, ...], *frames: str, most: int = 220) -> Phrasings:
    """The short phrasings in their order, then the frames expanded; each phrasing once.

    Raises GrammarError where more than `most` come out: a frame that multiplies too much drowns the
    others.
    """
    out = {plain(phrasing): phrasing for phrasing in short}
    for frame in frames:
        for phrasing in expand(frame):
            out.setdefault(plain(phrasing), phrasing)
    if len(out) > most:
        raise GrammarError(f"{len(out)} phrasings beside '{short[0]}', more than {most}")
    made = Phrasings(out.values())
    made.short = len(short)
    return made


def first(phrasings: tuple[str, ...], count: int | None) -> tuple[str, ...]:
    """The first `count` phrasings, None = all.

    Up to MOST_SHORT only short ones are taken, even where there are fewer than `count`: who asks
    for so few wants them short, and what is drawn must not change when a grammar grows.
    """
    if count is None:
        return phrasings
    if count <= MOST_SHORT and isinstance(phrasings, Phrasings):
        count = min(count, phrasings.short)
    return phrasings[:count]


def plain(phrasing: str) -> str:
    """What makes two phrasings the same: letters, digits and fields, whatever case and stops."""
    return " ".join(
        "".join(c if c.isalnum() or c in "{}" else " " for c in phrasing.lower()).split()
    )


def _sequence(frame: str, start: int, closing: str) -> tuple[list[str], int]:
    """The readings from `start` up to the closing bracket (or the end), and where that is."""
    alternatives: list[list[str]] = []
    pieces: list[list[str]] = []
    index = start
    while index < len(frame) and frame[index] not in ")]":
        letter = frame[index]
        if letter == "|":
            if not closing:
                raise GrammarError(f"'{frame}' has a '|' outside a group at character {index}")
            alternatives.append(_joined(pieces))
            pieces = []
            index += 1
        elif letter in _CLOSES:
            texts, end = _sequence(frame, index + 1, _CLOSES[letter])
            if end == len(frame) or frame[end] != _CLOSES[letter]:
                raise GrammarError(f"'{frame}' never closes the '{letter}' at character {index}")
            pieces.append(["", *texts] if letter == "[" else texts)
            index = end + 1
        else:
            end = index
            while end < len(frame) and frame[end] not in "()[]|":
                end += 1
            pieces.append([frame[index:end]])
            index = end
    alternatives.append(_joined(pieces))
    return list(itertools.chain(*alternatives)), index


def _joined(pieces: list[list[str]]) -> list[str]:
    return list(map("".join, itertools.product(*pieces)))


def _tidy(text: str) -> str:
    words = " ".join(text.split())
    for stop in "?.,":
        words = words.replace(f" {stop}", stop)
    return words[:1].upper() + words[1:]
