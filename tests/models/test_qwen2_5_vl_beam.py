"""Beam search against transformers, token by token, and with questions that share a row."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from qwen_small import Oracle, picture, small_config, stack_rows
from test_qwen2_5_vl_decode import PROMPTS
from test_qwen2_5_vl_grouped_decode import GROUPS, SLOTS, alone, grouped_row, lively_params

from surgzoo.decode.beam import make_beam
from surgzoo.decode.greedy import make_greedy
from surgzoo.models.qwen2_5_vl import weights

NEW = 8


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A model that says something, here and in transformers."""
    base = small_config()
    config = dataclasses.replace(base, text=dataclasses.replace(base.text, tied=False))
    params = lively_params(config)
    folder = tmp_path_factory.mktemp("lively")
    weights.save(config, params, folder)
    return SimpleNamespace(
        config=config,
        model=config.build(),
        params=params,
        processor=config.processor(),
        oracle=Oracle(folder),
    )


@pytest.fixture(scope="module")
def prompts(lively):
    bucket = lively.processor.buckets[1]
    return [
        lively.processor.encode(m, v, fps=f, generate=True, bucket=bucket) for m, v, f in PROMPTS
    ]


def ours(lively, batch, *arguments):
    out = jax.device_get(make_beam(lively.model, NEW, *arguments)(lively.params, batch))
    return [row[:n].tolist() for row, n in zip(out.tokens, out.lengths, strict=True)]


def some_stops(lively, prompts):
    """End tokens that some answers meet early."""
    free = jax.device_get(make_greedy(lively.model, NEW, 0)(lively.params, stack_rows(prompts)))
    return tuple(sorted({int(free.tokens[0, 2]), int(free.tokens[1, 4]), int(free.tokens[3, 1])}))


@pytest.mark.parametrize(("beams", "penalty"), [(2, 1.0), (3, 0.0), (4, 2.0), (4, -1.0)])
def test_equals_transformers(lively, prompts, beams, penalty):
    stops = some_stops(lively, prompts)
    found = ours(lively, stack_rows(prompts), stops, beams, penalty)
    for row, (_, visuals, fps) in enumerate(PROMPTS):
        inputs = lively.oracle.inputs(lively.processor, prompts[row], visuals, fps)
        theirs = lively.oracle.model.generate(
            **inputs, max_new_tokens=NEW, do_sample=False, num_beams=beams, length_penalty=penalty,
            eos_token_id=list(stops), pad_token_id=lively.processor.pad_id,
        )  # fmt: skip
        expected = theirs[0, inputs["input_ids"].shape[1] :].tolist()
        assert found[row] == expected
    greedy = make_greedy(lively.model, NEW, stops)(lively.params, stack_rows(prompts))
    assert found != [t[:n].tolist() for t, n in zip(*jax.device_get(greedy)[:2], strict=True)]
    # Without a reward for length some end early.
    assert penalty > 0 or len({len(answer) for answer in found}) > 1


def test_questions_that_share_a_row(lively):
    """As each in a row of its own; nothing is asked where a row has fewer."""
    rows = [grouped_row(lively.processor, *group) for group in GROUPS]
    singles = [alone(lively.processor, v, fps, q) for v, fps, qs in GROUPS for q in qs]
    places = [SLOTS * n + i for n, group in enumerate(GROUPS) for i in range(len(group[2]))]
    stops = (17, 300, 411)
    grouped = ours(lively, stack_rows(rows), stops, 3)
    assert [grouped[place] for place in places] == ours(lively, stack_rows(singles), stops, 3)
    assert all(grouped[n] == [] for n in range(len(grouped)) if n not in places)


def test_the_prompt_is_not_copied(lively):
    """Reordering gathers what the beams added (3 beams, 8 slots), never the prompt (97 slots)."""
    row = lively.processor.encode(
        PROMPTS[1][0], [picture(140, 84)], generate=True, bucket=(97, 160)
    )
    batch = stack_rows([row])
    text = make_beam(lively.model, NEW, 0, 3).lower(lively.params, batch).as_text()
    head = lively.config.text.width // lively.config.text.heads
    for keys_or_values in (f"{head}x97", f"97x{head}"):
        assert f"tensor<1x2x{keys_or_values}xf32>" in text
        assert f"tensor<3x2x{keys_or_values}xf32>" not in text
    assert f"tensor<3x2x8x{head}xf32>" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 0, 2), "must be positive"), ((4, 0, 1), "at least 2 beams")],
)
def test_refusals(lively, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_beam(lively.model, *arguments)


def test_one_step_gives_the_likeliest_token(lively, prompts):
    out = make_beam(lively.model, 1, 0, 2)(lively.params, stack_rows(prompts))
    best = make_greedy(lively.model, 1, 0)(lively.params, stack_rows(prompts))
    np.testing.assert_array_equal(out.tokens, best.tokens)
