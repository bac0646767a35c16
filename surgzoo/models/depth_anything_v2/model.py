"""Encoder and decoder together, and the depth model that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.depth_anything_v2.dinov2 import Backbone
from surgzoo.models.depth_anything_v2.dpt import Head, Neck

if TYPE_CHECKING:
    from surgzoo.models.depth_anything_v2.config import DepthAnythingConfig, EncoderDecoderConfig


class EncoderDecoder(nnx.Module):
    """Normalised images to maps of `config.outputs` channels, without a last activation."""

    def __init__(self, config: EncoderDecoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.backbone = Backbone(config, rngs=rngs)
        self.neck = Neck(config, rngs=rngs)
        self.head = Head(config, rngs=rngs)

    def maps(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W C"]:
        """Float32 in any `compute_dtype`. The sides must be whole patches."""
        x = self.neck(self.backbone(images.astype(self.config.compute_dtype)))
        return self.head(x, *images.shape[1:3]).astype(jnp.float32)

    def embed_frames(self, frames: Mapping[str, Array]) -> Float[Array, "B E"]:
        """The mean over the patch tokens that the encoder ends with."""
        last = self.backbone(frames["images"].astype(self.config.compute_dtype))[-1]
        return last.astype(jnp.float32).mean(axis=(1, 2))


class DepthAnythingV2(EncoderDecoder):
    """Depth of every pixel."""

    config: DepthAnythingConfig

    def __init__(self, config: DepthAnythingConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        if config.max_depth is None:  # the relu must start open, or nothing is ever learnt
            bias = self.head.out.bias
            bias[...] = jnp.ones_like(bias[...])

    def image_to_image(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 1"]:
        """Relative inverse depth, 0 or more, near is large; or metric depth in metres."""
        maps, most = self.maps(images), self.config.max_depth
        return jax.nn.relu(maps) if most is None else most * jax.nn.sigmoid(maps)
