"""Stored features of a prepared source: an image encoder of the zoo over every frame, once.

Several processes share the work by shards: process i of n takes every n-th video and writes its
files, and none waits for another. They form no group (`jax.distributed`): a group ends with the
first that is killed, or makes all wait for the slowest, and here nobody needs the others' numbers.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tqdm

import surgzoo
from surgzoo.core import config as config_lib
from surgzoo.core import parallel
from surgzoo.data import features
from surgzoo.data.jpeg import decode_jpeg
from surgzoo.db import records, schema
from surgzoo.db.records import StoredVideo
from surgzoo.db.store import Store
from surgzoo.evaluate.findings import Training
from surgzoo.evaluate.predictors.local import Restored
from surgzoo.models import models
from surgzoo.models.ahead import ahead
from surgzoo.models.build import model_config
from surgzoo.train.state import flatten


@dataclasses.dataclass(frozen=True)
class Extracted:
    """What an extraction did now.

    Attributes:
      videos, frames: written now. kept: videos of this shard that were there already.
      lacking: videos of the split, of all shards, that are not there yet. The shard that ends last
        sees 0; no file says so, since readers look at every video themselves.
    """

    folder: Path
    width: int
    videos: int
    kept: int
    lacking: int
    frames: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Frames first .. first + count - 1 of a video: one batch."""

    stored: StoredVideo
    first: int
    count: int


def extract(
    found: Restored,
    training: Training,
    store: Store,
    data_dir: str | Path,
    name: str,
    *,
    split: str = "all",
    scheme: str = "default",
    dtype: str = "float32",
    batch_size: int = 64,
    threads: int = 2,
    overwrite: bool = False,
    shard: tuple[int, int] = (1, 1),
) -> Extracted:
    """Writes the features of all frames of a split; videos that are done are kept.

    Args:
      found: the encoder. training: what it was trained on; goes into the features' meta.
      name: of the features. dtype: one of `features.DTYPES`.
      batch_size: frames at a time over all devices.
      shard: (i, n) is the i-th of n shares of the videos, from 1 on. A share is run by one process
        at a time; all n with the same split and scheme.

    Raises ValueError for a model that cannot embed frames, for a name that is none of a folder, for
    features that are there and were made otherwise, for a shard that there is not, for `overwrite`
    of more than one, and in a group of processes; MediaError for a frame that cannot be decoded,
    OSError where the disk is full.
    """
    if (group := jax.process_count()) > 1:
        raise ValueError(
            f"this is one of a group of {group} processes, and features are extracted without one: "
            "start each process alone (no jax.distributed.initialize), the i-th with "
            f"shard=(i, {group}), on the command line --shard=i/{group}"
        )
    index, count = shard
    if not 1 <= index <= count:
        raise ValueError(f"shard {index}/{count}: write i/n, the i-th of n shards, from 1 on")
    if not records.FOLDER_NAME.fullmatch(name):
        raise ValueError(f"'{name}' is no name for features: it becomes the name of a folder")
    if overwrite and count > 1:
        raise ValueError(
            f"--overwrite with shard {index}/{count} would remove what other shards have written: "
            f"remove {features.folder(data_dir, name, store.source, store.config)} once, then "
            "start all shards without it"
        )
    check_encoder(found.model, found.name)
    batch_size = parallel.whole_batch(batch_size, found.mesh)
    embed = jax.jit(found.model.embed_frames)
    videos = store.select(split, scheme)
    if not videos:
        raise ValueError(f"{store.source}.{store.config} has no video in the split '{split}'")
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def read(piece: _Piece) -> dict[str, np.ndarray]:
            """A whole batch: the last frame is repeated where frames are lacking."""
            numbers = range(piece.first, piece.first + piece.count)
            frames = list(pool.map(lambda n: _frame(store, piece.stored, n), numbers))
            return found.processor.frames(frames + frames[-1:] * (batch_size - piece.count))

        shape = jax.eval_shape(embed, found.params, read(_Piece(videos[0], 0, 1)))
        meta = features.Meta(
            source=store.source,
            config=store.config,
            version=store.path.name,
            content=features.content(store),
            width=shape.shape[1],
            dtype=dtype,
            encoder=_encoder(found),
            trained_on={key: tuple(names) for key, names in sorted(training.operations.items())},
            unclear=training.unclear,
        )
        writer = features.FeatureWriter(data_dir, name, meta, overwrite=overwrite)
        mine = videos[index - 1 :: count]
        todo = [stored for stored in mine if not writer.has(stored)]
        begun, frames = time.perf_counter(), sum(stored.count for stored in todo)
        bar = tqdm.tqdm(total=frames, desc=store.source, unit="frame", disable=None)
        rows: list[np.ndarray] = []
        # The next batch is read while the device works on this one.
        for piece, batch in ahead((p, read(p)) for p in _pieces(todo, batch_size)):
            out = embed(found.params, parallel.shard_batch(batch, found.mesh))
            rows.append(np.asarray(out)[: piece.count])
            bar.update(piece.count)
            if piece.first + piece.count == piece.stored.count:
                writer.write(piece.stored, np.concatenate(rows))
                rows = []
        bar.close()
    seconds = time.perf_counter() - begun
    kept = len(mine) - len(todo)
    lacking = sum(not writer.has(stored) for stored in videos)
    return Extracted(writer.path, meta.width, len(todo), kept, lacking, frames, seconds)


def check_encoder(model: Any, name: str) -> None:
    """Raises ValueError, with those that can, for a model that gives no features of frames."""
    if model.can("embed_frames"):
        return
    able = [entry.name for entry in models if model_config(entry.name).build().can("embed_frames")]
    raise ValueError(f"{name} is no encoder of single frames; these are: {', '.join(able)}")


def parameters_hash(params: Any) -> str:
    """Of all names, shapes and bytes; equal for equal weights, wherever they lie."""
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in sorted(flatten(params).items()):
        array = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{path}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(array.view(np.uint8).reshape(-1))
    return digest.hexdigest()


def _encoder(found: Restored) -> features.Encoder:
    model = found.name.split("/")[0]
    return features.Encoder(
        model=model,
        name=found.name,
        card=schema.to_jsonable(models.entry(model).card),
        config=config_lib.to_dict(found.model.config),
        parameters=parameters_hash(found.params),
        code=surgzoo.__version__,
    )


def _pieces(videos: Sequence[StoredVideo], size: int) -> Iterator[_Piece]:
    for stored in videos:
        for first in range(0, stored.count, size):
            yield _Piece(stored, first, min(size, stored.count - first))


def _frame(store: Store, stored: StoredVideo, number: int) -> np.ndarray:
    """Pixels as they are stored; the processor resizes them."""
    where = f"{store.source}/{stored.video.id}/{number}"
    return decode_jpeg(store.frame(stored.video.id, number).image, where)
