"""The layers against their formulas, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.models.layers.attention import Shared, attend
from surgzoo.models.layers.linear import linear
from surgzoo.models.layers.norm import RMSNorm
from surgzoo.models.layers.rotary import mrope, rope_2d, rotate
from surgzoo.models.layers.stack import run_layers


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def reference(q, k, v, mask):
    """Head by head, row by row."""
    out = np.zeros_like(q)
    group = q.shape[2] // k.shape[1]
    for b, head in np.ndindex(q.shape[0], q.shape[2]):
        scores = q[b, :, head] @ k[b, head // group].T / q.shape[-1] ** 0.5
        scores = np.where(mask[b], scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[b, :, head] = weights / weights.sum(-1, keepdims=True) @ v[b, head // group]
    return out


@pytest.mark.parametrize("heads, kv_heads", [(6, 2), (4, 4), (4, 1)])
def test_attention(heads, kv_heads):
    q, k = normal(2, 5, heads, 8), normal(2, kv_heads, 7, 8)
    v = normal(2, kv_heads, 7, 8, seed=1)
    mask = np.broadcast_to(np.tri(5, 7, k=2, dtype=bool), (2, 5, 7))
    np.testing.assert_allclose(attend(q, k, v, mask), reference(q, k, v, mask), atol=1e-5)


@pytest.mark.parametrize("heads, kv_heads", [(6, 2), (4, 1)])
def test_attention_over_shared_keys(heads, kv_heads):
    """One softmax over a row's own keys and those that it shares with two others."""
    rng = np.random.default_rng(0)
    q, k, v = normal(6, 3, heads, 8), normal(6, kv_heads, 4, 8), normal(6, kv_heads, 4, 8, seed=1)
    shared_k, shared_v = 3 * normal(2, kv_heads, 9, 8), normal(2, kv_heads, 9, 8, seed=1)
    mask, seen = rng.random((6, 3, 4)) < 0.7, rng.random((6, 3, 9)) < 0.5
    mask[..., 0] = True
    seen[5] = False  # a row may see nothing of what is shared
    got = attend(q, k, v, mask, Shared(shared_k.swapaxes(2, 3), shared_v, seen))
    k, v = (
        np.concatenate([np.repeat(shared, 3, axis=0), own], axis=2)
        for shared, own in ((shared_k, k), (shared_v, v))
    )
    expected = reference(q, k, v, np.concatenate([seen, mask], axis=-1))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_attention_refuses_uneven_sharing():
    q, k = normal(3, 1, 2, 4), normal(3, 2, 2, 4)
    mask = np.ones((3, 1, 2), bool)
    with pytest.raises(ValueError, match="3 rows cannot share 2"):
        attend(q, k, k, mask, Shared(k[:2], k[:2], mask))


def test_attention_of_padding_is_finite():
    q, k = normal(1, 3, 2, 4), normal(1, 2, 3, 4)
    grad = jax.grad(lambda q: attend(q, k, k, np.zeros((1, 3, 3), bool)).sum())(q)
    assert np.isfinite(grad).all()


def test_attention_refuses_uneven_groups():
    with pytest.raises(ValueError, match="3 query heads"):
        attend(normal(1, 2, 3, 4), normal(1, 2, 2, 4), normal(1, 2, 2, 4), np.ones((1, 2, 2), bool))


def test_mrope_of_text_is_rope():
    positions = np.broadcast_to(np.arange(4), (1, 3, 4))
    x = normal(1, 4, 2, 16)
    turned = rotate(x, mrope(positions, 16, (2, 3, 3), 100.0))
    for position in range(4):
        angle = position * 100.0 ** -(np.arange(8) / 8)
        first, second = x[0, position, :, :8], x[0, position, :, 8:]
        expected = (first + 1j * second) * np.exp(1j * angle)
        got = np.asarray(turned[0, position])
        np.testing.assert_allclose(got[:, :8] + 1j * got[:, 8:], expected, atol=1e-5)


def test_mrope_sections():
    """Moving in one component turns only that component's frequencies."""
    for component, where in enumerate((slice(0, 2), slice(2, 5), slice(5, 8))):
        positions = np.zeros((1, 3, 1), int)
        positions[0, component] = 3
        moved = np.asarray(mrope(positions, 16, (2, 3, 3), 100.0).sin[0, 0]) != 0
        assert moved[where].all() and moved.sum() == where.stop - where.start
    with pytest.raises(ValueError, match="sections"):
        mrope(np.zeros((1, 3, 1), int), 16, (2, 3, 4), 100.0)


def test_rope_2d_is_relative():
    """Scores depend on the difference of rows and columns alone."""
    q, k = normal(1, 1, 1, 16), normal(1, 1, 1, 16, seed=1)

    def score(a, b):
        a, b = (rope_2d(np.array([[p]]), 16) for p in (a, b))
        return (rotate(q, a) * rotate(k, b)).sum()

    np.testing.assert_allclose(score((5, 2), (3, 7)), score((12, 0), (10, 5)), rtol=1e-4)
    assert abs(score((5, 2), (3, 7)) - score((5, 2), (7, 3))) > 1e-3


def test_norm_and_linear():
    x = normal(2, 3, 8)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(RMSNorm(8)(x), expected, atol=1e-5)
    assert RMSNorm(8)(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    kernel, bias = normal(8, 5), normal(5)
    np.testing.assert_allclose(linear(x, kernel, bias), x @ kernel + bias, atol=1e-5)
    assert linear(x.astype(jnp.bfloat16), kernel).dtype == jnp.bfloat16
    assert linear(x.astype(jnp.bfloat16), kernel, dtype=jnp.float32).dtype == jnp.float32


def test_unknown_remat():
    with pytest.raises(ValueError, match="none, dots, full"):
        run_layers(None, None, None, remat="some")
