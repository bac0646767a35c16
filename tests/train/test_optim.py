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
    stacked = {"layers/norm1/scale": jnp.ones((3, 2)), "layers/attention/q/bias": jnp.ones((3, 2))}
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2), **stacked}
    zero = jax.tree.map(jnp.zeros_like, params)
    state = tx.init(params)
    _, state = tx.update(zero, state, params)  # the first step has rate 0
    updates, _ = tx.update(zero, state, params)
    np.testing.assert_allclose(updates["kernel"], -0.5)
    for name in ("bias", *stacked):
        np.testing.assert_array_equal(updates[name], 0.0)


def test_muon_turns_the_matrices_of_layers_and_leaves_the_rest_to_adam():
    params = {
        "layers/mlp/up/kernel": jnp.ones((3, 16, 24)),  # three layers, stacked
        "vision/patch/kernel": jnp.ones((16, 24)),
        "neck/resize/product/kernel": jnp.ones((16, 2, 2, 24)),
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
    for path in params.keys() - {"layers/mlp/up/kernel"}:
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


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_matrices_decay_and_what_stands_still_stays(name):
    config = OptimConfig(name=name, lr=1.0, schedule="constant", warmup_steps=0, weight_decay=0.5)
    tx = optim.optimizer(config, 10)
    decayed = {"a/kernel": jnp.ones((2, 2)), "embedding": jnp.ones((2, 2))}
    kept = {"norm/mean": jnp.ones(2), "norm/var": jnp.ones(2), "log_scale": jnp.ones(())}
    zero = jax.tree.map(jnp.zeros_like, decayed | kept)
    state = tx.init(decayed | kept)
    _, state = tx.update(zero, state, decayed | kept)
    updates, _ = tx.update(zero, state, decayed | kept)
    for path, update in updates.items():
        np.testing.assert_array_equal(update, 0.0 if path in kept else -0.5, err_msg=path)


def moment_bytes(tx, params):
    """Bytes of the arrays that stand for parameters in an optimizer's state."""
    shapes = {leaf.shape for leaf in params.values()}
    state = jax.eval_shape(tx.init, params)
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state) if x.shape in shapes)


@pytest.mark.parametrize(("name", "copies"), [("adamw", 2), ("muon", 1)])
def test_bfloat16_moments_take_half(name, copies):
    params = {"a/kernel": jnp.ones((32, 48)), "b/kernel": jnp.ones((3, 16, 24))}
    half, whole = (
        moment_bytes(optim.optimizer(OptimConfig(name=name, moments=moments), 10), params)
        for moments in ("bfloat16", "float32")
    )
    assert whole == copies * 4 * (32 * 48 + 3 * 16 * 24)
    assert half * 2 == whole


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_bfloat16_moments_learn_as_well(name):
    """Noisy regression with a small hidden layer: the losses end within a few percent."""
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(40, 64, 8)), jnp.float32)
    truth = jnp.tanh(inputs @ jnp.asarray(rng.normal(size=(8, 3)), jnp.float32))
    noisy = truth + 0.05 * jnp.asarray(rng.normal(size=truth.shape), jnp.float32)
    start = {
        "a/kernel": jnp.asarray(rng.normal(size=(8, 32)) / 8**0.5, jnp.float32),
        "b/kernel": jnp.asarray(rng.normal(size=(32, 3)) / 32**0.5, jnp.float32),
        "bias": jnp.zeros(32),
    }

    def loss(params, x, y):
        hidden = jnp.tanh(x @ params["a/kernel"] + params["bias"])
        return jnp.mean((hidden @ params["b/kernel"] - y) ** 2)

    def end(moments):
        tx = optim.optimizer(OptimConfig(name=name, lr=1e-2, moments=moments, warmup_steps=5), 200)

        def step(carry, index):
            params, state = carry
            grads = jax.grad(loss)(params, inputs[index], noisy[index])
            updates, state = tx.update(grads, state, params)
            return (jax.tree.map(jnp.add, params, updates), state), None

        carry = (start, tx.init(start))
        (params, _), _ = jax.lax.scan(step, carry, jnp.arange(200) % 40)
        return float(jnp.mean(jax.vmap(lambda x, y: loss(params, x, y))(inputs, truth)))

    first = float(jnp.mean(jax.vmap(lambda x, y: loss(start, x, y))(inputs, truth)))
    whole, half = end("float32"), end("bfloat16")
    assert whole < 0.15 * first
    assert half == pytest.approx(whole, rel=0.1) and half != whole


def second_moment(b2, moments, steps):
    """After one large gradient and `steps` small ones."""
    tx = optim.optimizer(OptimConfig(b2=b2, moments=moments, clip_norm=1e9), 10)
    params = {"kernel": jnp.ones((1, 1))}
    _, state = tx.update({"kernel": jnp.full((1, 1), 100.0)}, tx.init(params), params)
    small = {"kernel": jnp.full((1, 1), 1e-3)}
    state, _ = jax.lax.scan(lambda s, _: (tx.update(small, s, params)[1], None), state, None, steps)
    return next(float(x.nu["kernel"][0, 0]) for x in jax.tree.leaves(
        state, is_leaf=lambda x: hasattr(x, "nu")) if hasattr(x, "nu"))  # fmt: skip


def test_bfloat16_moments_are_refused_where_they_get_stuck(monkeypatch):
    """At b2 0.95 the second moment forgets a spike as it should; at 0.999 it never would."""
    assert second_moment(0.95, "bfloat16", 100) == pytest.approx(
        second_moment(0.95, "float32", 100), rel=0.15
    )
    with pytest.raises(ValueError, match=r"b2 0.999: .*gets stuck.*optim.moments=float32"):
        second_moment(0.999, "bfloat16", 1)
    monkeypatch.setattr(optim, "MOST_B2", 1.0)
    assert second_moment(0.999, "float32", 3000) < 0.06 * second_moment(0.999, "float32", 0)
    assert second_moment(0.999, "bfloat16", 3000) > 0.9 * second_moment(0.999, "bfloat16", 0)
