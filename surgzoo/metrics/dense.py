"""One value a pixel: overlap of masks, and relative depth up to scale and shift."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

NEAREST = 1e-3  # relative depth below which a ratio says nothing; such pixels are left out


class Overlap(NamedTuple):
    """Fractions in [0, 1]."""

    dice: float
    iou: float


def overlap(truth: Bool[np.ndarray, "H W"], said: Bool[np.ndarray, "H W"]) -> Overlap:
    """Dice and IoU of two masks.

    A class that is in neither is right (1, 1); one that is in only one of them is wrong (0, 0).
    """
    _same_shape(truth, said)
    both, either = int((truth & said).sum()), int((truth | said).sum())
    if not either:
        return Overlap(1.0, 1.0)
    return Overlap(2 * both / (both + either), both / either)


class Depth(NamedTuple):
    """abs_rel and rmse: 0 is perfect; rmse in units of the depth range. The deltas: fractions."""

    abs_rel: float
    rmse: float
    delta1: float
    delta2: float
    delta3: float


def align(truth: Float[np.ndarray, " N"], said: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """The prediction times the scale plus the shift that fit the truth best (least squares).

    The scale is never negative: a map with near and far exchanged is no better than a flat one,
    and is fitted as one.
    """
    spread = said - said.mean()
    power = float(spread @ spread)
    scale = max(0.0, float(spread @ (truth - truth.mean())) / power) if power > 1e-12 else 0.0
    return scale * spread + truth.mean()


def depth(truth: Float[np.ndarray, "H W"], said: Float[np.ndarray, "H W"]) -> Depth:
    """Relative depth against the truth in [0, 1] (0 nearest), after `align`.

    abs_rel is the mean of |d - d*| / d*, rmse the root mean square of d - d*, delta1, 2 and 3 the
    shares of pixels with max(d / d*, d* / d) < 1.25, 1.25^2 and 1.25^3 (Eigen et al., NeurIPS 2014;
    Ranftl et al., TPAMI 2022, for affine-invariant depth).
    Pixels whose true depth is below NEAREST, also those without a measurement, are left out; the
    aligned prediction is raised to NEAREST. All NaN where no pixel is left.
    """
    _same_shape(truth, said)
    valid = truth >= NEAREST
    if not valid.any():
        return Depth(*[float("nan")] * len(Depth._fields))
    wanted = truth[valid].astype(np.float64)
    given = np.maximum(align(wanted, said[valid].astype(np.float64)), NEAREST)
    error = np.abs(given - wanted)
    ratio = np.maximum(given / wanted, wanted / given)
    return Depth(
        float((error / wanted).mean()),
        float(np.sqrt((error**2).mean())),
        *(float((ratio < 1.25**power).mean()) for power in (1, 2, 3)),
    )


def _same_shape(truth: np.ndarray, said: np.ndarray) -> None:
    if truth.shape != said.shape:
        raise ValueError(f"a map of shape {said.shape} against one of {truth.shape}")
