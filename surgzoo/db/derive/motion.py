"""In which direction the instruments move between two frames, from their masks.

Directions are those of the image: "up" is towards its upper edge. The shift of a mask is that of
its centroid, relative to the image's width and height. Below THRESHOLD (our choice) it is "still".
The centroid is that of the visible part, so an instrument that enters moves inwards.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from surgzoo.db.footage import Footage
from surgzoo.db.schema import Instrument

DERIVED = "motion direction from instrument masks"  # what a record says that uses it

STILL = "still"
DIRECTIONS = (
    "right",
    "upper right",
    "up",
    "upper left",
    "left",
    "lower left",
    "down",
    "lower right",
)
THRESHOLD = 0.02  # of the image's diagonal


def shift(before: Bool[np.ndarray, "H W"], after: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    """Shift of the centroid as fractions of width and height, y downwards.

    Raises ValueError when one of the masks is empty.
    """
    (x0, y0), (x1, y1) = _centroid(before), _centroid(after)
    height, width = before.shape
    return (x1 - x0) / width, (y1 - y0) / height


def direction(
    before: Bool[np.ndarray, "H W"],
    after: Bool[np.ndarray, "H W"],
    threshold: float = THRESHOLD,
) -> str:
    """One of DIRECTIONS, the nearest by angle in pixels, or STILL."""
    x, y = shift(before, after)
    height, width = before.shape
    x, y = x * width, y * height
    if math.hypot(x, y) < threshold * math.hypot(width, height):
        return STILL
    return DIRECTIONS[round(math.atan2(-y, x) / (math.pi / 4)) % len(DIRECTIONS)]


def of_instruments(
    footage: Footage, before: int, after: int, mask_of: Callable[[int], np.ndarray]
) -> list[tuple[str, str]]:
    """(instrument concept, "moves up" or "stays still") of those seen in both frames.

    Instruments are matched by track where both frames have tracks, else by mask value; in both
    cases their class must be the same. Instruments that share a mask value in one of the frames
    cannot be told apart and are left out. In the order of the first frame. `mask_of` gives the
    instrument mask of a frame; see `mask`.
    """
    maps = [mask_of(index) for index in (before, after)]
    shots = [footage.shots[index] for index in (before, after)]
    out = []
    for first, second in _matched(*(s.annotations.instruments or () for s in shots)):
        masks = [map_ == item.mask for map_, item in zip(maps, (first, second), strict=True)]
        if all(mask.any() for mask in masks):
            word = direction(*masks)
            out.append((first.label.concept, words(word)))
    return out


def words(direction: str) -> str:
    """ "moves up", "moves to the upper left", "stays still"."""
    if direction == STILL:
        return "stays still"
    return f"moves {direction}" if direction in ("up", "down") else f"moves to the {direction}"


def _matched(
    before: tuple[Instrument, ...], after: tuple[Instrument, ...]
) -> Iterator[tuple[Instrument, Instrument]]:
    before, after = _alone(before), _alone(after)
    tracked = all(item.track is not None for item in (*before, *after))
    later = {item.track if tracked else item.mask: item for item in after}
    for item in before:
        other = later.get(item.track if tracked else item.mask)
        if other is not None and item.label.concept == other.label.concept:
            yield item, other


def _alone(items: Sequence[Instrument]) -> list[Instrument]:
    """Those with a mask that is theirs alone: a mask of classes holds two graspers as one."""
    counts = collections.Counter(item.mask for item in items)
    return [item for item in items if item.mask and counts[item.mask] == 1]


def _centroid(mask: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    found = np.flatnonzero(mask)  # an instrument fills a small part of a mask: few to add up
    if not len(found):
        raise ValueError("an empty mask moves nowhere")
    y, x = np.divmod(found, mask.shape[1])
    return float(x.sum() / len(found)), float(y.sum() / len(found))


def mask(footage: Footage, index: int) -> UInt8[np.ndarray, "H W"]:
    """The stored instrument mask of a frame. Raises ValueError that names the frame."""
    data = np.frombuffer(footage.dense(index, "instrument_mask"), np.uint8)
    found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if found is None or found.ndim != 2:
        raise ValueError(
            f"{footage.video.id}, frame {index}: the instrument mask is not a grey PNG"
        )
    return found
