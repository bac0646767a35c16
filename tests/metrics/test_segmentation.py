"""Outlines against the surface-distance package, class IoUs against scikit-learn and by hand."""

import math

import numpy as np
import pytest
import scipy.ndimage
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from surface_distance import metrics as surface

from surgzoo.metrics import dense
from surgzoo.metrics import segmentation as seg

RNG = np.random.default_rng(3)
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")


def blob(rng, shape, share):
    noise = scipy.ndimage.gaussian_filter(rng.normal(size=shape), 2)
    return noise > np.quantile(noise, 1 - share)


def oracle(truth, said, tolerance):
    distances = surface.compute_surface_distances(truth, said, (1, 1))
    return surface.compute_surface_dice_at_tolerance(distances, tolerance)


@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 3, 10, 100])
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_surface_dice_is_that_of_surface_distance(tolerance, share):
    rng = np.random.default_rng(int(share * 100))
    for shape in ((37, 52), (5, 60), (1, 9)):
        truth, other = blob(rng, shape, share), blob(rng, shape, share)
        for said in (truth, np.roll(truth, (1, 2), (0, 1)), other):
            found = seg.surface_dice(truth, said, tolerance)
            assert found == pytest.approx(oracle(truth, said, tolerance))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1), st.sampled_from([0, 1, 1.5, 2]))
def test_surface_dice_of_any_small_masks(first, second, tolerance):
    bits = np.arange(24)
    truth, said = (((number >> bits) & 1).astype(bool).reshape(4, 6) for number in (first, second))
    if truth.any() and said.any():
        expected = oracle(truth, said, tolerance)
    else:  # undefined in the package
        expected = float(truth.any() == said.any())
    assert seg.surface_dice(truth, said, tolerance) == pytest.approx(expected)


def test_surface_dice_by_hand():
    square, moved = np.zeros((2, 20, 20), bool)
    square[5:9, 5:9] = moved[5:9, 7:11] = True
    assert seg.surface_dice(square, moved, 2) == 1
    # Each outline: 12 straight corners and 4 of half a diagonal. Top and bottom share 3 corners
    # with the other's: two straight ones and a corner of the square.
    shared = 2 * (2 + math.sqrt(0.5))
    assert seg.surface_dice(square, moved, 0) == pytest.approx(shared / (12 + 4 * math.sqrt(0.5)))
    full = np.ones((6, 6), bool)
    assert seg.surface_dice(full, full, 0) == 1  # the edge of the image is an outline too
    empty = np.zeros((20, 20), bool)
    assert seg.surface_dice(empty, empty, 1) == 1
    assert seg.surface_dice(square, empty, 1) == seg.surface_dice(empty, square, 1) == 0
    with pytest.raises(ValueError, match="negative"):
        seg.surface_dice(square, square, -1)
    with pytest.raises(ValueError, match="against one of"):
        seg.surface_dice(square, full, 1)


def images(rng, count, most=5):
    for _ in range(count):
        classes = rng.choice(most, size=int(rng.integers(1, most + 1)), replace=False)
        truth = rng.choice(classes, size=(6, 7))
        said = np.where(rng.random((6, 7)) < 0.6, truth, rng.integers(0, most, (6, 7)))
        yield truth, said


def test_class_iou_is_that_of_scikit_learn():
    for truth, said in images(RNG, 30):
        found = seg.class_overlap(truth, said, (3, 1, 2))
        oracle = sklearn.metrics.jaccard_score(
            truth.ravel(), said.ravel(), labels=[3, 1, 2], average=None, zero_division=0
        )
        oracle[[not ((truth == k) | (said == k)).any() for k in (3, 1, 2)]] = np.nan
        np.testing.assert_allclose(found.iou, oracle)
        assert found.true.tolist() == [(truth == k).any() for k in (3, 1, 2)]
        assert found.said.tolist() == [(said == k).any() for k in (3, 1, 2)]


@pytest.mark.parametrize("seed", range(4))
def test_the_three_means_by_sets_of_classes(seed):
    """As TAPIS goes about it: image by image, with sets of the classes in each map."""
    challenge, isi, by_class, found = [], [], {k: [] for k in (1, 2, 3, 4)}, []
    for truth, said in images(np.random.default_rng(seed), 12):
        found.append(seg.class_overlap(truth, said, (1, 2, 3, 4)))
        wanted, given = set(truth.ravel()) - {0}, set(said.ravel()) - {0}
        ious = {}
        for k in wanted | given:
            a, b = truth == k, said == k
            ious[k] = (a & b).sum() / (a | b).sum()
            by_class[k].append(ious[k])
        if wanted:
            challenge.append(np.mean([ious[k] for k in wanted]))
        if ious:
            isi.append(np.mean(list(ious.values())))
    assert seg.challenge_iou(found) == pytest.approx(np.mean(challenge))
    assert seg.isi_iou(found) == pytest.approx(np.mean(isi))
    means = [np.mean(values) for values in by_class.values() if values]
    assert seg.mean_class_iou(found) == pytest.approx(np.mean(means))


def test_classes_that_are_absent_or_only_predicted():
    background, one = np.zeros((4, 4), int), np.zeros((4, 4), int)
    one[:2] = 1
    two = np.where(one, one, 2)
    right = seg.class_overlap(one, one, (1, 2))
    false = seg.class_overlap(one, two, (1, 2))  # a class too many
    missing = seg.class_overlap(one, None, (1, 2))
    nothing = seg.class_overlap(background, background, (1, 2))
    ghost = seg.class_overlap(background, one, (1, 2))
    assert seg.challenge_iou([right, false]) == 1
    assert seg.isi_iou([right, false]) == pytest.approx((1 + 0.5) / 2)
    assert seg.mean_class_iou([right, false]) == pytest.approx((1 + 0) / 2)
    assert seg.challenge_iou([right, missing]) == seg.isi_iou([right, missing]) == 0.5
    assert seg.challenge_iou([right, nothing, ghost]) == 1
    assert seg.isi_iou([right, nothing, ghost]) == 0.5
    assert math.isnan(seg.challenge_iou([nothing, ghost])) and math.isnan(seg.isi_iou([nothing]))
    assert np.isnan(seg.class_ious([right])).tolist() == [False, True]
    assert math.isnan(seg.mean_class_iou([nothing])) and math.isnan(seg.challenge_iou([]))
    with pytest.raises(ValueError, match="no image"):
        seg.mean_class_iou([])
    with pytest.raises(ValueError, match="listed twice"):
        seg.class_overlap(one, two, (1, 1))
    with pytest.raises(ValueError, match="against one of"):
        seg.class_overlap(one, two[:2], (1,))
    with pytest.raises(ValueError, match="cannot be a class"):
        seg.class_overlap(one, None, (-1, 1))


def test_the_score_of_sar_rarp50():
    truth, said = blob(RNG, (40, 50), 0.3), blob(RNG, (40, 50), 0.3)
    iou, nsd = dense.overlap(truth, said).iou, seg.surface_dice(truth, said, 2)
    assert seg.sar_rarp50(iou, nsd) == pytest.approx((iou * nsd) ** 0.5)
    assert seg.sar_rarp50(0.25, 1.0) == 0.5 and seg.sar_rarp50(0.0, 0.7) == 0
