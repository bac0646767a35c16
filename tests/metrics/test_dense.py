"""Masks against scikit-learn, depth against NumPy's least squares and by hand."""

import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import dense

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_overlap_oracle(share):
    truth, said = RNG.random((2, 30, 40)) < share
    found = dense.overlap(truth, said)
    assert found.dice == pytest.approx(sklearn.metrics.f1_score(truth.ravel(), said.ravel()))
    assert found.iou == pytest.approx(sklearn.metrics.jaccard_score(truth.ravel(), said.ravel()))


def test_absent_classes():
    nothing, something = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert dense.overlap(nothing, nothing) == (1, 1)
    assert dense.overlap(nothing, something) == (0, 0)
    assert dense.overlap(something, nothing) == (0, 0)
    with pytest.raises(ValueError, match="against one of"):
        dense.overlap(nothing, np.zeros((4, 5), bool))


def test_align_oracle():
    truth = RNG.random(500)
    said = 3 * truth + RNG.normal(0, 0.3, 500)
    scale, shift = np.polyfit(said, truth, 1)
    np.testing.assert_allclose(dense.align(truth, said), scale * said + shift, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_depth_by_least_squares_and_the_plain_formulas(seed):
    """Scale and shift from numpy.linalg.lstsq, then the definitions of Eigen et al."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1, (25, 40))
    truth[truth < 0.1] = 0  # not measured
    said = 40 * truth + rng.normal(0, 8, truth.shape) + 17
    d, p = truth[truth > 0], said[truth > 0]
    (scale, shift), *_ = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), d, rcond=None)
    p = np.maximum(scale * p + shift, dense.NEAREST)
    found = dense.depth(truth, said)
    assert found.abs_rel == pytest.approx(np.mean(np.abs(p - d) / d))
    assert found.rmse == pytest.approx(np.sqrt(np.mean((p - d) ** 2)))
    worse = np.maximum(p / d, d / p)
    for power, share in enumerate(found[2:], start=1):
        assert share == pytest.approx((worse < 1.25**power).mean())
    assert found.delta1 < found.delta2 < found.delta3


def test_any_scale_and_shift_is_perfect():
    truth = RNG.uniform(0.1, 1, (20, 30))
    assert dense.depth(truth, 7 * truth - 100) == pytest.approx((0, 0, 1, 1, 1), abs=1e-9)


def test_near_and_far_exchanged_is_as_good_as_flat():
    truth = RNG.uniform(0.1, 1, (20, 30))
    assert dense.depth(truth, -truth) == pytest.approx(dense.depth(truth, np.zeros_like(truth)))
    assert dense.depth(truth, -truth).delta1 < 0.6


def test_by_hand():
    # A flat prediction becomes the mean, 0.5: errors 0.05, 0.05, 0.3, 0.3, and the ratios are
    # 1.11, 1.1, 2.5, 1.6.
    truth = np.array([[0.45, 0.55], [0.2, 0.8]])
    found = dense.depth(truth, np.ones((2, 2)))
    assert found.abs_rel == pytest.approx((0.05 / 0.45 + 0.05 / 0.55 + 0.3 / 0.2 + 0.3 / 0.8) / 4)
    assert found.rmse == pytest.approx(np.sqrt((0.0025 + 0.0025 + 0.09 + 0.09) / 4))
    assert (found.delta1, found.delta2, found.delta3) == (0.5, 0.5, 0.75)


def test_pixels_without_depth_are_left_out():
    truth = np.array([[0.0, 0.5], [0.25, 1.0]])
    said = truth.copy()
    said[0, 0] = 99
    assert dense.depth(truth, said) == pytest.approx((0, 0, 1, 1, 1), abs=1e-9)
    assert all(np.isnan(dense.depth(np.zeros((2, 2)), said)))
