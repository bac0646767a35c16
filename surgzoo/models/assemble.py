"""Arrays on devices from blocks that arrive one after the other, and back, in little host memory.

`jax.make_array_from_callback` wants the whole shard of every device on the host at once; of layers
stacked for `lax.scan` that is gigabytes (38 GB for one kernel of the 72B model). Here a large shard
is born on its accelerator as zeros and blocks are written into it where they belong.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jaxtyping import Array

from surgzoo.models.ahead import ahead

SMALL_BYTES = 32 << 20  # shards up to this size are filled on the host: one transfer, no compiler

Bounds = tuple[tuple[int, int], ...]  # (start, stop) along every axis


def local_bounds(
    shape: Sequence[int], sharding: jax.sharding.Sharding | None
) -> dict[Bounds, list[Any]]:
    """The parts of an array that this process holds, each with the devices that hold it.

    Without a sharding: the whole array, on the default device, given as None.
    """
    if sharding is None:
        return {tuple((0, size) for size in shape): [None]}
    out: dict[Bounds, list[Any]] = {}
    for device, index in sharding.addressable_devices_indices_map(tuple(shape)).items():
        bounds = tuple(s.indices(size)[:2] for s, size in zip(index, shape, strict=True))
        out.setdefault(bounds, []).append(device)
    return out


def overlaps(bounds: Iterable[Bounds], block: Bounds) -> bool:
    """Whether a block has something of any of the parts."""
    return any(_meet(part, block) is not None for part in bounds)


def _meet(one: Bounds, other: Bounds) -> Bounds | None:
    """What two parts share."""
    both = zip(one, other, strict=True)
    shared = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in both)
    return shared if all(start < stop for start, stop in shared) else None


def _within(part: Bounds, whole: Bounds) -> tuple[slice, ...]:
    """The index of a part in an array that holds `whole`."""
    return tuple(slice(a - at, b - at) for (a, b), (at, _) in zip(part, whole, strict=True))


def assemble(
    shape: Sequence[int],
    dtype: Any,
    sharding: jax.sharding.Sharding | None,
    blocks: Iterable[tuple[Sequence[int], np.ndarray]],
) -> jax.Array:
    """An array from blocks.

    Args:
      shape: of the whole array.
      dtype: of the result; blocks in another one are converted, large ones on the device.
      sharding: of the result; None is the default device.
      blocks: (start, values) with the place of the block's first element in the whole array. They
        do not overlap, may come in any order, and cover what this process holds. The next one is
        made, in a thread, while one is written.

    Raises ValueError when they do not cover it.
    """
    parts = local_bounds(shape, sharding)
    shards = [
        (_OnHost if _fits_host(bounds, dtype, devices) else _OnDevice)(bounds, dtype, devices)
        for bounds, devices in parts.items()
    ]
    for start, values in ahead(blocks):
        for shard in shards:
            shard.write(start, values)
    arrays = {}
    for shard in shards:
        if shard.missing:
            raise ValueError(f"{shard.missing} elements of {shard.bounds} were not given")
        arrays |= shard.arrays()
    if sharding is None:
        return arrays[None]
    order = [arrays[device] for device in sharding.addressable_devices_indices_map(tuple(shape))]
    return jax.make_array_from_single_device_arrays(tuple(shape), sharding, order, dtype=dtype)


def host_part(array: jax.Array | np.ndarray, bounds: Bounds) -> np.ndarray:
    """A part of an array as numpy; no more than that part and one shard's share is copied.

    Raises ValueError when other processes hold some of the array.
    """
    index = tuple(slice(start, stop) for start, stop in bounds)
    if not isinstance(array, jax.Array):
        return array[index]
    if not array.is_fully_addressable:
        raise ValueError("the array lies on several hosts; gather it on one of them first")
    out = None
    for shard in array.addressable_shards:
        held = tuple(s.indices(size)[:2] for s, size in zip(shard.index, array.shape, strict=True))
        shared = _meet(held, bounds)
        if shard.replica_id or shared is None:
            continue
        piece = _fetch(shard.data, _within(shared, held))
        if shared == bounds:
            return piece
        if out is None:
            out = np.empty([stop - start for start, stop in bounds], array.dtype)
        out[_within(shared, bounds)] = piece
    return out


def _fetch(data: jax.Array, where: tuple[slice, ...]) -> np.ndarray:
    """A part of what one device holds."""
    if data.nbytes <= SMALL_BYTES or next(iter(data.devices())).platform == "cpu":
        return np.asarray(data)[where]  # on a CPU a view
    size = tuple(index.stop - index.start for index in where)
    return np.asarray(_slice(data, tuple(index.start for index in where), size))


@functools.partial(jax.jit, static_argnums=2)
def _slice(data: Array, start: tuple[int, ...], size: tuple[int, ...]) -> Array:
    return lax.dynamic_slice(data, start, size)


class _Shard:
    """A part of an array that is being filled."""

    def __init__(self, bounds: Bounds, dtype: Any, devices: list[Any]):
        self.bounds, self.dtype, self.devices = bounds, np.dtype(dtype), devices
        self.shape = tuple(stop - start for start, stop in bounds)
        self.missing = math.prod(self.shape)

    def write(self, start: Sequence[int], values: np.ndarray) -> None:
        """Writes what a block has of this part."""
        block = tuple((at, at + size) for at, size in zip(start, values.shape, strict=True))
        shared = _meet(self.bounds, block)
        if shared is not None:
            self.put(values[_within(shared, block)], _within(shared, self.bounds))
            self.missing -= math.prod(stop - start for start, stop in shared)

    def put(self, piece: np.ndarray, where: tuple[slice, ...]) -> None:
        raise NotImplementedError

    def arrays(self) -> dict[Any, jax.Array]:
        raise NotImplementedError


class _OnHost(_Shard):
    """Filled on the host. On a CPU the buffer becomes the array, without a copy."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        # XLA takes memory over as it is when it begins at a multiple of 64 bytes.
        size = self.missing * self.dtype.itemsize
        memory = np.empty(size + 64, np.uint8)
        begin = -memory.ctypes.data % 64
        self.buffer = memory[begin : begin + size].view(self.dtype).reshape(self.shape)

    def put(self, piece: np.ndarray, where: tuple[slice, ...]) -> None:
        copy(self.buffer[where], piece)

    def arrays(self) -> dict[Any, jax.Array]:
        return {device: jax.device_put(self.buffer, device) for device in self.devices}


def copy(target: np.ndarray, source: np.ndarray) -> None:
    """`target[...] = source`, at three times the speed when the source is transposed.

    numpy then goes along whole columns, and every element is a cache miss. It also moves bfloat16
    one by one, but not integers of that size.
    """
    if target.dtype == source.dtype:
        bits = f"u{source.dtype.itemsize}"
        target, source = target.view(bits), source.view(bits)
    step = 128 if source.ndim > 1 and source.strides[-1] > source.strides[-2] else None
    for start in range(0, source.shape[-1], step) if step else ():
        target[..., start : start + step] = source[..., start : start + step]
    if not step:
        target[...] = source


class _OnDevice(_Shard):
    """Filled on its devices."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.buffers = {
            device: jax.numpy.zeros(self.shape, self.dtype, device=device)
            for device in self.devices
        }

    def put(self, piece: np.ndarray, where: tuple[slice, ...]) -> None:
        at = tuple(index.start for index in where)
        for device, buffer in self.buffers.items():
            self.buffers[device] = _update(buffer, jax.device_put(piece, device), at)
        # Transfers are asynchronous and each holds its block: without waiting they pile up.
        jax.block_until_ready(list(self.buffers.values()))

    def arrays(self) -> dict[Any, jax.Array]:
        return self.buffers


@functools.partial(jax.jit, donate_argnums=0)
def _update(buffer: Array, piece: Array, at: tuple[int, ...]) -> Array:
    """`piece` into the donated buffer, in place."""
    return lax.dynamic_update_slice(buffer, piece.astype(buffer.dtype), at)


def _fits_host(bounds: Bounds, dtype: Any, devices: list[Any]) -> bool:
    """Small, or for a CPU, whose memory is the host's."""
    platform = jax.default_backend() if devices == [None] else devices[0].platform
    size = math.prod(stop - start for start, stop in bounds) * np.dtype(dtype).itemsize
    return platform == "cpu" or size <= SMALL_BYTES
