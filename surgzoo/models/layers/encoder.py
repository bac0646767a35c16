"""One layer of a plain transformer encoder: LayerNorm, attention, two-layer feed-forward."""

from __future__ import annotations

from collections.abc import Callable

import jax
from flax import nnx
from jaxtyping import Array, Bool, Float

from surgzoo.models.layers.attention import attend
from surgzoo.models.layers.linear import Linear
from surgzoo.models.layers.norm import LayerNorm

# Tables of activations by the names that config files of checkpoints use.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),  # arXiv 1606.08415, section 2
}


class SelfAttention(nnx.Module):
    """Multi-head attention with biases. Axes are named with the prefix, such as "vision_"."""

    def __init__(self, width: int, heads: int, prefix: str, out_gain: float, *, rngs: nnx.Rngs):
        self.heads = heads
        inward, outward = (f"{prefix}embed", f"{prefix}heads"), (f"{prefix}heads", f"{prefix}embed")
        self.q = Linear((width, width), inward, rngs=rngs, bias=True)
        self.k = Linear((width, width), inward, rngs=rngs, bias=True)
        self.v = Linear((width, width), inward, rngs=rngs, bias=True)
        self.out = Linear((width, width), outward, rngs=rngs, bias=True, gain=out_gain)

    def __call__(
        self, x: Float[Array, "B S H"], mask: Bool[Array, "B S S"] | None
    ) -> Float[Array, "B S H"]:
        q, k, v = (
            layer(x).reshape(*x.shape[:2], self.heads, -1) for layer in (self.q, self.k, self.v)
        )
        out = attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask)
        return self.out(out.reshape(x.shape))


class FeedForward(nnx.Module):
    """fc2(activation(fc1(x))), with biases. `activation` is a name of ACTIVATIONS."""

    def __init__(
        self,
        width: int,
        hidden: int,
        activation: str,
        prefix: str = "",
        out_gain: float = 1.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        inward, outward = (f"{prefix}embed", f"{prefix}mlp"), (f"{prefix}mlp", f"{prefix}embed")
        self.fc1 = Linear((width, hidden), inward, rngs=rngs, bias=True)
        self.fc2 = Linear((hidden, width), outward, rngs=rngs, bias=True, gain=out_gain)

    def __call__(self, x: Float[Array, "*B H"]) -> Float[Array, "*B H"]:
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(x)))


class EncoderLayer(nnx.Module):
    """Attention and feed-forward, both with a residual.

    The norm stands before each (CLIP, ViT) or, with `post_norm`, behind each residual (BERT).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        activation: str,
        eps: float,
        depth: int,
        prefix: str = "",
        post_norm: bool = False,
        rngs: nnx.Rngs,
    ):
        # Keeps the residual stream's size at any depth; post-norm does that by itself.
        gain = 1.0 if post_norm else (2 * depth) ** -0.5
        self.post_norm = post_norm
        self.norm1 = LayerNorm(width, eps)
        self.attention = SelfAttention(width, heads, prefix, gain, rngs=rngs)
        self.norm2 = LayerNorm(width, eps)
        self.mlp = FeedForward(width, hidden, activation, prefix, gain, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B S H"], mask: Bool[Array, "B S S"] | None = None
    ) -> Float[Array, "B S H"]:
        if self.post_norm:
            x = self.norm1(x + self.attention(x, mask))
            return self.norm2(x + self.mlp(x))
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))
