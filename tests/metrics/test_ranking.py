import warnings

import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import ranking


def test_golden_by_hand():
    # ranked: hit, miss, hit, miss -> (1 + 2/3) / 2
    assert ranking.average_precision(
        np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.7, 0.1])
    ) == pytest.approx((1 + 2 / 3) / 2)
    # all of one score: one step at the prevalence
    assert ranking.average_precision(np.array([1, 0, 0, 0], bool), np.full(4, 0.3)) == 0.25


@pytest.mark.parametrize("levels", [2, 5, 10_000])  # few levels: many ties
@pytest.mark.parametrize("seed", range(15))
def test_against_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    frames, classes = int(rng.integers(1, 60)), int(rng.integers(1, 6))
    truth = rng.random((frames, classes)) < rng.random(classes)
    scores = rng.integers(0, levels, (frames, classes)) / levels
    truth[:, 0] = False  # an absent class
    truth[:, -1] = rng.random() < 0.5  # one that is everywhere, or absent too
    found = ranking.average_precisions(truth, scores)
    for place in range(classes):
        if truth[:, place].any():
            oracle = sklearn.metrics.average_precision_score(truth[:, place], scores[:, place])
            assert found[place] == pytest.approx(oracle, abs=1e-12)
        else:
            assert np.isnan(found[place])
    present = found[~np.isnan(found)]
    mean = ranking.mean_average_precision(truth, scores)
    assert (mean == pytest.approx(present.mean())) if present.size else np.isnan(mean)


@pytest.mark.parametrize("seed", range(10))
def test_top_k_of_one_label_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    frames, classes = int(rng.integers(2, 40)), 6
    label = rng.integers(0, classes, frames)
    scores = rng.permuted(np.tile(np.arange(classes) / classes, (frames, 1)), axis=1)  # no ties
    truth = np.eye(classes, dtype=bool)[label]
    for k in (1, 3, 5):
        oracle = sklearn.metrics.top_k_accuracy_score(label, scores, k=k, labels=np.arange(classes))
        assert ranking.top_k(truth, scores, k) == pytest.approx(oracle)
    assert ranking.top_k(truth, scores, classes) == 1


def test_degenerate_inputs_warn_of_nothing():
    nothing, scores = np.zeros((4, 2), bool), np.full((4, 2), 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(ranking.average_precisions(nothing, scores)).all()
        assert np.isnan(ranking.mean_average_precision(nothing, scores))
        assert np.isnan(ranking.mean_average_precision(np.zeros((0, 2), bool), np.zeros((0, 2))))
        assert np.isnan(ranking.top_k(nothing, scores, 1))


def test_errors():
    with pytest.raises(ValueError, match="one \\[N, C\\] each"):
        ranking.average_precisions(np.zeros((2, 2), bool), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="1 scores are NaN"):
        ranking.average_precision(np.ones(2, bool), np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="at least 1"):
        ranking.top_k(np.ones((1, 1), bool), np.ones((1, 1)), 0)
