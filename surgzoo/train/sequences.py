"""Losses over sequences in time: the next action of a history, the phase of every frame."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

SMOOTHING = 0.15  # weight of the smoothing, arXiv 1903.01945, section 3.3
LARGEST_STEP = 4.0  # of a log-probability from frame to frame; what is above counts as this much


def next_action(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Cross entropy of every action of a history from those before it.

    The batch holds "actions" [B S], -1 behind a history's end, and, where recognition is to be
    read as it was, "history" [B S A], the probabilities that it gave.
    """
    del rng
    actions = batch["actions"]
    known = actions >= 0
    history = batch.get("history")
    if history is None:
        history = jax.nn.one_hot(actions, model.config.actions)  # zeros where there is none
    logits = model.plan(params, history)[:, :-1]
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(actions, 0))
    weight = known.sum().astype(jnp.float32)
    most = jnp.maximum(weight, 1.0)
    right = known * (logits.argmax(axis=-1) == actions)
    return (known * loss).sum() / most, {"weight": weight, "accuracy": right.sum() / most}


def smoothness(logits: Float[Array, "*N T C"], labels: Int[Array, "*N T"]) -> Float[Array, "*N T"]:
    """Truncated squared step of the log-probabilities to each frame from the one before, mean over
    the classes; 0 for the first frame and where either frame has no label.

    No gradient goes to the earlier frame (arXiv 1903.01945, eq. 5, and the authors' code).
    """
    log = jax.nn.log_softmax(logits, axis=-1)
    step = log[..., 1:, :] - jax.lax.stop_gradient(log[..., :-1, :])
    squared = jnp.minimum(step**2, LARGEST_STEP**2).mean(axis=-1)
    known = labels >= 0
    squared = squared * (known[..., 1:] & known[..., :-1])
    return jnp.pad(squared, [(0, 0)] * (squared.ndim - 1) + [(1, 0)])


def label_frames(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Cross entropy of every frame and smoothing, summed over the stages.

    The batch holds "features" [B T F] and "labels" [B T], -1 where a frame has none, such as behind
    a video's end. Both terms are averaged over the labelled frames, so that microbatches add up;
    the authors average the second over the pairs of frames, one less a video.
    """
    del rng
    labels = batch["labels"]
    logits = model.label_frames(params, batch["features"])  # N B T C
    known = labels >= 0
    wanted = jnp.broadcast_to(jnp.maximum(labels, 0), logits.shape[:-1])
    loss = known * optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    loss = loss + SMOOTHING * smoothness(logits, jnp.broadcast_to(labels, logits.shape[:-1]))
    weight = known.sum().astype(jnp.float32)
    most = jnp.maximum(weight, 1.0)
    right = known * (logits[-1].argmax(axis=-1) == labels)
    return loss.sum() / most, {"weight": weight, "accuracy": right.sum() / most}
