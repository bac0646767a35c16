"""Intervals and tests over operations: against scipy, against simulation, against exact counts."""

import itertools

import numpy as np
import pytest
import scipy.stats

from surgzoo.metrics import bootstrap


def simulate(rng, groups=20, frames=60, accuracy=0.7, spread=0.12):
    """Right answers of operations of different length and difficulty, as tallies."""
    sizes = rng.integers(frames // 2, frames * 2, groups)
    rates = np.clip(rng.normal(accuracy, spread, groups), 0.01, 0.99)
    return np.stack([rng.binomial(sizes, rates), sizes], axis=1)[:, None].astype(float)


def test_value_is_a_mean_of_ratios():
    tally = np.array([[3.0, 4.0], [1.0, 2.0], [0.0, 0.0]])  # the last part was never asked
    assert bootstrap.value(tally) == pytest.approx((0.75 + 0.5) / 2)
    assert np.isnan(bootstrap.value(np.zeros((2, 2))))


def test_draws_are_seeded_and_whole():
    counts = bootstrap.draws(7, 200, seed=3)
    assert counts.shape == (200, 7) and (counts.sum(axis=1) == 7).all()
    np.testing.assert_array_equal(counts, bootstrap.draws(7, 200, seed=3))
    assert (counts != bootstrap.draws(7, 200, seed=4)).any()


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_scipys(seed):
    tallies = simulate(np.random.default_rng(seed))
    hits, sizes = tallies[:, 0, 0], tallies[:, 0, 1]
    found = bootstrap.interval(tallies, resamples=20000, seed=seed)
    theirs = scipy.stats.bootstrap(
        (hits, sizes),
        lambda h, s, axis: h.sum(axis=axis) / s.sum(axis=axis),
        paired=True, vectorized=True, method="BCa", n_resamples=20000, rng=seed,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found, theirs, atol=0.004)


@pytest.mark.slow
def test_coverage_of_the_interval():
    """The share of intervals that hold the truth: near 95 % from about 20 operations on."""
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(1000):
        low, high = bootstrap.interval(simulate(rng, groups=40), seed=seed)
        inside += low <= 0.7 <= high
    assert 0.92 <= inside / 1000 <= 0.98


def test_interval_of_perfect_and_of_undefined():
    perfect = np.full((6, 1, 2), 5.0)
    assert bootstrap.interval(perfect) == (1.0, 1.0)
    assert bootstrap.interval(np.zeros((6, 1, 2))) is None
    alone = np.zeros((8, 1, 2))
    alone[0] = (1.0, 2.0)  # most resamples still hold the one operation with a true box
    assert bootstrap.interval(alone) == (0.5, 0.5)


def test_any_function_of_the_counts():
    """The mean over operations of a value of each, which is no ratio of sums."""
    values = np.random.default_rng(1).random(30)
    low, high = bootstrap.resampled(lambda c: (c @ values) / c.sum(axis=1), 30, 20000)
    theirs = scipy.stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20000, rng=0)
    np.testing.assert_allclose((low, high), theirs.confidence_interval, atol=0.004)


def test_the_exact_test_by_hand():
    """Four operations, always one right answer more: only 2 of 16 exchanges are as extreme."""
    first = np.array([[[6.0, 10.0]]] * 4)
    second = np.array([[[5.0, 10.0]]] * 4)
    found = bootstrap.paired(first, second)
    assert found.difference == pytest.approx(0.1) and found.p == pytest.approx(2 / 16)
    np.testing.assert_allclose(found.interval, (0.1, 0.1))
    same = bootstrap.paired(first, first)
    assert (same.difference, same.p) == (0.0, 1.0)


def test_the_exact_test_is_scipys():
    rng = np.random.default_rng(2)
    values = rng.random((2, 9))
    sides = [np.stack([side, np.ones(9)], axis=1)[:, None] for side in values]
    theirs = scipy.stats.permutation_test(
        tuple(values), lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples",
        n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    assert bootstrap.paired(*sides).p == pytest.approx(theirs.pvalue)


@pytest.mark.slow
def test_p_is_uniform_when_nothing_is_different():
    rng = np.random.default_rng(3)
    found = []
    for seed in range(600):
        # The same difficulty of each operation, two draws of answers.
        sizes = rng.integers(30, 120, 16)
        rates = np.clip(rng.normal(0.7, 0.12, 16), 0.01, 0.99)
        sides = [np.stack([rng.binomial(sizes, rates), sizes], axis=1)[:, None] for _ in range(2)]
        found.append(bootstrap.paired(*(side.astype(float) for side in sides), seed=seed).p)
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.08


def test_a_known_effect_is_found():
    rng = np.random.default_rng(4)
    sizes = rng.integers(60, 120, 20)
    rates = np.clip(rng.normal(0.6, 0.1, 20), 0.01, 0.9)
    better, worse = (
        np.stack([rng.binomial(sizes, rates + gain), sizes], axis=1)[:, None].astype(float)
        for gain in (0.08, 0.0)
    )
    found = bootstrap.paired(better, worse)
    low, high = found.interval
    assert found.p < 0.01 and 0 < low < found.difference < high
    other = bootstrap.paired(worse, better)
    assert other.difference == pytest.approx(-found.difference) and other.p < 0.01
    with pytest.raises(ValueError, match="shape"):
        bootstrap.paired(better, worse[:5])


def test_holm_by_hand():
    assert bootstrap.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert bootstrap.holm([]) == []
    for values in itertools.permutations([0.5, 0.6, 0.001]):
        adjusted = dict(zip(values, bootstrap.holm(values), strict=True))
        assert adjusted == pytest.approx({0.001: 0.003, 0.5: 1.0, 0.6: 1.0})
