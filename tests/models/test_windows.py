"""Attention by blocks against the whole table of scores, and layers of different kinds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from surgzoo.models.layers import parameter
from surgzoo.models.layers.attention import attend
from surgzoo.models.layers.stack import make_layers, run_kinds, run_layers, unstack
from surgzoo.models.layers.windows import attend_in_windows

HEADS, WIDTH = 2, 4


def dense(q, k, v, window):
    """All scores, those between windows masked."""
    mask = (window[:, :, None] == window[:, None, :]) & (window >= 0)[:, None, :]
    return attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask)


def tokens(rows, count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(rows, count, HEADS, WIDTH)).astype(np.float32) for _ in range(3)]


def windows(sizes, count):
    """Ids of windows of these sizes, then padding."""
    ids = np.repeat(np.arange(len(sizes)), sizes)
    return np.pad(ids, (0, count - len(ids)), constant_values=-1).astype(np.int32)


@pytest.mark.parametrize(
    ("sizes", "count", "size", "aligned"),
    [
        ([4, 4, 4], 12, 4, True),
        ([4, 4], 12, 4, True),  # a block of padding
        ([4, 4, 4], 12, 4, False),
        ([4, 2, 4, 1, 3], 16, 4, False),  # windows over the edges of blocks
        ([1, 1, 4, 4, 2, 4], 19, 4, False),  # tokens no multiple of the block
        ([3, 2], 7, 8, False),  # one block
    ],
)
def test_equals_dense(sizes, count, size, aligned):
    ids = np.stack([windows(sizes, count), windows(sizes[:1], count)])
    q, k, v = tokens(2, count)
    held = (ids >= 0)[..., None, None]

    def total(fn):  # a weighted sum, so that every output has a gradient of its own
        weight = np.random.default_rng(9).normal(size=q.shape).astype(np.float32)
        return lambda q, k, v: (jnp.where(held, fn(q, k, v), 0) * weight).sum()

    def by_blocks(q, k, v):
        return attend_in_windows(q, k, v, ids, size, aligned)

    def by_scores(q, k, v):
        return dense(q, k, v, ids)

    ours, theirs = np.asarray(by_blocks(q, k, v)), np.asarray(by_scores(q, k, v))
    np.testing.assert_allclose(np.where(held, ours, 0), np.where(held, theirs, 0), atol=1e-6)
    got = jax.grad(total(by_blocks), argnums=(0, 1, 2))(q, k, v)
    true = jax.grad(total(by_scores), argnums=(0, 1, 2))(q, k, v)
    for mine, other in zip(got, true, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5)
        assert np.isfinite(mine).all()


class _Layer(nnx.Module):
    def __init__(self, rngs):
        self.a = parameter.normal(rngs, (3,), (None,), 1.0)


STEPS = {
    "add": lambda x, layer, _: (x + layer.a[...], None),
    "turn": lambda x, layer, _: (jnp.sin(x) * layer.a[...], None),
}


@pytest.mark.parametrize("remat", ["none", "full"])
@pytest.mark.parametrize(
    "kinds",
    [
        ["add", "add", "turn"] * 2,  # a pattern
        ["add", "turn", "add", "add", "turn"],  # none
        ["turn"] * 4,
        ["add"],
    ],
)
def test_run_kinds(kinds, remat):
    stacked = make_layers(_Layer, len(kinds), rngs=nnx.Rngs(0), stacked=True)
    graph, state = nnx.split(stacked)
    params = {"layers": {"a": state["a"].get_value()}}
    x, true = jnp.arange(3.0), jnp.arange(3.0)
    for kind, a in zip(kinds, params["layers"]["a"], strict=True):
        true = true + a if kind == "add" else jnp.sin(true) * a
    np.testing.assert_allclose(run_kinds(stacked, STEPS, kinds, x, remat), true, atol=1e-6)

    tower = make_layers(_Layer, len(kinds), rngs=nnx.Rngs(0), stacked=False)
    same = unstack(params)["layers"]
    for number in range(len(kinds)):
        getattr(tower, str(number)).a.set_value(same[str(number)]["a"])
    np.testing.assert_allclose(run_kinds(tower, STEPS, kinds, x, remat), true, atol=1e-6)
    del graph


def test_a_pattern_compiles_once():
    """Eight layers of a pattern of two runs are two bodies, not eight."""
    layers = make_layers(_Layer, 8, rngs=nnx.Rngs(0), stacked=True)
    kinds = ["add", "add", "add", "turn"] * 2
    bodies = str(jax.make_jaxpr(lambda x: run_kinds(layers, STEPS, kinds, x))(jnp.ones(3)))
    assert bodies.count(" sin ") == 1
    with pytest.raises(ValueError, match="unknown remat"):
        run_layers(layers, STEPS["add"], jnp.ones(3), remat="some")
