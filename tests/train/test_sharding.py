"""Sharded equals unsharded: one train step on 8 fake devices against the same step on one."""

import jax
import numpy as np
import optax
import pytest

from surgzoo.core import parallel
from surgzoo.core.contract import Message
from surgzoo.data.pipeline import stack
from surgzoo.models.build import model_config
from surgzoo.train import optim
from surgzoo.train.experiment import OptimConfig
from surgzoo.train.objectives import causal_lm
from surgzoo.train.state import abstract_state, flatten, init_state
from surgzoo.train.step import make_train_step

MESHES = {
    "data 8": {"data": 8},
    "fsdp 8": {"data": 1, "fsdp": 8},
    "data 2 x fsdp 2 x tensor 2": {"data": 2, "fsdp": 2, "tensor": 2},
}


@pytest.fixture(scope="module")
def setup():
    config = model_config("surgvlm-tiny", {"text.depth": 2, "vision.depth": 2})
    processor = config.processor()
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(16):
        image = rng.integers(0, 255, (80, 100, 3), np.uint8)
        answer = " ".join(rng.choice(["hook", "grasper", "clipper"], rng.integers(1, 4)))
        talk = [Message("user", "Which instruments are in view?", 1), Message("assistant", answer)]
        rows.append(processor.encode(talk, [image], bucket=processor.buckets[1]))
    return config.build(), stack(rows)


def run(model, batch, sizes, devices, pattern=".*", accumulate=1):
    """Loss, and the parameters after one step of plain gradient descent (so: the gradients)."""
    mesh = parallel.make_mesh(**sizes, devices=devices)
    tx = optax.sgd(1.0)
    abstract = abstract_state(model, tx, pattern, False, mesh)
    state = init_state(model, tx, pattern, False, mesh, jax.random.key(0))
    before = jax.device_get(flatten(state["params"]))
    step = make_train_step(
        model, causal_lm, tx, abstract, mesh, pattern=pattern, accumulate=accumulate
    )
    state, metrics = step(state, parallel.shard_batch(batch, mesh))
    after = jax.device_get(flatten(state["params"]))
    return float(metrics["loss"]), before, after, state


@pytest.fixture(scope="module")
def reference(setup):
    return run(*setup, {"data": 1}, jax.devices()[:1])


@pytest.mark.parametrize("mesh", MESHES)
def test_sharded_equals_unsharded(setup, reference, mesh):
    loss, before, after, state = run(*setup, MESHES[mesh], jax.devices())
    assert loss == pytest.approx(reference[0], rel=1e-6)
    for path, value in after.items():
        np.testing.assert_array_equal(before[path], reference[1][path], err_msg=path)
        gradient, expected = before[path] - value, reference[1][path] - reference[2][path]
        scale = max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(gradient, expected, atol=2e-5 * scale + 2e-7, err_msg=path)
    if MESHES[mesh].get("fsdp", 1) > 1:
        cut = [leaf for leaf in jax.tree.leaves(state["params"]) if not leaf.is_fully_replicated]
        assert sum(leaf.size for leaf in cut) > 0.9 * sum(v.size for v in after.values())


def test_accumulation_equals_one_batch(setup, reference):
    loss, _, after, _ = run(*setup, {"data": 1}, jax.devices()[:1], accumulate=4)
    assert loss == pytest.approx(reference[0], rel=1e-6)
    for path, value in after.items():
        np.testing.assert_allclose(value, reference[2][path], atol=2e-6, err_msg=path)


def test_frozen_parameters_do_not_move(setup):
    _, before, after, _ = run(*setup, {"data": 1}, jax.devices()[:1], pattern="merger")
    moved = {path for path in after if not np.array_equal(before[path], after[path])}
    assert moved and all("merger" in path for path in moved)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimizer_moments_are_sharded_like_their_parameters(setup, name):
    model, _ = setup
    mesh = parallel.make_mesh(data=1, fsdp=8)
    tx = optim.optimizer(OptimConfig(name=name), 10)
    state = init_state(model, tx, ".*", True, mesh, jax.random.key(0))
    params = flatten(state["params"])
    moments = {
        path[-1].key: leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state["opt"])
        if getattr(path[-1], "key", None) in params and leaf.shape == params[path[-1].key].shape
    }
    assert {p: m.sharding for p, m in moments.items()} == {p: v.sharding for p, v in params.items()}
    assert {p: e.sharding for p, e in state["ema"].items()} == {
        p: v.sharding for p, v in params.items()
    }


def test_no_trainable_parameter_is_an_error(setup):
    with pytest.raises(ValueError, match="no parameter path matches"):
        abstract_state(setup[0], optax.sgd(1.0), "nothing_here", False, parallel.make_mesh())
