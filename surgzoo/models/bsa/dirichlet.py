"""What evidential logits say: a Dirichlet distribution over the probabilities of the classes.

Source: arXiv 1806.01768, section 3. A class with logit z has the evidence softplus(z), the
Dirichlet the concentrations evidence + 1. Without any evidence it is flat: the model says that it
does not know, which a softmax cannot. (That paper takes a ReLU; with it a class without evidence
gets no gradient.)
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Opinion(NamedTuple):
    """Expected probabilities of the classes, and the share of ignorance in (0, 1]."""

    probabilities: Float[Array, "*B C"]
    uncertainty: Float[Array, "*B"]


def concentrations(logits: Float[Array, "*B C"]) -> Float[Array, "*B C"]:
    """Parameters of the Dirichlet, all above 1, float32."""
    return jax.nn.softplus(logits.astype(jnp.float32)) + 1.0


def opinion(logits: Float[Array, "*B C"]) -> Opinion:
    """Mean of the Dirichlet, and C / sum of concentrations: 1 without any evidence."""
    alpha = concentrations(logits)
    strength = alpha.sum(axis=-1)
    return Opinion(alpha / strength[..., None], logits.shape[-1] / strength)


def joint_opinion(*heads: Float[Array, "*B C"]) -> Opinion:
    """The mean of the opinions of several heads."""
    found = [opinion(logits) for logits in heads]
    return Opinion(
        sum(one.probabilities for one in found) / len(found),
        sum(one.uncertainty for one in found) / len(found),
    )
