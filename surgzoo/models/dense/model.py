"""Depth Anything's encoder and decoder with an output of another meaning."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from surgzoo.models.dense.config import DenseConfig
from surgzoo.models.depth_anything_v2.model import EncoderDecoder


class Dense(EncoderDecoder):
    """Labels of pixels, or the frame changed."""

    config: DenseConfig

    def __init__(self, config: DenseConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        if config.kind == "residual":  # the frame as it is, which is a good first guess
            kernel = self.head.out.kernel
            kernel[...] = jnp.zeros_like(kernel[...])

    def image_to_image(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W C"]:
        """Logits of the classes; or RGB of which 0 is black and 1 white, which is not clipped."""
        maps = self.maps(images)
        if self.config.kind == "labels":
            return maps
        mean, std = (jnp.asarray(x) for x in (self.config.input.mean, self.config.input.std))
        return images.astype(jnp.float32) * std + mean + maps
