"""Boxes: IoU, matching, mean IoU in two strictnesses, and COCO average precision.

Boxes are float xyxy in any one unit. The boxes of an image are a list of (class, box) pairs; boxes
are only ever matched inside their class and image. A box without area has IoU 0 with everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

ImageBoxes = Iterable[tuple[Hashable, Sequence[float]]]

COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
COCO_RECALLS = np.linspace(0.0, 1.0, 101)
COCO_MAX_BOXES = 100  # of a class in an image


def iou(a: Float[np.ndarray, "N 4"], b: Float[np.ndarray, "M 4"]) -> Float[np.ndarray, "N M"]:
    """Intersection over union of every pair."""
    if len(a) == len(b) == 1:  # most questions have one box; ten times faster without arrays
        return np.array([[_iou_of_two(a[0], b[0])]])
    a, b = np.asarray(a, float).reshape(-1, 1, 4), np.asarray(b, float).reshape(1, -1, 4)
    size = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = size.clip(0).prod(-1)
    area_a, area_b = ((box[..., 2:] - box[..., :2]).clip(0).prod(-1) for box in (a, b))
    union = area_a + area_b - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def _iou_of_two(a: Sequence[float], b: Sequence[float]) -> float:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = map(float, a), map(float, b)
    common = max(min(ax2, bx2) - max(ax1, bx1), 0.0) * max(min(ay2, by2) - max(ay1, by1), 0.0)
    area_a = max(ax2 - ax1, 0.0) * max(ay2 - ay1, 0.0)
    union = area_a + max(bx2 - bx1, 0.0) * max(by2 - by1, 0.0) - common
    return common / union if union > 0 else 0.0


def match(ious: Float[np.ndarray, "N M"]) -> tuple[Int[np.ndarray, " K"], Int[np.ndarray, " K"]]:
    """Rows and columns of the one-to-one matching with the largest sum of IoU.

    Pairs of IoU 0 are left out. Optimal, so the order in which boxes are given does not matter.
    """
    if ious.shape == (1, 1):
        pair = np.arange(int(ious[0, 0] > 0))
        return pair, pair
    if ious.shape[0] > ious.shape[1]:
        columns, rows = match(ious.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    rows, columns = np.arange(ious.shape[0]), _assign(-ious)
    touching = ious[rows, columns] > 0
    return rows[touching], columns[touching]


def _assign(cost: Float[np.ndarray, "N M"]) -> Int[np.ndarray, " N"]:
    """The column of each row in an assignment of least cost, N <= M.

    Rows enter one by one; each takes a shortest augmenting path (Dijkstra over costs reduced by
    dual prices), after Jonker and Volgenant 1987.
    """
    n, m = cost.shape
    if n == 1:
        return cost.argmin(axis=1)
    row_price, column_price = np.zeros(n), np.zeros(m)
    column_of, row_of = np.full(n, -1), np.full(m, -1)
    for start in range(n):
        distance, came_from = np.full(m, np.inf), np.full(m, -1)
        visited = np.zeros(m, bool)
        row, reached = start, 0.0
        while True:
            through = reached + cost[row] - row_price[row] - column_price
            shorter = ~visited & (through < distance)
            distance[shorter], came_from[shorter] = through[shorter], row
            column = int(np.argmin(np.where(visited, np.inf, distance)))
            reached = distance[column]
            if row_of[column] < 0:
                break
            visited[column] = True
            row = row_of[column]
        row_price[start] += reached
        slack = reached - distance[visited]
        row_price[row_of[visited]] += slack
        column_price[visited] -= slack
        while True:  # turn the path around
            row = came_from[column]
            row_of[column] = row
            column_of[row], column = column, column_of[row]
            if row == start:
                break
    return column_of


class Overlap(NamedTuple):
    """What one or many images add to a mean IoU."""

    total: float  # sum of IoU over matched pairs
    matched: int
    truth: int
    predicted: int


def overlap(truth: ImageBoxes, prediction: ImageBoxes | None) -> Overlap:
    """Matches the boxes of one image, class by class. None = unread answer, as one wrong box."""
    wanted = _by_class(truth)
    given = _by_class(prediction or ())
    total, matched = 0.0, 0
    for name, boxes in wanted.items():
        if name not in given:
            continue
        if len(boxes) == len(given[name]) == 1:
            value = _iou_of_two(boxes[0], given[name][0])
            total, matched = total + value, matched + (value > 0)
        else:
            ious = iou(boxes, given[name])
            rows, columns = match(ious)
            total, matched = total + float(ious[rows, columns].sum()), matched + len(rows)
    predicted = 1 if prediction is None else sum(map(len, given.values()))
    return Overlap(total, matched, sum(map(len, wanted.values())), predicted)


def mean_iou(images: Iterable[Overlap]) -> float:
    """Mean over the *true* boxes of the IoU with their match; an unmatched true box counts as 0.

    False positives cost nothing here (`mean_iou_strict` charges them). NaN without a true box.
    """
    images = list(images)
    boxes = sum(image.truth for image in images)
    return sum(image.total for image in images) / boxes if boxes else float("nan")


def mean_iou_strict(images: Iterable[Overlap]) -> float:
    """As `mean_iou`, but every unmatched *predicted* box counts as a further 0.

    1 only for the exact boxes and no others; 1 as well where there is no box on either side.
    """
    images = list(images)
    boxes = sum(image.truth + image.predicted - image.matched for image in images)
    return sum(image.total for image in images) / boxes if boxes else 1.0


def average_precision(
    truth: Sequence[ImageBoxes],
    prediction: Sequence[ImageBoxes | None],
    thresholds: Sequence[float] = COCO_THRESHOLDS,
) -> Float[np.ndarray, " T"]:
    """COCO average precision at each IoU threshold: mean over the classes in the truth.

    Element 0 of the default is AP50, element 5 is AP75, the mean of all is COCO AP. As pycocotools:
    greedy matching, 101 recall points, at most 100 boxes of a class in an image. Language models
    give boxes without scores, so every score is 1; ties keep the order in which images and boxes
    are given (pycocotools' stable sort), so the value depends slightly on that order. An unread
    answer (None) has no box. NaN when the truth has no box. Raises ValueError on lengths.
    """
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} images but {len(prediction)} predictions")
    thresholds = np.asarray(thresholds, float)
    wanted = [_by_class(boxes) for boxes in truth]
    given = [_by_class(boxes or ()) for boxes in prediction]
    classes = sorted({name for image in wanted for name in image}, key=repr)
    if not classes:
        return np.full(len(thresholds), np.nan)
    values = []
    for name in classes:
        boxes = sum(len(image.get(name, ())) for image in wanted)
        hits = [
            _greedy(iou(p[name][:COCO_MAX_BOXES], w.get(name, ())), thresholds)
            for w, p in zip(wanted, given, strict=True)
            if name in p
        ]
        hits = np.concatenate(hits) if hits else np.zeros((0, len(thresholds)), bool)
        values.append([_interpolated(column, boxes) for column in hits.T])
    return np.mean(values, axis=0)


def _greedy(
    ious: Float[np.ndarray, "P G"], thresholds: Float[np.ndarray, " T"]
) -> Bool[np.ndarray, "P T"]:
    """Whether each predicted box, in turn, takes a free true box at each threshold."""
    if ious.shape == (1, 1):
        return ious >= np.minimum(thresholds, 1 - 1e-10)
    hits = np.zeros((ious.shape[0], len(thresholds)), bool)
    if ious.shape[1] == 0:
        return hits
    free = np.ones((len(thresholds), ious.shape[1]), bool)
    for row, values in enumerate(ious):
        open_to = np.where(free, values, -1.0)
        best = (
            ious.shape[1] - 1 - np.argmax(open_to[:, ::-1], axis=1)
        )  # the last of equals, as COCO
        taken = np.take_along_axis(open_to, best[:, None], 1)[:, 0] >= np.minimum(
            thresholds, 1 - 1e-10
        )
        free[taken, best[taken]] = False
        hits[row] = taken
    return hits


def _interpolated(hits: Bool[np.ndarray, " P"], boxes: int) -> float:
    """Mean over 101 recall points of the best precision at that recall or a higher one."""
    found = np.cumsum(hits)
    recall = found / boxes
    precision = np.maximum.accumulate((found / np.arange(1, len(hits) + 1))[::-1])[::-1]
    place = np.searchsorted(recall, COCO_RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())


def _by_class(boxes: ImageBoxes) -> dict[Hashable, list[Sequence[float]]]:
    grouped: dict[Hashable, list] = {}
    for name, box in boxes:
        grouped.setdefault(name, []).append(box)
    return grouped
