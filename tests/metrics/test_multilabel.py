import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import multilabel


def test_golden():
    truth = [{"a", "b"}, {"a"}, set(), {"b"}]
    prediction = [{"a"}, {"a", "x"}, set(), None]
    counted = multilabel.counts(truth, prediction)
    assert dict(counted.tp) == {"a": 2}
    assert dict(counted.fp) == {"x": 1, multilabel.UNPARSED: 1}
    assert dict(counted.fn) == {"b": 2}
    assert counted.present == ["a", "b"]
    micro = multilabel.micro(counted)
    assert micro == pytest.approx((2 / 4, 2 / 4, 0.5))
    assert multilabel.macro(counted) == pytest.approx((0.5, 0.5, 0.5))  # a 1, b 0; x is not true
    assert multilabel.exact_match(truth, prediction) == 1 / 4


def test_conventions_for_nothing():
    assert multilabel.set_f1([], []) == 1.0
    assert multilabel.set_f1([], ["a"]) == 0.0
    assert multilabel.set_f1(["a"], []) == 0.0
    assert multilabel.set_f1([], None) == 0.0  # nonsense is not silence
    assert multilabel.macro(multilabel.counts([[]], [[]])) == (1.0, 1.0, 1.0)
    assert multilabel.macro(multilabel.counts([[]], [["a"]])) == (0.0, 0.0, 0.0)
    assert np.isnan(multilabel.exact_match([], []))


def test_a_label_said_twice_counts_once():
    counted = multilabel.counts([["a", "a"]], [["a", "a", "b", "b"]])
    assert (counted.tp["a"], counted.fp["b"]) == (1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    frames, classes = int(rng.integers(1, 40)), int(rng.integers(2, 8))
    truth = rng.random((frames, classes)) < 0.4
    prediction = rng.random((frames, classes)) < rng.random()
    truth[:, rng.integers(classes)] = False  # an absent class
    counted = multilabel.counts(_sets(truth), _sets(prediction))

    present = np.flatnonzero(truth.any(0))
    assert counted.present == sorted(present.tolist(), key=repr)
    if truth.any() or prediction.any():
        oracle = sklearn.metrics.precision_recall_fscore_support(
            truth, prediction, average="micro", zero_division=0
        )
        assert multilabel.micro(counted) == pytest.approx(oracle[:3])
    if len(present):
        oracle = sklearn.metrics.precision_recall_fscore_support(
            truth, prediction, labels=present, average="macro", zero_division=0
        )
        assert multilabel.macro(counted) == pytest.approx(oracle[:3])
    assert multilabel.exact_match(_sets(truth), _sets(prediction)) == pytest.approx(
        sklearn.metrics.accuracy_score(truth, prediction)
    )


def test_errors():
    with pytest.raises(ValueError, match="1 true sets but 0"):
        multilabel.counts([set()], [])
    with pytest.raises(ValueError, match="1 true sets but 0"):
        multilabel.exact_match([set()], [])


def _sets(table):
    return [set(np.flatnonzero(row).tolist()) for row in table]
