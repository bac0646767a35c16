"""The decoding loop on a model that counts upwards; real models are tested in tests/models."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from surgzoo.decode.greedy import make_greedy
from surgzoo.models.base import Model

VOCAB = 50


@dataclasses.dataclass(frozen=True)
class CountingConfig:
    scan_layers: bool = True
    compute_dtype: str = "float32"


class Counting(nnx.Module):
    """Follows every token with its successor."""

    def __init__(self, config, *, rngs):
        self.table = nnx.Param(jnp.eye(VOCAB, k=1), logical_axes=(None, None))

    def prefill(self, batch, cache_len):
        lengths = (batch["segments"] > 0).sum(1)
        last = jnp.take_along_axis(batch["tokens"], lengths[:, None] - 1, axis=1)[:, 0]
        return self.table[...][last], lengths

    def extend(self, cache, tokens, positions=None):
        return self.table[...][tokens], cache + tokens.shape[1]


@pytest.fixture(scope="module")
def model():
    return Model(CountingConfig(), Counting)


def prompts(*rows):
    width = max(map(len, rows))
    pad = [[0] * (width - len(row)) for row in rows]
    return {
        "tokens": np.array([list(r) + p for r, p in zip(rows, pad, strict=True)], np.int32),
        "segments": np.array([[1] * len(r) + p for r, p in zip(rows, pad, strict=True)], np.int32),
    }


PARAMS = {"table": np.eye(VOCAB, k=1, dtype=np.float32)}


def test_counts_until_the_end_token(model):
    out = make_greedy(model, 6, 9)(PARAMS, prompts([3, 4], [7], [1, 2, 8], [20]))
    assert out.tokens.tolist() == [
        [5, 6, 7, 8, 9, 0],
        [8, 9, 0, 0, 0, 0],
        [9, 0, 0, 0, 0, 0],
        [21, 22, 23, 24, 25, 26],
    ]
    assert out.lengths.tolist() == [5, 2, 1, 6]


def test_several_end_tokens_and_one_new_token(model):
    assert make_greedy(model, 9, (9, 12))(PARAMS, prompts([6], [10])).lengths.tolist() == [3, 2]
    out = make_greedy(model, 1, 9)(PARAMS, prompts([6], [8]))
    assert (out.tokens.tolist(), out.lengths.tolist()) == ([[7], [9]], [1, 1])


def test_compiles_once_a_shape(model):
    generate = make_greedy(model, 4, 9)
    for rows in (([1], [2]), ([5], [6]), ([1, 2], [3]), ([4], [5, 6])):
        generate(PARAMS, prompts(*rows))
    assert generate._cache_size() == 2


def test_needs_room(model):
    with pytest.raises(ValueError, match="must be positive"):
        make_greedy(model, 0, 9)
