"""ResNet-50 and BERT into one space, without a norm or a learnt scale.

Sources: arXiv 2307.15220 (SurgVLP) and its published code: the image is the mean over the last
feature map, projected; the text is the sum of the last four layers of BERT, word-pieces merged to
words by adding them, and the mean over all positions of the row, with the padding as zeros.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from surgzoo.models.layers import parameter
from surgzoo.models.layers.conv_batch_norm import Conv2d, FrozenBatchNorm, max_pool
from surgzoo.models.layers.encoder import EncoderLayer
from surgzoo.models.layers.linear import Linear, linear
from surgzoo.models.layers.norm import LayerNorm, unit
from surgzoo.models.layers.stack import make_layers, run_layers
from surgzoo.models.surgvlp.config import SurgVLPConfig


class Bottleneck(nnx.Module):
    """1 x 1, 3 x 3 (with the stride), 1 x 1 convolution, each with its norm, and a residual."""

    def __init__(
        self, inward: int, width: int, stride: int, gain: float, how: str, *, rngs: nnx.Rngs
    ):
        out, axes = 4 * width, ("vision_embed", "vision_mlp")
        self.conv1 = Conv2d(1, (inward, width), axes, 1, how, rngs=rngs)
        self.norm1 = FrozenBatchNorm(width)
        self.conv2 = Conv2d(3, (width, width), axes, stride, how, rngs=rngs)
        self.norm2 = FrozenBatchNorm(width)
        self.conv3 = Conv2d(1, (width, out), axes[::-1], 1, how, rngs=rngs)
        self.norm3 = FrozenBatchNorm(out, scale=gain)
        if stride > 1 or inward != out:
            self.short = Conv2d(1, (inward, out), axes, stride, how, rngs=rngs)
            self.short_norm = FrozenBatchNorm(out)

    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B h w O"]:
        y = jax.nn.relu(self.norm1(self.conv1(x)))
        y = jax.nn.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        x = self.short_norm(self.short(x)) if hasattr(self, "short") else x
        return jax.nn.relu(x + y)


class ResNet(nnx.Module):
    """Blocks are attributes block_<stage>_<number>, from 1 and from 0 on as their keys count."""

    def __init__(self, config: SurgVLPConfig, *, rngs: nnx.Rngs):
        vision, how = config.vision, config.conv_impl
        self.config = config
        self.conv = Conv2d(7, (3, vision.stem), (None, "vision_embed"), 2, how, rngs=rngs)
        self.norm = FrozenBatchNorm(vision.stem)
        # With statistics that stand still nothing else keeps the size of what is added up.
        gain = sum(vision.depths) ** -0.5
        inward = vision.stem
        for stage, (width, depth) in enumerate(zip(vision.widths, vision.depths, strict=True), 1):
            for number in range(depth):
                stride = 2 if stage > 1 and number == 0 else 1
                block = Bottleneck(inward, width, stride, gain, how, rngs=rngs)
                inward = 4 * width
                setattr(self, f"block_{stage}_{number}", block)
        self.project = Linear(
            (inward, config.text.width), ("vision_embed", None), rngs=rngs, bias=True
        )

    def features(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B h w D"]:
        """The last feature map; h and w are a 32nd of the image's, rounded up."""
        x = images.astype(self.config.compute_dtype)
        x = jax.nn.relu(self.norm(self.conv(x)))
        x = max_pool(x, 3, 2, 1)
        for stage, depth in enumerate(self.config.vision.depths, 1):
            for number in range(depth):
                x = getattr(self, f"block_{stage}_{number}")(x)
        return x

    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        return self.project(self.features(images).mean(axis=(1, 2)))


class Bert(nnx.Module):
    """BERT without its pooler."""

    def __init__(self, config: SurgVLPConfig, *, rngs: nnx.Rngs):
        text = config.text
        self.config = config
        for name, size, axis in (
            ("word", text.vocab, "vocab"), ("position", text.positions, None), ("kind", 2, None)
        ):  # fmt: skip
            shape = (size, text.width)
            setattr(self, name, parameter.normal(rngs, shape, (axis, "embed"), 0.02))
        self.norm = LayerNorm(text.width, text.norm_eps)

        def make(keys: nnx.Rngs) -> EncoderLayer:
            return EncoderLayer(
                text.width, text.heads, text.mlp, activation="gelu", eps=text.norm_eps,
                depth=text.depth, post_norm=True, rngs=keys,
            )  # fmt: skip

        self.layers = make_layers(make, text.depth, rngs=rngs, stacked=config.scan_layers)

    def __call__(self, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]) -> Float[Array, "B E"]:
        """The sum over the last layers of the mean over all S positions, padding as zeros.

        Adding word-pieces to words and then words to a sum is adding pieces: the published loop
        over words, which ends at [SEP], gives the masked sum that is taken here.
        """
        text, length = self.config.text, tokens.shape[1]
        if length > text.positions:
            raise ValueError(f"texts of {length} tokens, but {text.positions} positions")
        x = self.word[...][tokens] + self.position[...][:length] + self.kind[...][0]
        x = self.norm(x).astype(self.config.compute_dtype)
        seen = jnp.broadcast_to(mask[:, None, :], (*tokens.shape, length))
        counts = jnp.arange(text.depth) >= text.depth - text.last_layers

        def step(carry, layer, count):
            x, total = carry
            x = layer(x, seen)
            wide = jnp.where(mask[..., None], x.astype(jnp.float32), 0)
            return (x, total + jnp.where(count, wide.sum(axis=1), 0)), None

        carry = x, jnp.zeros((tokens.shape[0], text.width), jnp.float32)
        (_, total), _ = run_layers(self.layers, step, carry, counts, remat=self.config.remat)
        return total / length


class SurgVLP(nnx.Module):
    """Both towers. Embeddings leave them without a norm; `embed_*` give them length one."""

    def __init__(self, config: SurgVLPConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.vision = ResNet(config, rngs=rngs)
        self.text = Bert(config, rngs=rngs)

    def raw_image(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        return self.vision(images).astype(jnp.float32)

    def raw_text(self, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]) -> Float[Array, "B E"]:
        return self.text(tokens, mask)

    def embed_image(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B E"]:
        return unit(self.vision(images))

    def embed_text(
        self, tokens: Int[Array, "B S"], mask: Bool[Array, "B S"]
    ) -> Float[Array, "B E"]:
        return unit(self.text(tokens, mask))

    def similarity(
        self, images: Float[Array, "I E"], texts: Float[Array, "T E"]
    ) -> Float[Array, "I T"]:
        return self.config.scale * linear(images, texts.T)

    def image_features(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B P D"]:
        """The cells of the last feature map, row by row."""
        x = self.vision.features(images)
        return x.reshape(x.shape[0], -1, x.shape[-1])

    def embed_frames(self, frames: Mapping[str, Array]) -> Float[Array, "B D"]:
        """The mean over the last feature map: of ResNet-50 2048 numbers, as TeCNO reads them."""
        x = self.vision.features(frames["images"])
        return x.astype(jnp.float32).mean(axis=(1, 2))
