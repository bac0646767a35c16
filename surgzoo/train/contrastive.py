"""Contrastive losses on embeddings, and the objectives that train dual encoders with them.

Losses take embeddings [B E] of which row i of one belongs to row i of the other; rows need not have
length one where cosines are taken. All return a scalar, float32.

Sources: InfoNCE arXiv 1807.03748, symmetric as in 2103.00020; NT-Xent 2002.05709, its weighted
form between two kinds of input 2010.00747; MIL-NCE 1912.06430; sigmoid 2303.15343; smooth DTW
2105.05217. The three levels of SurgVLP, HecVL and PeskaVLP (2307.15220, 2405.10075, 2410.00263) add
them up as the published code does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Pairs = Float[Array, "B E"]
Loss = Float[Array, ""]

_FAR = 1e9  # of cells outside the table; finite, so that its product with a weight of zero is zero


def _unit(x: Float[Array, "*B E"]) -> Float[Array, "*B E"]:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)


def _right(logits: Float[Array, "B B"]) -> Loss:
    """Mean cross entropy of the diagonal, row by row."""
    return -jnp.diagonal(jax.nn.log_softmax(logits, axis=1)).mean()


def info_nce(a: Pairs, b: Pairs, temperature: float = 0.1) -> Loss:
    """Mean over both directions of the cross entropy of the pairs, by cosine."""
    logits = _unit(a) @ _unit(b).T / temperature
    return (_right(logits) + _right(logits.T)) / 2


def nt_xent(a: Pairs, b: Pairs, temperature: float = 0.1, weight: float = 0.75) -> Loss:
    """`weight` times the cross entropy of the pairs from a to b, the rest from b to a."""
    logits = _unit(a) @ _unit(b).T / temperature
    return weight * _right(logits) + (1 - weight) * _right(logits.T)


def simclr(a: Pairs, b: Pairs, temperature: float = 0.1) -> Loss:
    """Two views: each of the 2B rows finds its other view among the 2B - 1 other rows."""
    both = _unit(jnp.concatenate([a, b]))
    logits = both @ both.T / temperature
    logits = jnp.where(jnp.eye(len(both), dtype=bool), -_FAR, logits)
    other = jnp.roll(jnp.arange(len(both)), len(a))
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), other[:, None], axis=1).mean()


def mil_nce(a: Pairs, b: Float[Array, "B K E"]) -> Loss:
    """Each row of a against its K candidates in b, of which any may be right, by inner product.

    Not normalised. Negatives are taken in both directions; as in the authors' code the right ones
    stand in both parts of the denominator.
    """
    scores = jnp.einsum("ie,jke->ijk", a.astype(jnp.float32), b.astype(jnp.float32))
    rows = jnp.arange(len(a))
    right = jax.nn.logsumexp(scores[rows, rows], axis=1)
    all_of_them = jnp.concatenate([scores, scores.swapaxes(0, 1)], axis=1).reshape(len(a), -1)
    return (jax.nn.logsumexp(all_of_them, axis=1) - right).mean()


def pair_sigmoid(logits: Float[Array, "B B"]) -> Loss:
    """Every cell a yes-or-no question of its own, yes on the diagonal; summed over a row."""
    sign = 2 * jnp.eye(len(logits)) - 1
    return -jax.nn.log_sigmoid(sign * logits).sum(axis=1).mean()


def _softmin(x: Float[Array, "*B 3"], gamma: float) -> Float[Array, "*B"]:
    """The mean of x under softmax(-x / gamma): near the least, and smooth."""
    return (jax.nn.softmax(-x / gamma, axis=-1) * x).sum(axis=-1)


def smooth_dtw(cost: Float[Array, "B T S"], gamma: float = 0.1) -> Float[Array, B]:
    """Least cost, smoothed by `gamma`, of a monotonic path from the first to the last cell.

    A step goes one row, one column or both; a path costs the sum of its cells. The cells of an
    anti-diagonal do not depend on one another, so it takes T + S - 1 steps of a scan.
    """
    batch, height, width = cost.shape
    rows = jnp.arange(height)

    def step(carry, number):
        last, before = carry  # R on the two anti-diagonals before, [B, T] by row
        columns = number - rows
        inside = (columns >= 0) & (columns < width)
        here = cost[:, rows, jnp.clip(columns, 0, width - 1)]
        edge = jnp.where(number == 0, 0.0, _FAR)  # the path starts at no cost before (0, 0)
        above = jnp.concatenate([jnp.full((batch, 1), _FAR), last[:, :-1]], axis=1)
        across = jnp.concatenate([jnp.full((batch, 1), edge), before[:, :-1]], axis=1)
        here = here + _softmin(jnp.stack([last, above, across], axis=-1), gamma)
        return (jnp.where(inside, here, _FAR), last), None

    start = jnp.full((batch, height), _FAR)
    (last, _), _ = jax.lax.scan(step, (start, start), jnp.arange(height + width - 1))
    return last[:, -1]


def dtw_contrast(
    frames: Float[Array, "B T E"],
    texts: Float[Array, "B S E"],
    gamma: float = 0.1,
    scale: float = 0.01,
    margin: float = 0.0,
) -> Loss:
    """Frames align better with the texts in order than with the texts in reverse: a hinge.

    The cost of a cell is 1 - cosine (the choice here), the cost of a path is multiplied by `scale`.
    """
    cost = 1 - jnp.einsum("bte,bse->bts", _unit(frames), _unit(texts))
    right, wrong = smooth_dtw(cost, gamma), smooth_dtw(cost[:, :, ::-1], gamma)
    return jax.nn.relu(scale * (right - wrong) + margin).mean()


def clip_level(views: Sequence[Pairs], text: Pairs) -> Loss:
    """Of clips: three views of their frames (as they are, and changed twice) and what is said."""
    plain, one, other = views
    total = simclr(one, other)
    for view in (plain, one, other):
        parts = info_nce(view, text), nt_xent(view, text), mil_nce(view, text[:, None])
        total += sum(parts) / 3
    return total / 4


def keystep_level(video: Pairs, text: Pairs, children: Float[Array, "B N E"]) -> Loss:
    """Of key steps: the mean of their frames, their text, the texts of the clips in them."""
    inner = children.mean(axis=1)
    parts = (
        info_nce(video, text), nt_xent(video, text), info_nce(video, inner), info_nce(text, inner)
    )  # fmt: skip
    return sum(parts) / 4


def video_level(
    frames: Float[Array, "B T E"], text: Pairs, children: Float[Array, "B N E"]
) -> Loss:
    """Of whole videos: as key steps, and the order of the key steps' texts along the frames."""
    parts = 4 * keystep_level(frames.mean(axis=1), text, children)
    return (parts + 0.1 * dtw_contrast(frames, children)) / 5


def _objective(loss_of: Callable[[Array], Array]) -> Callable[..., tuple[Array, dict[str, Array]]]:
    def objective(model: Any, params: Any, batch: Any, rng: jax.Array):
        del rng  # no dropout in these families
        image = model.embed_image(params, batch["images"])
        text = model.embed_text(params, batch["tokens"], batch["mask"])
        logits = model.similarity(params, image, text)
        right = jnp.arange(len(logits))
        return loss_of(logits), {
            "weight": jnp.float32(len(logits)),
            "accuracy": (logits.argmax(axis=1) == right).mean(),
            "text_accuracy": (logits.argmax(axis=0) == right).mean(),
        }

    return objective


# Of a batch with images [B H W 3], tokens and mask [B S]: row i of one belongs to row i of the
# other, and to no other row. Microbatches compare the rows of one only. With the model's own scale,
# and bias: as CLIP and SigLIP are trained.
contrastive = _objective(lambda logits: (_right(logits) + _right(logits.T)) / 2)
sigmoid = _objective(pair_sigmoid)
