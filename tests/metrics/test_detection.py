import contextlib
import io

import numpy as np
import pytest
import scipy.optimize
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from surgzoo.metrics import detection

A, B, FAR = (0.0, 0.0, 0.4, 0.4), (0.0, 0.2, 0.4, 0.6), (0.8, 0.8, 0.9, 0.9)  # IoU(A, B) = 1/3


def random_boxes(rng, n):
    corners = rng.uniform(0, 0.7, (n, 2))
    return np.concatenate([corners, corners + rng.uniform(0.1, 0.3, (n, 2))], axis=1)


def jittered(rng, boxes):
    out = boxes + rng.uniform(-0.03, 0.03, boxes.shape)
    return np.clip(out, 0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_iou_against_pycocotools(seed):
    rng = np.random.default_rng(seed)
    a, b = random_boxes(rng, 7), random_boxes(rng, 5)
    xywh = [np.concatenate([x[:, :2], x[:, 2:] - x[:, :2]], axis=1) for x in (a, b)]
    assert detection.iou(a, b) == pytest.approx(coco_mask.iou(*xywh, [0] * 5))


def test_iou_shapes_and_empty_boxes():
    assert detection.iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)
    assert detection.iou([[0.5, 0.5, 0.5, 0.5]], [[0.5, 0.5, 0.5, 0.5]]).tolist() == [[0.0]]
    assert detection.iou([A], [B])[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (5, 8), (8, 5), (12, 12)])
@pytest.mark.parametrize("seed", range(10))
def test_match_against_scipy(shape, seed):
    rng = np.random.default_rng(seed)
    ious = rng.random(shape) * (rng.random(shape) < 0.6)
    rows, columns = detection.match(ious)
    assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    assert (ious[rows, columns] > 0).all()
    best = ious[scipy.optimize.linear_sum_assignment(ious, maximize=True)].sum()
    assert ious[rows, columns].sum() == pytest.approx(best)


def test_match_is_optimal_where_greedy_is_not():
    rows, columns = detection.match(np.array([[0.9, 0.8], [0.8, 0.0]]))
    assert list(zip(rows, columns, strict=True)) == [(0, 1), (1, 0)]


def test_golden_mean_iou_and_what_false_positives_cost():
    images = [
        detection.overlap([("hook", A), ("hook", FAR)], [("hook", B)]),
        detection.overlap([("grasper", A)], [("hook", A)]),  # right place, wrong class
        detection.overlap([("hook", A)], [("hook", A), ("hook", FAR)]),
        detection.overlap([("hook", A)], None),
        detection.overlap([], []),
    ]
    assert detection.mean_iou(images) == pytest.approx((1 / 3 + 1) / 5)
    assert detection.mean_iou_strict(images) == pytest.approx((1 / 3 + 1) / (5 + 3))
    assert np.isnan(detection.mean_iou([detection.overlap([], [("hook", A)])]))
    assert detection.mean_iou_strict([detection.overlap([], [("hook", A)])]) == 0.0
    assert detection.mean_iou_strict([detection.overlap([], [])]) == 1.0


def test_golden_average_precision():
    truth = [[("hook", A)], [("hook", A)]]
    assert detection.average_precision(truth, truth) == pytest.approx(np.ones(10))
    half = detection.average_precision(truth, [[("hook", A)], []])
    assert half == pytest.approx(np.full(10, 51 / 101))
    assert detection.average_precision(truth, [None, None]) == pytest.approx(np.zeros(10))
    assert np.isnan(detection.average_precision([[]], [[("hook", A)]])).all()
    with pytest.raises(ValueError, match="1 images but 0"):
        detection.average_precision([[]], [])


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_average_precision_against_pycocotools(seed, scored):
    rng = np.random.default_rng(seed)
    truth, prediction = [], []
    for _ in range(int(rng.integers(1, 12))):
        boxes = random_boxes(rng, int(rng.integers(0, 5)))
        classes = rng.integers(1, 4, len(boxes))
        keep = rng.random(len(boxes)) < 0.8
        extra = random_boxes(rng, int(rng.integers(0, 3)))
        if len(boxes) > 1:  # a second box on the same instrument
            extra, keep[0] = np.concatenate([extra, jittered(rng, boxes[:1])]), True
        given = np.concatenate([jittered(rng, boxes[keep]), extra])
        labels = np.concatenate([classes[keep], rng.integers(1, 5, len(extra))])  # 4: never true
        labels[-1:] = classes[:1] if len(boxes) > 1 else labels[-1:]
        truth.append(list(zip(classes.tolist(), boxes.tolist(), strict=True)))
        prediction.append(list(zip(labels.tolist(), given.tolist(), strict=True)))
    if not any(truth) or not any(prediction):
        pytest.skip("pycocotools cannot load no boxes")
    scores = [rng.integers(0, 5, len(boxes)) / 4 for boxes in prediction] if scored else None
    evaluation = _coco(truth, prediction, scores)
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # T, R, K, all areas, 100 boxes
    oracle = [p[p > -1].mean() for p in precision]
    found = detection.average_precision(truth, prediction, scores=scores)
    assert found == pytest.approx(oracle)
    assert found.mean() == pytest.approx(evaluation.stats[0])
    assert (found[0], found[5]) == pytest.approx(tuple(evaluation.stats[1:3]))


def test_more_than_a_hundred_boxes_keep_the_best():
    rng = np.random.default_rng(0)
    boxes = [(1, box) for box in random_boxes(rng, 130).tolist()]
    scores = rng.permutation(130) / 130
    truth, prediction = [boxes[:80]], [boxes]
    stats = _coco(truth, prediction, [scores]).stats
    found = detection.average_precision(truth, prediction, scores=[scores])
    assert found.mean() == pytest.approx(stats[0]) and 0 < stats[0] < 1


def test_a_score_puts_a_right_box_before_a_wrong_one():
    truth, prediction = [[("hook", A)]], [[("hook", FAR), ("hook", A)]]
    assert detection.average_precision(truth, prediction)[0] == pytest.approx(0.5)
    better = detection.average_precision(truth, prediction, scores=[[0.2, 0.9]])
    assert better == pytest.approx(np.ones(10))
    same = detection.average_precision(truth, prediction, scores=[None])
    assert same[0] == pytest.approx(0.5)
    for wrong in ([[0.5]], [[0.5, np.nan]], []):
        with pytest.raises(ValueError, match="score"):
            detection.average_precision(truth, prediction, scores=wrong)


def test_pair_iou_is_the_diagonal_of_iou():
    rng = np.random.default_rng(0)
    a, b = pairs(rng, 50), pairs(rng, 50)
    a[7] = b[7] = 0.5  # no area
    assert detection.pair_iou(a, b) == pytest.approx(np.diag(detection.iou(a, b)))
    assert detection.pair_iou([], []).shape == (0,)
    with pytest.raises(ValueError, match="50 true boxes but 49"):
        detection.pair_iou(a, b[1:])


def pairs(rng, n=20_000):
    """Boxes with sides of 0.1 to 0.5 anywhere in the image."""
    sides = rng.uniform(0.1, 0.5, (n, 2))
    corner = rng.uniform(0, 1 - sides)
    return np.concatenate([corner, corner + sides], axis=1)


def test_the_legacy_iou_of_vqla_by_hand():
    # Widths and heights plus 1: 1.4^2 each, in common 1.4 x 1.2.
    found = detection.miou_legacy_vqla([A, A], [B, A])
    assert found == pytest.approx([1.68 / (2 * 1.96 - 1.68), 1])
    # Boxes that do not touch: widths of -0.4 + 1.
    assert detection.miou_legacy_vqla([A], [FAR]) == pytest.approx([0.36 / (1.96 + 1.21 - 0.36)])
    corners = detection.miou_legacy_vqla([(0, 0, 0.1, 0.1)], [(0.9, 0.9, 1, 1)])
    assert corners == pytest.approx([0.04 / (2 * 1.21 - 0.04)])
    dots = detection.miou_legacy_vqla([(0.5, 0.5, 0.5, 0.5)], [(0.5, 0.5, 0.5, 0.5)])
    assert dots == pytest.approx([1])
    assert detection.miou_legacy_vqla(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)
    with pytest.raises(ValueError, match="1 true boxes but 2"):
        detection.miou_legacy_vqla([A], [A, B])


def test_what_the_legacy_iou_makes_of_random_and_constant_boxes():
    """Means measured with the published function: twice to seven times the true ones."""
    rng = np.random.default_rng(0)
    truth = pairs(rng)
    said = pairs(rng)
    assert detection.miou_legacy_vqla(truth, said).mean() == pytest.approx(0.506, abs=0.01)
    assert detection.pair_iou(truth, said).mean() == pytest.approx(0.072, abs=0.01)
    centred = np.tile([0.35, 0.35, 0.65, 0.65], (len(truth), 1))
    assert detection.miou_legacy_vqla(truth, centred).mean() == pytest.approx(0.597, abs=0.01)
    assert detection.pair_iou(truth, centred).mean() == pytest.approx(0.115, abs=0.01)


@pytest.mark.parametrize(
    ("sigma", "legacy", "true"), [(0.02, 0.952, 0.784), (0.05, 0.889, 0.561), (0.1, 0.799, 0.337)]
)
def test_what_the_legacy_iou_makes_of_jitter(sigma, legacy, true):
    rng = np.random.default_rng(1)
    truth = pairs(rng)
    said = (truth + rng.normal(0, sigma, truth.shape)).clip(0, 1)
    assert detection.miou_legacy_vqla(truth, said).mean() == pytest.approx(legacy, abs=0.006)
    assert detection.pair_iou(truth, said).mean() == pytest.approx(true, abs=0.01)


def _coco(truth, prediction, scores=None):
    def rows(images, scores=None):
        return [
            {
                "image_id": image,
                "category_id": name,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
                "score": 1.0 if scores is None else float(scores[image - 1][place]),
            }
            for image, boxes in enumerate(images, start=1)
            for place, (name, (x1, y1, x2, y2)) in enumerate(boxes)
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(1, len(truth) + 1)],
            "categories": [{"id": i, "name": str(i)} for i in range(1, 5)],
            "annotations": [{"id": i, **row} for i, row in enumerate(rows(truth), start=1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(rows(prediction, scores)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def test_one_box_on_each_side_is_measured_as_several_are():
    """The short way around arrays gives the same bits, for boxes without area and apart as well."""
    rng = np.random.default_rng(0)
    pairs = rng.random((500, 2, 4)).round(1)  # rounded: edges touch and areas vanish
    pairs[::2, :, 2:] = np.maximum(pairs[::2, :, 2:], pairs[::2, :, :2])
    values = [detection.iou([a], [b])[0, 0] for a, b in pairs]
    assert values == [detection.iou([a, a], [b, b])[0, 0] for a, b in pairs]
    assert 0 < sum(value > 0 for value in values) < len(values)
    for (a, b), value in zip(pairs, values, strict=True):
        found = detection.overlap([("x", a)], [("x", b)])
        assert found == (value, int(value > 0), 1, 1)
        twice = detection.overlap([("x", a), ("x", [8, 8, 9, 9])], [("x", b)])
        assert twice == (value, int(value > 0), 2, 1)
        hits = detection.average_precision([[("x", a)]], [[("x", b)]])
        assert hits.tolist() == [float(value >= limit) for limit in detection.COCO_THRESHOLDS]
