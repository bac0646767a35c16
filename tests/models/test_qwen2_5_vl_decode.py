"""The KV cache against the full forward pass, and greedy decoding against transformers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qwen_small import picture, stack_rows

from surgzoo.core.contract import Message
from surgzoo.decode.greedy import make_greedy

PROMPTS = (
    ([Message("user", "Which phase is this?")], [], ()),
    ([Message("user", "Is the liver visible in the image, yes or no?", 1)], [picture(140, 84)], ()),
    ([Message("user", "What happens?", 1)], [picture(84, 112, 5, frames=6)], (4.0,)),
    ([Message("user", "Compare.", 2)], [picture(56, 84, 1), picture(84, 56, 2)], ()),
)
NEW = 12


@pytest.fixture(scope="module")
def prompts(small):
    bucket = small.processor.buckets[1]
    return [
        small.processor.encode(m, v, fps=f, generate=True, bucket=bucket) for m, v, f in PROMPTS
    ]


def append(row, tokens):
    """The row with tokens in the place of its first padding, at the positions that follow."""
    row = {key: value.copy() for key, value in row.items()}
    length = int((row["segments"] > 0).sum())
    here = slice(length, length + len(tokens))
    row["positions"][:, here] = row["positions"][:, :length].max() + 1 + np.arange(len(tokens))
    row["tokens"][here], row["segments"][here] = tokens, 1
    return row, length


def test_cached_decode_equals_full_forward(small, prompts):
    tokens = np.random.default_rng(0).integers(20, 500, (len(prompts), 5)).astype(np.int32)
    appended = [append(row, new) for row, new in zip(prompts, tokens, strict=True)]
    longer, lengths = zip(*appended, strict=True)
    full = jax.jit(small.model.forward)(small.params, stack_rows(longer))

    prefill = jax.jit(small.model.prefill, static_argnums=2)
    last, cache = prefill(small.params, stack_rows(prompts), 5)
    steps = [last[:, None]]
    extend = jax.jit(small.model.extend)
    for at, count in ((0, 1), (1, 1), (2, 3)):  # two single tokens, then three at once
        logits, cache = extend(small.params, cache, jnp.asarray(tokens[:, at : at + count]))
        steps.append(logits)
    cached = np.concatenate(steps, axis=1)
    for row, length in enumerate(lengths):
        expected = full[row, length - 1 : length + 5]
        np.testing.assert_allclose(cached[row], expected, atol=1e-4, rtol=0)
    np.testing.assert_array_equal(cache.past.count, 5)
    np.testing.assert_array_equal(cache.past.seen.sum(1), lengths)


def test_greedy_equals_transformers(small, prompts):
    out = make_greedy(small.model, NEW, small.processor.eos_id)(small.params, stack_rows(prompts))
    for row, (_, visuals, fps) in enumerate(PROMPTS):
        inputs = small.oracle.inputs(small.processor, prompts[row], visuals, fps)
        theirs = small.oracle.model.generate(
            **inputs, max_new_tokens=NEW, do_sample=False, use_cache=True,
            eos_token_id=small.processor.eos_id, pad_token_id=small.processor.pad_id,
        )  # fmt: skip
        expected = theirs[0, inputs["input_ids"].shape[1] :].tolist()
        assert out.tokens[row, : out.lengths[row]].tolist() == expected


def test_greedy_stops_at_end_tokens(small, prompts):
    """With an end token that some rows meet: they end there, the others go on."""
    batch = stack_rows(prompts)
    free = make_greedy(small.model, NEW, small.processor.eos_id)(small.params, batch)
    end = int(free.tokens[0, 3])
    stopped = make_greedy(small.model, NEW, (end, small.processor.eos_id))(small.params, batch)
    for row in range(len(prompts)):
        expected = free.tokens[row, : free.lengths[row]].tolist()
        if end in expected:
            expected = expected[: expected.index(end) + 1]
        assert stopped.lengths[row] == len(expected)
        assert stopped.tokens[row].tolist() == expected + [0] * (NEW - len(expected))
