"""The language model: a decoder with grouped queries, QKV biases, M-RoPE and a KV cache.

Source: arXiv 2412.15115 (Qwen2.5) with the positions of arXiv 2502.13923.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from surgzoo.models.layers import parameter
from surgzoo.models.layers.attention import Segments, Shared, attend
from surgzoo.models.layers.linear import Linear, linear
from surgzoo.models.layers.mlp import SwiGLU
from surgzoo.models.layers.norm import RMSNorm
from surgzoo.models.layers.rotary import Rotation, mrope, rotate
from surgzoo.models.layers.stack import make_layers, run_layers

if TYPE_CHECKING:
    from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig, TextConfig


class Memory(NamedTuple):
    """Keys and values of one layer; or of all layers, with a leading layer axis."""

    k: Float[Array, "*L B K T D"]
    v: Float[Array, "*L B K T D"]


# Of all layers: one stacked Memory with stacked layers, one Memory a layer with layers side by
# side.
Memories = Memory | tuple[Memory, ...]


class Past(NamedTuple):
    """What was read before: prompts, which F rows hold for B rows, and what each row added.

    B / F neighbouring rows read the same prompt row, each what its `seen` lets it see.
    """

    prompts: Memories  # keys [F, K, D, P] (see `attention.Shared`), values [F, K, P, D]
    seen: Bool[Array, "B P"]
    added: Memories  # [B, K, T, D]
    count: Int[Array, " B"]  # filled slots of `added`


class TextAttention(nnx.Module):
    """Grouped-query attention with biases on query, key and value."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs, out_gain: float):
        self.heads, self.kv_heads = config.heads, config.kv_heads
        wide, narrow = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.q = Linear((config.width, wide), ("embed", "heads"), rngs=rngs, bias=True)
        self.k = Linear((config.width, narrow), ("embed", "kv_heads"), rngs=rngs, bias=True)
        self.v = Linear((config.width, narrow), ("embed", "kv_heads"), rngs=rngs, bias=True)
        self.out = Linear((wide, config.width), ("heads", "embed"), rngs=rngs, gain=out_gain)

    def __call__(
        self,
        x: Float[Array, "B S H"],
        rotation: Rotation,
        mask: Bool[Array, "B S T"],
        memory: Memory | None,
        shared: Shared | None,
        start: Int[Array, " B"] | None,
        kernel: Callable[..., Array],
    ) -> tuple[Float[Array, "B S H"], Memory]:
        """The output, and `memory` with the new keys and values from slot `start` of each
        row on.

        Without a memory T is S, and the result holds the new keys and values alone. `kernel` is
        `attend` with its implementation chosen.
        """
        batch, length, _ = x.shape
        q = rotate(self.q(x).reshape(batch, length, self.heads, -1), rotation)
        k = rotate(self.k(x).reshape(batch, length, self.kv_heads, -1), rotation)
        v = self.v(x).reshape(batch, length, self.kv_heads, -1)
        new = Memory(k.swapaxes(1, 2), v.swapaxes(1, 2))
        if memory is not None:
            # Written before it is read: the other way round the compiler copies it at every token.
            new = jax.tree.map(lambda old, add: _write(old, add, start), memory, new)
        out = kernel(q, *new, mask, shared).reshape(batch, length, -1)
        return self.out(out), new


class TextLayer(nnx.Module):
    """Norm, attention, norm, gated feed-forward; both with a residual."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        out_gain = (2 * config.depth) ** -0.5  # keeps the residual stream's size at any depth
        self.norm1 = RMSNorm(config.width, config.norm_eps)
        self.attention = TextAttention(config, rngs=rngs, out_gain=out_gain)
        self.norm2 = RMSNorm(config.width, config.norm_eps)
        self.mlp = SwiGLU(
            config.width, config.mlp, ("embed", "mlp"), rngs=rngs, bias=False, out_gain=out_gain
        )

    def __call__(self, x, rotation, mask, memory, shared, start, kernel):
        out, memory = self.attention(self.norm1(x), rotation, mask, memory, shared, start, kernel)
        x = x + out
        return x + self.mlp(self.norm2(x)), memory


class TextTower(nnx.Module):
    """Embedding table, layers, final norm, output head."""

    def __init__(self, config: Qwen25VLConfig, *, rngs: nnx.Rngs):
        text = config.text
        self.config = text
        self.remat, self.unroll = config.remat, config.scan_unroll
        self.attention = config.attention
        self.dtype = jnp.dtype(config.compute_dtype)
        self.embedding = parameter.normal(
            rngs, (text.vocab, text.width), ("vocab", "embed"), config.init_std
        )
        self.layers = make_layers(
            lambda r: TextLayer(text, rngs=r), text.depth, rngs=rngs, stacked=config.scan_layers
        )
        self.norm = RMSNorm(text.width, text.norm_eps)
        if not text.tied:
            self.head = parameter.normal(
                rngs, (text.width, text.vocab), ("embed", "vocab"), config.init_std
            )

    def embed(self, tokens: Int[Array, "B S"]) -> Float[Array, "B S H"]:
        """Rows of the embedding table, in the compute dtype."""
        return self.embedding[...][tokens].astype(self.dtype)

    def __call__(
        self,
        x: Float[Array, "B S H"],
        positions: Int[Array, "B 3 S"],
        mask: Bool[Array, "B S T"],
        past: Past | None = None,
        remember: bool = False,
        segments: Segments | None = None,
    ) -> tuple[Float[Array, "B S H"], Memories | None]:
        """Final hidden states and, with `remember`, the keys and values of all T slots.

        With `past` the T slots are those of `past.added`, with the new tokens written from slot
        `past.count` of each row on; the prompts are attended to as well. Without it T is S.
        `segments` says the same as `mask`, where the mask is one of segments alone.
        """
        text = self.config
        rotation = mrope(positions, text.head_dim, text.mrope_sections, text.rope_theta)
        seen, start, per_layer = None, None, None
        if past is not None:
            seen = jnp.broadcast_to(past.seen[:, None], (*mask.shape[:2], past.seen.shape[-1]))
            start, per_layer = past.count, (past.prompts, past.added)
            if not isinstance(past.added, Memory):  # layers side by side: a pair a layer
                per_layer = tuple(zip(*per_layer, strict=True))

        # What is remembered is read from a cache later: both ends of decoding use one form.
        kernel = functools.partial(
            attend, implementation="grouped" if remember else self.attention, segments=segments
        )

        def step(x, layer, memories):
            prompts, added = memories or (None, None)
            shared = None if prompts is None else Shared(*prompts, seen)
            x, new = layer(x, rotation, mask, added, shared, start, kernel)
            return x, new if remember else None

        x, new = run_layers(self.layers, step, x, per_layer, self.remat, self.unroll)
        return self.norm(x), new

    def logits(self, x: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        """The output head, accumulated and returned in float32."""
        return linear(x, self.kernel(), dtype=jnp.float32)

    def kernel(self) -> Float[Array, "H V"]:
        """Of the output head; of a tied model the embedding table."""
        return self.embedding[...].T if self.config.tied else self.head[...]


def _write(
    old: Float[Array, "B K T D"], new: Float[Array, "B K S D"], start: Int[Array, " B"]
) -> Float[Array, "B K T D"]:
    """`new` in the slots start[b], start[b] + 1, ... of row b; beyond the last slot it is dropped.

    One scatter on the array as it lies; a vmapped slice update would move its axes about, and one
    slice update for all rows is fused twice over (into the product and into the result), for which
    XLA:CPU copies the whole array at every token.
    """
    rows = jnp.arange(start.size)[:, None]
    slots = start[:, None] + jnp.arange(new.shape[-2])
    return old.at[rows, :, slots].set(new.astype(old.dtype).swapaxes(1, 2))
