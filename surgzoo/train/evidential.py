"""The loss of BSA: evidence for the action of a clip from two heads, and the skill.

Source: arXiv 1806.01768. A head's logits are a Dirichlet (`models/bsa/dirichlet.py`). The loss is
the expected cross entropy under it (eq. 4) and, so that evidence for wrong classes dies out, the
divergence of the Dirichlet without the true class's evidence from the flat one (section 3). BSA's
paper (arXiv 2603.12787) names evidence and a second head for the class imbalance, not the formulas.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float, Int

from surgzoo.models.bsa.dirichlet import concentrations, joint_opinion

# Weight of the divergence. The source raises it from 0 to 1 over ten epochs; an objective does not
# know the epoch, and 1 from the start drowns the few clips of a rare action.
DIVERGENCE = 0.1


def expected_cross_entropy(
    logits: Float[Array, "B C"], labels: Int[Array, " B"]
) -> Float[Array, " B"]:
    """E[-log p(label)] over the Dirichlet, each row's."""
    alpha = concentrations(logits)
    own = jnp.take_along_axis(alpha, labels[:, None], axis=1)[:, 0]
    return digamma(alpha.sum(axis=-1)) - digamma(own)


def wrong_evidence(logits: Float[Array, "B C"], labels: Int[Array, " B"]) -> Float[Array, " B"]:
    """KL divergence from the flat Dirichlet of the one that has no evidence for the label."""
    alpha = concentrations(logits)
    own = jax.nn.one_hot(labels, alpha.shape[-1], dtype=bool)
    alpha = jnp.where(own, 1.0, alpha)
    total = alpha.sum(axis=-1, keepdims=True)
    inner = ((alpha - 1) * (digamma(alpha) - digamma(total))).sum(axis=-1)
    return gammaln(total[:, 0]) - gammaln(alpha.shape[-1]) - gammaln(alpha).sum(axis=-1) + inner


def bsa(model: Any, params: Any, batch: Any, rng: jax.Array):
    """Evidential loss of both action heads, and cross entropy of the skill.

    The batch holds "video" [B T H W 3], "action" [B] and, for a model with that head, maybe "skill"
    [B]: labels, -1 where a clip has none. "balance" [B] is what a clip weighs for the second head
    (`data/rows/balance.py`). All terms are averaged over the clips with any label.
    """
    del rng  # no dropout in this family
    found = model.label_logits(params, batch["video"])
    action = batch["action"]
    heads = {"action": jnp.ones(action.shape)}
    if "balanced_action" in found:
        heads["balanced_action"] = batch["balance"]
    known = action >= 0
    labels = jnp.maximum(action, 0)
    total = jnp.zeros(())
    for name, weights in heads.items():
        loss = expected_cross_entropy(found[name], labels)
        loss = loss + DIVERGENCE * wrong_evidence(found[name], labels)
        total += (known * weights * loss).sum()

    answer = joint_opinion(*(found[name] for name in heads))
    right = known * (answer.probabilities.argmax(axis=-1) == action)
    sums = {"accuracy": right.sum(), "uncertainty": (known * answer.uncertainty).sum()}
    counted = known
    if "skill" in found and "skill" in batch:
        skill, rated = batch["skill"], batch["skill"] >= 0
        loss = optax.softmax_cross_entropy_with_integer_labels(
            found["skill"], jnp.maximum(skill, 0)
        )
        total += (rated * loss).sum()
        sums["skill_accuracy"] = (rated * (found["skill"].argmax(axis=-1) == skill)).sum()
        counted = known | rated
    weight = counted.sum().astype(jnp.float32)
    most = jnp.maximum(weight, 1.0)
    return total / most, {"weight": weight} | {k: v / most for k, v in sums.items()}
