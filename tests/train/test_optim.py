import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.train import optim
from surgzoo.train.experiment import OptimConfig


@pytest.mark.parametrize("name", ["cosine", "linear", "constant"])
def test_schedule(name):
    config = OptimConfig(lr=0.1, schedule=name, warmup_steps=10, final_lr=0.2)
    rate = optim.schedule(config, 110)
    assert rate(0) == 0 and rate(5) == pytest.approx(0.05) and rate(10) == pytest.approx(0.1)
    half = {"cosine": 0.06, "linear": 0.06, "constant": 0.1}[name]
    last = {"cosine": 0.02, "linear": 0.02, "constant": 0.1}[name]
    assert rate(60) == pytest.approx(half, rel=1e-5)
    assert rate(110) == pytest.approx(last, rel=1e-5)


def test_a_run_shorter_than_its_warm_up_still_works():
    rate = optim.schedule(OptimConfig(lr=0.1, warmup_steps=100), 3)
    assert all(np.isfinite(rate(step)) for step in range(4))


def test_vectors_are_not_decayed_and_gradients_are_clipped():
    config = OptimConfig(lr=1.0, schedule="constant", warmup_steps=0, weight_decay=0.5)
    tx = optim.optimizer(config, 10)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zero = jax.tree.map(jnp.zeros_like, params)
    state = tx.init(params)
    _, state = tx.update(zero, state, params)  # the first step has rate 0
    updates, _ = tx.update(zero, state, params)
    np.testing.assert_allclose(updates["kernel"], -0.5)
    np.testing.assert_array_equal(updates["bias"], 0.0)
