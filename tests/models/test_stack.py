"""Ways to run a stack of layers: unrolling changes nothing but code, remat nothing but memory."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from qwen_small import picture, random_params, small_config, stack_rows

from surgzoo.core.contract import Message


def batch_of(config, rows=2):
    processor = config.processor()
    talk = [Message("user", "Which?", 1), Message("assistant", "the hook")]
    return stack_rows(
        [
            processor.encode(talk, [picture(56, 84, seed=i)], bucket=processor.buckets[1])
            for i in range(rows)
        ]
    )


def loss(model, batch, params):
    return (model.forward(params, batch) ** 2).mean()


@functools.cache
def outcome(unroll):
    config = small_config(scan_unroll=unroll)
    fn = functools.partial(loss, config.build(), batch_of(config))
    return jax.jit(jax.value_and_grad(fn))(random_params(small_config()))


@pytest.mark.parametrize("unroll", [2, 3, 7])
def test_unrolled_scan_equals_scan(unroll):
    """Depth 3: unrolled unevenly, whole, and by more than there is."""
    value, grads = outcome(unroll)
    expected, expected_grads = outcome(1)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6 + 1e-5 * np.abs(b).max()),
        grads,
        expected_grads,
    )


def test_unroll_is_at_least_one():
    with pytest.raises(ValueError, match="scan_unroll counts layers, from 1 on; it is 0"):
        small_config(scan_unroll=0)


@functools.cache
def temp_bytes(remat="none", vision_remat="none"):
    base = small_config()
    config = dataclasses.replace(
        base,
        text=dataclasses.replace(base.text, depth=8),
        vision=dataclasses.replace(base.vision, depth=8),
        remat=remat,
        vision_remat=vision_remat,
    )
    model = config.build()
    fn = jax.grad(functools.partial(loss, model, batch_of(config)))
    compiled = jax.jit(fn).lower(model.abstract()).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("tower", ["remat", "vision_remat"])
def test_each_tower_has_a_remat_policy_that_acts(tower):
    """Scanned: unrolled, XLA:CPU merges the recomputation with the forward pass again."""
    none, dots, full = (temp_bytes(**{tower: policy}) for policy in ("none", "dots", "full"))
    assert full < 0.95 * dots < 0.95**2 * none, (none, dots, full)
