"""The one door to attention. Kernels for particular devices belong behind it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_MASKED = -1e30  # finite: a padded query that may see nothing gets a harmless mean, not NaN


class Shared(NamedTuple):
    """Keys and values of F rows, each read by B / F neighbouring rows of queries."""

    k: Float[Array, "F K T D"]
    v: Float[Array, "F K T D"]
    mask: Bool[Array, "B S T"]


def attend(
    q: Float[Array, "B S N D"],
    k: Float[Array, "B K T D"],
    v: Float[Array, "B K T D"],
    mask: Bool[Array, "B S T"],
    shared: Shared | None = None,
) -> Float[Array, "B S N D"]:
    """softmax(q k' / sqrt(D)) v where `mask` is True; N query heads share K key-value heads.

    Keys and values have their heads before their slots, as a cache keeps them. The query heads of a
    group are folded into the rows of one batched 3-D product, which XLA:CPU runs at twice the speed
    of the 5-D einsum. Scores and softmax are float32.

    With `shared` the softmax goes over its keys too. They are read once for all the rows that share
    them, whose queries become rows of one product; the two parts are joined by the sums of their
    exponentials (arXiv 2402.05099, section 3.1).

    Raises ValueError when N is not a multiple of K, or B not one of F.
    """
    heads, kv_heads = q.shape[2], k.shape[1]
    if heads % kv_heads:
        raise ValueError(f"{heads} query heads cannot share {kv_heads} key-value heads evenly")
    out, size = _attend(q, k, v, mask)
    if shared is None:
        return out
    if q.shape[0] % shared.k.shape[0]:
        raise ValueError(f"{q.shape[0]} rows cannot share {shared.k.shape[0]} rows of keys evenly")
    other, other_size = _attend(q, *shared)
    share = jax.nn.sigmoid(size - other_size)[..., None]  # e^a / (e^a + e^b)
    return (share * out + (1 - share) * other).astype(out.dtype)


def _attend(
    q: Float[Array, "B S N D"],
    k: Float[Array, "F K T D"],
    v: Float[Array, "F K T D"],
    mask: Bool[Array, "B S T"],
) -> tuple[Float[Array, "B S N D"], Float[Array, "B S N"]]:
    """The output over these keys alone, and the logarithm of the sum of exponentials, float32."""
    shape, width = q.shape, q.shape[-1]
    rows, kv_heads, slots = k.shape[:3]
    group = shape[2] // kv_heads
    # The rows that share keys become further queries of one row.
    queries = shape[0] // rows * shape[1]

    q = (q * width**-0.5).reshape(rows, queries, kv_heads, group, width)
    q = q.transpose(0, 2, 3, 1, 4).reshape(rows * kv_heads, group * queries, width)
    k = k.reshape(rows * kv_heads, slots, width)
    v = v.reshape(rows * kv_heads, slots, width)

    scores = jnp.einsum("xqd,xtd->xqt", q, k, preferred_element_type=jnp.float32)
    scores = scores.reshape(rows, kv_heads, group, queries, slots)
    scores = jnp.where(mask.reshape(rows, 1, 1, queries, slots), scores, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1)
    # The largest weight is 1 / sum(exp(scores - their largest)): no second pass of exponentials.
    size = scores.max(axis=-1) - jnp.log(weights.max(axis=-1))
    weights = weights.astype(v.dtype).reshape(rows * kv_heads, group * queries, slots)
    out = jnp.einsum("xqt,xtd->xqd", weights, v)

    out = out.reshape(rows, kv_heads, group, queries, width).transpose(0, 3, 1, 2, 4)
    return out.reshape(shape), size.transpose(0, 3, 1, 2).reshape(shape[:3])
