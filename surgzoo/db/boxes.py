"""Codecs between `schema.Box` (float xyxy in [0, 1]) and every other convention.

Encoding to integers rounds to the nearest unit, so a round trip is off by at most half a unit. A
box that would vanish by rounding is widened to one unit (then off by at most one), not lost.

Decoding never repairs in silence. Coordinates outside the image are an error unless the caller
passes `clip=True`; even then only an overshoot up to `tolerance` (a share of the image) is cut off,
because a larger one means another convention, not a slip of the annotator's hand. Empty or inverted
boxes are always an error. All errors are ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from surgzoo.db.schema import Box

THOUSAND = 1000
TOLERANCE = 0.02  # CholecT50's boxes end at 1.0115 at most

_FUZZ = 1e-9  # float noise of x + w and the like; not an overshoot

ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")
CELLS = tuple(f"{row} {column}" for row in ROWS for column in COLUMNS)

_TEXT = re.compile(r"\(\s*(\d+)\s*,\s*(\d+)\s*\)\s*,\s*\(\s*(\d+)\s*,\s*(\d+)\s*\)")


def from_xyxy(
    values: Sequence[float],
    size: tuple[int, int] | None = None,
    *,
    clip: bool = False,
    tolerance: float = TOLERANCE,
) -> Box:
    """x1, y1, x2, y2 as fractions, or as pixels when `size` = (height, width) is given."""
    x1, y1, x2, y2 = _fractions(values, size)
    limit = tolerance if clip else _FUZZ
    if not all(-limit <= v <= 1 + limit for v in (x1, y1, x2, y2)):
        hint = (
            f"more than {tolerance} outside"
            if clip
            else "outside (clip=True cuts a slight overshoot)"
        )
        raise ValueError(f"box {tuple(values)}{_of(size)} reaches {hint}")
    return Box(*(min(max(v, 0.0), 1.0) for v in (x1, y1, x2, y2)))


def from_xywh(values: Sequence[float], size: tuple[int, int] | None = None, **clipping) -> Box:
    """Top-left corner, width, height; as fractions or pixels. `clipping` as in `from_xyxy`."""
    x, y, w, h = values
    return from_xyxy((x, y, x + w, y + h), size, **clipping)


def to_xywh(box: Box, size: tuple[int, int] | None = None) -> tuple[float, float, float, float]:
    """Top-left corner, width, height; in (float) pixels when `size` = (height, width) is given."""
    return _scaled((box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1), size)


def from_cxcywh(values: Sequence[float], size: tuple[int, int] | None = None, **clipping) -> Box:
    """Centre, width, height; as fractions or pixels. `clipping` as in `from_xyxy`."""
    cx, cy, w, h = values
    return from_xyxy((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), size, **clipping)


def to_cxcywh(box: Box, size: tuple[int, int] | None = None) -> tuple[float, float, float, float]:
    """Centre, width, height; in (float) pixels when `size` = (height, width) is given."""
    center = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2
    return _scaled((*center, box.x2 - box.x1, box.y2 - box.y1), size)


def to_pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Integer xyxy in an image of `size` = (height, width), e.g. after a model's resize."""
    height, width = size
    x1, x2 = _quantised(box.x1, box.x2, width)
    y1, y2 = _quantised(box.y1, box.y2, height)
    return x1, y1, x2, y2


def from_pixels(values: Sequence[float], size: tuple[int, int], **clipping) -> Box:
    """The inverse of `to_pixels`; floats are fine too."""
    return from_xyxy(values, size, **clipping)


def to_thousand(box: Box) -> tuple[int, int, int, int]:
    """Integer xyxy from 0 to 1000, whatever the image's size."""
    return to_pixels(box, (THOUSAND, THOUSAND))


def from_thousand(values: Sequence[float], **clipping) -> Box:
    """The inverse of `to_thousand`."""
    return from_xyxy(values, (THOUSAND, THOUSAND), **clipping)


def to_text(box: Box) -> str:
    """The integers 0-1000 as SurgΣ-DB writes them: "(x1,y1),(x2,y2)"."""
    x1, y1, x2, y2 = to_thousand(box)
    return f"({x1},{y1}),({x2},{y2})"


def to_float_text(box: Box) -> str:
    """Fractions with three decimals as SurgVLM-DB writes them: "[0.282, 0.452, 0.447, 0.752]"."""
    return f"[{', '.join(f'{value / THOUSAND:.3f}' for value in to_thousand(box))}]"


def from_text(text: str, **clipping) -> Box:
    """The inverse of `to_text`; spaces do not matter, anything beside the box is an error."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is not a box of the form (x1,y1),(x2,y2)")
    return from_thousand([int(group) for group in match.groups()], **clipping)


def cell(box: Box) -> str:
    """The cell of the 3x3 grid that holds the box's centre: "top left" ... "bottom right"."""
    row = min(int((box.y1 + box.y2) / 2 * 3), 2)
    column = min(int((box.x1 + box.x2) / 2 * 3), 2)
    return CELLS[3 * row + column]


def cells(box: Box, share: float = 0.0) -> tuple[str, ...]:
    """The cells that hold more than `share` of the box's area, in reading order; never none.

    The cell of the centre is always among them, so that a large `share` does not empty the answer.
    """
    area = (box.x2 - box.x1) * (box.y2 - box.y1)
    center = cell(box)
    out = []
    for name in CELLS:
        part = cell_box(name)
        width = min(box.x2, part.x2) - max(box.x1, part.x1)
        height = min(box.y2, part.y2) - max(box.y1, part.y1)
        covered = width > 0 and height > 0 and width * height > share * area
        if covered or name == center:
            out.append(name)
    return tuple(out)


def cell_box(name: str) -> Box:
    """The area of a cell. Raises ValueError with the nine names for any other."""
    if name not in CELLS:
        raise ValueError(f"there is no cell '{name}'; the nine are {', '.join(CELLS)}")
    row, column = divmod(CELLS.index(name), 3)
    return Box(column / 3, row / 3, (column + 1) / 3, (row + 1) / 3)


def _of(size: tuple[int, int] | None) -> str:
    return "" if size is None else f" in an image of height {size[0]} and width {size[1]}"


def _fractions(values: Sequence[float], size: tuple[int, int] | None) -> tuple[float, ...]:
    a, b, c, d = values
    if size is None:
        return a, b, c, d
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"an image cannot have height {height} and width {width}")
    return a / width, b / height, c / width, d / height


def _scaled(
    values: tuple[float, float, float, float], size: tuple[int, int] | None
) -> tuple[float, float, float, float]:
    if size is None:
        return values
    height, width = size
    return values[0] * width, values[1] * height, values[2] * width, values[3] * height


def _quantised(low: float, high: float, units: int) -> tuple[int, int]:
    """Both ends rounded to the nearest unit; a span that would vanish gets one unit."""
    first, last = round(low * units), round(high * units)
    if first < last:
        return first, last
    if first == units or (first > 0 and (low + high) / 2 * units < first):
        return first - 1, first
    return first, first + 1
