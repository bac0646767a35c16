"""cuDNN's flash attention for packed rows: the one file that knows JAX's private entry to it.

`jax.nn.dot_product_attention(implementation="cudnn")` takes lengths but no segments, and turns a
mask into a bias as large as the scores. The function below it takes the start and the length of
each segment (`jax._src.cudnn.fused_attention_stablehlo`, read in JAX 0.10.2).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_DTYPES = ("bfloat16", "float16")
_PACKED_CAPABILITY = (9, 0)  # Hopper; one segment a row works from Ampere on
_CAPABILITY = (8, 0)


class Segments(NamedTuple):
    """A mask by segments: a token sees the tokens with its own id, with `causal` the earlier ones.

    Tokens of one id stand next to each other; 0 is padding, seen by none. `most` bounds how many
    runs of equal ids, padding included, a row has; it is static, because cuDNN is told of that many
    in every row. A row with more gives NaN: loud, where a cut would be silent.
    """

    ids: Int[Array, "B S"]
    causal: bool
    most: int


class Device(NamedTuple):
    """What eligibility asks of the device. `cudnn`: a version is installed with jaxlib."""

    platform: str
    capability: tuple[int, int]
    cudnn: bool


def this_device() -> Device:
    """The first device of JAX's default backend."""
    device = jax.devices()[0]
    if device.platform != "gpu" or not hasattr(device, "compute_capability"):
        return Device(device.platform, (0, 0), False)
    from jax._src.lib import cuda_versions

    major, minor = str(device.compute_capability).split(".")
    return Device("gpu", (int(major), int(minor)), cuda_versions is not None)


def why_not(
    dtype: jnp.dtype, head_dim: int, segments: Segments | None, device: Device
) -> str | None:
    """The reason in words why cuDNN cannot run this attention on this device, or None.

    The limits are those of JAX's own check (`check_is_flash_attention`).
    """
    if device.platform != "gpu":
        return f"it needs an NVIDIA GPU; the device is a {device.platform}"
    if not device.cudnn:
        return "jaxlib was installed without cuDNN (extra cuda or cuda13)"
    if segments is None:
        return (
            "the mask must be one of segments: rows whose questions share a prefix (data.group) "
            "and keys in a cache have another form"
        )
    needed = _CAPABILITY if segments.most <= 2 else _PACKED_CAPABILITY
    if device.capability < needed:
        at_hand = ".".join(map(str, device.capability))
        return (
            f"rows of up to {segments.most} segments need compute capability "
            f"{'.'.join(map(str, needed))}; the device has {at_hand}"
        )
    if jnp.dtype(dtype).name not in _DTYPES:
        return f"it computes in {' or '.join(_DTYPES)}, not in {jnp.dtype(dtype).name}"
    limit = 256 if device.capability >= _PACKED_CAPABILITY else 128
    if head_dim % 8 or head_dim > limit:
        return f"the head size must be a multiple of 8 up to {limit}; it is {head_dim}"
    return None


def runs(
    ids: Int[Array, "B S"], most: int
) -> tuple[Int[Array, "B M"], Int[Array, "B M+1"], Bool[Array, " B"]]:
    """Lengths and starts of the runs of equal ids, -1 where a row has fewer, as JAX wants them.

    Padding is a run like another, so that every query belongs to one: what cuDNN leaves in the
    others is undefined. The third result says which rows have more than `most` runs.
    """
    size = ids.shape[1]
    first = jnp.concatenate(
        [jnp.ones_like(ids[:, :1], bool), ids[:, 1:] != ids[:, :-1]], axis=1
    )  # [B, S]
    # The starts are the positions of the firsts, in order; `size` fills up what is not there.
    places = jnp.where(first, jnp.arange(size), size)
    starts = jnp.sort(places, axis=1)
    starts = jnp.pad(starts, ((0, 0), (0, max(most + 1 - size, 0))), constant_values=size)
    starts = starts[:, : most + 1]
    there = starts[:, :most] < size
    lengths = jnp.where(there, starts[:, 1:] - starts[:, :-1], -1).astype(jnp.int32)
    offsets = jnp.where(there, starts[:, :most], -1)
    offsets = jnp.pad(offsets, ((0, 0), (0, 1)), constant_values=-1).astype(jnp.int32)
    return lengths, offsets, first.sum(axis=1) > most


def attend(
    q: Float[Array, "B S N D"],
    k: Float[Array, "B S K D"],
    v: Float[Array, "B S K D"],
    segments: Segments,
) -> Float[Array, "B S N D"]:
    """softmax(q k' / sqrt(D)) v inside the segments. Outputs of padding have no meaning.

    The caller has asked `why_not`. Rows of one segment and padding (most <= 2) go the plain way, by
    their length; others by starts and lengths.
    """
    from jax._src.cudnn.fused_attention_stablehlo import MaskType, dot_product_attention

    mask = MaskType.PADDING_CAUSAL if segments.causal else MaskType.PADDING
    if segments.most <= 2:
        ids = segments.ids
        filled = (ids > 0).sum(axis=1, dtype=jnp.int32)
        # A second conversation would count as part of the first.
        too_many = ((ids > 0) & (ids != ids[:, :1])).any(axis=1)
        out = dot_product_attention(
            q, k, v, q_seqlen=filled, kv_seqlen=filled, scale=q.shape[-1] ** -0.5, mask_type=mask
        )
        out = jnp.where((ids > 0)[..., None, None], out, 0)
    else:
        lengths, offsets, too_many = runs(segments.ids, segments.most)
        # JAX 0.10.2 turns the starts of the keys into addresses with the number of *query* heads,
        # which is wrong for grouped queries: so each query head gets a copy of its keys.
        group = q.shape[2] // k.shape[2]
        k, v = jnp.repeat(k, group, axis=2), jnp.repeat(v, group, axis=2)
        out = dot_product_attention(
            q, k, v, q_seqlen=lengths, kv_seqlen=lengths, q_offsets=offsets, kv_offsets=offsets,
            scale=q.shape[-1] ** -0.5, mask_type=mask,
        )  # fmt: skip
    return jnp.where(too_many[:, None, None, None], jnp.nan, out).astype(q.dtype)
