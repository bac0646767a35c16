"""Masks of the sources to the schema: value maps as PNG, boxes, polygons and COCO's run lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8

from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, schema

BOX_OF_MASK = "the box around the mask"


def read_mask(file: File, size: tuple[int, int] | None = None) -> np.ndarray:
    """A mask file as stored: uint8 or uint16 [height, width] or [height, width, 3] (RGB).

    `size` = (height, width) of the image that it belongs to. Raises FrameError.
    """
    try:
        data = file.read()
    except Exception as error:  # zipfile, zlib and the file system each have their own
        raise FrameError(f"{file}: cannot be read ({error})") from None
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if mask is None:
        raise FrameError(f"{file}: not a readable mask")
    if size is not None and mask.shape[:2] != tuple(size):
        raise FrameError(
            f"{file}: the mask is {mask.shape[1]}x{mask.shape[0]}, the image {size[1]}x{size[0]}"
        )
    if mask.ndim == 3:
        mask = mask[..., 2::-1] if mask.shape[2] >= 3 else mask[..., 0]
    return mask


def one_channel(mask: np.ndarray, file: File) -> np.ndarray:
    """[height, width] of a mask that repeats one value in all channels. Raises FrameError."""
    if mask.ndim == 2:
        return mask
    if not (mask == mask[..., :1]).all():
        raise FrameError(f"{file}: the channels of the mask differ")
    return mask[..., 0]


def by_color(
    mask: UInt8[np.ndarray, "h w 3"], colors: Mapping[tuple[int, int, int], int], file: File
) -> UInt8[np.ndarray, "h w"]:
    """RGB to values. Raises FrameError on a colour without a value."""
    packed = (mask.astype(np.uint32) * np.array([1 << 16, 1 << 8, 1], np.uint32)).sum(-1)
    found, inverse = np.unique(packed, return_inverse=True)
    table = {(r << 16) + (g << 8) + b: value for (r, g, b), value in colors.items()}
    unknown = [int(color) for color in found if int(color) not in table]
    if unknown:
        shown = ", ".join(f"({c >> 16}, {c >> 8 & 255}, {c & 255})" for c in unknown[:5])
        raise FrameError(f"{file}: no class has the colour {shown}")
    values = np.array([table[int(color)] for color in found], np.uint8)
    return values[inverse].reshape(mask.shape[:2])


def check_values(mask: np.ndarray, known: Sequence[int], file: File) -> None:
    """Raises FrameError when the mask holds a value that is not `known`."""
    unknown = sorted(set(np.unique(mask).tolist()) - set(known))
    if unknown:
        raise FrameError(f"{file}: no class has the value {', '.join(map(str, unknown[:5]))}")


def encode(mask: Integer[np.ndarray, "h w"]) -> bytes:
    """A map of values 0-255 as 8-bit PNG, the form of `records.DENSE`."""
    if mask.size and (mask.min() < 0 or mask.max() > 255):
        raise ValueError(f"a mask value {int(mask.max())} does not fit 8 bits")
    ok, data = cv2.imencode(".png", mask.astype(np.uint8))
    if not ok:
        raise ValueError("the mask could not be encoded as PNG")
    return data.tobytes()


def box(mask: Bool[np.ndarray, "h w"]) -> schema.Box | None:
    """The box around all set pixels, None when there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None
    corners = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return boxes.from_xyxy([float(c) for c in corners], mask.shape)


def tissues(
    mask: Integer[np.ndarray, "h w"], labels: Mapping[int, schema.Label]
) -> tuple[schema.Tissue, ...]:
    """One tissue a class in view, with the box around it. Say `BOX_OF_MASK` in `derived`."""
    return tuple(
        schema.Tissue(labels[value], box(mask == value), value)
        for value in np.unique(mask).tolist()
        if value in labels
    )


def instruments(
    mask: Integer[np.ndarray, "h w"], labels: Mapping[int, schema.Label], *, instances: bool
) -> tuple[schema.Instrument, ...]:
    """One instrument a value that is in view.

    Where values are classes (`instances` false) two instruments of one class are one value, so
    there is no box: a box around both would be of none.
    """
    return tuple(
        schema.Instrument(labels[value], box(mask == value) if instances else None, value)
        for value in np.unique(mask).tolist()
        if value in labels
    )


def polygon(points: Sequence[Sequence[float]], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """A polygon of (x, y) pixels, filled. Raises FrameError for fewer than three points."""
    if len(points) < 3:
        raise FrameError(f"a polygon of {len(points)} points encloses nothing")
    mask = np.zeros(size, np.uint8)
    corners = np.round(np.asarray(points, np.float64)).astype(np.int32)
    cv2.fillPoly(mask, [corners], 1)
    return mask.astype(bool)


def run_lengths(counts: Sequence[int] | str, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """COCO's run lengths, plain or compressed, of an image of `size` = (height, width).

    Runs of 0 and 1 in turn, column by column (cocoapi, common/maskApi.c: a compressed run is a
    base-32 number of little-endian 5-bit groups in characters from 48 on, and from the third run
    on the difference to the run two before). Raises FrameError when they do not fill the image.
    """
    runs = _unpacked(counts) if isinstance(counts, str) else [int(c) for c in counts]
    height, width = size
    if sum(runs) != height * width or any(run < 0 for run in runs):
        raise FrameError(f"run lengths of {sum(runs)} pixels for an image of {width}x{height}")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _unpacked(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise FrameError(f"run lengths hold the character {character!r}")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift  # the sign is in the last group
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise FrameError("run lengths end in the middle of a number")
    return runs
