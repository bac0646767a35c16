import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from surgzoo.metrics import skill


@pytest.mark.parametrize("levels", [3, 30])  # OSATS has few levels: many ties
@pytest.mark.parametrize("seed", range(10))
def test_against_scipy(seed, levels):
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(0, levels, (2, int(rng.integers(2, 25)))).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a constant side has no correlation
        oracle = scipy.stats.spearmanr(truth, said).statistic
    found = skill.spearman(truth.tolist(), said.tolist())
    assert found == pytest.approx(oracle, nan_ok=True)
    assert skill.ranks(truth) == pytest.approx(scipy.stats.rankdata(truth))
    assert skill.mean_absolute_error(truth, said.tolist()) == pytest.approx(
        sklearn.metrics.mean_absolute_error(truth, said)
    )


def test_by_hand_and_unread():
    assert skill.spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert skill.spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # The two extremes were not read: 2 and 3 are in order, and 1 and 4 are not known to be.
    assert skill.spearman([1, 2, 3, 4], [None, 5, 6, None]) == pytest.approx(0.5 / np.sqrt(5 * 0.5))
    assert skill.mean_absolute_error([1, 2], [None, 4]) == 2


def test_degenerate():
    assert np.isnan(skill.spearman([], []))
    assert np.isnan(skill.spearman([1], [1]))
    assert np.isnan(skill.spearman([1, 2], [None, 1]))
    assert np.isnan(skill.spearman([1, 2, 3], [7, 7, 7]))
    assert np.isnan(skill.mean_absolute_error([1], [None]))
    with pytest.raises(ValueError, match="1 true ratings but 2"):
        skill.spearman([1], [1, 2])
