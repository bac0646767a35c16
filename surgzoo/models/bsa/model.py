"""TimeSformer with divided attention, and the heads of BSA.

Sources: arXiv 2102.05095, section 3 (attention over the frames at one place, then over the places
of one frame), arXiv 2603.12787 (the heads).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.bsa.attention import Attention
from surgzoo.models.bsa.dirichlet import Opinion, joint_opinion
from surgzoo.models.layers import parameter
from surgzoo.models.layers.encoder import FeedForward
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.norm import LayerNorm
from surgzoo.models.layers.stack import make_layers, run_layers

if TYPE_CHECKING:
    from surgzoo.models.bsa.config import BSAConfig

_AXES = ("vision_embed", "vision_heads")


class SpaceTimeLayer(nnx.Module):
    """Attention over time, attention over space, feed-forward; each normed first, with a residual.

    The token of the whole clip stands apart from time, and stands in every frame for space.
    """

    def __init__(self, config: BSAConfig, *, rngs: nnx.Rngs):
        width, heads, eps = config.width, config.heads, config.norm_eps
        out_gain = (3 * config.depth) ** -0.5  # keeps the residual stream's size at any depth
        self.frames = config.frames
        self.time_norm = LayerNorm(width, eps)
        self.time = Attention(width, heads, _AXES, rngs=rngs, out_gain=1.0)
        # Zero: training starts from an image model, as in the authors' code (where the first layer
        # is an exception, which stacked layers cannot have).
        self.time_dense = Linear(
            (width, width), ("vision_heads", "vision_embed"), rngs=rngs, bias=True, gain=0.0
        )
        self.space_norm = LayerNorm(width, eps)
        self.space = Attention(width, heads, _AXES, rngs=rngs, out_gain=out_gain)
        self.norm = LayerNorm(width, eps)
        self.mlp = FeedForward(width, config.mlp, "gelu", "vision_", out_gain, rngs=rngs)

    def __call__(self, x: Float[Array, "B L H"]) -> Float[Array, "B L H"]:
        """Tokens: the whole clip, then frame after frame its patches; L = 1 + T * P."""
        batch, _, width = x.shape
        whole, parts = x[:, :1], x[:, 1:]
        parts = parts + self._over_time(parts)

        # [B * T, 1 + P, H]
        framed = parts.reshape(batch * self.frames, -1, width)
        framed = jnp.concatenate([jnp.repeat(whole[:, 0], self.frames, 0)[:, None], framed], axis=1)
        out = self.space(self.space_norm(framed)).reshape(batch, self.frames, -1, width)
        whole = whole + out[:, :, 0].mean(axis=1, keepdims=True)
        parts = parts + out[:, :, 1:].reshape(parts.shape)

        x = jnp.concatenate([whole, parts], axis=1)
        return x + self.mlp(self.norm(x))

    def _over_time(self, parts: Float[Array, "B TP H"]) -> Float[Array, "B TP H"]:
        batch, count, width = parts.shape
        places = (batch, self.frames, count // self.frames, width)
        x = self.time_norm(parts).reshape(places).swapaxes(1, 2)  # [B, P, T, H]
        out = self.time_dense(self.time(x.reshape(-1, self.frames, width)))
        return out.reshape(x.shape).swapaxes(1, 2).reshape(parts.shape)


class SpaceTimeTower(nnx.Module):
    """Patches, places, times, layers, norm."""

    def __init__(self, config: BSAConfig, *, rngs: nnx.Rngs):
        self.config = config
        width, pixels = config.width, config.patch**2 * 3
        self.patch = Linear((pixels, width), ("patch", "vision_embed"), rngs=rngs, bias=True)
        self.whole = parameter.normal(rngs, (width,), (None,), config.init_std)
        self.place = parameter.normal(
            rngs, (1 + config.patches, width), (None, "vision_embed"), config.init_std
        )
        self.moment = parameter.zeros((config.frames, width), (None, "vision_embed"))
        self.layers = make_layers(
            lambda r: SpaceTimeLayer(config, rngs=r), config.depth, rngs=rngs,
            stacked=config.scan_layers,
        )  # fmt: skip
        self.norm = LayerNorm(width, config.norm_eps)

    def __call__(self, video: Float[Array, "B T H W 3"]) -> Float[Array, "B L H"]:
        """Normed tokens: the whole clip, then frame after frame its patches."""
        config = self.config
        size, frames, dtype = config.image_size, config.frames, jnp.dtype(config.compute_dtype)
        if video.shape[1:] != (frames, size, size, 3):
            raise ValueError(
                f"the model reads clips of shape {(frames, size, size, 3)}, not {video.shape[1:]}: "
                "let its processor make them"
            )
        batch, side, patch = len(video), size // config.patch, config.patch
        x = video.astype(dtype).reshape(batch, frames, side, patch, side, patch, 3)
        x = x.transpose(0, 1, 2, 4, 3, 5, 6).reshape(batch, frames, side * side, -1)
        place, moment = self.place[...].astype(dtype), self.moment[...].astype(dtype)
        x = self.patch(x) + place[1:] + moment[:, None]
        whole = jnp.broadcast_to(self.whole[...].astype(dtype) + place[0], (batch, 1, config.width))
        x = jnp.concatenate([whole, x.reshape(batch, -1, config.width)], axis=1)
        x, _ = run_layers(
            self.layers, lambda x, layer, _: (layer(x), None), x,
            remat=config.remat, unroll=config.scan_unroll,
        )  # fmt: skip
        return self.norm(x)


class BSA(nnx.Module):
    """See `surgzoo.models.base.Model` for the verbs."""

    def __init__(self, config: BSAConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.video = SpaceTimeTower(config, rngs=rngs)

        def head(classes):
            return Linear((config.width, classes), ("vision_embed", None), rngs=rngs, bias=True)

        self.action = head(config.actions)
        if config.dual:
            self.balanced_action = head(config.actions)
        if config.skills:
            self.skill = head(config.skills)

    def label_logits(self, video: Float[Array, "B T H W 3"]) -> dict[str, Float[Array, "B C"]]:
        """Logits of each head, float32: "action" and, where the config has them, "balanced_action"
        and "skill". Those of actions are evidential: see `dirichlet`."""
        whole = self.video(video)[:, 0].astype(jnp.float32)
        names = ("action", "balanced_action", "skill")
        return {name: getattr(self, name)(whole) for name in names if hasattr(self, name)}

    def classify(self, video: Float[Array, "B T H W 3"]) -> Float[Array, "B C"]:
        """Logarithms of the actions' probabilities: the mean of what the two heads expect."""
        return jnp.log(self.opinion(video).probabilities)

    def opinion(self, video: Float[Array, "B T H W 3"]) -> Opinion:
        """What the action heads say together."""
        found = self.label_logits(video)
        heads = [found[name] for name in ("action", "balanced_action") if name in found]
        return joint_opinion(*heads)
