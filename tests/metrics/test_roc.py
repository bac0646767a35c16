"""ROC figures against scikit-learn; intervals hold operations together."""

import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import bootstrap, roc


def test_golden_by_hand():
    truth, scores = np.array([1, 0, 1, 0], bool), np.array([0.9, 0.8, 0.4, 0.4])
    assert roc.auroc(truth, scores) == (2 + 0 + 0.5) / 4
    assert roc.at(truth, scores, 0.8) == (0.8, 0.5, 0.5)
    assert roc.best(truth, scores) == (0.9, 0.5, 1.0)
    assert roc.best(truth, scores).youden == 0.5
    # Upside down: nothing is better than never to say it.
    assert roc.best(truth, -scores) == (np.inf, 0.0, 1.0)


@pytest.mark.parametrize("levels", [2, 5, 10_000])  # few levels: many ties
@pytest.mark.parametrize("seed", range(10))
def test_against_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 60))
    truth = rng.random(count) < 0.4
    truth[:2] = True, False
    scores = rng.integers(0, levels, count) / levels
    assert roc.auroc(truth, scores) == pytest.approx(sklearn.metrics.roc_auc_score(truth, scores))
    false, hit, thresholds = sklearn.metrics.roc_curve(truth, scores, drop_intermediate=False)
    place = np.flatnonzero(np.isclose(hit - false, (hit - false).max()))[0]
    found = roc.best(truth, scores)
    assert found.youden == pytest.approx(hit[place] - false[place])
    assert found.threshold == thresholds[place]
    assert found[1:] == pytest.approx((hit[place], 1 - false[place]))
    matrix = sklearn.metrics.confusion_matrix(truth, scores >= 0.5, labels=[False, True])
    (tn, fp), (fn, tp) = matrix
    assert roc.at(truth, scores, 0.5)[1:] == pytest.approx((tp / (tp + fn), tn / (tn + fp)))


def test_resamples_are_weights():
    """The area of a resample is scikit-learn's with operations counted so often."""
    rng = np.random.default_rng(3)
    group = np.sort(rng.integers(0, 8, 90))
    truth = rng.random(90) < 0.3
    scores = np.round(truth + rng.standard_normal(90), 1)
    table = roc.scores_by_class(truth[:, None], scores[:, None], group, resamples=200)
    counts = bootstrap.draws(8, 200)

    def area(counts):
        return np.array(
            [sklearn.metrics.roc_auc_score(truth, scores, sample_weight=c[group]) for c in counts]
        )

    (found,) = table
    assert found.positives == truth.sum()
    assert found.auroc.value == pytest.approx(sklearn.metrics.roc_auc_score(truth, scores))
    assert found.auroc.interval == pytest.approx(bootstrap.resampled(area, 8, 200))
    assert counts.shape == (200, 8)
    for one in (found.auroc, found.sensitivity, found.specificity, found.youden):
        assert one.interval[0] <= one.value <= one.interval[1]
    point = roc.best(truth, scores)
    assert (found.threshold, found.youden.value) == pytest.approx((point.threshold, point.youden))


def test_given_thresholds_and_classes_without_items():
    truth = np.zeros((6, 2), bool)
    truth[:3, 0] = True
    scores = np.tile(np.array([[0.9], [0.6], [0.2], [0.7], [0.3], [0.1]]), (1, 2))
    operations = ["a", "a", "b", "b", "c", "c"]
    one, none = roc.scores_by_class(truth, scores, operations, thresholds=[0.5, 0.5])
    assert (one.sensitivity.value, one.specificity.value) == pytest.approx((2 / 3, 2 / 3))
    assert np.isnan(none.sensitivity.value)
    assert none.sensitivity.interval is None
    assert none.specificity.value == pytest.approx(0.5)
    none = roc.scores_by_class(truth, scores, operations)[1]
    assert none.positives == 0
    values = [none.threshold, none.auroc.value, none.specificity.value, none.youden.value]
    assert np.isnan(values).all()
    assert none.auroc.interval is None


def test_the_mean_over_classes_is_resampled_as_a_whole():
    rng = np.random.default_rng(5)
    group = rng.integers(0, 7, 80)
    labels = rng.integers(0, 3, 80)
    truth = labels[:, None] == np.arange(4)  # nobody has the fourth class
    scores = np.round(truth + rng.standard_normal((80, 4)), 1)
    asked = np.ones((80, 4), bool)
    asked[:30, 2] = False  # the third is no option there
    found = roc.macro_auroc(truth, scores, group.tolist(), asked, resamples=100)
    place = {number: at for at, number in enumerate(dict.fromkeys(group.tolist()))}
    numbered = np.array([place[number] for number in group])

    def mean(counts):
        out = []
        for weight in counts[:, numbered]:
            areas = []
            for c in range(3):
                mine = asked[:, c] & (weight > 0)
                if 0 < truth[mine, c].sum() < mine.sum():
                    areas.append(
                        sklearn.metrics.roc_auc_score(
                            truth[mine, c], scores[mine, c], sample_weight=weight[mine]
                        )
                    )
            out.append(np.mean(areas))
        return np.array(out)

    assert found.value == pytest.approx(mean(np.ones((1, 7)))[0])
    assert found.interval == pytest.approx(bootstrap.resampled(mean, 7, 100))
    none = roc.macro_auroc(truth[:, 3:], scores[:, 3:], group.tolist())
    assert np.isnan(none.value) and none.interval is None
    with pytest.raises(ValueError, match="1 operations for 80 items"):
        roc.macro_auroc(truth, scores, ["a"])


def test_errors():
    truth, scores = np.ones((3, 1), bool), np.zeros((3, 1))
    with pytest.raises(ValueError, match="3 of 3 items have the class"):
        roc.best(truth[:, 0], scores[:, 0])
    with pytest.raises(ValueError, match="2 operations for 3 items"):
        roc.scores_by_class(truth, scores, ["a", "b"])
    with pytest.raises(ValueError, match="2 thresholds for 1 classes"):
        roc.scores_by_class(truth, scores, ["a"] * 3, [0.1, 0.2])
    with pytest.raises(ValueError, match="NaN"):
        roc.auroc(truth[:, 0], np.full(3, np.nan))
    assert np.isnan(roc.auroc(np.zeros(0, bool), np.zeros(0)))
