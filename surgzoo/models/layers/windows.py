"""Attention inside windows of neighbouring tokens, without a score for what no window joins."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from surgzoo.models.layers.attention import attend


def attend_in_windows(
    q: Float[Array, "B P N D"],
    k: Float[Array, "B P N D"],
    v: Float[Array, "B P N D"],
    window: Int[Array, "B P"],
    size: int,
    aligned: bool,
) -> Float[Array, "B P N D"]:
    """softmax(q k' / sqrt(D)) v among the tokens with the same `window` id; -1 is padding.

    The tokens of a window adjoin and are at most `size`; padding comes last. Then a block of `size`
    tokens needs no keys but its own and those of the blocks before and after. When `aligned`, every
    window is `size` tokens long and so a block of its own: it needs no other keys and no mask.
    The result of padding has no meaning.
    """
    batch, tokens, heads, width = q.shape
    blocks = -(-tokens // size)
    if blocks * size != tokens:
        pad = ((0, 0), (0, blocks * size - tokens))
        q, k, v = (jnp.pad(x, (*pad, (0, 0), (0, 0))) for x in (q, k, v))
        window = jnp.pad(window, pad, constant_values=-1)

    def cut(x):  # [B, P, ...] to [B, blocks, size, ...]
        return x.reshape(batch, blocks, size, *x.shape[2:])

    def around(x, empty):  # the same with the keys of a block's neighbours, [B, blocks, 3 size, ..]
        edge = jnp.full((batch, 1, *x.shape[2:]), empty, x.dtype)
        before = jnp.concatenate([edge, x[:, :-1]], axis=1)
        after = jnp.concatenate([x[:, 1:], edge], axis=1)
        return jnp.concatenate([before, x, after], axis=2)

    q, k, v, window = cut(q), cut(k), cut(v), cut(window)
    mask = None
    if not aligned:
        keys = window
        if blocks > 1:
            k, v, keys = around(k, 0), around(v, 0), around(window, -1)
        mask = (window[..., None] == keys[..., None, :]) & (keys >= 0)[..., None, :]
        mask = mask.reshape(-1, *mask.shape[2:])
    flat = (x.reshape(batch * blocks, -1, heads, width) for x in (q, k, v))
    q, k, v = flat
    out = attend(q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask)
    return out.reshape(batch, blocks * size, heads, width)[:, :tokens]
