"""Training a part: adapters, or the merger. The rest keeps its bytes, and costs neither optimizer
state nor gradients."""

import dataclasses
import json
import shutil
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from surgzoo.core import parallel
from surgzoo.core.contract import Message
from surgzoo.data.pipeline import stack
from surgzoo.models.build import model_config
from surgzoo.models.layers.lora import adapters_of, is_adapter, without_adapters
from surgzoo.train import optim
from surgzoo.train.checkpoint import Checkpointer
from surgzoo.train.experiment import ModelConfig, OptimConfig
from surgzoo.train.objectives import causal_lm
from surgzoo.train.state import abstract_state, check_trainable, flatten, init_state, trainable
from surgzoo.train.step import make_train_step
from tests.train.toy_run import OVERRIDES, abstract_params, experiment

LORA = {"rank": 4, "alpha": 16.0, "targets": "text/layers/.*|vision/layers/.*/(qkv|out)"}
FORMS = {
    "adapters": ({**OVERRIDES, "lora": LORA}, "lora_"),
    "merger": (OVERRIDES, "merger"),
    "adapters and merger": ({**OVERRIDES, "lora": LORA}, "lora_|merger"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A Hugging Face folder with random weights of the small model."""
    folder = tmp_path_factory.mktemp("base")
    config = model_config("surgvlm-tiny", OVERRIDES)
    config.save_weights(config.build().init(jax.random.key(7)), folder)
    return folder


@pytest.mark.parametrize("form", ["adapters", "merger"])
def test_a_run_learns_and_leaves_the_rest_as_it_was(small_data, base, tmp_path, form):
    from surgzoo.train.loop import train

    overrides, pattern = FORMS[form]
    toy = experiment(
        small_data,
        model=ModelConfig(overrides=overrides, weights=str(base), trainable=pattern),
        optim=OptimConfig(lr=1e-2, warmup_steps=2, weight_decay=0.1),
        steps=24,
        log_every=24,
    )
    state = train(toy, tmp_path)
    after = jax.device_get(flatten(state["params"]))
    config = model_config("surgvlm-tiny", OVERRIDES)
    before = jax.device_get(flatten(config.load_weights(base)))

    moved = {path for path in before if after[path].tobytes() != before[path].tobytes()}
    learned = trainable(state["params"], pattern).keys()
    assert moved == learned & before.keys()
    assert learned - before.keys() == {path for path in after if is_adapter(path)}
    if form == "adapters":
        assert all(np.abs(after[path]).max() > 0 for path in learned)  # B, which began as zeros

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2]), losses

    sizes = {leaf.size for leaf in jax.tree.leaves(state["opt"]) if leaf.size > 1}
    assert sizes <= {leaf.size for leaf in trainable(state["params"], pattern).values()}


def test_the_checkpoint_says_what_the_adapters_are_and_is_restored_without_being_told(
    small_data, tmp_path
):
    from surgzoo.evaluate.predictors.local import restore
    from surgzoo.evaluate.run import load_experiment
    from surgzoo.train.loop import train

    toy = experiment(
        small_data,
        model=ModelConfig(overrides={**OVERRIDES, "lora": {"rank": 3}}, trainable="lora_"),
        optim=OptimConfig(lr=1e-2, warmup_steps=0),
        steps=2,
    )
    state = train(toy, tmp_path)
    meta = Checkpointer(tmp_path / "checkpoints").meta()
    assert meta["experiment"]["model"]["overrides"]["lora"] == {"rank": 3}
    # Those that the experiment leaves to the defaults of today stand there too.
    assert meta["model"]["lora"] == {
        "rank": 3, "alpha": 32.0, "targets": "text/layers/.*/(q|k|v|out|gate|up|down)",
    }  # fmt: skip
    found = restore(tmp_path, load_experiment(tmp_path))
    assert found.model.config.lora.rank == 3
    jax.tree.map(np.testing.assert_array_equal, found.params, state["params"])


@pytest.fixture(scope="module")
def toy_lora(small_data, base, tmp_path_factory):
    """Four steps of adapters, a checkpoint after each second one; and its end state."""
    from surgzoo.train.loop import train

    folder = tmp_path_factory.mktemp("lora") / "run"
    toy = experiment(
        small_data,
        model=ModelConfig(
            overrides=FORMS["adapters"][0], weights=str(base), trainable=FORMS["adapters"][1]
        ),
        optim=OptimConfig(lr=1e-2, warmup_steps=0, ema=0.5),
        steps=4,
        checkpoint_every=2,
    )
    return toy, folder, jax.device_get(train(toy, folder))


def size(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_what_is_frozen_is_saved_once_a_run(toy_lora):
    _, folder, state = toy_lora
    flat = flatten(state["params"])
    learned = 4 * sum(leaf.size for path, leaf in flat.items() if is_adapter(path))
    frozen = 4 * sum(leaf.size for path, leaf in flat.items() if not is_adapter(path))
    saved = folder / "checkpoints"
    assert sorted(item.name for item in saved.iterdir()) == ["2", "4", "frozen"]
    assert frozen <= size(saved / "frozen") < frozen + 300_000
    for step in "24":  # averaged, raw and two moments
        assert 4 * learned <= size(saved / step) < 4 * learned + 300_000 < frozen


def test_frozen_weights_are_not_written_again_while_the_first_save_is_under_way(tmp_path):
    leaf = jnp.arange(3.0)
    state = {"params": {"a": leaf, "b": leaf + 1}, "opt": {}, "step": jnp.int32(0)}
    checkpoints = Checkpointer(tmp_path, keep=4, learned="a")
    checkpoints.save(1, state, {})
    first = (tmp_path / "frozen").stat().st_ino
    checkpoints.save(2, state, {})
    checkpoints.close()
    again = Checkpointer(tmp_path, keep=4, learned="a")
    again.save(3, state, {})
    again.close()
    assert (tmp_path / "frozen").stat().st_ino == first
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = {name: jax.ShapeDtypeStruct((3,), jnp.float32, sharding=device) for name in "ab"}
    for step in (1, 2, 3):
        restored = Checkpointer(tmp_path).restore_params(abstract, step)
        jax.tree.map(np.testing.assert_array_equal, restored, state["params"])


@pytest.mark.parametrize("part", ["2/params", "frozen/params"])
@pytest.mark.parametrize("damage", ["cut", "gone", "no metadata"])
def test_a_damaged_checkpoint_is_named(tmp_path, part, damage):
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    state = {"params": {"a": jnp.ones(300), "b": jnp.ones(300)}, "opt": {}, "step": jnp.int32(0)}
    checkpoints = Checkpointer(tmp_path, learned="a")
    for step in (1, 2):
        checkpoints.save(step, state, {})
        checkpoints.wait()
    checkpoints.close()
    if damage == "gone":
        shutil.rmtree(tmp_path / part)
    elif damage == "no metadata":
        (tmp_path / part / "_METADATA").unlink()
    else:
        for file in (tmp_path / part).rglob("*"):
            if file.is_file() and not file.name.startswith((".", "_")):
                file.write_bytes(file.read_bytes()[:20])
    abstract = {name: jax.ShapeDtypeStruct((300,), jnp.float32, sharding=device) for name in "ab"}
    named = f"{tmp_path / part.partition('/')[0]} cannot be read.*there: 1, 2"
    with pytest.raises(ValueError, match=named):
        Checkpointer(tmp_path).restore_params(abstract)


def test_a_run_of_adapters_continues_bit_for_bit(toy_lora, tmp_path):
    from surgzoo.train.loop import train

    toy, folder, state = toy_lora
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    again = train(toy, tmp_path / "run")
    assert [int(path.name) for path in (tmp_path / "run" / "checkpoints").glob("[0-9]*")] == [2, 4]
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(again), state)


def test_a_checkpoint_without_the_frozen_part_says_what_is_missing(toy_lora, tmp_path):
    from surgzoo.evaluate.predictors.local import restore
    from surgzoo.evaluate.run import load_experiment

    _, folder, _ = toy_lora
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "frozen")
    with pytest.raises(FileNotFoundError, match=r"lacks \d+ of \d+ parameters.*frozen.*copy it"):
        restore(tmp_path / "run", load_experiment(tmp_path / "run"))


def test_frozen_weights_of_a_run_that_was_given_up_are_replaced(small_data, tmp_path):
    """Killed between the frozen part and the first checkpoint; then another seed is taken."""
    from surgzoo.train.loop import train

    toy = experiment(
        small_data, model=ModelConfig(overrides=OVERRIDES, trainable="merger"), steps=1
    )
    train(dataclasses.replace(toy, seed=1), tmp_path)
    shutil.rmtree(tmp_path / "checkpoints" / "1")
    (tmp_path / "config.json").unlink()
    state = train(toy, tmp_path)
    restored = Checkpointer(tmp_path / "checkpoints").restore_params(abstract_params())
    jax.tree.map(np.testing.assert_array_equal, restored, state["params"])


def test_a_run_is_asked_without_the_folder_that_it_began_with(small_data, base, tmp_path):
    from surgzoo.evaluate.predictors.local import restore
    from surgzoo.evaluate.run import load_experiment
    from surgzoo.train.loop import train

    shutil.copytree(base, tmp_path / "base")
    overrides, pattern = FORMS["merger"]
    model = ModelConfig(overrides=overrides, weights=str(tmp_path / "base"), trainable=pattern)
    run, toy = tmp_path / "run", experiment(small_data, model=model, steps=1)
    train(toy, run)
    kept = (run / "vocabulary" / "tokenizer.json").read_bytes()
    assert kept == (base / "tokenizer.json").read_bytes()
    shutil.rmtree(tmp_path / "base")
    found = restore(run, load_experiment(run))
    assert found.processor.decode(found.processor.tokenizer.encode("a hook").ids) == "a hook"
    train(dataclasses.replace(toy, steps=2), run)  # nor is it needed to go on


@pytest.fixture(scope="module")
def rows():
    processor = model_config("surgvlm-tiny", OVERRIDES).processor()
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    talk = [Message("user", "Which instrument is this?", 1), Message("assistant", "a hook")]
    row = processor.encode(talk, [image], bucket=processor.buckets[1])
    return stack([row] * 5)  # no number of tokens or patches is a width of the model


def products(jaxpr):
    """Shapes that the matrix products of a program have, those of inner programs too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval.shape
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


@pytest.mark.parametrize("form", [*FORMS, "all"])
def test_no_gradients_and_no_optimizer_state_of_what_is_frozen(rows, form):
    """The gradient of a kernel is a product of the kernel's shape: there is one for those alone
    that are trained. In bfloat16, where a cast stands between a kernel and its product."""
    overrides, pattern = FORMS.get(form, (OVERRIDES, ".*"))
    model = model_config("surgvlm-tiny", {**overrides, "compute_dtype": "bfloat16"}).build()
    mesh = parallel.make_mesh(data=1, devices=jax.devices()[:1])
    tx = optim.optimizer(OptimConfig(), 10)
    abstract = abstract_state(model, tx, pattern, False, mesh)
    step = make_train_step(model, causal_lm, tx, abstract, mesh, pattern=pattern)
    done = set(products(jax.make_jaxpr(step)(abstract, rows).jaxpr))

    learned = trainable(abstract["params"], pattern)
    axes = flatten(model.logical_axes())
    kernels = {}
    for path, leaf in flatten(abstract["params"]).items():
        if path.endswith("/kernel"):
            own = leaf.shape[1:] if axes[path][0] == "layers" else leaf.shape
            kernels[path] = own[0], int(np.prod(own[1:]))
    computed = {path for path, (i, o) in kernels.items() if {(i, o), (o, i)} & done}
    assert computed == {path for path in kernels if path in learned}

    moments = [leaf for leaf in jax.tree.leaves(abstract["opt"]) if leaf.ndim]
    assert sum(leaf.size for leaf in moments) == 2 * sum(leaf.size for leaf in learned.values())


def test_base_weights_alone_get_fresh_adapters():
    model = model_config("surgvlm-tiny", FORMS["adapters"][0]).build()
    mesh = parallel.make_mesh(data=1, fsdp=2, devices=jax.devices()[:2])
    whole = model.init(jax.random.key(3))
    base = jax.tree.map(lambda leaf: leaf + 1, without_adapters(whole))
    state = init_state(model, optax.sgd(1.0), "lora_", False, mesh, jax.random.key(3), base)
    jax.tree.map(np.testing.assert_array_equal, without_adapters(state["params"]), base)
    fresh, expected = adapters_of(state["params"]), adapters_of(whole)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), fresh, expected)


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("form", ["adapters", "merger"])
def test_loaded_weights_do_not_lie_in_memory_twice(
    small_data, base, tmp_path, monkeypatch, form, ema
):
    """The state takes the buffers that were loaded, and nobody holds the arrays themselves."""
    from surgzoo.models.architecture import Architecture
    from surgzoo.train import loop

    load, make, seen = Architecture.load_weights, loop.init_state, {}

    def buffers(params):
        return {
            path: [shard.data.unsafe_buffer_pointer() for shard in leaf.addressable_shards]
            for path, leaf in flatten(params).items()
        }

    def loading(*arguments):
        params = load(*arguments)
        seen["arrays"] = [weakref.ref(leaf) for leaf in jax.tree.leaves(params)]
        seen["loaded"] = buffers(params)
        return params

    def making(*arguments):
        state = make(*arguments)
        seen["state"] = buffers(state["params"])
        return state

    monkeypatch.setattr(Architecture, "load_weights", loading)
    monkeypatch.setattr(loop, "init_state", making)
    overrides, pattern = FORMS[form]
    toy = experiment(
        small_data,
        model=ModelConfig(overrides=overrides, weights=str(base), trainable=pattern),
        optim=OptimConfig(warmup_steps=0, ema=ema),
        steps=1,
    )
    loop.train(toy, tmp_path)
    assert len(seen["loaded"]) > 10 and len(seen["arrays"]) == len(seen["loaded"])
    differ = [path for path, where in seen["loaded"].items() if seen["state"][path] != where]
    assert not differ
    left = [leaf() for leaf in seen["arrays"]]
    assert all(leaf is None or leaf.is_deleted() for leaf in left)


def test_sharded_adapters_equal_unsharded(rows):
    overrides, pattern = FORMS["adapters and merger"]
    model = model_config("surgvlm-tiny", overrides).build()
    batch = jax.tree.map(lambda x: np.concatenate([x] * 2)[:8], rows)

    def stepped(sizes, devices):
        mesh = parallel.make_mesh(**sizes, devices=devices)
        tx = optax.sgd(1.0)
        abstract = abstract_state(model, tx, pattern, False, mesh)
        state = init_state(model, tx, pattern, False, mesh, jax.random.key(0))
        step = make_train_step(model, causal_lm, tx, abstract, mesh, pattern=pattern)
        state, metrics = step(state, parallel.shard_batch(batch, mesh))
        return float(metrics["loss"]), jax.device_get(flatten(state["params"]))

    loss, params = stepped({"data": 2, "fsdp": 2, "tensor": 2}, jax.devices())
    expected_loss, expected = stepped({"data": 1}, jax.devices()[:1])
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for path, value in params.items():
        np.testing.assert_allclose(value, expected[path], atol=2e-5, err_msg=path)
        if path.endswith("lora_b"):
            assert jnp.abs(value).max() > 0


@pytest.mark.parametrize(
    ("pattern", "message"),
    [(".*", "trains everything"), ("merger", "trains none of the adapters")],
)
def test_adapters_that_would_not_be_what_is_trained(pattern, message):
    model = model_config("surgvlm-tiny", FORMS["adapters"][0]).build()
    with pytest.raises(ValueError, match=f"{message}: say model.trainable='lora_'"):
        check_trainable(model, pattern)
    check_trainable(model, "lora_|merger")
    check_trainable(model_config("surgvlm-tiny", OVERRIDES).build(), pattern)
