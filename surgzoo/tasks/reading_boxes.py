"""Reading boxes in a model's text.

Understood: `(x1,y1),(x2,y2)` with integers 0-1000 (SurgΣ-DB), `[x1, y1, x2, y2]` in any mixture of
brackets, floats in [0, 1], and JSON objects with a box and a label. All boxes of one text share one
unit: fractions if no number exceeds 1 and one has a decimal point, else thousandths. Pixels cannot
be told from thousandths; a model that answers in pixels needs its own codec in front.

Repaired: corners given in the opposite order, and an overshoot of at most 2 % of the image. Not
repaired, because it would be a guess: corners that are swapped on one axis only (a box of the form
x, y, width, height looks the same).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from surgzoo.db import boxes
from surgzoo.db.schema import Box
from surgzoo.tasks.reading import quote

_N = r"(-?\d{1,9}(?:\.\d{0,20})?|-?\.\d{1,20})"
_COMMA = r"(?: ?, ?| )"
_CORNER = r"(?: ?[)\]] ?(?:,|;|to|and|-)? ?[(\[] ?|" + _COMMA + ")"
_BOX = re.compile(
    rf"[(\[] ?[(\[]? ?{_N}{_COMMA}{_N}{_CORNER}{_N}{_COMMA}{_N} ?[)\]] ?[)\]]?", re.IGNORECASE
)
_OBJECT = re.compile(r"\{[^{}]*\}")
_LABEL = re.compile(
    r"""["'](?:label|name|class|category|instrument|tool|tissue|organ)["'] ?: ?["']([^"']*)["']"""
)


class Found(NamedTuple):
    """A box and the text between it and the box before."""

    lead: str
    box: Box


class BoxError(ValueError):
    """A box that stands in the text but cannot be meant as it stands."""


def find(text: str) -> list[Found]:
    """All boxes in reading order. A box that is cut off at the end of the text was not said.

    Raises BoxError that quotes the box.
    """
    text = _OBJECT.sub(_label_first, " ".join(text.split()))
    found = list(_BOX.finditer(text))
    numbers = [match.groups() for match in found]
    fractions = _are_fractions([number for box in numbers for number in box])
    out, end = [], 0
    for match, values in zip(found, numbers, strict=True):
        box = _box([float(value) for value in values], fractions, quote(match.group()))
        out.append(Found(text[end : match.start()], box))
        end = match.end()
    return out


def _label_first(match: re.Match) -> str:
    """A JSON object {"bbox_2d": [...], "label": "hook"} as the text "; hook [...]"."""
    label, box = _LABEL.search(match.group()), _BOX.search(match.group())
    return f"; {label.group(1)} {box.group()}" if label and box else match.group()


def _are_fractions(numbers: Sequence[str]) -> bool:
    return any("." in number for number in numbers) and all(
        abs(float(number)) <= 1 + boxes.TOLERANCE for number in numbers
    )


def _box(values: Sequence[float], fractions: bool, quoted: str) -> Box:
    x1, y1, x2, y2 = values
    if x1 > x2 and y1 > y2:
        x1, y1, x2, y2 = x2, y2, x1, y1
    if x1 == x2 or y1 == y2:
        raise BoxError(f"a box has no area: {quoted}")
    if x1 > x2 or y1 > y2:
        raise BoxError(f"the corners of a box are swapped on one axis: {quoted}")
    try:
        decode = boxes.from_xyxy if fractions else boxes.from_thousand
        return decode((x1, y1, x2, y2), clip=True)
    except ValueError:
        raise BoxError(f"a box reaches outside the image: {quoted}") from None
