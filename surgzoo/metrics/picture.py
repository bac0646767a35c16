"""Predicted pictures: PSNR in dB and SSIM, for an image and for the frames of a clip; flicker.

Images are (H, W) or (H, W, C) with values 0 to 255; clips have the frames in front. Truth and
prediction must have one shape: who compares resizes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

PEAK = 255.0
PSNR_CAP = 100.0  # dB; equal images, whose PSNR is infinite. One grey level off in one value of a
# 256 x 256 RGB image is 101 dB, so the cap also hides differences that nobody can see.

# The 11 x 11 Gaussian window of Wang et al., whose rows and columns have these weights.
WINDOW = 11
_SIGMA = 1.5


def psnr(truth: np.ndarray, said: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, from 0 (black against white) to PSNR_CAP."""
    _same_shape(truth, said)
    error = float(np.mean((truth.astype(np.float64) - said.astype(np.float64)) ** 2))
    return PSNR_CAP if error == 0 else min(PSNR_CAP, 10 * np.log10(PEAK**2 / error))


def ssim(truth: np.ndarray, said: np.ndarray) -> float:
    """Mean structural similarity in [-1, 1] (Wang et al., IEEE TIP 2004), channels averaged.

    Gaussian window of 11 x 11 pixels, population covariance, and only windows that lie inside the
    image: scikit-image's `gaussian_weights=True, use_sample_covariance=False`. Raises ValueError
    for an image smaller than the window.
    """
    _same_shape(truth, said)
    if min(truth.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} x {WINDOW} pixels: {truth.shape}")
    x, y = truth.astype(np.float64), said.astype(np.float64)
    return float(similarity(x, y, _blurred, PEAK).mean())


def similarity(x: Any, y: Any, blurred: Callable[[Any], Any], peak: float) -> Any:
    """SSIM at every window of two images with values 0 to `peak`; arrays of any library.

    `blurred` takes means over the windows, with `window_weights` along either side.
    """
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_x, mean_y = blurred(x), blurred(y)
    var_x = blurred(x * x) - mean_x**2
    var_y = blurred(y * y) - mean_y**2
    cov = blurred(x * y) - mean_x * mean_y
    return ((2 * mean_x * mean_y + c1) * (2 * cov + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )


def window_weights() -> np.ndarray:
    """Of the WINDOW pixels of a row or column; they add up to one."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    return weights / weights.sum()


def clip(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Means over the frames of a true clip (T, H, W, C): {"psnr": dB, "ssim": ...}.

    Frames are compared in order. A frame that the prediction lacks counts as worst (0 dB, SSIM 0);
    what it has beyond the truth is left out.
    """
    count = min(len(truth), len(said))
    psnrs = [psnr(truth[k], said[k]) for k in range(count)]
    ssims = [ssim(truth[k], said[k]) for k in range(count)]
    return {"psnr": sum(psnrs) / len(truth), "ssim": sum(ssims) / len(truth)}


def flicker(truth: np.ndarray, said: np.ndarray) -> float:
    """How much more a clip changes between frames than the true one, in grey levels; 0 is best.

    The mean over neighbouring frames of max(0, |change of the prediction| - |change of the truth|),
    each the mean of the absolute difference over pixels and channels. Our definition, as the field
    has none: it sees trembling and sudden jumps, and nothing else; a clip that stands still has
    none. A pair of frames that the prediction lacks counts as worst (255); what it has beyond the
    truth is left out. NaN for a truth of fewer than two frames.
    """
    pairs = len(truth) - 1
    if pairs < 1:
        return float("nan")
    total = 0.0
    for k in range(pairs):
        if k + 1 >= len(said):
            return (total + PEAK * (pairs - k)) / pairs
        _same_shape(truth[k], said[k])
        changes = (
            float(np.abs(clip[k + 1].astype(np.float64) - clip[k].astype(np.float64)).mean())
            for clip in (said, truth)
        )
        total += max(0.0, next(changes) - next(changes))
    return total / pairs


def _blurred(image: np.ndarray) -> np.ndarray:
    """Weighted means over the windows inside the image, by rows and then by columns."""
    weights = window_weights()
    for axis in (0, 1):
        size = image.shape[axis] - WINDOW + 1
        shifted = (
            image[k : k + size] if axis == 0 else image[:, k : k + size]
            for k in range(len(weights))
        )
        image = sum(weight * part for weight, part in zip(weights, shifted, strict=True))
    return image


def _same_shape(truth: np.ndarray, said: np.ndarray) -> None:
    if truth.shape != said.shape:
        raise ValueError(f"a picture of shape {said.shape} against one of {truth.shape}")
