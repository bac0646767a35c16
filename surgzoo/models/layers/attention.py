"""The one door to attention. Kernels for particular devices belong behind it.

grouped  batched 3-D products, written here; runs everywhere, the fastest on a CPU
xla      jax.nn.dot_product_attention(implementation="xla")
cudnn    cuDNN's flash attention for rows of segments on an NVIDIA GPU, see layers/cudnn.py
auto     cudnn where it can run and the row is long enough to gain from it, else grouped
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from surgzoo.core import parallel
from surgzoo.models.layers import cudnn
from surgzoo.models.layers.cudnn import Segments

IMPLEMENTATIONS = ("auto", "grouped", "xla", "cudnn")
# Below, flash attention gains nothing: SkyRL saw none on short masked rows, others saw 1.7 to 2.3
# times at training lengths.
_CUDNN_FROM = 512  # tokens a row

MOST_SCORES = 1 << 29  # of all rows and heads that a device has, at a time: 2 GiB

_MASKED = -1e30  # finite: a padded query that may see nothing gets a harmless mean, not NaN


class Shared(NamedTuple):
    """Keys and values of F rows, each read by B / F neighbouring rows of queries.

    Keys have their slots last: so a product with a few queries reads them as they lie. With the
    slots before the width XLA:CPU packs all of them anew at every token, which took a quarter of
    the time of decoding eight rows.
    """

    k: Float[Array, "F K D T"]
    v: Float[Array, "F K T D"]
    mask: Bool[Array, "B S T"]


def attend(
    q: Float[Array, "B S N D"],
    k: Float[Array, "B K T D"],
    v: Float[Array, "B K T D"],
    mask: Bool[Array, "B S T"] | None,
    shared: Shared | None = None,
    *,
    implementation: str = "auto",
    segments: Segments | None = None,
) -> Float[Array, "B S N D"]:
    """softmax(q k' / sqrt(D)) v where `mask` is True; N query heads share K key-value heads.

    Without a mask every query sees every key.

    Keys and values have their heads before their slots, as a cache keeps them. The query heads of a
    group are folded into the rows of one batched 3-D product, which XLA:CPU runs at twice the speed
    of the 5-D einsum. Scores and softmax are float32.

    With `shared` the softmax goes over its keys too. They are read once for all the rows that share
    them, whose queries become rows of one product; the two parts are joined by the sums of their
    exponentials (arXiv 2402.05099, section 3.1).

    `segments` says the same as `mask` in the form that cuDNN takes; give it where it is known. The
    implementations agree up to rounding where a query may see anything; elsewhere the output has no
    meaning and may differ.

    Raises ValueError when N is not a multiple of K, B not one of F, or the `implementation` that
    was asked for cannot run, with the reason.
    """
    heads, kv_heads = q.shape[2], k.shape[1]
    if heads % kv_heads:
        raise ValueError(f"{heads} query heads cannot share {kv_heads} key-value heads evenly")
    if shared is not None and q.shape[0] % shared.k.shape[0]:
        raise ValueError(f"{q.shape[0]} rows cannot share {shared.k.shape[0]} rows of keys evenly")
    chosen = choose(implementation, q, None if shared is not None else segments)
    if chosen == "cudnn":
        return cudnn.attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), segments)
    if chosen == "xla":
        return _attend_xla(q, k, v, mask, shared)
    if shared is None:
        return _in_parts(q, k, v, mask)
    out, size = _attend(q, k.swapaxes(2, 3), v, mask)
    other, other_size = _attend(q, *shared)
    share = jax.nn.sigmoid(size - other_size)[..., None]  # e^a / (e^a + e^b)
    return (share * out + (1 - share) * other).astype(out.dtype)


def choose(
    implementation: str,
    q: Float[Array, "B S N D"],
    segments: Segments | None,
    device: cudnn.Device | None = None,
) -> str:
    """Which implementation runs: "grouped", "xla" or "cudnn".

    Raises ValueError for an unknown name, or when cuDNN is asked for and cannot run.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"unknown attention '{implementation}': use one of {', '.join(IMPLEMENTATIONS)}"
        )
    if implementation in ("grouped", "xla"):
        return implementation
    reason = cudnn.why_not(q.dtype, q.shape[-1], segments, device or cudnn.this_device())
    if implementation == "auto":
        return "grouped" if reason or q.shape[1] < _CUDNN_FROM else "cudnn"
    if reason:
        raise ValueError(f"attention 'cudnn' cannot run here: {reason}. Use 'auto' or 'grouped'")
    return "cudnn"


def _attend_xla(
    q: Float[Array, "B S N D"],
    k: Float[Array, "B K T D"],
    v: Float[Array, "B K T D"],
    mask: Bool[Array, "B S T"] | None,
    shared: Shared | None,
) -> Float[Array, "B S N D"]:
    """JAX's own formula. Shared keys are copied to every row that reads them and stand before its
    own: the sums of exponentials that `jax.nn` returns have no gradient."""
    if shared is not None:
        copies, own = q.shape[0] // shared.k.shape[0], k.shape[2]
        shared_k = jnp.repeat(shared.k.swapaxes(2, 3), copies, axis=0)
        k = jnp.concatenate([shared_k, k], axis=2)
        v = jnp.concatenate([jnp.repeat(shared.v, copies, axis=0), v], axis=2)
        mask = jnp.ones((*q.shape[:2], own), bool) if mask is None else mask
        mask = jnp.concatenate([shared.mask, mask], axis=2)
    mask = None if mask is None else mask[:, None]
    return jax.nn.dot_product_attention(
        q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask=mask, implementation="xla"
    )


def _in_parts(
    q: Float[Array, "B S N D"],
    k: Float[Array, "B K T D"],
    v: Float[Array, "B K T D"],
    mask: Bool[Array, "B S T"] | None,
) -> Float[Array, "B S N D"]:
    """Attention by as many queries at a time as `MOST_SCORES` allows.

    A row of 8,192 tokens and 28 heads has 7.5 GB of scores, a long clip in the vision tower more.
    The backward pass makes the scores of a part anew.
    """

    def some(q, mask):
        rows = _Rows(q, v)
        return rows.unfold(_weigh(*rows.fold(q, k, v), rows.fold_mask(mask)))

    batch, queries, *_ = q.shape
    at_once = max(1, MOST_SCORES // (_tables(q, k) * k.shape[2]))
    if at_once >= queries:
        return some(q, mask)
    parts = -(-queries // at_once)
    size = -(-queries // parts)

    def cut(x):  # [B, S, ...] to [parts, B, size, ...]; queries of padding may see anything
        x = jnp.pad(x, ((0, 0), (0, parts * size - queries), *((0, 0),) * (x.ndim - 2)))
        return x.reshape(batch, parts, size, *x.shape[2:]).swapaxes(0, 1)

    masks = None if mask is None else cut(mask)
    out = jax.lax.map(lambda part: jax.checkpoint(some)(*part), (cut(q), masks))
    return out.swapaxes(0, 1).reshape(batch, parts * size, *q.shape[2:])[:, :queries]


def _tables(q: Float[Array, "B S N D"], k: Float[Array, "B K T D"]) -> int:
    """Tables of scores, one a row and head, that a device has: B and N are those of all devices.

    Rows, and heads with the keys that they share, count whole where the mesh does not divide them,
    as the compiler then keeps them whole.
    """
    batch, heads, kv_heads = q.shape[0], q.shape[2], k.shape[1]
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return batch * heads
    rows, tensor = parallel.row_parts(mesh), mesh.shape["tensor"]
    batch = batch if batch % rows else batch // rows
    return batch * (heads if kv_heads % tensor else heads // tensor)


class _Rows:
    """The shape of one batched 3-D product: the query heads that share keys become its rows, and so
    do the rows of the batch that share keys."""

    def __init__(self, q: Float[Array, "B S N D"], v: Float[Array, "F K T D"]):
        self.shape, self.width = q.shape, q.shape[-1]
        self.rows, self.kv_heads, self.slots = v.shape[:3]
        self.group = q.shape[2] // self.kv_heads
        self.queries = q.shape[0] // self.rows * q.shape[1]

    def fold(self, q: Array, k: Array, v: Array) -> tuple[Array, Array, Array]:
        """Queries, scaled, to [F * K, G * S, D]; the first two axes of keys and values to one."""
        q = (q * self.width**-0.5).reshape(
            self.rows, self.queries, self.kv_heads, self.group, self.width
        )
        q = q.transpose(0, 2, 3, 1, 4).reshape(self.rows * self.kv_heads, -1, self.width)
        return q, *(x.reshape(self.rows * self.kv_heads, *x.shape[2:]) for x in (k, v))

    def fold_mask(self, mask: Array | None) -> Array | None:
        """To [F, 1, 1, S, T]."""
        return None if mask is None else mask.reshape(self.rows, 1, 1, self.queries, self.slots)

    def unfold(self, out: Array) -> Array:
        """[F * K, G * S, *] to [B, S, N, *]."""
        rest = out.shape[2:]
        out = out.reshape(self.rows, self.kv_heads, self.group, self.queries, *rest)
        out = out.transpose(0, 3, 1, 2, *range(4, out.ndim))
        return out.reshape(*self.shape[:3], *rest)


def _powers(q: Array, k: Array, mask: Array | None, keys: str = "xtd") -> tuple[Array, Array]:
    """exp(scores - their largest) [X, Q, T], and the largest [X, Q], float32."""
    scores = jnp.einsum(f"xqd,{keys}->xqt", q, k, preferred_element_type=jnp.float32)
    if mask is not None:
        shape = scores.shape
        rows, _, _, queries, slots = mask.shape
        scores = scores.reshape(rows, shape[0] // rows, -1, queries, slots)
        scores = jnp.where(mask, scores, _MASKED).reshape(shape)
    largest = scores.max(axis=-1)
    return jnp.exp(scores - largest[..., None]), largest


@jax.custom_vjp
def _weigh(
    q: Float[Array, "X Q D"],
    k: Float[Array, "X T D"],
    v: Float[Array, "X T D"],
    mask: Bool[Array, "F 1 1 S T"] | None,
) -> Float[Array, "X Q D"]:
    """softmax(q k') v. Sums of exponentials divide the output, not the weights, and the backward
    pass takes its inner sum from the output too (arXiv 2205.14135, appendix B.4): two passes over
    the table of scores less."""
    return _weigh_forward(q, k, v, mask)[0]


def _weigh_forward(q, k, v, mask):
    powers, _ = _powers(q, k, mask)
    total = powers.sum(axis=-1, keepdims=True)
    powers = powers.astype(v.dtype)
    out = jnp.einsum("xqt,xtd->xqd", powers, v, preferred_element_type=jnp.float32)
    out = (out / total).astype(v.dtype)
    return out, (q, k, v, powers, total, out)


def _weigh_backward(saved, of_out):
    q, k, v, powers, total, out = saved
    wide = of_out.astype(jnp.float32) / total
    inner = (wide * out).sum(axis=-1, keepdims=True)
    of_out = wide.astype(v.dtype)
    of_v = jnp.einsum("xqt,xqd->xtd", powers, of_out)
    of_powers = jnp.einsum("xqd,xtd->xqt", of_out, v, preferred_element_type=jnp.float32)
    of_scores = (powers * (of_powers - inner)).astype(q.dtype)
    of_q = jnp.einsum("xqt,xtd->xqd", of_scores, k)
    of_k = jnp.einsum("xqt,xqd->xtd", of_scores, q)
    return of_q, of_k, of_v, None


_weigh.defvjp(_weigh_forward, _weigh_backward)


def _attend(
    q: Float[Array, "B S N D"],
    k: Float[Array, "F K D T"],
    v: Float[Array, "F K T D"],
    mask: Bool[Array, "B S T"] | None,
) -> tuple[Float[Array, "B S N D"], Float[Array, "B S N"]]:
    """The output over these keys alone, and the logarithm of the sum of exponentials, float32."""
    rows = _Rows(q, v)
    q, k, v = rows.fold(q, k, v)
    powers, largest = _powers(q, k, rows.fold_mask(mask), "xdt")
    total = powers.sum(axis=-1)
    out = jnp.einsum("xqt,xtd->xqd", (powers / total[..., None]).astype(v.dtype), v)
    return rows.unfold(out), rows.unfold(largest + jnp.log(total))
