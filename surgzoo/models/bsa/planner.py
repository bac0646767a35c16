"""A small causal transformer over the actions that were recognised so far.

BSA (arXiv 2603.12787) hands the history to a large language model; this one is trained on histories
alone and needs no server. Architecture: a decoder with learned places, normed before each part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.bsa.attention import Attention
from surgzoo.models.layers import parameter
from surgzoo.models.layers.encoder import FeedForward
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.norm import LayerNorm
from surgzoo.models.layers.stack import make_layers, run_layers

if TYPE_CHECKING:
    from surgzoo.models.bsa.config import PlannerConfig


class PlannerLayer(nnx.Module):
    """Norm, causal attention, norm, feed-forward."""

    def __init__(self, config: PlannerConfig, *, rngs: nnx.Rngs):
        out_gain = (2 * config.depth) ** -0.5
        self.norm1 = LayerNorm(config.width, config.norm_eps)
        self.attention = Attention(
            config.width, config.heads, ("embed", "heads"), rngs=rngs, out_gain=out_gain
        )
        self.norm2 = LayerNorm(config.width, config.norm_eps)
        self.mlp = FeedForward(config.width, config.mlp, "gelu", "", out_gain, rngs=rngs)

    def __call__(self, x: Float[Array, "B S H"], mask: Array) -> Float[Array, "B S H"]:
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Planner(nnx.Module):
    """See `surgzoo.models.base.Model` for the verb."""

    def __init__(self, config: PlannerConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.action = Linear((config.actions, config.width), (None, "embed"), rngs=rngs)
        self.start = parameter.normal(rngs, (config.width,), (None,), 1.0)
        self.place = parameter.normal(
            rngs, (config.longest + 1, config.width), (None, "embed"), 0.02
        )
        self.layers = make_layers(
            lambda r: PlannerLayer(config, rngs=r), config.depth, rngs=rngs,
            stacked=config.scan_layers,
        )  # fmt: skip
        self.norm = LayerNorm(config.width, config.norm_eps)
        self.next = Linear((config.width, config.actions), ("embed", None), rngs=rngs, bias=True)

    def plan(self, history: Float[Array, "B S A"]) -> Float[Array, "B S+1 A"]:
        """Logits of the action at every place 0 .. S, each from the actions before it alone.

        A history holds probabilities, so that doubt of the recognition stays visible: one-hot
        vectors where an action is certain. What stands behind a row's end changes nothing before
        it.
        """
        batch, length, actions = history.shape
        if length > self.config.longest or actions != self.config.actions:
            raise ValueError(
                f"the planner reads up to {self.config.longest} actions of {self.config.actions} "
                f"kinds, not {length} of {actions}: cut the oldest, or set `longest`"
            )
        start = jnp.broadcast_to(self.start[...], (batch, 1, self.config.width))
        x = jnp.concatenate([start, self.action(history.astype(jnp.float32))], axis=1)
        x = x + self.place[...][: length + 1]
        mask = jnp.broadcast_to(jnp.tri(length + 1, dtype=bool), (batch, length + 1, length + 1))
        x, _ = run_layers(self.layers, lambda x, layer, _: (layer(x, mask), None), x)
        return self.next(self.norm(x))
