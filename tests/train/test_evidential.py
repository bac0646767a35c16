"""The loss of BSA: by hand, against scipy and torch, weights that add up, errors, learning."""

import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from surgzoo.train import evidential
from surgzoo.train.objectives import OBJECTIVES
from tests.models.bsa_small import random_params, small_config, video

CONFIG = small_config()
MODEL = CONFIG.build()


def logits(batch=6, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return (3 * rng.standard_normal((batch, classes))).astype("f"), rng.integers(0, classes, batch)


def alphas(z):
    return np.log1p(np.exp(z.astype(float))) + 1


def test_expected_cross_entropy_is_that_of_draws():
    z, labels = logits()
    found = evidential.expected_cross_entropy(z, labels)
    alpha = alphas(z)
    by_hand = scipy.special.digamma(alpha.sum(1)) - scipy.special.digamma(alpha[range(6), labels])
    np.testing.assert_allclose(found, by_hand, rtol=1e-4)
    for row in range(6):
        draws = scipy.stats.dirichlet.rvs(alpha[row], size=40_000, random_state=row)
        assert found[row] == pytest.approx(-np.log(draws[:, labels[row]]).mean(), rel=0.03)


def test_wrong_evidence_against_scipy_and_torch():
    z, labels = logits()
    found = evidential.wrong_evidence(z, labels)
    alpha = alphas(z)
    alpha[range(6), labels] = 1
    # KL from the flat one: the flat density's logarithm is log((C - 1)!), a constant.
    entropy = [scipy.stats.dirichlet.entropy(row) for row in alpha]
    np.testing.assert_allclose(found, -np.array(entropy) - np.log(6), rtol=1e-4, atol=1e-4)
    flat = torch.distributions.Dirichlet(torch.ones(6, 4, dtype=torch.double))
    ours = torch.distributions.Dirichlet(torch.tensor(alpha))
    wanted = torch.distributions.kl_divergence(ours, flat).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    sure = np.full((1, 4), -40.0)
    sure[0, 2] = 9.0
    assert evidential.wrong_evidence(sure, np.array([2]))[0] == pytest.approx(0, abs=1e-5)
    assert evidential.wrong_evidence(sure, np.array([1]))[0] > 1


def batch(rows=4):
    return {
        "video": video(CONFIG, rows),
        "action": np.array([0, 4, -1, 2])[:rows],
        "balance": np.array([0.5, 3.0, 7.0, 1.5], "f")[:rows],
        "skill": np.array([-1, 2, 1, -1])[:rows],
    }


def test_the_whole_loss_by_hand():
    params, given = random_params(CONFIG), batch()
    loss, metrics = jax.jit(lambda p, b: evidential.bsa(MODEL, p, b, None))(params, given)
    found = jax.jit(MODEL.label_logits)(params, given["video"])
    total, right = 0.0, 0
    probabilities = np.exp(jax.jit(MODEL.classify)(params, given["video"]))
    for row, label in ((0, 0), (1, 4), (3, 2)):
        for name, weight in (("action", 1), ("balanced_action", given["balance"][row])):
            z = np.asarray(found[name])[row : row + 1]
            alpha = alphas(z)[0]
            own = scipy.special.digamma(alpha.sum()) - scipy.special.digamma(alpha[label])
            alpha[label] = 1
            pull = -scipy.stats.dirichlet.entropy(alpha) - np.log(24)
            total += weight * (own + 0.1 * pull)
        right += probabilities[row].argmax() == label
    for row, label in ((1, 2), (2, 1)):
        total -= scipy.special.log_softmax(np.asarray(found["skill"])[row])[label]
    assert loss == pytest.approx(total / 4, rel=1e-4)
    assert metrics["weight"] == 4
    assert metrics["accuracy"] == pytest.approx(right / 4)


def test_microbatches_add_up():
    params, given = random_params(CONFIG), batch()
    objective = jax.jit(lambda b: OBJECTIVES["bsa"](MODEL, params, b, None))
    loss, metrics = objective(given)
    parts = [objective(jax.tree.map(lambda x, i=i: x[i : i + 2], given)) for i in (0, 2)]
    weights = [part[1]["weight"] for part in parts]
    assert sum(weights) == metrics["weight"]
    mean = sum(part[0] * w for part, w in zip(parts, weights, strict=True)) / sum(weights)
    assert loss == pytest.approx(float(mean), rel=1e-5)


def test_one_head_and_clips_without_labels():
    single = small_config(dual=False)
    objective = jax.jit(lambda b: evidential.bsa(single.build(), random_params(single), b, None))
    loss, metrics = objective(batch())
    assert np.isfinite(loss)
    assert metrics["weight"] == 4
    nothing = batch() | {"action": np.full(4, -1), "skill": np.full(4, -1)}
    assert objective(nothing)[0] == 0
