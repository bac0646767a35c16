"""Losses over sequences, by torch and by hand; the planner and the TCN learn what they should."""

import jax
import numpy as np
import optax
import pytest
import torch
from torch.nn import functional

from surgzoo.models.bsa.config import PlannerConfig
from surgzoo.models.temporal.config import TemporalConfig
from surgzoo.train import sequences
from surgzoo.train.objectives import OBJECTIVES
from tests.models.bsa_small import random_params

TCN = TemporalConfig(features=6, classes=3, stages=2, layers=3, maps=8)
PLANNER = PlannerConfig(
    actions=4, longest=12, width=32, depth=2, heads=2, mlp=48, scan_layers=False
)


def run(name, model, params, batch):
    return jax.jit(lambda p, b: OBJECTIVES[name](model, p, b, None))(params, batch)


def fit(model, objective, batches, rate=3e-3):
    tx = optax.adam(rate)

    @jax.jit
    def step(params, state, batch):
        grad = jax.grad(lambda p: objective(model, p, batch, None)[0])(params)
        updates, state = tx.update(grad, state)
        return optax.apply_updates(params, updates), state

    params = model.init(jax.random.key(0))
    state = tx.init(params)
    for batch in batches:
        params, state = step(params, state, batch)
    return params


def frames(batch=3, length=20, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (batch, length))
    labels[1, 12:] = -1
    labels[2, 5] = -1
    features = rng.standard_normal((batch, length, 6)).astype("f")
    return {"features": features, "labels": labels}


def test_label_frames_against_torch():
    params, batch = random_params(TCN), frames()
    model = TCN.build()
    loss, metrics = run("label_frames", model, params, batch)
    stages = torch.tensor(np.asarray(20 * model.label_frames(params, batch["features"])))
    # Large logits, so that the truncation is met.
    assert (stages.log_softmax(-1).diff(dim=2).abs() > 4).any()
    labels = torch.tensor(batch["labels"])
    smooth = functional.mse_loss(
        stages.log_softmax(-1)[:, :, 1:], stages.log_softmax(-1)[:, :, :-1], reduction="none"
    )
    smooth = smooth.clamp(0, 16).mean(-1) * ((labels[:, 1:] >= 0) & (labels[:, :-1] >= 0))
    found = sequences.smoothness(stages.numpy(), np.broadcast_to(batch["labels"], (2, 3, 20)))
    np.testing.assert_allclose(found[..., 1:], smooth.numpy(), rtol=1e-4, atol=1e-6)
    assert not np.asarray(found[..., 0]).any()

    stages = stages / 20
    wanted = 0.0
    for stage in stages:
        wanted += functional.cross_entropy(stage.flatten(0, 1), labels.flatten(), ignore_index=-1)
    smooth = functional.mse_loss(
        stages.log_softmax(-1)[:, :, 1:], stages.log_softmax(-1)[:, :, :-1], reduction="none"
    )
    smooth = smooth.clamp(0, 16).mean(-1) * ((labels[:, 1:] >= 0) & (labels[:, :-1] >= 0))
    wanted += 0.15 * smooth.sum() / (labels >= 0).sum()
    assert loss == pytest.approx(float(wanted), rel=1e-5)
    assert metrics["weight"] == 60 - 8 - 1
    right = (stages[-1].argmax(-1) == labels).sum() / 51
    assert metrics["accuracy"] == pytest.approx(float(right))


def test_no_gradient_goes_back_in_time():
    labels = np.zeros((1, 2), int)
    grad = jax.grad(lambda z: sequences.smoothness(z, labels).sum())(
        np.array([[[0.0, 1, 2], [1, 0, 0]]], "f")
    )
    assert not np.asarray(grad[0, 0]).any()
    assert np.abs(grad[0, 1]).max() > 0.1


def test_microbatches_add_up():
    params, batch = random_params(TCN), frames()
    model = TCN.build()
    loss, metrics = run("label_frames", model, params, batch)
    parts = [
        run("label_frames", model, params, jax.tree.map(lambda x, i=i: x[i], batch))
        for i in ([0], [1, 2])
    ]
    mean = sum(part * m["weight"] for part, m in parts) / metrics["weight"]
    assert loss == pytest.approx(float(mean), rel=1e-5)


def test_the_tcn_remembers():
    """The label is what a marker said some frames ago: no frame alone tells it."""
    rng = np.random.default_rng(0)

    def videos(count=16, length=32):
        features = 0.3 * rng.standard_normal((count, length, 6)).astype("f")
        labels = np.zeros((count, length), int)
        for row in range(count):
            for start in range(0, length, 8):
                said = rng.integers(0, 3)
                features[row, start, said] += 3
                labels[row, start : start + 8] = said
        return {"features": features, "labels": labels}

    model = TCN.build()
    params = fit(model, sequences.label_frames, (videos() for _ in range(120)), 1e-2)
    test = videos(32)
    answers = np.asarray(jax.jit(model.label_frames)(params, test["features"])[-1].argmax(-1))
    late = np.arange(32) % 8 >= 3
    assert (answers == test["labels"])[:, late].mean() > 0.9  # chance: 1 / 3


def test_next_action_by_hand():
    params, model = random_params(PLANNER), PLANNER.build()
    actions = np.array([[0, 1, 2, 3], [3, 3, -1, -1]])
    loss, metrics = run("next_action", model, params, {"actions": actions})
    total, right = 0.0, 0
    plan = jax.jit(model.plan)
    for row in (actions[0], actions[1, :2]):
        logits = np.asarray(plan(params, np.eye(4, dtype="f")[row][None]))[0, :-1]
        log = torch.tensor(logits).log_softmax(-1).numpy()
        total -= log[np.arange(len(row)), row].sum()
        right += (log.argmax(-1) == row).sum()
    assert metrics["weight"] == 6
    assert loss == pytest.approx(total / 6, rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(right / 6)
    doubt = {"actions": actions, "history": np.full((2, 4, 4), 0.25, "f")}
    assert float(run("next_action", model, params, doubt)[0]) != pytest.approx(float(loss))


def test_the_planner_learns_an_order():
    """Each action follows from the two before it."""
    rng = np.random.default_rng(0)

    def histories(count=32):
        out = rng.integers(0, 4, (count, 10))
        for at in range(2, 10):
            out[:, at] = (out[:, at - 1] + out[:, at - 2]) % 4
        return {"actions": out}

    model = PLANNER.build()
    params = fit(model, sequences.next_action, (histories() for _ in range(200)))
    test = histories(64)["actions"]
    logits = jax.jit(model.plan)(params, np.eye(4, dtype="f")[test])
    answers = np.asarray(logits[:, 2:-1].argmax(-1))
    assert (answers == test[:, 2:]).mean() > 0.9  # chance: 0.25
