"""Objectives: one loss, one function, `loss(model, params, batch, rng) -> (loss, metrics)`.

`metrics["weight"]` says how much the batch counts (here: answer tokens), so that microbatches and
logging windows can be averaged exactly. The loop knows none of them; a new one is added to
`OBJECTIVES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Objective = Callable[[Any, Any, Any, jax.Array], tuple[Float[Array, ""], dict[str, jax.Array]]]


def causal_lm(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Cross entropy of the answer tokens, averaged over all answer tokens of the batch (fp32).

    `loss_mask[b, s]` weighs the prediction of tokens[b, s] from what stands before it.
    """
    del rng  # no dropout in this family
    logits = model.forward(params, batch)[:, :-1]  # B S-1 V
    targets, weights = batch["tokens"][:, 1:], batch["loss_mask"][:, 1:]
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    nll = -jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    weight = weights.sum()
    total = jnp.maximum(weight, 1.0)
    correct = (logits.argmax(-1) == targets) * weights
    return (nll * weights).sum() / total, {"weight": weight, "accuracy": correct.sum() / total}


OBJECTIVES: dict[str, Objective] = {"causal_lm": causal_lm}
