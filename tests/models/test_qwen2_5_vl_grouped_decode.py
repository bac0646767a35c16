"""Questions that share a row, its image and its cache: the same tokens as one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qwen_small import picture, small_config, stack_rows

from surgzoo.core import parallel
from surgzoo.core.contract import Bucket, Message
from surgzoo.data.prompts import resize
from surgzoo.decode.greedy import make_greedy
from surgzoo.models.layers.stack import unstack

IMAGE, OTHER = picture(140, 84), picture(84, 112, 3)
# A row each: its media, their frame rates, what is asked about them.
GROUPS = (
    (
        [IMAGE],
        (),
        ("Which phase is this?", "Is the liver visible in the image, yes or no?", "Why?"),
    ),
    ([OTHER], (), ("Name the instruments.",)),
    ([picture(84, 112, 5, frames=6)], (4.0,), ("What happens?", "And what comes next, and when?")),
    ([picture(56, 84, 1), picture(84, 56, 2)], (), ("Compare.", "Which is brighter?", "A?", "B?")),
    ([], (), ("Hello?",)),
)
SLOTS, NEW = 4, 12


def lively_params(config, seed=0):
    """Random weights that answer differently to different questions, and not one word for ever."""
    rng, model = np.random.default_rng(seed), config.build()

    def draw(path, axes, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        if path[-1].key == "scale":
            return 1 + np.float32(0.1) * noise
        if "bias" in path[-1].key:
            return np.float32(0.1) * noise
        wide = 1 if axes[0] == "vocab" else leaf.shape[axes[0] == "layers"]
        return noise * np.float32(wide**-0.5)

    is_leaf = lambda x: isinstance(x, tuple)  # noqa: E731
    return jax.tree_util.tree_map_with_path(
        draw, model.logical_axes(), model.abstract(), is_leaf=is_leaf
    )


def talk(visuals, question, before=()):
    first = Message("user", before[0] if before else question, len(visuals))
    if not before:
        return [first, Message("assistant", "never read")]
    return [first, Message("assistant", before[1]), Message("user", question)]


def grouped_row(processor, visuals, fps, questions, tokens=192):
    talks = [talk(visuals, question) for question in questions]
    row, count = processor.encode_group(
        talks, visuals, fps=fps, generate=True, bucket=Bucket(tokens, 512)
    )
    assert count == len(questions)
    segments = sorted(set(row["segments"]) - {0, 1})
    ends = [np.flatnonzero(row["segments"] == segment)[-1] for segment in segments]
    return resize(row | {"ends": np.array(ends, np.int32)}, tokens, SLOTS)


def alone(processor, visuals, fps, question):
    return processor.encode(
        talk(visuals, question), visuals, fps=fps, generate=True, bucket=Bucket(192, 512)
    )


@pytest.fixture(scope="module")
def config():
    """As `small`; with a head of its own, or random weights repeat what they read."""
    base = small_config()
    return dataclasses.replace(base, text=dataclasses.replace(base.text, tied=False))


@pytest.fixture(scope="module")
def batches(config):
    """Grouped rows, and each question in a row of its own, with its place among the grouped."""
    processor = config.processor()
    rows = [grouped_row(processor, *group) for group in GROUPS]
    singles = [alone(processor, v, fps, q) for v, fps, questions in GROUPS for q in questions]
    places = [SLOTS * n + i for n, group in enumerate(GROUPS) for i in range(len(group[2]))]
    return stack_rows(rows), stack_rows(singles), places


def tokens_of(model, params, batch, stops):
    return jax.device_get(make_greedy(model, NEW, stops)(params, batch))


@pytest.mark.parametrize("seed", [0, 1])
def test_same_tokens_as_one_by_one(config, batches, seed):
    """Token by token in float32, also when answers end at different times."""
    grouped, singles, places = batches
    model, params = config.build(), lively_params(config, seed)
    free = tokens_of(model, params, singles, (-1,))
    assert len({tuple(row) for row in free.tokens.tolist()}) > len(places) // 2  # they differ
    # End tokens that some answers meet early and others late or never.
    stops = tuple({int(free.tokens[0, 2]), int(free.tokens[3, 5]), int(free.tokens[-1, 8])})
    for ending in ((-1,), stops):
        expected = tokens_of(model, params, singles, ending)
        got = tokens_of(model, params, grouped, ending)
        np.testing.assert_array_equal(got.tokens[places], expected.tokens)
        np.testing.assert_array_equal(got.lengths[places], expected.lengths)
        unasked = sorted(set(range(len(got.lengths))) - set(places))
        assert not got.lengths[unasked].any() and not got.tokens[unasked].any()
    assert len(set(expected.lengths.tolist())) > 2


@pytest.mark.parametrize("scan", [True, False])
def test_grouped_logits_of_several_tokens(config, batches, scan):
    """The verbs themselves: three tokens at once after a selection, stacked and side by side."""
    grouped, singles, places = batches
    params = lively_params(config)
    model = dataclasses.replace(config, scan_layers=scan).build()
    params = params if scan else unstack(params)
    ends = grouped["ends"]
    first, cache = jax.jit(model.prefill, static_argnums=2)(params, grouped, 4, ends)
    last, single = jax.jit(model.prefill, static_argnums=2)(params, singles, 4)
    np.testing.assert_allclose(first[jnp.array(places)], last, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(np.asarray(cache.position)[places], single.position)

    kept = np.array([[2, 0], [0, 3], [1, 0], [3, 1], [0, 1]])
    chosen = (SLOTS * np.arange(len(kept))[:, None] + kept).reshape(-1)
    new = np.random.default_rng(0).integers(20, 500, (len(ends) * SLOTS, 4)).astype(np.int32)
    extend = jax.jit(model.extend)
    _, cache = extend(params, cache, new[:, :1])
    some, _ = extend(params, cache.select(kept), new[chosen, 1:])
    _, single = extend(params, single, new[places, :1])
    whole, _ = extend(params, single, new[places, 1:])
    asked = [n for n, place in enumerate(chosen) if place in places]
    expected = whole[jnp.array([places.index(chosen[n]) for n in asked])]
    np.testing.assert_allclose(some[jnp.array(asked)], expected, atol=1e-4, rtol=0)


def test_lead_dialogue_stays_with_its_question(config):
    """Turns before the question differ between the questions of a row; only the image is shared."""
    processor, model, params = config.processor(), config.build(), lively_params(config)
    talks = [
        talk([IMAGE], "Which phase is this?"),
        talk([IMAGE], "And its name?", ("Is a tool in view?", "Yes, one.")),
    ]
    bucket = Bucket(192, 160)
    row, count = processor.encode_group(talks, [IMAGE], generate=True, bucket=bucket)
    ends = np.array([np.flatnonzero(row["segments"] == s)[-1] for s in (2, 3)], np.int32)
    got = tokens_of(model, params, stack_rows([row | {"ends": ends}]), (-1,))
    singles = [processor.encode(t, [IMAGE], generate=True, bucket=bucket) for t in talks]
    expected = tokens_of(model, params, stack_rows(singles), (-1,))
    assert count == 2
    np.testing.assert_array_equal(got.tokens, expected.tokens)


def test_a_group_begins_alike(config):
    talks = [[Message("user", "A?", 1)], [Message("assistant", "B?", 1)]]
    with pytest.raises(ValueError, match="conversation 1 of a group does not begin"):
        config.processor().encode_group(talks, [IMAGE], bucket=Bucket(192, 160))


@pytest.mark.parametrize("sizes", [{"data": 2}, {"data": 2, "tensor": 2}, {"data": 1, "fsdp": 4}])
def test_sharded_equals_one_device(config, batches, sizes):
    grouped, _, _ = batches
    grouped = {key: value[:4] for key, value in grouped.items()}
    model, params = config.build(), lively_params(config)
    expected = tokens_of(model, params, grouped, (-1,))
    count = int(np.prod(list(sizes.values())))
    mesh = parallel.make_mesh(**sizes, devices=jax.devices()[:count])
    specs = parallel.param_specs(model.abstract(), model.logical_axes(), mesh)
    placed = jax.device_put(params, parallel.shardings(specs, mesh))
    got = tokens_of(model, placed, parallel.shard_batch(grouped, mesh), (-1,))
    np.testing.assert_array_equal(got.tokens, expected.tokens)
