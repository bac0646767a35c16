"""Videos in memory that a media reader takes for prepared sources, and pictures to fill them."""

import types

import cv2
import numpy as np
import simplejpeg


def natural(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth shapes of several sizes with some grain, uint8 [H, W, 3]: what JPEG is made for."""
    rng = np.random.default_rng(seed)
    out = np.full((height, width, 3), 110, np.float32)
    for size, strength in ((160, 60), (40, 40), (10, 15), (3, 5)):
        coarse = rng.normal(size=(height // size + 2, width // size + 2, 3)).astype(np.float32)
        out += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(out, 0, 255).astype(np.uint8)


def jpeg(pixels: np.ndarray, subsampling: str = "420") -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 90, "RGB", subsampling)


class Footage:
    """A store of one video: JPEGs at a rate in Hz. `reads` are the frames that were looked up."""

    def __init__(self, images: list[bytes], fps: float = 1.0):
        self.images, self.fps = images, fps
        self.reads: list[int] = []

    def __call__(self, source: str, config: str) -> "Footage":
        return self

    def video(self, name: str):
        return types.SimpleNamespace(video=types.SimpleNamespace(fps=self.fps))

    def frame(self, name: str, index: int):
        self.reads.append(index)
        return types.SimpleNamespace(image=self.images[index])
