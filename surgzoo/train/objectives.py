"""Objectives: one loss, one function, `loss(model, params, batch, rng) -> (loss, metrics)`.

`metrics["weight"]` says how much the batch counts (answer tokens, pairs), so that microbatches and
logging windows can be averaged exactly. The loop knows none of them; a new one is added to
`OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from surgzoo.train import contrastive, dense_losses, evidential, sequences
from surgzoo.train.cross_entropy import cross_entropy

Objective = Callable[[Any, Any, Any, jax.Array], tuple[Float[Array, ""], dict[str, jax.Array]]]


def causal_lm(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Cross entropy of the answer tokens, averaged over all answer tokens of the batch (fp32).

    `loss_mask[b, s]` weighs the prediction of tokens[b, s] from what stands before it.
    """
    del rng  # no dropout in this family
    features = model.features(params, batch)[:, :-1]  # B S-1 H
    targets, weights = batch["tokens"][:, 1:], batch["loss_mask"][:, 1:]
    loss, right = cross_entropy(features, model.head(params), targets, weights)
    weight = weights.sum()
    total = jnp.maximum(weight, 1.0)
    return loss / total, {"weight": weight, "accuracy": (right * weights).sum() / total}


OBJECTIVES: dict[str, Objective] = {
    "causal_lm": causal_lm,
    "contrastive": contrastive.contrastive,
    "sigmoid": contrastive.sigmoid,
    "surgvlp_clip": contrastive.surgvlp_clip,
    "surgvlp_step": contrastive.surgvlp_step,
    "surgvlp_video": contrastive.surgvlp_video,
    "bsa": evidential.bsa,
    "next_action": sequences.next_action,
    "label_frames": sequences.label_frames,
    "scale_shift_invariant": dense_losses.scale_shift_invariant,
    "dice_cross_entropy": dense_losses.dice_cross_entropy,
    "l1_ssim": dense_losses.l1_ssim,
}
