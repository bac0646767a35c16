"""Every form of a training computation equals the plain one: its loss and all its gradients.

Plain is one conversation a row, padded; layers side by side; nothing recomputed; one device; no
adapters; all logits of the loss at once. Each conversation weighs differently, so that no two of
them can change places.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.core import parallel
from surgzoo.core.contract import Bucket, Message
from surgzoo.data.packing import join
from surgzoo.models.layers.lora import merge_lora
from surgzoo.models.layers.lora_config import LoraConfig
from surgzoo.models.layers.stack import stack, unstack
from surgzoo.train.objectives import causal_lm
from surgzoo.train.state import flatten
from tests.models.qwen_small import picture, random_params, small_config, stack_rows

BUCKET = Bucket(96, 128)
PACKED = Bucket(320, 384)
LORA = LoraConfig(rank=3, alpha=6.0, targets=".*(q|qkv|up|down|fc1)")
# Two periods of the tower's pattern of window and whole-frame layers.
CONFIG = small_config(
    compute_dtype="float32",
    scan_layers=False,
    vision=dataclasses.replace(small_config().vision, depth=4, full_attention_layers=(1, 3)),
)


def talk(question, answer, images):
    return [Message("user", question, images), Message("assistant", answer)]


# Conversations about the same visuals, the visuals, their frame rates.
UNITS = (
    (
        [talk("Which instruments?", "hook, grasper", 1), talk("Which phase?", "preparation", 1)],
        [picture(90, 120, 0)],
        [],
    ),
    ([talk("What is a trocar?", "a port", 0)], [], []),
    ([talk("What happens?", "cutting", 1)], [picture(60, 84, 1, frames=4)], [2.0]),
    ([talk("What changed?", "smoke", 2)], [picture(112, 56, 2), picture(84, 84, 3)], [0, 0]),
)


def weighted(row, first):
    """The row with the answer of its n-th conversation weighing first + n."""
    own = sorted(set(row["segments"]) - set(row["prefix"]) - {0})
    weights = sum((row["segments"] == s) * np.float32(first + n) for n, s in enumerate(own))
    return row | {"loss_mask": row["loss_mask"] * weights}


def alone(processor):
    """One conversation a row."""
    rows = []
    for talks, visuals, fps in UNITS:
        for one in talks:
            row = processor.encode(one, visuals, fps=fps, bucket=BUCKET)
            rows.append(weighted(row, len(rows) + 1))
    return rows


def grouped(processor):
    """One unit a row."""
    rows, first = [], 1
    for talks, visuals, fps in UNITS:
        row, count = processor.encode_group(talks, visuals, fps=fps, bucket=BUCKET)
        assert count == len(talks)
        rows.append(weighted(row, first))
        first += count
    return rows


BATCHES = {
    "alone": alone,
    "grouped": grouped,
    "packed": lambda processor: [join(alone(processor), PACKED)],
    "packed and grouped": lambda processor: [join(grouped(processor), PACKED)],
    "packed in two rows": lambda processor: [
        join(alone(processor)[:2], PACKED), join(alone(processor)[2:], PACKED)
    ],
}  # fmt: skip

FORMS = {
    "scanned": {"scan_layers": True},
    "scanned, unrolled": {"scan_layers": True, "scan_unroll": 2},
    "remat dots": {"remat": "dots", "vision_remat": "dots"},
    "remat full": {"remat": "full", "vision_remat": "full"},
    "scanned, remat full": {"scan_layers": True, "remat": "full", "vision_remat": "full"},
    "attention of jax.nn": {"attention": "xla"},
}


def total(model, params, batch):
    """Sum over the batch of weight * -log likelihood, and its gradients."""

    def loss(params):
        mean, metrics = causal_lm(model, params, batch, None)
        return mean * metrics["weight"]

    return jax.value_and_grad(loss)(params)


def plain(model, params, batch):
    """The same from all logits at once."""

    def loss(params):
        scores = jax.nn.log_softmax(model.forward(params, batch)[:, :-1], axis=-1)
        picked = jnp.take_along_axis(scores, batch["tokens"][:, 1:, None], axis=-1)[..., 0]
        return -(picked * batch["loss_mask"][:, 1:]).sum()

    return jax.value_and_grad(loss)(params)


@pytest.fixture(scope="module")
def setting():
    processor = CONFIG.processor()
    params = random_params(CONFIG)
    batch = stack_rows(alone(processor))
    loss, gradients = jax.jit(lambda p, b: plain(CONFIG.build(), p, b))(params, batch)
    assert loss > 1
    return processor, params, batch, (loss, flatten(gradients))


def compare(found, true):
    loss, gradients = found
    np.testing.assert_allclose(loss, true[0], rtol=1e-5)
    gradients = flatten(unstack(gradients))
    assert gradients.keys() == true[1].keys()
    for path, expected in true[1].items():
        size = float(np.abs(expected).max())
        assert size > 0, path
        np.testing.assert_allclose(
            np.asarray(gradients[path]) / size, np.asarray(expected) / size, atol=2e-4, err_msg=path
        )


@pytest.mark.parametrize("rows", BATCHES)
def test_rows(setting, rows):
    processor, params, _, true = setting
    batch = stack_rows(BATCHES[rows](processor))
    compare(jax.jit(lambda p, b: total(CONFIG.build(), p, b))(params, batch), true)


@pytest.mark.parametrize("form", FORMS)
def test_layers(setting, form):
    _, params, batch, true = setting
    changes = FORMS[form]
    config = dataclasses.replace(CONFIG, **changes)
    if changes.get("scan_layers"):
        params = stack(params)
    compare(jax.jit(lambda p, b: total(config.build(), p, b))(params, batch), true)


@pytest.mark.parametrize("mesh", [{"data": 2, "fsdp": 2, "tensor": 2}, {"data": 1, "fsdp": 8}])
@pytest.mark.parametrize("rows", ["alone", "packed"])
def test_sharded(setting, mesh, rows):
    processor, params, batch, true = setting
    made = BATCHES[rows](processor)
    # Rows must divide the mesh: empty ones weigh nothing.
    empty = {key: np.zeros_like(value) for key, value in made[0].items()}
    for key in ("vision_index", "patch_window", "patch_frame"):
        empty[key] -= 1
    made += [empty] * (-len(made) % 8)
    model, devices = CONFIG.build(), parallel.make_mesh(**mesh)
    specs = parallel.param_specs(model.abstract(), model.logical_axes(), devices)
    placed = jax.tree.map(jax.device_put, params, parallel.shardings(specs, devices))
    assert any(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(placed))
    batch = parallel.shard_batch(stack_rows(made), devices)
    compare(jax.jit(lambda p, b: total(model, p, b))(placed, batch), true)


def test_merged_adapters(setting):
    """A model with adapters, and the plain one whose kernels hold them."""
    _, _, batch, _ = setting
    config = dataclasses.replace(CONFIG, lora=LORA)
    params = random_params(config)
    merged = merge_lora(params, LORA)
    true = jax.jit(lambda p, b: plain(CONFIG.build(), p, b))(merged, batch)
    changed = (
        flatten(params)["text/layers/0/mlp/up/kernel"]
        - flatten(merged)["text/layers/0/mlp/up/kernel"]
    )
    assert np.abs(changed).max() > 0.1
    loss, gradients = jax.jit(lambda p, b: total(config.build(), p, b))(params, batch)
    gradients = flatten(gradients)
    adapters = {path for path in gradients if "lora" in path}
    assert len(adapters) == 2 * (3 * 3 + 4 * 3 + 1)
    assert all(np.abs(gradients[path]).max() > 0 for path in adapters)
    # The gradient of a kernel is the same with and without an adapter beside it.
    true = (true[0], flatten(true[1]))
    np.testing.assert_allclose(loss, true[0], rtol=1e-5)
    for path, expected in true[1].items():
        size = float(np.abs(expected).max())
        np.testing.assert_allclose(
            np.asarray(gradients[path]) / size, np.asarray(expected) / size, atol=2e-4, err_msg=path
        )
