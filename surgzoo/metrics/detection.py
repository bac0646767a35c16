"""Boxes: IoU, matching, mean IoU in two strictnesses, COCO average precision, and one legacy IoU.

Boxes are float xyxy in any one unit. The boxes of an image are a list of (class, box) pairs; boxes
are only ever matched inside their class and image. A box without area has IoU 0 with everything.
"""

from __future__ import annotations

import collections
from collections.abc import Hashable, Iterable, Iterator, Sequence
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
    return _iou(a, b)


def pair_iou(a: Float[np.ndarray, "N 4"], b: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, " N"]:
    """Intersection over union of the n-th box of both. Raises ValueError if the numbers differ."""
    return _iou(*_pairs(a, b))


def _iou(a: Float[np.ndarray, "*S 4"], b: Float[np.ndarray, "*S 4"]) -> Float[np.ndarray, "*S"]:
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


def miou_legacy_vqla(
    truth: Float[np.ndarray, "N 4"], said: Float[np.ndarray, "N 4"]
) -> Float[np.ndarray, " N"]:
    """What the localised VQA papers print as IoU, pair by pair. Not an IoU: never mix it with one.

    `utils.py::mIoU_xyxy` of Surgical-VQLA (Bai et al., ICRA 2023, arXiv 2305.11692), which later
    repositories copied, adds 1 to every width and height, as one does with whole pixels, but to
    boxes in [0, 1]; it sets the intersection of boxes that do not touch to 0 and overwrites that in
    the next line; and its union is 1 at the least. So any two boxes get a value near that of equal
    ones: random pairs about 0.5 where the true mean is 0.07. Boxes are xyxy in [0, 1]. Only for
    comparison with published numbers; the two cannot be converted into one another.
    """
    a, b = _pairs(truth, said)

    def area(boxes):
        return (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)

    common = area(np.concatenate([np.maximum(a, b)[:, :2], np.minimum(a, b)[:, 2:]], axis=1))
    return common / np.maximum(area(a) + area(b) - common, 1)


def _pairs(truth: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(truth, float).reshape(-1, 4), np.asarray(said, float).reshape(-1, 4)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} true boxes but {len(b)} predicted ones")
    return a, b


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
    truth = list(truth)
    prediction = None if prediction is None else list(prediction)
    if prediction is not None and len(truth) == len(prediction) == 1:  # most questions
        (name, box), (other, said) = truth[0], prediction[0]
        value = _iou_of_two(box, said) if name == other else 0.0
        return Overlap(value, int(value > 0), 1, 1)
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
    scores: Sequence[Sequence[float] | None] | None = None,
) -> Float[np.ndarray, " T"]:
    """COCO average precision at each IoU threshold: mean over the classes in the truth.

    Element 0 of the default is AP50, element 5 is AP75, the mean of all is COCO AP. As pycocotools:
    greedy matching, 101 recall points, at most 100 boxes of a class in an image.

    Args:
      truth, prediction: the boxes of each image; an unread answer (None) has no box.
      thresholds: of IoU.
      scores: the confidence of each box of each prediction. Language models give boxes without
        scores: None (also of one image) is a score of 1 for every box. Ties keep the order in
        which images and boxes are given (pycocotools' stable sort), so the value of boxes without
        scores depends slightly on that order.

    NaN when the truth has no box. Raises ValueError on lengths and on scores that are not finite.
    """
    if len(truth) != len(prediction):
        raise ValueError(f"{len(truth)} images but {len(prediction)} predictions")
    thresholds = np.asarray(thresholds, float)
    if scores is not None and len(scores) != len(prediction):
        raise ValueError(f"{len(prediction)} predictions but scores of {len(scores)}")
    wanted = [_by_class(boxes) for boxes in truth]
    counts = collections.Counter({name: 0 for image in wanted for name in image})
    for image in wanted:
        counts.update({name: len(boxes) for name, boxes in image.items()})
    if not counts:
        return np.full(len(thresholds), np.nan)
    found = {name: _Found() for name in counts}
    for number, (image, boxes) in enumerate(zip(wanted, prediction, strict=True)):
        for name, group, ranks in _ranked(boxes or (), scores and scores[number]):
            if name in found:
                found[name].add(group, image.get(name, ()), ranks, thresholds)
    return np.mean(
        [
            [_interpolated(column, counts[name]) for column in found[name].hits(thresholds).T]
            for name in sorted(counts, key=repr)
        ],
        axis=0,
    )


class _Found:
    """The predicted boxes of one class over all images: which are hits, and their ranks."""

    def __init__(self):
        self._parts: list[np.ndarray | None] = []  # hits; None for one box against one box
        self._pairs: list[tuple[Sequence[float], Sequence[float]]] = []
        self._ranks: list[Sequence[float] | None] = []

    def add(
        self,
        boxes: Sequence[Sequence[float]],
        there: Sequence[Sequence[float]],
        ranks: Sequence[float] | None,
        thresholds: np.ndarray,
    ) -> None:
        self._ranks.append(ranks)
        if len(boxes) == len(there) == 1:  # most images: compared all together, in `hits`
            self._pairs.append((boxes[0], there[0]))
            self._parts.append(None)
        else:
            self._parts.append(_greedy(iou(boxes, np.reshape(there, (-1, 4))), thresholds))

    def hits(self, thresholds: Float[np.ndarray, " T"]) -> Bool[np.ndarray, "P T"]:
        """A row a box, the best ranks first; equal ranks as they were added."""
        sizes = [1 if part is None else len(part) for part in self._parts]
        starts = np.cumsum([0, *sizes])
        out = np.zeros((starts[-1], len(thresholds)), bool)
        if self._pairs:
            values = pair_iou(*np.array(self._pairs, float).swapaxes(0, 1))
            alone = [
                start for start, part in zip(starts, self._parts, strict=False) if part is None
            ]
            out[alone] = values[:, None] >= _reached(thresholds)
        for start, part in zip(starts, self._parts, strict=False):
            if part is not None:
                out[start : start + len(part)] = part
        if any(ranks is not None for ranks in self._ranks):
            ranks = [
                [1.0] * size if given is None else given
                for given, size in zip(self._ranks, sizes, strict=True)
            ]
            out = out[np.argsort(-np.concatenate(ranks), kind="stable")]
        return out


def _ranked(
    boxes: ImageBoxes, scores: Sequence[float] | None
) -> Iterator[tuple[Hashable, list[Sequence[float]], list[float] | None]]:
    """(class, boxes, scores) of an image, the best first, 100 of a class at most."""
    boxes = list(boxes)
    if scores is None:
        for name, group in _by_class(boxes).items():
            yield name, group[:COCO_MAX_BOXES], None
        return
    if len(scores) != len(boxes) or not np.isfinite(scores).all():
        raise ValueError(f"{len(boxes)} boxes need as many finite scores, not {scores}")
    best = sorted(range(len(boxes)), key=lambda place: -scores[place])  # stable
    ranks = _by_class((boxes[place][0], scores[place]) for place in best)
    for name, group in _by_class(boxes[place] for place in best).items():
        yield name, group[:COCO_MAX_BOXES], ranks[name][:COCO_MAX_BOXES]


def _reached(thresholds: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """What an IoU has to reach: as pycocotools, a perfect one passes the threshold 1."""
    return np.minimum(thresholds, 1 - 1e-10)


def _greedy(
    ious: Float[np.ndarray, "P G"], thresholds: Float[np.ndarray, " T"]
) -> Bool[np.ndarray, "P T"]:
    """Whether each predicted box, in turn, takes a free true box at each threshold."""
    hits = np.zeros((ious.shape[0], len(thresholds)), bool)
    if ious.shape[1] == 0:
        return hits
    free = np.ones((len(thresholds), ious.shape[1]), bool)
    for row, values in enumerate(ious):
        open_to = np.where(free, values, -1.0)
        best = (
            ious.shape[1] - 1 - np.argmax(open_to[:, ::-1], axis=1)
        )  # the last of equals, as COCO
        taken = np.take_along_axis(open_to, best[:, None], 1)[:, 0] >= _reached(thresholds)
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
