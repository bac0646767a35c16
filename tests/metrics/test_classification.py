import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import classification, phases


def test_golden_confusion_and_rates():
    truth = ["a", "a", "a", "b", "b", "c"]
    prediction = ["a", "a", "b", "b", None, "elsewhere"]
    matrix = classification.confusion(truth, prediction, ["a", "b", "c"])
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
    assert classification.accuracy(matrix) == pytest.approx(3 / 6)
    rates = classification.per_class(matrix)
    assert rates.precision == pytest.approx([1.0, 0.5, 0.0])
    assert rates.recall == pytest.approx([2 / 3, 0.5, 0.0])
    assert rates.jaccard == pytest.approx([2 / 3, 1 / 3, 0.0])
    assert rates.f1 == pytest.approx([0.8, 0.5, 0.0])
    assert rates.support.tolist() == [3, 2, 1]
    assert classification.macro(matrix).f1 == pytest.approx((0.8 + 0.5) / 3)


def test_video_wise_leaves_absent_classes_out_and_pooled_does_not_average_videos():
    truth = ["a", "a", "a", "b"]
    prediction = ["a", "a", "b", "b"]
    matrices = classification.by_video(truth, prediction, ["v1", "v1", "v2", "v2"], ["a", "b"])
    # v1 has only a: all right. v2: a missed, b right but with one false positive.
    rates = [phases.of_matrix(matrix) for matrix in matrices]
    assert phases.accuracy(rates) == pytest.approx((0.75, np.std([1.0, 0.5], ddof=1)))
    assert phases.spread(rates, "recall").mean == pytest.approx(np.mean([np.mean([1.0, 0.0]), 1.0]))
    assert phases.spread(rates, "precision").mean == pytest.approx(
        np.mean([np.mean([1.0, 0.0]), 0.5])
    )
    assert classification.macro(matrices.sum(0)).recall == pytest.approx(np.mean([2 / 3, 1.0]))


@pytest.mark.parametrize("seed", range(20))
def test_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    classes = list(range(rng.integers(2, 8)))
    n = int(rng.integers(1, 60))
    truth = rng.choice(classes[: rng.integers(1, len(classes) + 1)], n).tolist()  # absent classes
    prediction = rng.choice([*classes, -1], n).tolist()  # -1: not a class
    matrix = classification.confusion(truth, prediction, classes)
    present = sorted(set(truth))
    oracle = sklearn.metrics.precision_recall_fscore_support(
        truth, prediction, labels=present, zero_division=0
    )
    rates = classification.per_class(matrix)
    for ours, theirs in zip((rates.precision, rates.recall, rates.f1), oracle[:3], strict=True):
        assert ours[present] == pytest.approx(theirs)
        assert np.isnan(np.delete(ours, present)).all()
    jaccard = sklearn.metrics.jaccard_score(
        truth, prediction, labels=present, average=None, zero_division=0
    )
    assert rates.jaccard[present] == pytest.approx(jaccard)
    assert classification.macro(matrix).jaccard == pytest.approx(jaccard.mean())
    assert classification.accuracy(matrix) == pytest.approx(
        sklearn.metrics.accuracy_score(truth, prediction)
    )


@pytest.mark.parametrize("seed", range(5))
def test_video_wise_against_a_loop_over_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    classes = [0, 1, 2, 3]
    truth, prediction = rng.integers(0, 4, 50).tolist(), rng.integers(0, 4, 50).tolist()
    videos = np.sort(rng.integers(0, 4, 50)).tolist()
    table = np.full((max(videos) + 1, 4), np.nan)
    for video in set(videos):
        t = [x for x, v in zip(truth, videos, strict=True) if v == video]
        p = [x for x, v in zip(prediction, videos, strict=True) if v == video]
        for c in set(t):
            table[video, c] = sklearn.metrics.jaccard_score(
                t, p, labels=[c], average=None, zero_division=0
            )[0]
    matrices = classification.by_video(truth, prediction, videos, classes)
    rates = [phases.of_matrix(matrix) for matrix in matrices]
    assert phases.spread(rates, "jaccard").mean == pytest.approx(
        np.nanmean(np.nanmean(table, axis=0))
    )


def test_degenerate_inputs():
    one = classification.by_video(["a"], ["a"], ["v"], ["a", "b"])
    assert one.shape == (1, 2, 3)
    empty = classification.confusion([], [], ["a"])
    assert np.isnan(classification.accuracy(empty))
    assert np.isnan(classification.macro(empty).f1)
    none = classification.by_video([], [], [], ["a"])
    assert none.shape == (0, 1, 2)


def test_errors():
    with pytest.raises(ValueError, match="2 true labels but 1"):
        classification.confusion(["a", "a"], ["a"], ["a"])
    with pytest.raises(ValueError, match="zzz is not among"):
        classification.confusion(["zzz"], ["a"], ["a"])
    with pytest.raises(ValueError, match="differ"):
        classification.by_video(["a"], ["a"], [], ["a"])
