"""Derives maps for the frames of a prepared source and writes them beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tqdm

from surgzoo.db.derive import depth, maps, smoke
from surgzoo.db.records import FrameRecord, StoredVideo
from surgzoo.db.store import Store

CLEAR = 0.1  # `flags["smoke"]` from which a frame is not clear enough to put smoke over it
JPEG_QUALITY = 95

# A record to the bytes of its map, or None where it gets none.
Make = Callable[[StoredVideo, FrameRecord], bytes | None]


def add_smoke(store: Store, *, seed: int = 0) -> Path:
    """Synthetic smoke over the frames that have neither a `clean` map nor much smoke themselves."""
    drawn = {v.video.id: smoke.drawn(v.video.canonical, seed) for v in store.videos}

    def make(stored: StoredVideo, record: FrameRecord) -> bytes | None:
        if "clean" in record.dense or record.annotations.flags.get("smoke", 0.0) >= CLEAR:
            return None
        image = smoke.over(_rgb(record), drawn[stored.video.id], record.frame.time)
        done, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        if not done:
            raise ValueError(f"OpenCV could not encode frame {record.frame} as JPEG")
        return data.tobytes()

    parameters = {"seed": seed, "videos": {k: dataclasses.asdict(v) for k, v in drawn.items()}}
    how = "synthetic smoke by atmospheric scattering (db/derive/smoke.py)"
    return write(store, "smoke", how, parameters, make)


def add_depth_files(store: Store, folder: str | Path) -> Path:
    """Depth from `<folder>/<video>/<frame, six digits>.png`; frames without a file get none.

    Raises FileNotFoundError when no file has a name of this source, ValueError for a bad file.
    """
    folder = Path(folder).expanduser()
    wanted = [folder / v.video.id for v in store.videos]
    if not any(path.is_dir() and any(path.glob("[0-9]*.png")) for path in wanted):
        raise FileNotFoundError(
            f"{folder} has no map of {store.source}.{store.config}; expected files like "
            f"{wanted[0].name}/000000.png (16-bit grey, 0 nearest)"
        )

    def make(stored: StoredVideo, record: FrameRecord) -> bytes | None:
        path = maps.file_of(folder, "depth", stored.video.id, record.frame.index)
        return depth.encoded(depth.from_file(path)) if path.exists() else None

    return write(store, "depth", f"depth maps from the folder {folder.name}", {}, make)


def add_depth_model(store: Store, name: str) -> Path:
    """Depth of every frame by a registered model. Raises UnknownNameError."""
    model = depth.depth_models.get(name)

    def make(stored: StoredVideo, record: FrameRecord) -> bytes:
        return depth.encoded(depth.from_model(model, _rgb(record)))

    return write(store, "depth", f"pseudo-label of the depth model {name}", {"model": name}, make)


def write(store: Store, what: str, how: str, parameters: dict[str, Any], make: Make) -> Path:
    """Writes all maps and the manifest; maps of the same kind from before are replaced at the end.

    Raises ValueError when not one frame got a map.
    """
    folder = maps.place(store.path, what)
    unfinished = maps.begin(folder)
    count = 0
    for stored, record in tqdm.tqdm(_records(store), total=len(store), desc=what, disable=None):
        data = make(stored, record)
        if data is not None:
            path = maps.file_of(unfinished, what, stored.video.id, record.frame.index)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            count += 1
    if not count:
        raise ValueError(f"no frame of {store.source}.{store.config} got a map '{what}'")
    maps.finish(folder, maps.Manifest(what, store.path.name, how, parameters))
    return folder


def _records(store: Store) -> Iterator[tuple[StoredVideo, FrameRecord]]:
    for stored in store.videos:
        for record in store.records(stored):
            yield stored, record


def _rgb(record: FrameRecord) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(record.image, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"the stored image {record.frame} cannot be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
