"""Reading boxes in a model's text.

Understood: `(x1,y1),(x2,y2)` with integers 0-1000 (SurgΣ-DB), `[x1, y1, x2, y2]` in any mixture of
brackets or alone without any, floats in [0, 1], percentages, corners by name (`x1=.., y1=.., x2=..,
y2=..`), and JSON objects with a box and a label. Boxes with "%" apart, all boxes of one text share
one unit: fractions if one has a decimal point and none reaches 2 (a box of two thousandths is
nothing that a model means), else thousandths. Pixels cannot be told from thousandths; a model that
answers in pixels needs its own codec in front.

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

_NUMBER = r"(-?\d{1,9}(?:\.\d{0,20})?|-?\.\d{1,20})"
_N = rf"{_NUMBER}(?: ?%)?"
_COMMA = r"(?: ?, ?| )"
_CORNER = r"(?: ?[)\]] ?(?:,|;|to|and|-)? ?[(\[] ?|" + _COMMA + ")"
_BOX = re.compile(
    rf"[(\[] ?[(\[]? ?{_N}{_COMMA}{_N}{_CORNER}{_N}{_COMMA}{_N} ?[)\]] ?[)\]]?", re.IGNORECASE
)
_BARE = re.compile(rf"{_N} ?, ?{_N} ?, ?{_N} ?, ?{_N}\.?")
_CORNERS = re.compile(
    r"\{? ?"
    + " ?,? ?".join(
        rf"""["']?{name}["']? ?[:=] ?{_NUMBER}"""
        for name in ("x_?(?:1|min)", "y_?(?:1|min)", "x_?(?:2|max)", "y_?(?:2|max)")
    )
    + r" ?\}?",
    re.IGNORECASE,
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
    text = _CORNERS.sub(r"[\1, \2, \3, \4]", " ".join(text.split()))
    text = _OBJECT.sub(_label_first, text)
    if _BARE.fullmatch(text):
        text = f"[{text.rstrip('.')}]"
    found = list(_BOX.finditer(text))
    plain = [match.groups() for match in found if "%" not in match.group()]
    fractions = _are_fractions([number for box in plain for number in box])
    out, end = [], 0
    for match in found:
        values, percent = [float(value) for value in match.groups()], "%" in match.group()
        if percent:
            values = [value / 100 for value in values]
        box = _box(values, percent or fractions, quote(match.group()))
        out.append(Found(text[end : match.start()], box))
        end = match.end()
    return out


def _label_first(match: re.Match) -> str:
    """A JSON object {"bbox_2d": [...], "label": "hook"} as the text "; hook [...]"."""
    label, box = _LABEL.search(match.group()), _BOX.search(match.group())
    return f"; {label.group(1)} {box.group()}" if label and box else match.group()


def _are_fractions(numbers: Sequence[str]) -> bool:
    return any("." in number for number in numbers) and all(
        abs(float(number)) < 2 for number in numbers
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
