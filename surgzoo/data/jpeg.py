"""JPEG bytes to pixels of a wanted size, exact or fast.

exact  decoded whole, then resized by the model's own rule; bit for bit what PIL makes of the same
       bytes (libjpeg-turbo's accurate integer DCT and fancy upsampling on both sides)
fast   decoded whole, or at the smallest scale (in eighths, up to a half) that is not below the
       wanted size, leaving out high frequencies of the DCT and the time they take; then linear
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

Decode = Literal["exact", "fast"]
Resize = Callable[[np.ndarray, int, int], np.ndarray]  # pixels, height, width -> pixels

_THREAD = threading.local()


class MediaError(ValueError):
    """A stored frame that cannot be decoded or shown; names the record."""


def decode_jpeg(data: bytes, where: str) -> UInt8[np.ndarray, "H W 3"]:
    """Encoded JPEG to RGB. Raises MediaError that names the record."""
    try:
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except ValueError as error:
        raise _damaged(where, error) from error


def jpeg_size(data: bytes, where: str) -> tuple[int, int]:
    """(height, width) that the header states. Raises MediaError that names the record."""
    try:
        return simplejpeg.decode_jpeg_header(data)[:2]
    except ValueError as error:
        raise _damaged(where, error) from error


def decode_resized(
    data: bytes, height: int, width: int, how: Decode, resize: Resize, where: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Encoded JPEG to RGB of a size in pixels; `resize` is what `exact` resizes with.

    Raises MediaError that names the record.
    """
    stored = jpeg_size(data, where)
    # Above a half, scales cost more than they save: 5/8 takes 1.4 times as long as 1/1.
    scaling = {"min_height": height, "min_width": width, "min_factor": 2} if how == "fast" else {}
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace="RGB", buffer=_scratch(stored), **scaling)
    except ValueError as error:
        raise _damaged(where, error) from error
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    if how == "exact":
        return resize(pixels, height, width)
    # The decoder rounds a scaled size up: its last row and column stand for a part of a pixel. Told
    # the true scale, OpenCV keeps everything in its place, and makes at most one row and column too
    # many; told the two sizes, it would shift the right edge by up to a pixel.
    down, across = _scale(stored, pixels.shape[:2], height, width)
    # Linear looks at four pixels: what is still more than twice too large, it would alias.
    how_to = cv2.INTER_AREA if min(down, across) < 0.5 else cv2.INTER_LINEAR
    return cv2.resize(pixels, None, fx=across, fy=down, interpolation=how_to)[:height, :width]


def keep_memory(blocks: int = 8) -> None:
    """Lets Pillow hold on to `blocks` blocks of at most 16 MB for its next pictures.

    By itself it gives the memory of every picture back to the system: at 854 x 480 that is 800 page
    faults a picture, a third of the time that `exact` takes. A setting of the whole process, as the
    environment variable PILLOW_BLOCKS_MAX is; a larger one is left alone.
    """
    Image.core.set_blocks_max(max(blocks, Image.core.get_blocks_max()))


def _scratch(size: tuple[int, int]) -> UInt8[np.ndarray, " N"]:
    """Memory of this thread for a decoded picture, which costs 300 page faults to get anew."""
    count = 3 * size[0] * size[1]
    if getattr(_THREAD, "memory", np.empty(0)).size < count:
        _THREAD.memory = np.empty(count, np.uint8)
    return _THREAD.memory


def _scale(
    stored: tuple[int, int], decoded: tuple[int, int], height: int, width: int
) -> tuple[float, float]:
    """Wanted pixels a decoded one, (down, across). The decoder scales by eighths, rounding up."""
    eighths = next(n for n in range(1, 9) if tuple(-(-side * n // 8) for side in stored) == decoded)
    return height / (stored[0] * eighths / 8), width / (stored[1] * eighths / 8)


def _damaged(where: str, error: ValueError) -> MediaError:
    return MediaError(
        f"the stored image {where} cannot be decoded ({error}); prepare its source again with "
        f"--overwrite"
    )
