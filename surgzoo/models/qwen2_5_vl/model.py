"""Qwen2.5-VL: the vision tokens take their places among the text, the decoder reads both."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from surgzoo.core.contract import Batch
from surgzoo.models.qwen2_5_vl.text import Memories, TextTower
from surgzoo.models.qwen2_5_vl.vision import VisionTower

if TYPE_CHECKING:
    from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig


class Cache(NamedTuple):
    """What a row has read. Each row fills its own slots from 0; those from `length` on are free."""

    memory: Memories  # keys and values [B, K, T, D] of every layer, in the compute dtype
    length: Int[Array, " B"]  # filled slots
    position: Int[Array, " B"]  # the next M-RoPE position, the same for all three components


class Qwen25VL(nnx.Module):
    """See `surgzoo.models.base.Model` for the verbs."""

    def __init__(self, config: Qwen25VLConfig, *, rngs: nnx.Rngs):
        self.dtype = jnp.dtype(config.compute_dtype)
        self.vision = VisionTower(config, rngs=rngs)
        self.text = TextTower(config, rngs=rngs)

    def forward(self, batch: Batch) -> Float[Array, "B S V"]:
        """Logits of the next token, float32."""
        return self.logits(self.features(batch))

    def features(self, batch: Batch) -> Float[Array, "B S H"]:
        """Final hidden states, normed, in the compute dtype."""
        mask = _segment_mask(batch["segments"], batch["prefix"])
        return self.text(self._embed(batch), batch["positions"], mask)[0]

    def logits(self, features: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        """Logits of final hidden states."""
        return self.text.logits(features)

    def prefill(self, batch: Batch, cache_len: int) -> tuple[Float[Array, "B V"], Cache]:
        """Reads prompts (one segment a row, padded on the right).

        Returns the logits at each row's last token and the cache of `cache_len` slots. Raises
        ValueError when `cache_len` is smaller than S.
        """
        length = batch["tokens"].shape[1]
        if cache_len < length:
            raise ValueError(f"cache_len {cache_len} is smaller than the prompts' {length} tokens")
        real = batch["segments"] > 0
        mask = _segment_mask(batch["segments"], batch["prefix"])
        x, memory = self.text(self._embed(batch), batch["positions"], mask, remember=True)
        lengths = real.sum(axis=1, dtype=jnp.int32)
        last = jnp.maximum(lengths - 1, 0)
        logits = self.text.logits(x[jnp.arange(x.shape[0]), last])
        room = ((0, cache_len - length), (0, 0))
        memory = jax.tree.map(lambda a: jnp.pad(a, ((0, 0),) * (a.ndim - 2) + room), memory)
        position = jnp.where(real[:, None], batch["positions"], -1).max(axis=(1, 2)) + 1
        return logits, Cache(memory, lengths, position.astype(jnp.int32))

    def extend(
        self,
        cache: Cache,
        tokens: Int[Array, "B S"],
        positions: Int[Array, "B 3 S"] | None = None,
    ) -> tuple[Float[Array, "B S V"], Cache]:
        """Appends S text tokens to every row; the caller keeps length + S within the cache."""
        batch, count = tokens.shape
        if positions is None:
            positions = cache.position[:, None] + jnp.arange(count)
            positions = jnp.broadcast_to(positions[:, None], (batch, 3, count))
        slots = jnp.arange(jax.tree.leaves(cache.memory)[0].shape[-2])
        mask = slots <= (cache.length[:, None] + jnp.arange(count))[..., None]  # [B, S, T]
        x, memory = self.text(
            self.text.embed(tokens), positions, mask, cache.memory, cache.length, remember=True
        )
        position = positions.max(axis=(1, 2)) + 1
        return self.text.logits(x), Cache(memory, cache.length + count, position)

    def _embed(self, batch: Batch) -> Float[Array, "B S H"]:
        x = self.text.embed(batch["tokens"])
        if batch["patches"].shape[1] == 0:  # text only: known when tracing
            return x
        seen = self.vision(
            batch["patches"].astype(self.dtype),
            batch["patch_hw"],
            batch["patch_window"],
            batch["patch_frame"],
        )
        index = batch["vision_index"][..., None]
        picked = jnp.take_along_axis(seen, jnp.maximum(index, 0), axis=1)
        return jnp.where(index >= 0, picked, x)


def _segment_mask(segments: Int[Array, "B S"], prefix: Int[Array, "B S"]) -> Bool[Array, "B S S"]:
    """True where a query (axis 1) may see a key (axis 2): earlier or itself, in its own segment or
    in the prefix segment that it names."""
    keys = segments[:, None, :]
    seen = (keys == segments[:, :, None]) | (keys == prefix[:, :, None])
    return seen & (keys > 0) & jnp.tri(segments.shape[1], dtype=bool)
