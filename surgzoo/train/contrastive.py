"""Contrastive losses on embeddings, and the objectives that train dual encoders with them.

Losses take embeddings [B E] of which row i of one belongs to row i of the other. They need not have
length one: where cosines are taken, the loss takes them. All return a scalar, float32.

Frames of one operation are often described in the same words, and then a row is no counterexample
to another. `same` [B B] says which rows have equal texts: such a pair, off the diagonal, is neither
right nor wrong and is left out. None = all texts differ, as the published codes assume.

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
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Pairs = Float[Array, "B E"]
Loss = Float[Array, ""]
Same = Bool[Array, "B B"]
Objective = Callable[..., tuple[Loss, dict[str, Array]]]  # as in objectives.py

_FAR = 1e9  # of cells outside the table; finite, so that its product with a weight of zero is zero


def _unit(x: Float[Array, "*B E"]) -> Float[Array, "*B E"]:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)


def _others(same: Same) -> Same:
    """The pairs of equal texts that are no pairs of the data."""
    return same & ~jnp.eye(len(same), dtype=bool)


def _right(logits: Float[Array, "B B"], same: Same | None = None) -> Loss:
    """Mean cross entropy of the diagonal, row by row."""
    if same is not None:
        logits = jnp.where(_others(same), -_FAR, logits)
    return -jnp.diagonal(jax.nn.log_softmax(logits, axis=1)).mean()


def _both_ways(logits: Float[Array, "B B"], same: Same | None = None) -> Loss:
    return (_right(logits, same) + _right(logits.T, same)) / 2


def info_nce(a: Pairs, b: Pairs, temperature: float = 0.1, same: Same | None = None) -> Loss:
    """Mean over both directions of the cross entropy of the pairs, by cosine."""
    return _both_ways(_unit(a) @ _unit(b).T / temperature, same)


def nt_xent(
    a: Pairs, b: Pairs, temperature: float = 0.1, weight: float = 0.75, same: Same | None = None
) -> Loss:
    """`weight` times the cross entropy of the pairs from a to b, the rest from b to a."""
    logits = _unit(a) @ _unit(b).T / temperature
    return weight * _right(logits, same) + (1 - weight) * _right(logits.T, same)


def simclr(a: Pairs, b: Pairs, temperature: float = 0.1) -> Loss:
    """Two views: each of the 2B rows finds its other view among the 2B - 1 other rows."""
    both = _unit(jnp.concatenate([a, b]))
    logits = both @ both.T / temperature
    logits = jnp.where(jnp.eye(len(both), dtype=bool), -_FAR, logits)
    other = jnp.roll(jnp.arange(len(both)), len(a))
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=1), other[:, None], axis=1).mean()


def mil_nce(a: Pairs, b: Float[Array, "B K E"], same: Same | None = None) -> Loss:
    """Each row of a against its K candidates in b, of which any may be right, by inner product.

    Not normalised. Negatives are taken in both directions; as in the authors' code the right ones
    stand in both parts of the denominator.
    """
    scores = jnp.einsum("ie,jke->ijk", a.astype(jnp.float32), b.astype(jnp.float32))
    if same is not None:
        scores = jnp.where(_others(same)[..., None], -_FAR, scores)
    rows = jnp.arange(len(a))
    right = jax.nn.logsumexp(scores[rows, rows], axis=1)
    all_of_them = jnp.concatenate([scores, scores.swapaxes(0, 1)], axis=1).reshape(len(a), -1)
    return (jax.nn.logsumexp(all_of_them, axis=1) - right).mean()


def pair_sigmoid(logits: Float[Array, "B B"], same: Same | None = None) -> Loss:
    """Every cell a yes-or-no question of its own, yes on the diagonal; summed over a row."""
    sign = 2 * jnp.eye(len(logits)) - 1
    said = jax.nn.log_sigmoid(sign * logits)
    return -(said if same is None else jnp.where(_others(same), 0, said)).sum(axis=1).mean()


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
    temperature: float = 0.1,
    scale: float = 0.01,
    margin: float = 0.0,
) -> Loss:
    """Frames align better with the texts in order than with the texts in reverse: a hinge.

    The cost of a cell is how unlikely the frame is among all frames for this text: minus the log of
    the softmax over T of the inner products / `temperature`, not normalised. The cost of a path is
    multiplied by `scale`.
    """
    scores = jnp.einsum("bte,bse->bts", frames.astype(jnp.float32), texts.astype(jnp.float32))
    cost = -jax.nn.log_softmax(scores / temperature, axis=1)
    right, wrong = smooth_dtw(cost, gamma), smooth_dtw(cost[:, :, ::-1], gamma)
    return jax.nn.relu(scale * (right - wrong) + margin).mean()


def clip_level(views: Sequence[Pairs], text: Pairs, same: Same | None = None) -> Loss:
    """Of clips: three views of their frames (as they are, and changed twice) and what is said."""
    plain, one, other = views
    total = simclr(one, other)  # a frame and itself: nothing there hangs on texts
    for view in (plain, one, other):
        parts = (
            info_nce(view, text, same=same),
            nt_xent(view, text, same=same),
            mil_nce(view, text[:, None], same),
        )
        total += sum(parts) / 3
    return total / 4


def keystep_level(
    video: Pairs, text: Pairs, children: Float[Array, "B N E"], same: Same | None = None
) -> Loss:
    """Of key steps: the mean of their frames, their text, the texts of the clips in them."""
    inner = children.mean(axis=1)
    parts = (
        info_nce(video, text, same=same),
        nt_xent(video, text, same=same),
        info_nce(video, inner, same=same),
        info_nce(text, inner, same=same),
    )
    return sum(parts) / 4


def video_level(
    frames: Float[Array, "B T E"],
    text: Pairs,
    children: Float[Array, "B N E"],
    same: Same | None = None,
) -> Loss:
    """Of whole videos: as key steps, and the order of the key steps' texts along the frames.

    The hinge counts half (`dtw_ratio` of the published config), and that a tenth.
    """
    parts = 4 * keystep_level(frames.mean(axis=1), text, children, same)
    return (parts + 0.1 * 0.5 * dtw_contrast(frames, children)) / 5


# ---- objectives ----------------------------------------------------------------------------------
#
# Of batches of the contract `Pair`, or `Stretch`. Row i of the pictures belongs to row i of the
# texts, and, where another row has an equal text, may as well belong to that. Microbatches compare
# the rows of one only. There is no dropout in these families, so `rng` is not used.
#
# SurgVLP's three take embeddings as they leave the towers (`raw_image`, `raw_text`), as published:
# means over frames and texts, MIL-NCE and DTW hang on the lengths.


def equal_texts(tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]) -> Same:
    """Which rows are one text to the model.

    By two sums of 32 bits over a row: others agree in both once in 2 ** 64 times, and nothing of
    the size B B S is held.
    """
    odd = np.random.default_rng(0).integers(1 << 31, size=(2, 1, tokens.shape[1])) * 2 + 1
    words = jnp.where(mask, tokens + 1, 0).astype(jnp.uint32)
    one, other = (words * jnp.asarray(odd.astype(np.uint32))).sum(axis=-1, dtype=jnp.uint32)
    return (one[:, None] == one) & (other[:, None] == other)


def _metrics(logits: Float[Array, "B B"], same: Same) -> dict[str, Array]:
    """How often the nearest text of a picture is its own, or an equal one, and the reverse."""
    rows = jnp.arange(len(logits))
    return {
        "weight": jnp.float32(len(logits)),
        "accuracy": same[rows, logits.argmax(axis=1)].mean(),
        "text_accuracy": same[logits.argmax(axis=0), rows].mean(),
    }


def _pairs(loss_of: Callable[[Array, Array], Array]) -> Objective:
    def objective(model: Any, params: Any, batch: Any, rng: jax.Array):
        del rng
        image = model.embed_image(params, batch["images"])
        text = model.embed_text(params, batch["tokens"], batch["mask"])
        logits = model.similarity(params, image, text)
        same = equal_texts(batch["tokens"], batch["mask"])
        return loss_of(logits, same), _metrics(logits, same)

    return objective


# With the model's own scale, and bias: as CLIP and SigLIP are trained.
contrastive = _pairs(_both_ways)
sigmoid = _pairs(pair_sigmoid)


def surgvlp_clip(model: Any, params: Any, batch: Any, rng: jax.Array):
    """`clip_level`. Raises ValueError, with the field to set, without two changed views."""
    del rng
    views = batch.get("views")
    if views is None or views.shape[1] != 2:
        raise ValueError("surgvlp_clip compares a frame with two changes of it: data.pairs.views=2")
    shown = [batch["images"], views[:, 0], views[:, 1]]
    seen = jnp.split(model.raw_image(params, jnp.concatenate(shown)), 3)
    text = model.raw_text(params, batch["tokens"], batch["mask"])
    same = equal_texts(batch["tokens"], batch["mask"])
    return clip_level(seen, text, same), _metrics(_unit(seen[0]) @ _unit(text).T, same)


def _stretches(loss_of: Callable[..., Array], level: str) -> Objective:
    def objective(model: Any, params: Any, batch: Any, rng: jax.Array):
        del rng
        if "frames" not in batch:
            raise ValueError(f"surgvlp_{level} learns from stretches: data.pairs.level={level}")
        frames = batch["frames"]
        seen = model.raw_image(params, frames.reshape(-1, *frames.shape[2:]))
        seen = seen.reshape(*frames.shape[:2], -1)
        children = batch["child_tokens"]
        tokens = jnp.concatenate([batch["tokens"][:, None], children], axis=1)
        mask = jnp.concatenate([batch["mask"][:, None], batch["child_mask"]], axis=1)
        texts = model.raw_text(
            params, tokens.reshape(-1, tokens.shape[-1]), mask.reshape(-1, mask.shape[-1])
        ).reshape(*tokens.shape[:2], -1)
        same = equal_texts(batch["tokens"], batch["mask"])
        loss = loss_of(seen, texts[:, 0], texts[:, 1:], same)
        return loss, _metrics(_unit(seen.mean(axis=1)) @ _unit(texts[:, 0]).T, same)

    return objective


surgvlp_step = _stretches(lambda frames, *rest: keystep_level(frames.mean(axis=1), *rest), "step")
surgvlp_video = _stretches(video_level, "video")
