"""The functional boundary, and that every way of running the model gives the same numbers."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qwen_small import picture, random_params, small_config, stack_rows

from surgzoo.core.contract import Message
from surgzoo.models.layers.stack import unstack


@pytest.fixture(scope="module")
def batch():
    processor = small_config().processor()
    turns = [Message("user", "Which phase?", 1), Message("assistant", "preparation")]
    return stack_rows([processor.encode(turns, [picture(84, 112, seed)]) for seed in range(2)])


def loss_of(config):
    model = config.build()

    def loss(params, batch):
        log_probs = jax.nn.log_softmax(model.forward(params, batch)[:, :-1])
        picked = jnp.take_along_axis(log_probs, batch["tokens"][:, 1:, None], axis=-1)[..., 0]
        return -(picked * batch["loss_mask"][:, 1:]).sum() / batch["loss_mask"][:, 1:].sum()

    return jax.jit(jax.value_and_grad(loss))


@pytest.fixture(scope="module")
def fresh():
    return jax.jit(small_config().build().init)(jax.random.key(0))


@pytest.fixture(scope="module")
def loss_and_gradients(batch):
    return loss_of(small_config())(random_params(small_config()), batch)


def test_params_are_plain_dicts(fresh):
    model, params = small_config().build(), fresh

    def check(node):
        assert type(node) is dict and all(type(key) is str and key != "value" for key in node)
        for value in node.values():
            if isinstance(value, dict):
                check(value)
            else:
                assert isinstance(value, jax.Array) and value.dtype == jnp.float32

    check(params)
    shapes = jax.tree.map(lambda a: (a.shape, a.dtype), params)
    assert shapes == jax.tree.map(lambda a: (a.shape, a.dtype), model.abstract())


def test_logical_axes():
    model = small_config().build()
    axes = model.logical_axes()
    assert axes["text"]["embedding"] == ("vocab", "embed")
    assert axes["text"]["layers"]["attention"]["out"]["kernel"] == ("layers", "heads", "embed")
    assert axes["text"]["norm"]["scale"] == (None,)
    is_leaf = lambda x: isinstance(x, tuple)  # noqa: E731
    same = jax.tree.structure(axes, is_leaf=is_leaf) == jax.tree.structure(model.abstract())
    assert same
    flat = dataclasses.replace(small_config(), scan_layers=False).build().logical_axes()
    assert flat["text"]["layers"]["0"]["attention"]["out"]["kernel"] == ("heads", "embed")


def test_layers_start_different(fresh):
    kernel = fresh["text"]["layers"]["attention"]["q"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])


@pytest.mark.parametrize(
    "changes", [{"scan_layers": False}, {"remat": "dots", "vision_remat": "full"}]
)
def test_same_loss_and_gradients(batch, loss_and_gradients, changes):
    params, (loss, grads) = random_params(small_config()), loss_and_gradients
    other = dataclasses.replace(small_config(), **changes)
    flat = "scan_layers" in changes
    other_loss, other_grads = loss_of(other)(unstack(params) if flat else params, batch)
    np.testing.assert_allclose(other_loss, loss, rtol=1e-5)
    grads = unstack(grads) if flat else grads
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), other_grads, grads)
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(grads))  # nothing is cut off


def test_features_and_logits_make_forward(batch):
    model, params = small_config().build(), random_params(small_config())
    features = model.features(params, batch)
    np.testing.assert_allclose(
        model.logits(params, features), model.forward(params, batch), atol=1e-4
    )


def test_bfloat16_is_near(batch):
    config, params = small_config(), random_params(small_config())
    exact = jax.jit(config.build().forward)(params, batch)
    model = dataclasses.replace(config, compute_dtype="bfloat16").build()
    rough = jax.jit(model.forward)(params, batch)
    assert rough.dtype == jnp.float32
    real = batch["segments"] > 0
    assert np.abs(rough - exact)[real].mean() < 0.05 * np.abs(exact)[real].mean()


def test_text_only_never_calls_the_tower():
    """The same row in a bucket without patches and in one with them."""
    config, params = small_config(), random_params(small_config())
    processor, forward = config.processor(), jax.jit(config.build().forward)
    turns = [Message("user", "Which phase?")]
    without, with_room = (processor.encode(turns, [], bucket=(64, p)) for p in (0, 16))
    left, right = (forward(params, stack_rows([row])) for row in (without, with_room))
    real = without["segments"] > 0
    np.testing.assert_allclose(left[0][real], right[0][real], atol=1e-5)


@pytest.mark.slow
def test_tree_mode():
    """Flax's tree mode, which will become the only one."""
    code = (
        "import jax; from surgzoo.models import models; c = models.get('surgvlm-tiny')();"
        "m = c.build(); p = jax.jit(m.init)(jax.random.key(0)); x = c.processor().encode([], []);"
        "b = {k: v[None] for k, v in x.items()}; print(jax.jit(m.forward)(p, b).shape)"
    )
    env = os.environ | {"NNX_GRAPH_MODE": "false", "NNX_GRAPH_UPDATES": "false"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert out.stdout.startswith("(1, 64, "), out.stderr
