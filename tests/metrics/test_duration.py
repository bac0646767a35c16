import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import duration


def test_by_hand():
    found = duration.errors([10, 4, 7, 3], [12, 4, None, 9.5])
    assert duration.mean_error(found) == pytest.approx((2 + 0 + 6.5) / 3)
    assert duration.within(found, 2) == 0.5
    assert duration.within(found, 1.9) == 0.25
    assert duration.within(found, 10) == 0.75  # what was not read is outside


def test_nothing_read():
    found = duration.errors([1, 2], [None, None])
    assert np.isnan(duration.mean_error(found))
    assert duration.within(found, 1e9) == 0
    with pytest.raises(ValueError, match="1 true durations"):
        duration.errors([1], [])


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(0, 60, (2, int(rng.integers(1, 30)))).tolist()
    found = duration.errors(truth, said)
    assert duration.mean_error(found) == pytest.approx(
        sklearn.metrics.mean_absolute_error(truth, said)
    )
    for limit in (2, 5, 10):
        right = [abs(t - s) <= limit for t, s in zip(truth, said, strict=True)]
        assert duration.within(found, limit) == pytest.approx(np.mean(right))
        worse = duration.errors([*truth, 1], [*said, None])  # one more, unread
        assert duration.within(worse, limit) <= duration.within(found, limit)
