"""The Fréchet distance against SciPy's matrix root, and the registry of extractors."""

import numpy as np
import pytest
import scipy.linalg

from surgzoo.core.registry import Card, UnknownNameError
from surgzoo.metrics import distribution as dist


def oracle(a, b):
    """As pytorch-fid writes it."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    apart = a.mean(0) - b.mean(0)
    return apart @ apart + np.trace(first) + np.trace(second) - 2 * np.trace(root)


def features(rng, count, size):
    return rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)


@pytest.mark.parametrize("size", [2, 7, 40])
@pytest.mark.parametrize("seed", range(3))
def test_frechet_is_that_of_scipy(size, seed):
    rng = np.random.default_rng(seed)
    a, b = features(rng, 300, size), features(rng, 200, size)
    first, second = dist.moments([a[:100], a[100:]]), dist.moments([b])
    assert first.count == 300
    np.testing.assert_allclose(first.mean, a.mean(0))
    np.testing.assert_allclose(first.covariance, np.cov(a, rowvar=False))
    assert dist.frechet(first, second) == pytest.approx(oracle(a, b), rel=1e-6)
    assert dist.frechet(second, first) == pytest.approx(dist.frechet(first, second))


def test_frechet_by_hand():
    # Independent coordinates: sum of (difference of means)^2 + (difference of deviations)^2.
    first = dist.Moments(np.array([0.0, 1.0]), np.diag([4.0, 9.0]), 10)
    second = dist.Moments(np.array([3.0, 1.0]), np.diag([1.0, 25.0]), 10)
    assert dist.frechet(first, second) == pytest.approx(9 + 1 + 4)
    assert dist.frechet(first, first) == pytest.approx(0, abs=1e-9)
    flat = dist.Moments(np.zeros(2), np.zeros((2, 2)), 2)
    assert dist.frechet(first, flat) == pytest.approx(1 + 4 + 9)
    assert dist.frechet(flat, flat) == 0
    with pytest.raises(ValueError, match="3 numbers against 2"):
        dist.frechet(first, dist.Moments(np.zeros(3), np.eye(3), 4))


@pytest.mark.parametrize("count", [2, 5])
def test_fewer_features_than_dimensions(count):
    """A covariance without full rank: SciPy's root is inexact there, so the definition by pairs of
    points serves: two sets that differ by a shift alone are its square apart."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(count, 30))
    found = dist.frechet(dist.moments([a]), dist.moments([a + 0.5]))
    assert found == pytest.approx(30 * 0.25, rel=1e-6)


def test_large_means_do_not_drown_the_spread():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(500, 3))
    found = dist.moments([a + 1e8])
    np.testing.assert_allclose(found.covariance, np.cov(a, rowvar=False), atol=1e-5)


@pytest.mark.parametrize(
    ("batches", "reason"),
    [
        ([], "0 features"),
        ([np.zeros((1, 4))], "1 features"),
        ([np.zeros((0, 4)), np.zeros((1, 4))], "1 features"),
        ([np.full((3, 2), np.nan)], "finite"),
        ([np.zeros(3)], "shape"),
    ],
)
def test_what_has_no_moments(batches, reason):
    with pytest.raises(ValueError, match=reason):
        dist.moments(batches)


def clips(seed, count=12, frames=4, shape=(33, 50)):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 200, (count, 1, *shape, 3))
    return (start + rng.integers(0, 20, (count, frames, *shape, 3))).astype(np.uint8)


def test_a_number_carries_the_name_of_its_extractor():
    a = clips(0)
    same = dist.frechet_distance([a], [a[:5], a[5:]], "grey16")
    assert same == {"fvd_grey16": pytest.approx(0, abs=1e-6)}
    dark = dist.frechet_distance([a], [a // 2], "grey16", kind="fid")
    assert list(dark) == ["fid_grey16"] and dark["fid_grey16"] > 1
    with pytest.raises(UnknownNameError, match="no extractor 'i3d'"):
        dist.frechet_distance([a], [a], "i3d")
    with pytest.raises(ValueError, match="has no weights"):
        dist.frechet_distance([a], [a], "grey16", "w.npz")


def test_grey16_is_block_means_and_their_change():
    extract = dist.grey16()
    clip = np.zeros((2, 3, 32, 48, 3), np.uint8)
    clip[0, :, :2, :3] = 255  # the first block
    clip[1, 1] = 51  # a fifth of the range, in the middle frame alone
    found = extract(clip)
    assert found.shape == (2, 512)
    assert found[0, 0] == 1 and not found[0, 1:].any()
    assert found[1, :256] == pytest.approx(np.full(256, 0.2 / 3))
    assert found[1, 256:] == pytest.approx(np.full(256, 0.2))
    image = extract(clip[:, :1])
    assert not image[:, 256:].any()
    uneven = np.full((1, 1, 17, 100, 3), 255, np.uint8)
    assert extract(uneven)[0, :256] == pytest.approx(np.ones(256))
    with pytest.raises(ValueError, match="at least 16 x 16"):
        extract(clip[:, :, :9])


def test_an_extractor_of_a_plug_in(tmp_path, monkeypatch):
    monkeypatch.setattr(dist.extractors, "_entries", dict(dist.extractors._entries))
    weights = tmp_path / "w.npy"
    np.save(weights, np.random.default_rng(0).normal(size=(3, 5)))

    def load(path):
        matrix = np.load(path)
        return lambda clips: clips.mean((1, 2, 3)) @ matrix

    dist.extractors.register("mine", load, Card("a test", "MIT", "here"), origin="my_lab")
    found = dist.frechet_distance([clips(0)], [clips(1)], "mine", str(weights))
    project = np.load(weights)
    assert found == {
        "fvd_mine": pytest.approx(
            oracle(*(clips(k).mean((1, 2, 3)) @ project for k in (0, 1))), rel=1e-3
        )
    }
