"""Label maps and masks: the class IoUs of EndoVis 2018, and Dice of outlines within a tolerance.

Overlap of two masks (Dice, IoU) is `dense.overlap`. Values are fractions in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from surgzoo.metrics.classification import nanmean

SAR_RARP50_TOLERANCE = 10.0  # pixels of a frame of 1920 x 1080


class ClassOverlap(NamedTuple):
    """The classes of one image. `iou` is NaN for a class that neither map has."""

    true: Bool[np.ndarray, " C"]
    said: Bool[np.ndarray, " C"]
    iou: Float[np.ndarray, " C"]


def class_overlap(
    truth: Int[np.ndarray, "H W"], said: Int[np.ndarray, "H W"] | None, classes: Sequence[int]
) -> ClassOverlap:
    """IoU of each class of an image's label maps; None, no prediction, has no class anywhere.

    Values outside `classes`, as the background, are no class. Raises ValueError when the shapes
    differ or a class is listed twice.
    """
    if said is None:
        said = np.full(truth.shape, -1)
        if -1 in classes:
            raise ValueError("-1 stands for no prediction and cannot be a class")
    if truth.shape != said.shape:
        raise ValueError(f"a map of shape {said.shape} against one of {truth.shape}")
    order = np.argsort(classes)
    known = np.asarray(classes)[order]
    if (known[1:] == known[:-1]).any():
        raise ValueError(f"a class is listed twice: {list(classes)}")

    def places(labels: np.ndarray) -> np.ndarray:
        at = np.searchsorted(known, labels.ravel()).clip(max=len(known) - 1)
        return np.where(known[at] == labels.ravel(), order[at], len(known))

    rows, columns, size = places(truth), places(said), len(known) + 1
    matrix = np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)
    both = np.diag(matrix)[:-1]
    wanted, given = matrix.sum(1)[:-1], matrix.sum(0)[:-1]
    either = wanted + given - both
    iou = np.divide(both, either, out=np.full(len(known), np.nan), where=either > 0)
    return ClassOverlap(wanted > 0, given > 0, iou)


def challenge_iou(images: Iterable[ClassOverlap]) -> float:
    """Ch_IoU: mean over images of the mean IoU over the classes in the image's truth.

    A class that is only predicted costs nothing but the pixels that it takes away. An image without
    a true class is left out; NaN when none is left. EndoVis 2018's rule as ISINet (Gonzalez et al.,
    MICCAI 2020) and TAPIS (`evaluate/semantic_segmentation_eval.py`) compute it.
    """
    return nanmean([nanmean(image.iou[image.true]) for image in images])


def isi_iou(images: Iterable[ClassOverlap]) -> float:
    """ISI_IoU: as `challenge_iou`, over the classes in the image's truth or prediction.

    A class that is only predicted is a further 0. An image without a class on either side is left
    out.
    """
    return nanmean([nanmean(image.iou) for image in images])


def class_ious(images: Sequence[ClassOverlap]) -> Float[np.ndarray, " C"]:
    """For each class the mean over the images whose truth or prediction has it; NaN without one.

    Raises ValueError when there is no image.
    """
    if not images:
        raise ValueError("there is no image")
    return np.array([nanmean(column) for column in np.array([image.iou for image in images]).T])


def mean_class_iou(images: Sequence[ClassOverlap]) -> float:
    """mcIoU: mean of `class_ious`, classes that no image has left out."""
    return nanmean(class_ious(images))


def surface_dice(
    truth: Bool[np.ndarray, "H W"], said: Bool[np.ndarray, "H W"], tolerance: float
) -> float:
    """Normalised surface Dice (NSD): the share of both outlines within `tolerance` of the other.

    Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and neck
    anatomy", arXiv 1809.04430, as their package `surface-distance` computes it with pixels of 1:
    the outline runs along the corners of pixels and around whatever touches the edge of the image,
    each corner counts by the length of the outline there, and is within the tolerance (in pixels)
    when a corner of the other outline is. MONAI's, which SAR-RARP50 uses, counts pixels of the rim
    instead, so its numbers are not quite the same.

    Two empty masks are right (1), one that is empty is wrong (0), as in SAR-RARP50; the package
    leaves both undefined. Raises ValueError when the shapes differ or the tolerance is negative.
    """
    if truth.shape != said.shape:
        raise ValueError(f"a mask of shape {said.shape} against one of {truth.shape}")
    if tolerance < 0:
        raise ValueError(f"a tolerance of {tolerance} pixels is negative")
    if not truth.any() or not said.any():
        return float(truth.any() == said.any())
    box = _bounding_box(truth | said)  # all the rest is as far from one outline as from the other
    wanted, given = _outline(truth[box]), _outline(said[box])
    near_given, near_wanted = _within(given > 0, tolerance), _within(wanted > 0, tolerance)
    common = wanted[near_given].sum() + given[near_wanted].sum()
    return min(1.0, float(common / (wanted.sum() + given.sum())))  # the sums round differently


def sar_rarp50(mean_iou: float, mean_nsd: float) -> float:
    """The segmentation score of the SAR-RARP50 challenge: sqrt(mIoU * mNSD).

    Both are means over the classes 1 to 9 of a frame (`dense.overlap`, and `surface_dice` at
    SAR_RARP50_TOLERANCE; a class that neither mask has is 1), over the frames of a video, and over
    videos (Psychogyios et al., arXiv 2401.00496; `scripts/evaluate.py` of the organisers).
    """
    return math.sqrt(mean_iou * mean_nsd)


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _outline(mask: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "H+1 W+1"]:
    """Length of the outline at each corner of a pixel: 0 inside and outside.

    Of the four pixels around a corner one or three are set: half a diagonal; two side by side: 1;
    two across: a diagonal.
    """
    padded = np.pad(mask, 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    number = a.astype(np.int8) + b + c + d
    straight = np.where((number == 2) & (a == d), math.sqrt(2), 1.0)
    length = np.where(number == 2, straight, math.sqrt(0.5))
    return np.where((number == 0) | (number == 4), 0.0, length)


def _within(points: Bool[np.ndarray, "H W"], radius: float) -> Bool[np.ndarray, "H W"]:
    """Whether a point lies within `radius`: a dilation by a disk, one chord of it at a time."""
    height, width = points.shape
    before = np.zeros((height, width + 1), np.int32)
    np.cumsum(points, axis=1, out=before[:, 1:])
    columns, out = np.arange(width), np.zeros(points.shape, bool)
    for up in range(min(math.floor(radius), height - 1) + 1):
        half = math.floor(math.sqrt(radius**2 - up**2))
        last = np.minimum(columns + half + 1, width)
        chord = before[:, last] > before[:, np.maximum(columns - half, 0)]
        out[up:] |= chord[: height - up]
        out[: height - up] |= chord[up:]
    return out
