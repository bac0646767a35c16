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


def test_muon_turns_the_matrices_of_layers_and_leaves_the_rest_to_adam():
    params = {
        "layers/mlp/up/kernel": jnp.ones((3, 16, 24)),  # three layers, stacked
        "vision/patch/kernel": jnp.ones((16, 24)),
        "text/embedding": jnp.ones((16, 24)),
        "norm/scale": jnp.ones(16),
    }
    rng = np.random.default_rng(0)
    grads = {path: jnp.asarray(rng.normal(size=p.shape), jnp.float32) for path, p in params.items()}
    settings = {"lr": 0.1, "schedule": "constant", "warmup_steps": 0, "weight_decay": 0.0}
    tx = optim.optimizer(OptimConfig(name="muon", **settings), 10)
    state = tx.init(params)
    _, state = tx.update(grads, state, params)  # the first step has rate 0
    updates, _ = tx.update(grads, state, params)
    # Equal gradients in a row: Adam's update is their sign.
    for path in ("vision/patch/kernel", "text/embedding", "norm/scale"):
        np.testing.assert_allclose(jnp.sign(updates[path]), -jnp.sign(grads[path]), err_msg=path)
        assert float(jnp.abs(updates[path]).std()) < 0.01
    for layer, gradient in zip(
        updates["layers/mlp/up/kernel"] / 0.1, grads["layers/mlp/up/kernel"], strict=True
    ):
        # The nearest orthogonal matrix, but for what five iterations leave (0.7 to 1.2) ...
        values = np.linalg.svd(layer, compute_uv=False)
        assert values.max() / values.min() < 1.8
        gu, _, gv = np.linalg.svd(gradient, full_matrices=False)
        cosine = -(layer * (gu @ gv)).sum() / np.linalg.norm(layer) / np.linalg.norm(gu @ gv)
        assert cosine > 0.97
        # ... at the size of an update of Adam.
        assert float(jnp.sqrt(jnp.mean(layer**2))) == pytest.approx(0.2, rel=0.2)


def test_muon_decays_weights():
    config = OptimConfig(name="muon", lr=1.0, schedule="constant", warmup_steps=0, weight_decay=0.5)
    tx = optim.optimizer(config, 10)
    params = {"a/kernel": jnp.ones((2, 2)), "embedding": jnp.ones((2, 2))}
    zero = jax.tree.map(jnp.zeros_like, params)
    state = tx.init(params)
    _, state = tx.update(zero, state, params)
    for update in tx.update(zero, state, params)[0].values():
        np.testing.assert_allclose(update, -0.5)
