"""A dual encoder: an image and a text tower into one space.

Sources: arXiv 2103.00020 (CLIP), arXiv 2303.15343 and 2502.14786 (SigLIP, SigLIP 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from surgzoo.models.clip.config import DualEncoderConfig, TextConfig, VisionConfig
from surgzoo.models.layers import parameter
from surgzoo.models.layers.attention import attend
from surgzoo.models.layers.encoder import EncoderLayer, FeedForward
from surgzoo.models.layers.linear import Linear, linear
from surgzoo.models.layers.norm import LayerNorm, unit
from surgzoo.models.layers.stack import make_layers, run_layers

MAX_SCALE = 100.0  # of CLIP's cosines in training, 2103.00020 section 2.5


@jax.custom_vjp
def _bounded(log_scale: Float[Array, ""]) -> Float[Array, ""]:
    """At most log(MAX_SCALE). Beyond it a gradient passes that leads back, and no other."""
    return jnp.minimum(log_scale, math.log(MAX_SCALE))


def _bounded_back(log_scale: Float[Array, ""], gradient: Float[Array, ""]):
    leads_on = (log_scale >= math.log(MAX_SCALE)) & (gradient < 0)  # steps go against it
    return (jnp.where(leads_on, 0.0, gradient),)


_bounded.defvjp(lambda log_scale: (_bounded(log_scale), log_scale), _bounded_back)


def _layers(
    config: DualEncoderConfig, tower: TextConfig | VisionConfig, prefix: str, rngs: nnx.Rngs
) -> nnx.Module:
    def make(keys: nnx.Rngs) -> EncoderLayer:
        return EncoderLayer(
            tower.width, tower.heads, tower.mlp, activation=config.activation,
            eps=config.norm_eps, depth=tower.depth, prefix=prefix, rngs=keys,
        )  # fmt: skip

    return make_layers(make, tower.depth, rngs=rngs, stacked=config.scan_layers)


class AttentionPool(nnx.Module):
    """One learnt query attends to all patches, then a feed-forward with a residual.

    Source: arXiv 2106.04560, section 3.2.
    """

    def __init__(self, config: DualEncoderConfig, *, rngs: nnx.Rngs):
        vision = config.vision
        width, self.heads = vision.width, vision.heads
        self.query = parameter.normal(rngs, (width,), (None,), 1.0)
        self.qkv = Linear(
            (width, 3, width), ("vision_embed", None, "vision_heads"), rngs=rngs, bias=True
        )
        self.out = Linear((width, width), ("vision_heads", "vision_embed"), rngs=rngs, bias=True)
        self.norm = LayerNorm(width, config.norm_eps)
        self.mlp = FeedForward(width, vision.mlp, config.activation, "vision_", rngs=rngs)

    def __call__(self, x: Float[Array, "B P H"]) -> Float[Array, "B H"]:
        batch, patches, width = x.shape
        kernel, bias = self.qkv.kernel[...], self.qkv.bias[...]
        q = linear(self.query[...].astype(x.dtype), kernel[:, 0], bias[0])
        q = jnp.broadcast_to(
            q.reshape(1, 1, self.heads, -1), (batch, 1, self.heads, width // self.heads)
        )
        kv = linear(x, kernel[:, 1:], bias[1:]).reshape(batch, patches, 2, self.heads, -1)
        k, v = jnp.moveaxis(kv, 2, 0)
        out = attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), None)
        x = self.out(out.reshape(batch, width))
        return x + self.mlp(self.norm(x))


class VisionTower(nnx.Module):
    """Patches, positions, layers, pooling."""

    def __init__(self, config: DualEncoderConfig, *, rngs: nnx.Rngs):
        vision = config.vision
        self.config = config
        clip = config.style == "clip"
        self.patch = Linear(
            (3 * vision.patch**2, vision.width), ("patch", "vision_embed"),
            rngs=rngs, bias=not clip,
        )  # fmt: skip
        std = vision.width**-0.5
        shape = (vision.patches + clip, vision.width)
        self.position = parameter.normal(rngs, shape, (None, "vision_embed"), std)
        if clip:
            self.first = parameter.normal(rngs, (vision.width,), (None,), std)
            self.pre_norm = LayerNorm(vision.width, config.norm_eps)
            self.project = Linear((vision.width, config.embed), ("vision_embed", None), rngs=rngs)
        else:
            self.pool = AttentionPool(config, rngs=rngs)
        self.layers = _layers(config, vision, "vision_", rngs)
        self.norm = LayerNorm(vision.width, config.norm_eps)

    def hidden(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B N D"]:
        """The output of the last layer; with CLIP the class token stands first."""
        vision = self.config.vision
        size, patch = vision.image_size, vision.patch
        if images.shape[1:] != (size, size, 3):
            raise ValueError(
                f"images are {images.shape[1:]}, this model takes ({size}, {size}, 3): use its "
                "processor, or another image_size"
            )
        grid = size // patch
        x = images.astype(self.config.compute_dtype).reshape(-1, grid, patch, grid, patch, 3)
        x = x.swapaxes(2, 3).reshape(-1, grid * grid, 3 * patch**2)
        x = self.patch(x)
        if self.config.style == "clip":
            first = jnp.broadcast_to(self.first[...].astype(x.dtype), (x.shape[0], 1, x.shape[2]))
            x = jnp.concatenate([first, x], axis=1)
        x = x + self.position[...].astype(x.dtype)
        if self.config.style == "clip":
            x = self.pre_norm(x)
        step = lambda x, layer, _: (layer(x), None)  # noqa: E731
        return run_layers(self.layers, step, x, remat=self.config.remat)[0]

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        x = self.hidden(images)
        if self.config.style == "clip":
            return self.project(self.norm(x[:, 0]))
        return self.pool(self.norm(x))


class TextTower(nnx.Module):
    """Embeddings, positions, layers, the hidden state of one position, projected."""

    def __init__(self, config: DualEncoderConfig, *, rngs: nnx.Rngs):
        text = config.text
        self.config = config
        shape = (text.vocab, text.width)
        self.embedding = parameter.normal(rngs, shape, ("vocab", "embed"), text.width**-0.5)
        shape = (text.length, text.width)
        self.position = parameter.normal(rngs, shape, (None, "embed"), text.width**-0.5)
        self.layers = _layers(config, text, "", rngs)
        self.norm = LayerNorm(text.width, config.norm_eps)
        self.project = Linear(
            (text.width, config.embed), ("embed", None), rngs=rngs, bias=config.style == "siglip"
        )

    def __call__(self, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]) -> Float[Array, "B E"]:
        text = self.config.text
        length = tokens.shape[1]
        if length > text.length:
            raise ValueError(f"texts of {length} tokens, this model reads at most {text.length}")
        x = self.embedding[...][tokens] + self.position[...][:length]
        x = x.astype(self.config.compute_dtype)
        seen = jnp.broadcast_to(mask[:, None, :], (*tokens.shape, length))
        if self.config.style == "clip":
            seen = seen & jnp.tril(jnp.ones((length, length), bool))
        step = lambda x, layer, _: (layer(x, seen), None)  # noqa: E731
        x, _ = run_layers(self.layers, step, x, remat=self.config.remat)
        if self.config.style == "clip":
            at = jnp.argmax(tokens == text.end, axis=1)  # the first one: padding may be the same
            x = jnp.take_along_axis(x, at[:, None, None], axis=1)[:, 0]
        else:
            x = x[:, -1]
        return self.project(self.norm(x))


class DualEncoder(nnx.Module):
    """Both towers and the learnt scale, and bias, of their cosines."""

    image_tower: Callable[..., nnx.Module] = VisionTower  # a subclass may have another

    def __init__(self, config: DualEncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.vision = type(self).image_tower(config, rngs=rngs)
        self.text = TextTower(config, rngs=rngs)
        self.log_scale = nnx.Param(jnp.float32(config.log_scale), logical_axes=())
        if config.style == "siglip":
            self.bias = nnx.Param(jnp.float32(config.init_bias), logical_axes=())

    def embed_image(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        return unit(self.vision(images))

    def embed_text(
        self, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]
    ) -> Float[Array, "B E"]:
        return unit(self.text(tokens, mask))

    def similarity(
        self, images: Float[Array, "I E"], texts: Float[Array, "T E"]
    ) -> Float[Array, "I T"]:
        cosines, log_scale = linear(images, texts.T), self.log_scale[...]
        if self.config.style == "clip":
            return cosines * jnp.exp(_bounded(log_scale))
        return cosines * jnp.exp(log_scale) + self.bias[...]

    def image_features(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B P D"]:
        """CLIP's are those behind the last layer, without a norm; SigLIP's are normed."""
        x = self.vision.hidden(images)
        return x[:, 1:] if self.config.style == "clip" else self.vision.norm(x)

    def embed_frames(self, frames: dict[str, Array]) -> Float[Array, "B E"]:
        """The image embedding before it gets length one."""
        return self.vision(frames["images"]).astype(jnp.float32)
