"""Cross entropy over a large vocabulary that never holds all logits.

152,000 logits a token are more memory than the rest of a row. They are made for a few tokens at a
time, and their gradient is taken on the spot, while they are there: the backward pass only scales
what the forward pass found. So each logit is computed once, not twice as under rematerialisation.
The idea is that of arXiv 2410.10989 (section 3.2).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# In how many parts at most. Over several devices each part costs one sum of the head's gradient,
# so that more and smaller ones would save memory for much traffic.
CHUNKS = 8
CHUNK_TOKENS = 512  # of all rows: a part is not smaller, for products at full speed


def cross_entropy(
    features: Float[Array, "B S H"],
    head: Float[Array, "H V"],
    targets: Int[Array, "B S"],
    weights: Float[Array, "B S"],
    chunks: int | None = None,
) -> tuple[Float[Array, ""], Bool[Array, "B S"]]:
    """sum(weights * -log softmax(features @ head)[targets]), and where the target is the largest.

    Products are in the dtype of `features`, logits, softmax and sums in float32. Differentiable in
    `features` and `head`, once: there is no second derivative. A gradient for a `head` that is
    frozen is not computed. Rows are never joined with others in a chunk, so that a batch that is
    cut over devices by rows stays where it is.
    """
    rows, length, _ = features.shape
    chunks = chunks or min(CHUNKS, max(1, rows * length // CHUNK_TOKENS))
    size = -(-length // chunks)
    short = -length % size
    if short:
        pad = ((0, 0), (0, short))
        features = jnp.pad(features, (*pad, (0, 0)))
        targets, weights = jnp.pad(targets, pad), jnp.pad(weights, pad)
    loss, right = _summed(size, features, head, targets, weights)
    return loss, right[:, :length]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _summed(size: int, features, head, targets, weights):
    """The function itself, S a multiple of `size`; run as it stands when nothing is learned."""
    return _run(size, features, head, targets, weights, learn_features=False, learn_head=False)[0]


def _forward(size: int, features, head, targets, weights):
    out, gradients = _run(
        size,
        *(argument.value for argument in (features, head, targets, weights)),
        learn_features=features.perturbed,
        learn_head=head.perturbed,
    )
    return out, gradients


def _backward(size: int, gradients, cotangents):
    del size
    scale = cotangents[0]
    if isinstance(scale, jax.custom_derivatives.SymbolicZero):
        return None, None, None, None
    of_features, of_head = (None if g is None else (g * scale).astype(g.dtype) for g in gradients)
    return of_features, of_head, None, None


_summed.defvjp(_forward, _backward, symbolic_zeros=True)


def _run(size: int, features, head, targets, weights, *, learn_features: bool, learn_head: bool):
    """((loss, right), (gradient of features, gradient of head)), chunk by chunk along S."""
    rows, length, width = features.shape
    kernel = head.astype(features.dtype)

    def cut(x):  # [B, S, ...] to [S / size, B, size, ...]
        return x.reshape(rows, length // size, size, *x.shape[2:]).swapaxes(0, 1)

    def chunk(carry, inputs):
        loss, of_head = carry
        x, target, weight = inputs
        flat = x.reshape(-1, width)
        logits = jnp.matmul(flat, kernel, preferred_element_type=jnp.float32)
        target, weight = target.reshape(-1), weight.reshape(-1)
        said = jnp.take_along_axis(logits, target[:, None], axis=-1)[:, 0]
        largest = logits.max(axis=-1)
        powers = jnp.exp(logits - largest[:, None])
        total = powers.sum(axis=-1)
        loss += ((largest + jnp.log(total) - said) * weight).sum()
        right = (said >= largest).reshape(rows, size)
        of_x = None
        if learn_features or learn_head:
            hit = jnp.arange(logits.shape[-1]) == target[:, None]
            of_logits = powers * (weight / total)[:, None] - jnp.where(hit, weight[:, None], 0)
            of_logits = of_logits.astype(features.dtype)
        if learn_features:
            of_x = jnp.matmul(of_logits, kernel.T).reshape(rows, size, width)
        if learn_head:
            of_head += jnp.matmul(flat.T, of_logits, preferred_element_type=jnp.float32)
        return (loss, of_head), (right, of_x)

    first = (jnp.zeros(()), jnp.zeros(head.shape, jnp.float32) if learn_head else None)
    (loss, of_head), (right, of_x) = jax.lax.scan(
        chunk, first, tuple(map(cut, (features, targets, weights)))
    )

    def join(x):
        return x.swapaxes(0, 1).reshape(rows, length, *x.shape[3:])

    of_features = join(of_x) if learn_features else None
    if learn_head:
        of_head = of_head.astype(head.dtype)
    return (loss, join(right)), (of_features, of_head)
