"""Depth pseudo-labels: from a folder of maps that another program made, or from a depth model.

A depth model is a function from an RGB frame to relative depth, larger = farther, registered by
name in `depth_models`; an outside package adds its own the way it adds a task. Maps are stored as
16-bit PNG, each stretched to its full range (0 nearest, 65535 farthest), as `db/records.py` has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from surgzoo.core.registry import Registry

FARTHEST = 65535


class DepthModel(Protocol):
    """What `depth_models` holds."""

    def __call__(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w"]:
        """Relative depth of an RGB frame, larger = farther, of any scale and any size."""


depth_models: Registry[DepthModel] = Registry("depth model")


def stretched(depth: Float[np.ndarray, "H W"]) -> UInt16[np.ndarray, "H W"]:
    """To 0 (nearest) .. FARTHEST; a flat map to its middle. Raises ValueError on other values."""
    depth = np.asarray(depth, np.float64)
    if depth.ndim != 2 or not np.isfinite(depth).all():
        raise ValueError(f"depth of shape {depth.shape} must be two-dimensional and finite")
    low, high = float(depth.min()), float(depth.max())
    if high <= low:
        return np.full(depth.shape, FARTHEST // 2, np.uint16)
    return np.round((depth - low) / (high - low) * FARTHEST).astype(np.uint16)


def from_model(model: DepthModel, image: UInt8[np.ndarray, "H W 3"]) -> UInt16[np.ndarray, "H W"]:
    """The map of a frame at the frame's size. ValueError when the model gives anything else."""
    depth = np.asarray(model(image), np.float32)
    if depth.ndim != 2:
        raise ValueError(f"the depth model gave an array of shape {depth.shape}, not (h, w)")
    if depth.shape != image.shape[:2]:
        depth = cv2.resize(depth, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return stretched(depth)


def from_file(path: Path) -> UInt16[np.ndarray, "H W"]:
    """A map as 16-bit grey PNG, its values kept. Raises ValueError that names the file."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError(f"{path} cannot be decoded")
    if image.dtype != np.uint16 or image.ndim != 2:
        raise ValueError(
            f"{path} holds {image.dtype} {image.shape}; a depth map is a 16-bit grey PNG, "
            "0 nearest, 65535 farthest"
        )
    return image


def encoded(depth: UInt16[np.ndarray, "H W"]) -> bytes:
    """PNG bytes."""
    done, data = cv2.imencode(".png", depth)
    if not done:
        raise ValueError(f"OpenCV could not encode a map of {depth.shape} as PNG")
    return data.tobytes()
