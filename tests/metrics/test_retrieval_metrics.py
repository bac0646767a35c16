"""Ranks and recalls against hand-computed cases, scikit-learn, and plain enumeration."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from surgzoo.metrics import retrieval

RNG = np.random.default_rng(0)


def test_a_case_by_hand():
    scores = [[0.9, 0.1, 0.5], [0.2, 0.8, 0.4], [0.3, 0.6, 0.1]]
    right = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1]], bool)
    ranks = retrieval.first_right(scores, right)
    # First at once; second behind one wrong one, by the better of two right ones; third last.
    assert ranks.tolist() == [1, 2, 3]
    assert retrieval.recall(ranks, 1) == pytest.approx(1 / 3)
    assert retrieval.recall(ranks, 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize("k", [1, 5, 10])
def test_with_one_right_candidate_it_is_top_k_accuracy(k):
    scores, truth = RNG.standard_normal((200, 30)), RNG.integers(30, size=200)
    ranks = retrieval.first_right(scores, np.eye(30, dtype=bool)[truth])
    wanted = top_k_accuracy_score(truth, scores, k=k, labels=np.arange(30))
    assert retrieval.recall(ranks, k) == pytest.approx(wanted)


def test_a_model_that_finds_all_alike_gets_the_worst_rank():
    right = np.zeros((4, 10), bool)
    right[:, 3:5] = True
    assert retrieval.first_right(np.ones((4, 10)), right).tolist() == [9] * 4


@pytest.mark.parametrize("counts", [(1,), (2, 1), (4,)])
@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_chance_is_the_mean_over_all_orders(counts, k):
    ranks = []
    for count in counts:
        right = (np.arange(5) < count)[None]
        orders = [np.array(order, float) for order in itertools.permutations(range(5))]
        ranks.append([retrieval.first_right(order[None], right)[0] for order in orders])
    wanted = np.mean([retrieval.recall(np.array(row), k) for row in ranks])
    assert retrieval.chance_recall(np.array(counts), 5, k) == pytest.approx(wanted)
    wanted = np.median([np.mean(row) for row in ranks])
    assert retrieval.chance_rank(np.array(counts), 5) == pytest.approx(wanted)


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ValueError, match="query 1 has no right candidate"):
        retrieval.first_right(np.ones((2, 3)), [[True, False, False], [False] * 3])
    with pytest.raises(ValueError, match="NaN"):
        retrieval.first_right([[np.nan, 1.0]], [[True, False]])
    with pytest.raises(ValueError, match="at least 1"):
        retrieval.recall(np.array([1]), 0)
    with pytest.raises(ValueError, match="from 1 to 3"):
        retrieval.chance_recall(np.array([0]), 3, 1)
