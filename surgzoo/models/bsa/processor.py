"""Frames of a clip to the array that the video model reads."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Of the published TimeSformer weights (their preprocessor_config.json), so that these can be used.
MEAN, DEVIATION = 0.45, 0.225


class ClipProcessor:
    """Picks frames, makes them square, normalises them; each step can be had alone."""

    def __init__(self, frames: int, image_size: int):
        self.frames, self.image_size = frames, image_size

    def pick(self, count: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """The numbers of the frames that stand for a clip of `count`: the middles of equal parts,
        with `rng` a place in each part that it draws.

        A short clip repeats frames. Raises ValueError for a clip without any.
        """
        if count < 1:
            raise ValueError("a clip needs at least one frame")
        inside = 0.5 if rng is None else rng.random(self.frames)
        return ((np.arange(self.frames) + inside) * count / self.frames).astype(int)

    def square(
        self, frame: UInt8[np.ndarray, "h w 3"], side: int | None = None
    ) -> UInt8[np.ndarray, "S S 3"]:
        """A frame squeezed into a square of `side` pixels, by default of what the model reads."""
        side = side or self.image_size
        return cv2.resize(np.ascontiguousarray(frame), (side, side), interpolation=cv2.INTER_AREA)

    def normalise(self, frames: UInt8[np.ndarray, "T H W 3"]) -> Float[np.ndarray, "T H W 3"]:
        """Bytes to the numbers that the model reads, float32."""
        return (frames.astype(np.float32) / 255 - MEAN) / DEVIATION

    def __call__(self, clip: UInt8[np.ndarray, "N h w 3"]) -> Float[np.ndarray, "T H W 3"]:
        """One clip, RGB, of any length and size. The whole picture is kept, its shape is not.

        Raises ValueError when the array is not one of RGB frames as bytes.
        """
        clip = np.asarray(clip)
        if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8:
            raise ValueError(f"a clip is uint8 [N, h, w, 3], not {clip.dtype} {clip.shape}")
        return self.normalise(np.stack([self.square(clip[i]) for i in self.pick(len(clip))]))
