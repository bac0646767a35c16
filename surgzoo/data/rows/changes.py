"""Changes of a picture that leave true what is said about it: a part of it, other light.

No mirror image: texts say left and right. How much is changed is this project's choice.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

LEAST = 0.6  # share of the picture that a part has at least
LIGHT = 0.2  # by how much contrast, brightness and each colour change at most, of their range


def changed(frame: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator) -> np.ndarray:
    """Another view of a frame, uint8 RGB [H, W, 3], H <= h and W <= w."""
    return light(part(frame, rng), rng)


def part(
    frame: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, least: float = LEAST
) -> np.ndarray:
    """A rectangle of the frame with `least` of its area or more, and nearly its aspect ratio."""
    height, width = frame.shape[:2]
    area, stretch = rng.uniform(least, 1.0), np.exp(rng.uniform(-0.15, 0.15))
    high = max(1, min(height, round(height * np.sqrt(area * stretch))))
    wide = max(1, min(width, round(width * np.sqrt(area / stretch))))
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    return frame[top : top + high, left : left + wide]


def light(
    frame: UInt8[np.ndarray, "h w 3"], rng: np.random.Generator, most: float = LIGHT
) -> np.ndarray:
    """The frame with another contrast and brightness, and a tint."""
    contrast, brightness = 1 + rng.uniform(-most, most), 255 * rng.uniform(-most, most) / 2
    tint = 1 + rng.uniform(-most, most, 3) / 2
    values = np.arange(256)[:, None] - 127.5
    table = (values * contrast + 127.5 + brightness) * tint  # of each channel
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)[None]
    return cv2.LUT(np.ascontiguousarray(frame), table)
