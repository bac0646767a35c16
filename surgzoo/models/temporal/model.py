"""Causal MS-TCN: dilated convolutions that look back alone, stages that correct each other.

Sources: arXiv 1903.01945, section 3 (stages, residual layers, dilation 2**i), arXiv 2003.10751,
section 2 (causal). Dropout, which both train with, is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.stack import Tower

if TYPE_CHECKING:
    from surgzoo.models.temporal.config import TemporalConfig

TAPS = 3


class DilatedLayer(nnx.Module):
    """x + mix(relu(convolution of three frames, `dilation` apart, the last one this one)).

    The convolution is one product: of the three frames beside each other, the oldest first.
    """

    def __init__(self, maps: int, dilation: int, *, rngs: nnx.Rngs, out_gain: float):
        self.dilation = dilation
        self.dilated = Linear((TAPS * maps, maps), (None, None), rngs=rngs, bias=True, gain=2**0.5)
        self.mix = Linear((maps, maps), (None, None), rngs=rngs, bias=True, gain=out_gain)

    def __call__(self, x: Float[Array, "B T M"]) -> Float[Array, "B T M"]:
        back = self.dilation * (TAPS - 1)
        padded = jnp.pad(x, ((0, 0), (back, 0), (0, 0)))
        frames = [
            padded[:, tap * self.dilation : tap * self.dilation + x.shape[1]] for tap in range(TAPS)
        ]
        return x + self.mix(jax.nn.relu(self.dilated(jnp.concatenate(frames, axis=-1))))


class Stage(nnx.Module):
    """Features in, layers of doubling dilation, classes out."""

    def __init__(self, config: TemporalConfig, features: int, *, rngs: nnx.Rngs):
        maps = config.maps
        self.inward = Linear((features, maps), (None, None), rngs=rngs, bias=True)
        out_gain = config.layers**-0.5  # keeps the residual stream's size at any depth
        self.layers = Tower(
            [DilatedLayer(maps, 2**i, rngs=rngs, out_gain=out_gain) for i in range(config.layers)]
        )
        self.outward = Linear((maps, config.classes), (None, None), rngs=rngs, bias=True)

    def __call__(self, x: Float[Array, "B T F"]) -> Float[Array, "B T C"]:
        x = self.inward(x)
        for number in range(self.layers.depth):  # each has a dilation, a shape, of its own
            x = getattr(self.layers, str(number))(x)
        return self.outward(x)


class CausalTCN(nnx.Module):
    """See `surgzoo.models.base.Model` for the verb."""

    def __init__(self, config: TemporalConfig, *, rngs: nnx.Rngs):
        self.config = config
        for number in range(config.stages):
            features = config.classes if number else config.features
            setattr(self, f"stage{number}", Stage(config, features, rngs=rngs))

    def label_frames(self, features: Float[Array, "B T F"]) -> Float[Array, "N B T C"]:
        """Logits of every frame after each stage, from it and the frames before.

        What stands behind a video's end changes nothing before it, so no mask is needed.
        """
        if features.shape[-1] != self.config.features:
            raise ValueError(
                f"the model reads {self.config.features} features a frame, not "
                f"{features.shape[-1]}: set `features` to what the image encoder gives"
            )
        x, out = features.astype(jnp.float32), []
        for number in range(self.config.stages):
            logits = getattr(self, f"stage{number}")(x)
            out.append(logits)
            x = jax.nn.softmax(logits, axis=-1)
        return jnp.stack(out)
