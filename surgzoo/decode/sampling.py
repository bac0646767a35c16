"""Drawing tokens: temperature, top-k, top-p, min-p; every question with random numbers of its own.

The order is that of transformers' logits processors: temperature, top-k, top-p, min-p.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How the distribution is cut before a token is drawn from it.

    Attributes:
      temperature: logits are divided by it; above 0.
      top_k: only the k likeliest tokens; 0 = all.
      top_p: only the likeliest tokens that together reach this probability (arXiv 1904.09751); 1 =
        all.
      min_p: only tokens of at least this share of the likeliest one's probability (arXiv
        2407.01082); 0 = all.

    Raises ValueError for values outside these ranges.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self):
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0 to sample, not {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be a number of tokens, or 0 for all, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if not 0 <= self.min_p < 1:
            raise ValueError(f"min_p must be at least 0 and below 1, not {self.min_p}")


def warp(logits: Float[Array, "B V"], how: Sampling) -> Float[Array, "B V"]:
    """Logits of the distribution that is drawn from: -inf for what was cut.

    Each cut is a threshold, so that equal logits stay or go together.
    """
    logits = logits / how.temperature
    if not (how.top_k or how.top_p < 1 or how.min_p):
        return logits
    count = min(how.top_k or logits.shape[-1], logits.shape[-1])
    if how.top_p < 1:
        ranked = jax.lax.top_k(logits, count)[0]  # falling
        weights = jax.nn.softmax(ranked, axis=-1)
        before = jnp.cumsum(weights, axis=-1) - weights
        kept = jnp.sum(before < how.top_p, axis=-1, keepdims=True)  # at least the first
        least = jnp.take_along_axis(ranked, kept - 1, axis=-1)
        highest = ranked[:, :1]
    else:
        least = jax.lax.top_k(logits, count)[0][:, -1:] if how.top_k else -jnp.inf
        highest = logits.max(axis=-1, keepdims=True)
    if how.min_p:
        least = jnp.maximum(least, highest + jnp.log(how.min_p))
    return jnp.where(logits >= least, logits, -jnp.inf)


def draw(
    logits: Float[Array, "B V"], keys: UInt32[Array, "B 2"], step: Int[Array, ""]
) -> Int[Array, " B"]:
    """A token of each row, by the largest of the logits with Gumbel noise.

    The noise of a row depends on its key and the step alone, so that a question gets the same
    answer in whatever batch it stands.
    """

    def one(row, key):
        key = jax.random.fold_in(jax.random.wrap_key_data(key, impl="threefry2x32"), step)
        return jnp.argmax(row + jax.random.gumbel(key, row.shape, row.dtype))

    return jax.vmap(one)(logits, keys).astype(jnp.int32)


def log_probability(logits: Float[Array, "B V"], tokens: Int[Array, " B"]) -> Float[Array, " B"]:
    """Of one token of each row, by the softmax over the row."""
    chosen = jnp.take_along_axis(logits, tokens[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def keys_of(names: Iterable[str], seed: int) -> UInt32[np.ndarray, "B 2"]:
    """A key for each question by its name (the id of its conversation) and the seed."""
    digests = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), "<u4").reshape(-1, 2).astype(np.uint32)


def keys_of_samples(keys: UInt32[Array, "B 2"], samples: int) -> UInt32[Array, "B 2"]:
    """Keys of questions that stand `samples` times beside each other, told apart; the first keeps
    its own, so that it is what one sample alone would be."""

    def one(key, number):
        other = jax.random.fold_in(jax.random.wrap_key_data(key, impl="threefry2x32"), number)
        return jnp.where(number == 0, key, jax.random.key_data(other))

    # Steps are folded in below; samples count down from the top.
    numbers = (jnp.arange(len(keys)) % samples).astype(jnp.uint32)
    return jax.vmap(one)(keys, jnp.where(numbers == 0, 0, jnp.uint32(0xFFFFFFFF) - numbers))
