"""Qwen2.5-VL: the vision tokens take their places among the text, the decoder reads both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from surgzoo.core.contract import Batch
from surgzoo.models.base import select
from surgzoo.models.layers.attention import Segments
from surgzoo.models.layers.lora import add_adapters
from surgzoo.models.qwen2_5_vl.text import Memory, Past, TextTower
from surgzoo.models.qwen2_5_vl.vision import VisionTower

if TYPE_CHECKING:
    from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig


class Cache(NamedTuple):
    """What B = F * G questions, G to a row of prompts, have read.

    The prompts' keys and values are never written again and never copied: the questions of a row
    share them.
    """

    past: Past
    position: Int[Array, " B"]  # the next M-RoPE position, the same for all three components

    def select(self, kept: Int[Array, "F g"]) -> Cache:
        """The cache of some questions of each row of prompts, by their place among the row's G."""

        def some(array):
            return select(array, kept)

        past = self.past
        of_layer = jax.vmap(some) if isinstance(past.added, Memory) else some  # stacked
        added = jax.tree.map(of_layer, past.added)
        past = past._replace(seen=some(past.seen), added=added, count=some(past.count))
        return Cache(past, some(self.position))


class Qwen25VL(nnx.Module):
    """See `surgzoo.models.base.Model` for the verbs."""

    def __init__(self, config: Qwen25VLConfig, *, rngs: nnx.Rngs):
        self.dtype = jnp.dtype(config.compute_dtype)
        self.most_segments = config.attention_segments
        self.vision = VisionTower(config, rngs=rngs)
        self.text = TextTower(config, rngs=rngs)
        if config.lora is not None:
            add_adapters(self, config.lora, rngs=rngs)

    def forward(self, batch: Batch) -> Float[Array, "B S V"]:
        """Logits of the next token, float32."""
        return self.logits(self.features(batch))

    def features(self, batch: Batch) -> Float[Array, "B S H"]:
        """Final hidden states, normed, in the compute dtype."""
        ids, prefix = batch["segments"], batch.get("prefix")
        mask = _segment_mask(ids, prefix)
        segments = Segments(ids, True, self.most_segments) if prefix is None else None
        return self.text(self._embed(batch), batch["positions"], mask, segments=segments)[0]

    def head(self) -> Float[Array, "H V"]:
        """The kernel of the output head."""
        return self.text.kernel()

    def logits(self, features: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
        """Logits of final hidden states."""
        return self.text.logits(features)

    def prefill(
        self, batch: Batch, room: int, ends: Int[Array, "F G"] | None = None
    ) -> tuple[Float[Array, "B V"], Cache]:
        """Reads prompts; see `surgzoo.models.base.Model.prefill`."""
        segments, positions = batch["segments"], batch["positions"]
        if ends is None:
            ends = (segments > 0).sum(axis=1, keepdims=True, dtype=jnp.int32) - 1
        mask = _segment_mask(segments, batch.get("prefix"))
        x, prompts = self.text(self._embed(batch), positions, mask, remember=True)

        at = jnp.maximum(ends, 0)[..., None]
        seen = jnp.take_along_axis(mask, at, axis=1) & (ends >= 0)[..., None]  # [F, G, P]
        position = jnp.where(seen, positions.max(axis=1)[:, None], -1).max(axis=-1) + 1
        logits = self.text.logits(jnp.take_along_axis(x, at, axis=1))
        count = ends.size

        def free(prompt):  # [*L, F, K, P, D] -> [*L, F * G, K, room, D]
            *layers, _, heads, _, width = prompt.shape
            return jnp.zeros((*layers, count, heads, room, width), prompt.dtype)

        def to_share(memory: Memory) -> Memory:
            return memory._replace(k=memory.k.swapaxes(-1, -2))

        stacked = isinstance(prompts, Memory)
        past = Past(
            to_share(prompts) if stacked else tuple(map(to_share, prompts)),
            seen.reshape(count, -1),
            jax.tree.map(free, prompts),
            jnp.zeros(count, jnp.int32),
        )
        position = position.reshape(count).astype(jnp.int32)
        return logits.reshape(count, -1), Cache(past, position)

    def extend(
        self,
        cache: Cache,
        tokens: Int[Array, "B S"],
        positions: Int[Array, "B 3 S"] | None = None,
    ) -> tuple[Float[Array, "B S V"], Cache]:
        """Appends S text tokens to every question; the caller keeps within the cache's room."""
        past, (batch, count) = cache.past, tokens.shape
        if positions is None:
            positions = cache.position[:, None] + jnp.arange(count)
            positions = jnp.broadcast_to(positions[:, None], (batch, 3, count))
        slots = jnp.arange(jax.tree.leaves(past.added)[0].shape[-2])
        mask = slots <= (past.count[:, None] + jnp.arange(count))[..., None]  # [B, S, T]
        x, added = self.text(self.text.embed(tokens), positions, mask, past, remember=True)
        past = past._replace(added=added, count=past.count + count)
        return self.text.logits(x), Cache(past, positions.max(axis=(1, 2)) + 1)

    def see(self, batch: Batch | Mapping[str, Array]) -> Float[Array, "B M H"]:
        """The vision tokens of every row, as the language model reads them."""
        return self.vision(
            batch["patches"].astype(self.dtype),
            batch["patch_hw"],
            batch["patch_window"],
            batch["patch_frame"],
        )

    def embed_frames(self, frames: Mapping[str, Array]) -> Float[Array, "B H"]:
        """The mean over the frame's vision tokens, as the language model reads them."""
        seen = self.see(frames).astype(jnp.float32)
        # The patches of a token adjoin, and padding makes tokens of its own.
        real = (frames["patch_frame"].reshape(*seen.shape[:2], -1)[..., 0] >= 0)[..., None]
        return jnp.where(real, seen, 0).sum(axis=1) / real.sum(axis=1)

    def _embed(self, batch: Batch) -> Float[Array, "B S H"]:
        x = self.text.embed(batch["tokens"])
        if batch["patches"].shape[1] == 0:  # text only: known when tracing
            return x
        seen = self.see(batch)
        index = batch["vision_index"][..., None]
        picked = jnp.take_along_axis(seen, jnp.maximum(index, 0), axis=1)
        return jnp.where(index >= 0, picked, x)


def _segment_mask(
    segments: Int[Array, "B S"], prefix: Int[Array, "B S"] | None
) -> Bool[Array, "B S S"]:
    """True where a query (axis 1) may see a key (axis 2): earlier or itself, in its own segment or
    in the prefix segment that it names."""
    keys = segments[:, None, :]
    seen = keys == segments[:, :, None]
    if prefix is not None:
        seen |= keys == prefix[:, :, None]
    return seen & (keys > 0) & jnp.tri(segments.shape[1], dtype=bool)
