"""Frames to normalised pixels in a size of whole patches, and maps back to the frame's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from PIL import Image

from surgzoo.models.layers.resize import cubic

if TYPE_CHECKING:
    from surgzoo.models.depth_anything_v2.config import InputConfig


class FrameProcessor:
    """Bicubic resizing as the published models' own processor does it, with PIL.

    The aspect ratio is kept as far as whole patches allow, and the shorter side becomes
    `input.size`, as the authors do. (transformers takes the change that is least: frames smaller
    than `input.size` stay smaller there.)
    """

    def __init__(self, given: InputConfig, patch: int):
        self.input, self.patch = given, patch  # in pixels; 1 = any size is whole patches

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels that a frame is resized to."""
        least = self.input.size
        if min(height, width) < 1:
            raise ValueError(f"a frame of {height} x {width} pixels has no content")
        scale = [least / height, least / width]
        if not self.input.square:
            scale = [max(scale)] * 2
        return tuple(
            _whole_patches(side * factor, least, self.patch)
            for side, factor in zip((height, width), scale, strict=True)
        )

    def encode(self, frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "H W 3"]:
        """Resized and normalised pixels. Raises ValueError for other than uint8 RGB."""
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
            raise ValueError(
                f"a frame is uint8 RGB of shape (h, w, 3), not {frame.dtype} {frame.shape}"
            )
        height, width = self.size(*frame.shape[:2])
        if frame.shape[:2] != (height, width):
            image = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
            frame = np.asarray(image)
        mean, std = (np.float32(x) for x in (self.input.mean, self.input.std))
        return (frame.astype(np.float32) / np.float32(255) - mean) / std

    def frames(self, frames: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """What `embed_frames` reads of uint8 RGB frames of one shape."""
        return {"images": np.stack([self.encode(frame) for frame in frames])}

    def encode_map(self, values: Shaped[np.ndarray, "h w *C"]) -> Shaped[np.ndarray, "H W *C"]:
        """A map of the frame (labels, depth) in the size of `encode`: the nearest values."""
        height, width = self.size(*values.shape[:2])
        return values[_nearest(values.shape[0], height)][:, _nearest(values.shape[1], width)]

    def decode(
        self, maps: Float[np.ndarray, "H W C"], height: int, width: int
    ) -> Float[np.ndarray, "height width C"]:
        """A map of the model in the size of the frame, bicubic, float32."""
        maps = np.einsum("ph,hwc->pwc", cubic(maps.shape[0], height), maps.astype(np.float32))
        return np.einsum("qw,pwc->pqc", cubic(maps.shape[1], width), maps)


def _whole_patches(side: float, least: int, patch: int) -> int:
    """The multiple of `patch` nearest to `side` that is not below `least`."""
    near = round(side / patch) * patch
    return near if near >= least else -(-least // patch) * patch


def _nearest(old: int, new: int) -> np.ndarray:
    """The index, for each new pixel, of the old one that its centre lies in."""
    return ((np.arange(new) + 0.5) * (old / new)).astype(int).clip(0, old - 1)
