"""The decoder: DPT, with the changes of Depth Anything (no readout projection).

Source: arXiv 2103.13413, section 3 and figure 1; RefineNet's residual units, arXiv 1611.06612.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.layers.conv import Conv3, Spread
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.resize import resize
from surgzoo.models.layers.stack import Tower

if TYPE_CHECKING:
    from surgzoo.models.depth_anything_v2.config import EncoderDecoderConfig

_AXES = ("vision_embed", "vision_mlp")  # inward and outward of every layer


class Reassemble(nnx.Module):
    """One tap as a map of its own size, 4, 2, 1 or 1/2 of the patch grid, with F channels."""

    def __init__(self, width: int, channels: int, fusion: int, level: int, *, rngs: nnx.Rngs):
        self.project = Linear((width, channels), _AXES, rngs=rngs, bias=True)
        if level < 2:
            self.resize = Spread((channels, channels), _AXES, 4 >> level, rngs=rngs)
        elif level == 3:
            self.resize = Conv3((channels, channels), _AXES, rngs=rngs, stride=2)
        self.out = Conv3((channels, fusion), _AXES, rngs=rngs, bias=False)

    def __call__(self, x: Float[Array, "B H W E"]) -> Float[Array, "B h w F"]:
        x = self.project(x)
        return self.out(self.resize(x) if hasattr(self, "resize") else x)


class Residual(nnx.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        self.conv1 = Conv3((width, width), _AXES, rngs=rngs, gain=2**0.5)
        self.conv2 = Conv3((width, width), _AXES, rngs=rngs)

    def __call__(self, x: Float[Array, "B H W F"]) -> Float[Array, "B H W F"]:
        return x + self.conv2(jax.nn.relu(self.conv1(jax.nn.relu(x))))


class Fuse(nnx.Module):
    """Adds a finer map to a coarser one that was brought to its size, and enlarges the sum."""

    def __init__(self, width: int, coarsest: bool, *, rngs: nnx.Rngs):
        if not coarsest:  # it has nothing to add
            self.skip = Residual(width, rngs=rngs)
        self.refine = Residual(width, rngs=rngs)
        self.project = Linear((width, width), _AXES, rngs=rngs, bias=True)

    def __call__(
        self, coarse: Array | None, fine: Float[Array, "B H W F"], size: Sequence[int]
    ) -> Float[Array, "B h w F"]:
        x = fine if coarse is None else coarse + self.skip(fine)
        return self.project(resize(self.refine(x), *size))


class Neck(nnx.Module):
    """The taps, fused from the coarsest to the finest: a map of 8 times the patch grid."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs):
        width, neck = config.backbone.width, config.neck
        self.reassemble = Tower(
            [
                Reassemble(width, channels, neck.fusion, level, rngs=rngs)
                for level, channels in enumerate(neck.channels)
            ]
        )
        self.fuse = Tower(  # the coarsest first
            [Fuse(neck.fusion, level == 0, rngs=rngs) for level in range(len(neck.channels))]
        )

    def __call__(self, taps: Sequence[Float[Array, "B H W E"]]) -> Float[Array, "B h w F"]:
        maps = [getattr(self.reassemble, str(i))(tap) for i, tap in enumerate(taps)][::-1]
        sizes = [m.shape[1:3] for m in maps]
        sizes.append(tuple(2 * side for side in sizes[-1]))
        x = None
        for i, fine in enumerate(maps):
            x = getattr(self.fuse, str(i))(x, fine, sizes[i + 1])
        return x


class Head(nnx.Module):
    """A map of F channels to one of so many outputs in the size of the image."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs):
        fusion, hidden = config.neck.fusion, config.neck.head
        self.conv1 = Conv3((fusion, fusion // 2), _AXES, rngs=rngs)
        self.conv2 = Conv3((fusion // 2, hidden), _AXES, rngs=rngs)
        self.out = Linear((hidden, config.outputs), ("vision_embed", None), rngs=rngs, bias=True)

    def __call__(
        self, x: Float[Array, "B h w F"], height: int, width: int
    ) -> Float[Array, "B height width C"]:
        x = resize(self.conv1(x), height, width)
        return self.out(jax.nn.relu(self.conv2(x)))
