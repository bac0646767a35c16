"""The chunked loss against all logits at once, and its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.train.cross_entropy import cross_entropy

ROWS, LENGTH, WIDTH, VOCAB = 3, 17, 8, 50


def plain(features, head, targets, weights):
    """The definition, in float32 (optax has it too: see test_as_optax)."""
    logits = (features @ head).astype(jnp.float32)
    nll = -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=-1)[..., 0]
    return (nll * weights).sum(), logits.argmax(-1) == targets


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32)
    head = rng.normal(size=(WIDTH, VOCAB)).astype(np.float32)
    targets = rng.integers(0, VOCAB, (ROWS, LENGTH)).astype(np.int32)
    weights = rng.choice([0.0, 1.0, 0.5], (ROWS, LENGTH)).astype(np.float32)
    # Some answers are right, so that the second output is not all False.
    right = (features @ head).argmax(-1)
    targets[:, ::3] = right[:, ::3]
    return features, head, targets, weights


@pytest.mark.parametrize("chunks", [None, 1, 2, 5, LENGTH, 40])
def test_equals_full_logits(chunks):
    features, head, targets, weights = inputs()

    def value(fn, *extra):
        return lambda f, h: (lambda out: (3.0 * out[0], out[1]))(fn(f, h, targets, weights, *extra))

    ours = jax.value_and_grad(value(cross_entropy, chunks), argnums=(0, 1), has_aux=True)
    theirs = jax.value_and_grad(value(plain), argnums=(0, 1), has_aux=True)
    (loss, right), gradients = jax.jit(ours)(features, head)
    (true_loss, true_right), true_gradients = theirs(features, head)
    np.testing.assert_allclose(loss, true_loss, rtol=1e-5)
    np.testing.assert_array_equal(right, true_right)
    assert 0 < right.sum() < right.size
    for mine, true in zip(gradients, true_gradients, strict=True):
        assert np.abs(true).max() > 0.1
        np.testing.assert_allclose(mine, true, atol=2e-5)


def test_as_optax():
    import optax

    features, head, targets, weights = inputs(1)
    loss, _ = cross_entropy(features, head, targets, weights)
    true = optax.softmax_cross_entropy_with_integer_labels(features @ head, targets)
    np.testing.assert_allclose(loss, (true * weights).sum(), rtol=1e-5)


def test_large_logits_stay_finite():
    features, head, targets, weights = inputs()
    loss, gradients = jax.value_and_grad(
        lambda f: cross_entropy(f, 1e4 * head, targets, weights)[0]
    )(features)
    assert np.isfinite(loss) and np.isfinite(gradients).all()


def test_bfloat16_near_float32():
    features, head, targets, weights = inputs()
    low = features.astype(jnp.bfloat16)
    found = jax.grad(lambda f, h: cross_entropy(f, h, targets, weights)[0], argnums=(0, 1))
    of_features, of_head = found(low, head)
    assert of_features.dtype == jnp.bfloat16 and of_head.dtype == jnp.float32
    true = jax.grad(lambda f, h: plain(f, h, targets, weights)[0], argnums=(0, 1))(features, head)
    np.testing.assert_allclose(of_features.astype(np.float32), true[0], atol=0.15)
    np.testing.assert_allclose(of_head, true[1], atol=0.15)


def test_a_frozen_head_costs_nothing():
    """Without a gradient for the head its product is not computed."""
    features, head, targets, weights = inputs()

    def products(argnums):
        gradient = jax.grad(lambda f, h: cross_entropy(f, h, targets, weights)[0], argnums)
        return str(jax.make_jaxpr(gradient)(features, head)).count("dot_general")

    assert products(0) == 2  # logits, gradient of the features
    assert products((0, 1)) == 3


def test_memory():
    """The working space is that of one chunk, not of all logits."""
    rows, length, width, vocab = 4, 256, 16, 4096
    shapes = (
        jax.ShapeDtypeStruct((rows, length, width), jnp.float32),
        jax.ShapeDtypeStruct((width, vocab), jnp.float32),
        jax.ShapeDtypeStruct((rows, length), jnp.int32),
        jax.ShapeDtypeStruct((rows, length), jnp.float32),
    )

    def space(fn):
        gradient = jax.jit(jax.grad(lambda *a: fn(*a)[0], argnums=(0, 1)))
        return gradient.lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    assert space(lambda *a: cross_entropy(*a, chunks=16)) < 0.25 * space(plain)
