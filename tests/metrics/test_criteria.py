import warnings

import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import criteria


def test_votes_of_half_and_more_are_met():
    assert criteria.met(np.array([0, 1 / 3, 0.5, 2 / 3, 1])).tolist() == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("kind", ["mixed", "all negative", "all positive"])
@pytest.mark.parametrize("seed", range(8))
def test_against_scikit_learn(seed, kind):
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 40))
    votes = rng.integers(0, 4, frames) / 3
    if kind != "mixed":
        votes[:] = kind == "all positive"
    truth = votes >= 0.5
    scores = rng.integers(0, 5, frames) / 4
    said = rng.random(frames) < 0.5
    assert criteria.accuracy(truth.tolist(), said.tolist()) == pytest.approx(
        sklearn.metrics.accuracy_score(truth, said)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of predictions that the truth lacks
        oracle = sklearn.metrics.balanced_accuracy_score(truth, said)
    assert criteria.balanced_accuracy(truth.tolist(), said.tolist()) == pytest.approx(oracle)
    found = criteria.average_precision(votes, scores)
    if truth.any():
        oracle = sklearn.metrics.average_precision_score(truth, scores)
        assert found == pytest.approx(oracle)
    else:
        assert np.isnan(found)


def test_an_unread_answer_is_wrong_on_both_sides():
    assert criteria.accuracy([True, False], [None, None]) == 0
    assert criteria.balanced_accuracy([True, False], [True, None]) == 0.5
    assert np.isnan(criteria.accuracy([], []))


def test_mean_leaves_out_what_has_no_value():
    assert criteria.mean_over({"c1": 0.5, "c2": float("nan"), "c3": 1.0}) == 0.75
    assert np.isnan(criteria.mean_over({"c1": float("nan")}))
