"""A model that counts upwards, with its batches: what the loop is tested with."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from surgzoo.models.base import select

VOCAB = 50


@dataclasses.dataclass(frozen=True)
class CountingConfig:
    scan_layers: bool = True
    compute_dtype: str = "float32"


class Count(NamedTuple):
    """The newest token that each prompt has read."""

    newest: Any

    def select(self, kept):
        return Count(select(self.newest, kept))


class Counting(nnx.Module):
    """Follows every token with its successor. The cache must agree, whoever is selected."""

    def __init__(self, config, *, rngs):
        self.table = nnx.Param(jnp.eye(VOCAB, k=1), logical_axes=(None, None))

    def prefill(self, batch, room, ends=None):
        if ends is None:
            ends = (batch["segments"] > 0).sum(1, keepdims=True) - 1
        last = jnp.take_along_axis(batch["tokens"], jnp.maximum(ends, 0), axis=1).reshape(-1)
        return self.table[...][last], Count(last)

    def extend(self, cache, tokens, positions=None):
        follows = (tokens[:, 0] == cache.newest + 1)[:, None, None]
        return jnp.where(follows, self.table[...][tokens], 0.0), Count(tokens[:, -1])


def prompts(*rows):
    width = max(map(len, rows))
    pad = [[0] * (width - len(row)) for row in rows]
    return {
        "tokens": np.array([list(r) + p for r, p in zip(rows, pad, strict=True)], np.int32),
        "segments": np.array([[1] * len(r) + p for r, p in zip(rows, pad, strict=True)], np.int32),
    }


PARAMS = {"table": np.eye(VOCAB, k=1, dtype=np.float32)}


def grouped(*rows, slots):
    """Rows of prompts of one token each."""
    batch = prompts(*rows)
    ends = [[*range(len(row)), *[-1] * (slots - len(row))] for row in rows]
    return batch | {"ends": np.array(ends, np.int32)}
