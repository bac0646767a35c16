"""Adapters: fresh ones change nothing, merged ones compute the same, stacked or side by side."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qwen_small import picture, random_params, small_config, stack_rows

from surgzoo.core.contract import Message
from surgzoo.models.layers.lora import (
    adapters_of,
    fresh_adapters,
    is_adapter,
    merge_lora,
    with_adapters,
    without_adapters,
)
from surgzoo.models.layers.lora_config import LoraConfig
from surgzoo.models.layers.stack import stack, unstack
from surgzoo.models.qwen2_5_vl import weights
from surgzoo.train.state import flatten

EVERYWHERE = LoraConfig(rank=4, alpha=6.0, targets=".*")


def adapted(lora=EVERYWHERE, **changes):
    """The small model with adapters, and parameters in which B is not zero."""
    config = small_config(lora=lora, **changes)
    return config, random_params(config)


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.fixture(scope="module")
def batch():
    processor = small_config().processor()
    talk = [Message("user", "Which instrument is this?", 1), Message("assistant", "a hook")]
    return stack_rows([processor.encode(talk, [picture(112, 84, seed)]) for seed in (1, 2)])


def forward(config, params, batch):
    return np.asarray(jax.jit(config.build().forward)(params, batch))


def test_fresh_adapters_change_nothing_and_base_weights_are_the_same_draws(batch):
    config, _ = adapted()
    params = config.build().init(jax.random.key(3))
    plain = small_config().build().init(jax.random.key(3))
    assert_equal(without_adapters(params), plain)
    np.testing.assert_array_equal(
        forward(config, params, batch), forward(small_config(), plain, batch)
    )


@pytest.mark.parametrize("scan_layers", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_merged_equals_adapted(batch, scan_layers, dtype):
    config, params = adapted(scan_layers=scan_layers, compute_dtype=dtype)
    plain = dataclasses.replace(config, lora=None)
    merged = merge_lora(params, config.lora)
    assert jax.tree.structure(merged) == jax.tree.structure(plain.build().abstract())
    before = forward(plain, without_adapters(params), batch)
    ours, theirs = forward(config, params, batch), forward(plain, merged, batch)
    scale = np.abs(theirs).max()
    atol = 1e-5 * scale if dtype == "float32" else 0.05 * scale
    assert np.abs(before - theirs).max() > 10 * atol  # the adapters do something
    np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)


def test_the_formula_on_a_kernel_of_several_output_axes():
    config, params = adapted()
    layer = jax.tree.map(lambda a: np.asarray(a, np.float64)[1], params["vision"]["layers"])
    qkv = layer["attention"]["qkv"]
    assert qkv["kernel"].shape == (64, 3, 64) and qkv["lora_b"].shape == (4, 3, 64)
    expected = qkv["kernel"] + 6.0 / 4 * np.einsum("ir,rto->ito", qkv["lora_a"], qkv["lora_b"])
    merged = merge_lora(params, config.lora)["vision"]["layers"]["attention"]["qkv"]["kernel"][1]
    np.testing.assert_allclose(merged, expected, atol=1e-5)


def test_stacked_and_side_by_side_start_alike_and_compute_alike(batch):
    config, params = adapted()
    flat = dataclasses.replace(config, scan_layers=False)
    rng = jax.random.key(0)
    assert_equal(stack(flat.build().init(rng)), config.build().init(rng))
    np.testing.assert_allclose(
        forward(config, params, batch), forward(flat, unstack(params), batch), atol=1e-4
    )


def test_adapters_are_drawn_apart():
    config, _ = adapted()
    params = flatten(config.build().init(jax.random.key(0)))
    a = params["text/layers/mlp/up/lora_a"]
    assert a.shape == (3, 96, 4) and abs(float(a.std()) * 96**0.5 - 1) < 0.1
    assert not np.array_equal(a[0], a[1])
    assert not np.array_equal(a, params["text/layers/mlp/gate/lora_a"])
    assert not np.asarray(params["text/layers/mlp/up/lora_b"]).any()


def test_targets_choose_layers():
    for targets, expected in (
        ("text/layers/.*/(q|v)", {"text/layers/attention/q", "text/layers/attention/v"}),
        ("vision/merger/fc1", {"vision/merger/fc1"}),
        ("vision/.*/qkv|vision/patch", {"vision/layers/attention/qkv", "vision/patch"}),
    ):
        for scan_layers in (True, False):
            config = small_config(lora=LoraConfig(targets=targets), scan_layers=scan_layers)
            shapes = stack(
                jax.tree.map(lambda leaf: np.zeros(leaf.shape), config.build().abstract())
            )
            found = {path.rpartition("/")[0] for path in flatten(shapes) if is_adapter(path)}
            assert found == expected


def test_wrong_targets_list_the_paths():
    config = small_config(lora=LoraConfig(targets="text/layers/.*/q_proj"))
    with pytest.raises(ValueError, match=r"matches no linear layer.*text/layers/attention/q, "):
        config.build().abstract()
    with pytest.raises(ValueError, match=r"lora.targets '\(': "):
        LoraConfig(targets="(")
    with pytest.raises(ValueError, match="at least 1"):
        LoraConfig(rank=0)


def test_axes_follow_the_kernel():
    config, _ = adapted()
    axes = flatten(config.build().logical_axes())
    assert axes["text/layers/attention/q/lora_a"] == ("layers", "embed", None)
    assert axes["text/layers/attention/q/lora_b"] == ("layers", None, "heads")
    assert axes["vision/layers/attention/qkv/lora_b"] == ("layers", None, None, "vision_heads")
    assert axes["vision/merger/fc2/lora_b"] == (None, "embed")


def test_merging_asks_for_what_it_needs():
    config, params = adapted()
    with pytest.raises(ValueError, match="no adapters"):
        merge_lora(random_params(small_config()), config.lora)
    with pytest.raises(ValueError, match="rank 4, the config 8"):
        merge_lora(params, LoraConfig(rank=8))


def test_fresh_adapters_are_those_of_init():
    config, params = adapted()
    model = config.build()
    fresh = fresh_adapters(model, jax.random.key(1))
    expected = adapters_of(model.init(jax.random.key(1)))
    assert jax.tree.structure(fresh) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), fresh, expected)
    base = without_adapters(params)
    assert_equal(with_adapters(base, adapters_of(params)), params)
    assert adapters_of(base) == {}


def test_gradients_at_the_start_reach_b_alone(batch):
    """As B is zero, the first step moves B; A follows."""
    config, _ = adapted(dataclasses.replace(EVERYWHERE, targets="text/layers/.*/(q|up)"))
    model = config.build()
    params = model.init(jax.random.key(0))
    grads = flatten(jax.jit(jax.grad(lambda p: jnp.square(model.forward(p, batch)).mean()))(params))
    assert np.abs(grads["text/layers/mlp/up/lora_b"]).max() > 0
    assert not np.asarray(grads["text/layers/mlp/up/lora_a"]).any()


def test_base_weights_load_and_merged_weights_are_written(tmp_path):
    plain = small_config()
    weights.save(plain, random_params(plain), tmp_path / "base")
    config, params = adapted()
    loaded = weights.load(config, tmp_path / "base", rng=jax.random.key(5))
    assert_equal(without_adapters(loaded), random_params(plain))
    fresh = fresh_adapters(config.build(), jax.random.key(5))
    assert_equal(adapters_of(loaded), fresh)

    for form in (params, unstack(params)):
        weights.save(config, form, tmp_path / "merged")
        merged = jax.tree.map(np.asarray, merge_lora(params, config.lora))
        written = weights.load(plain, tmp_path / "merged")
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), written, merged)
    with pytest.raises(ValueError, match="lora_a"):
        weights.save(config, random_params(plain), tmp_path / "nothing")


def test_adapters_of_a_sharded_load_are_placed():
    config, _ = adapted()
    mesh = jax.make_mesh(
        (2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2]
    )

    def place(leaf):
        spec = [None] * (len(leaf.shape) - 1) + ["x" if leaf.shape[-1] % 2 == 0 else None]
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    abstract = jax.tree.map(place, config.build().abstract())
    fresh = fresh_adapters(config.build(), jax.random.key(0), abstract)
    for leaf, like in zip(
        jax.tree.leaves(fresh), jax.tree.leaves(adapters_of(abstract)), strict=True
    ):
        assert leaf.sharding.is_equivalent_to(like.sharding, leaf.ndim)
