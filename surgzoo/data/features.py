"""Stored features of frames: one vector for every frame of a prepared source, by an image encoder.

  <data_dir>/features/<name>/<source>.<config>/meta.json
                                              /<video>.array_record

Record i of a video is frame i, F little-endian numbers. `meta.json` says what made them: the
encoder with a hash of its parameters, what that was trained on, and a hash of the source, so that
features of frames that have changed since are refused. `surgzoo extract_features` writes them; all
sources below one name have the same encoder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter
from jaxtyping import Float

from surgzoo.data.media import Stores
from surgzoo.db import schema
from surgzoo.db.records import StoredVideo
from surgzoo.db.store import NotPreparedError, Store

FOLDER = "features"
META = "meta.json"
SUFFIX = ".array_record"
UNFINISHED = ".part"
DTYPES = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
# Read as whole videos, and floats do not shrink.
_OPTIONS = "group_size:64,uncompressed"


@dataclasses.dataclass(frozen=True)
class Encoder:
    """What made features.

    Attributes:
      model: registered name. name: which checkpoint of it, for people.
      card, config: of the model; all fields of its config.
      parameters: a hash of all parameters. code: version of surgzoo.
    """

    model: str
    name: str
    card: dict[str, Any]
    config: dict[str, Any]
    parameters: str
    code: str


@dataclasses.dataclass(frozen=True)
class Meta:
    """What meta.json holds.

    Attributes:
      version, content: of the prepared source. width: F, numbers a frame. dtype: of `DTYPES`.
      trained_on: operations that the encoder was trained on, canonical id -> "source/video" ...
      unclear: ... and what of its training cannot be told video by video, in words.
    """

    source: str
    config: str
    version: str
    content: str
    width: int
    dtype: str
    encoder: Encoder
    trained_on: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    unclear: tuple[str, ...] = ()


def folder(data_dir: str | Path, name: str, source: str = "", config: str = "") -> Path:
    """Where the features of a name lie, of one source or of all."""
    root = Path(data_dir).expanduser() / FOLDER / name
    return root / f"{source}.{config}" if source else root


def content(store: Store) -> str:
    """A hash of what an encoder sees; maps that are derived for the source later leave it alone."""
    return store.content(derived=False)


class FeatureStore:
    """The features of one prepared source, for reading; safe for threads.

    Attributes:
      path: the folder. store: the source. meta: see `Meta`.
    """

    def __init__(self, store: Store, data_dir: str | Path, name: str):
        """Raises NotPreparedError where there are none, ValueError where they are out of date."""
        self.store, self.name = store, name
        self.path = folder(data_dir, name, store.source, store.config)
        if not (self.path / META).exists():
            raise NotPreparedError(
                f"there are no features '{name}' of {store.source}.{store.config} in {data_dir}"
                f"{_others(data_dir)}. Run `surgzoo extract_features --source={store.source}."
                f"{store.config} --out_name={name} --data_dir={data_dir}` with the encoder."
            )
        self.meta = read_meta(self.path)
        if self.meta.content != content(store):
            raise ValueError(
                f"{self.path} was made of other frames: of version {self.meta.version} of "
                f"{store.source}; the prepared one, {store.path.name}, has another content. Run "
                f"`surgzoo extract_features --out_name={name} --overwrite` again."
            )

    def has(self, video: str) -> bool:
        """Whether a video's features are there, whole."""
        return whole(self.path, self.store.video(video))

    def check(self, video: str) -> None:
        """Raises NotPreparedError when a video has none."""
        if not self.has(video):
            raise NotPreparedError(
                f"{_file(self.path, video)} is missing or cut short: the extraction of "
                f"'{self.name}' did not end, or was for another split. Run `surgzoo "
                "extract_features` again; it goes on where it stopped"
            )

    def read(self, video: str) -> Float[np.ndarray, "T F"]:
        """The features of all frames of a video, float32. Raises NotPreparedError without them."""
        self.check(video)
        count = self.store.video(video).count
        reader = ArrayRecordReader(str(_file(self.path, video)))
        try:
            data = b"".join(reader.read(0, count))
        finally:
            reader.close()
        found = np.frombuffer(data, DTYPES[self.meta.dtype])
        return found.reshape(count, self.meta.width).astype(np.float32)


class FeatureStores:
    """The features of one name, of any source, each opened once."""

    def __init__(self, stores: Stores, name: str):
        """Raises ValueError without a name."""
        if not name:
            raise ValueError(
                "this model reads stored features: say which with data.features=NAME (surgzoo "
                "extract_features writes them)"
            )
        self.name, self._stores = name, stores
        self._open: dict[tuple[str, str], FeatureStore] = {}

    def __call__(self, source: str, config: str = "") -> FeatureStore:
        """Raises as `FeatureStore` does, and NotPreparedError for the source itself."""
        store = self._stores(source, config)
        key = store.source, store.config
        if key not in self._open:
            self._open[key] = FeatureStore(store, self._stores.data_dir, self.name)
        return self._open[key]

    @property
    def opened(self) -> list[FeatureStore]:
        return list(self._open.values())


class FeatureWriter:
    """Writes the features of a source video by video; opened again, it goes on where it stopped.

    A video's file gets its name when it is whole, so a killed process leaves whole videos only.
    Several may write one folder at once, on several machines too, each other videos; whatever the
    others have there unfinished is left alone.

    Raises ValueError when the folder holds features of another encoder, checkpoint or content, or
    when another source has features of this name by another encoder.
    """

    def __init__(self, data_dir: str | Path, name: str, meta: Meta, *, overwrite: bool = False):
        self.meta = meta
        self.path = folder(data_dir, name, meta.source, meta.config)
        self._check_others(folder(data_dir, name))
        if overwrite:
            shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / META).exists():
            self._write_meta()
        self._check_same()

    def has(self, stored: StoredVideo) -> bool:
        """Whether a video is done."""
        return whole(self.path, stored)

    def write(self, stored: StoredVideo, features: Float[np.ndarray, "T F"]) -> None:
        """All frames of a video. Raises OSError, naming the file, where there is no room.

        Raises ValueError for a wrong shape, for numbers that are none, or too large, and when
        another process has begun the folder anew, with another encoder.
        """
        if features.shape != (stored.count, self.meta.width):
            raise ValueError(
                f"{stored.video.id}: features {features.shape} of {stored.count} frames, "
                f"{self.meta.width} each"
            )
        with np.errstate(over="ignore"):
            features = features.astype(DTYPES[self.meta.dtype])
        wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(wrong):
            raise ValueError(
                f"{self.meta.source}/{stored.video.id}: the features of frame {wrong[0]} are not "
                f"finite in {self.meta.dtype}"
                + ("; try --dtype=float32" if self.meta.dtype == "float16" else "")
            )
        self._check_same()
        path = _file(self.path, stored.video.id)
        part = path.with_name(path.name + UNFINISHED)  # a torn one of before is written over
        try:
            writer = ArrayRecordWriter(str(part), _OPTIONS)
            try:
                for row in features:
                    writer.write(row.tobytes())
            finally:
                writer.close()
            if _records(part) != stored.count:
                raise RuntimeError("not all of it could be read again")
        except RuntimeError as error:  # what array_record makes of any trouble with a file
            part.unlink(missing_ok=True)
            raise OSError(
                f"{path} could not be written ({error}). Videos that are done are kept: make room "
                "and run the same command again."
            ) from error
        os.replace(part, path)

    def _write_meta(self) -> None:
        text = json.dumps(
            schema.to_jsonable(self.meta), indent=1, sort_keys=True, ensure_ascii=False
        )
        # A name of its own: processes that start together all write it.
        part = self.path / f"{META}.{uuid.uuid4().hex}{UNFINISHED}"
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, self.path / META)

    def _check_same(self) -> None:
        if not (self.path / META).exists():
            raise ValueError(
                f"{self.path / META} was removed meanwhile. Run `surgzoo extract_features` again, "
                "one process with --overwrite at most."
            )
        old, new = _fields(read_meta(self.path)), _fields(self.meta)
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        if changed:
            raise ValueError(
                f"{self.path} holds features that were made otherwise: {', '.join(changed)} "
                "differ. Choose another --out_name, or make them anew with --overwrite."
            )

    def _check_others(self, root: Path) -> None:
        for other in metas(root):
            mine = (other.source, other.config) == (self.meta.source, self.meta.config)
            if not mine and other.encoder.parameters != self.meta.encoder.parameters:
                raise ValueError(
                    f"{root} holds features of {other.source}.{other.config} by another encoder, "
                    f"{other.encoder.name}: a model could not read both. Choose another --out_name."
                )


def read_meta(path: Path) -> Meta:
    """The meta of a folder. Raises ValueError that names the file."""
    try:
        return schema.from_json(Meta, (path / META).read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path / META} is damaged ({error}): remove {path} and run `surgzoo extract_features` "
            "again"
        ) from error


def metas(root: Path) -> Iterator[Meta]:
    """Of all sources below a name."""
    for path in sorted(root.glob(f"*/{META}")):
        yield read_meta(path.parent)


def encoder_videos(data_dir: str | Path, name: str) -> tuple[list[schema.Video], list[str]]:
    """What the encoder of some features was trained on, and what of that cannot be told.

    Of the videos, names and operations are known. ([], []) where no features are read (`name` "").
    """
    found: dict[str, schema.Video] = {}
    unclear: dict[str, None] = {}
    for meta in metas(folder(data_dir, name)) if name else ():
        for canonical, shown in meta.trained_on.items():
            for video in shown:
                source, _, id = video.partition("/")
                found[video] = schema.Video(id, canonical, source, "", "", "")
        unclear |= dict.fromkeys(f"features '{name}': {text}" for text in meta.unclear)
    return list(found.values()), list(unclear)


def _fields(meta: Meta) -> dict[str, Any]:
    """All fields, those of the encoder beside the others."""
    values = schema.to_jsonable(meta)
    encoder = values.pop("encoder")
    return values | {f"encoder.{key}": value for key, value in encoder.items()}


def whole(path: Path, stored: StoredVideo) -> bool:
    """Whether all frames of a video are stored in a folder."""
    return _records(_file(path, stored.video.id)) == stored.count


def _file(path: Path, video: str) -> Path:
    return path / (video + SUFFIX)


def _records(path: Path) -> int:
    """How many records a file holds; 0 where there is none, or none that is whole."""
    if not path.exists():
        return 0
    try:
        reader = ArrayRecordReader(str(path))
        try:
            return reader.num_records()
        finally:
            reader.close()
    except RuntimeError:  # cut short; where it is cut decides whether it is this or 0 records
        return 0


def _others(data_dir: str | Path) -> str:
    names = sorted({path.parents[1].name for path in folder(data_dir, "").glob(f"*/*/{META}")})
    return f" (there: {', '.join(names)})" if names else ""
