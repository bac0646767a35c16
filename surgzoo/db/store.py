"""Reading a prepared source: (video, time) -> record is arithmetic, nothing is searched.

A prepared source is one TFDS folder, `<data_dir>/<source>/<config>/<version>/`, written by
`surgzoo prepare`: array_record shards of `db/records.py` and `videos.jsonl`. Reading needs neither
the builder's code nor TensorFlow.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from surgzoo.db import folds, ontology, records, schema
from surgzoo.db.derive import maps
from surgzoo.db.footage import Footage, Shot

DEFAULT_CONFIG = "fps1"


_VERSION = re.compile(r"\d+\.\d+\.\d+")


class NotPreparedError(FileNotFoundError):
    """A source that was not prepared (yet), or whose preparation did not end."""


def newest(folder: Path) -> Path | None:
    """The newest whole version in a folder of TFDS; None when there is none.

    What TFDS is writing has a name like incomplete.AB12CD_1.0.0 and may hold every file already.
    """
    names = [p.name for p in folder.glob("*") if _VERSION.fullmatch(p.name)]
    whole = [name for name in names if (folder / name / "dataset_info.json").exists()]
    numbers = [tuple(map(int, name.split("."))) for name in whole]
    return folder / ".".join(map(str, max(numbers))) if numbers else None


class Store:
    """Random access to the frames of one prepared source.

    Attributes:
      source, config: its names. path: the TFDS folder. videos: all StoredVideo in stored order.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.source, self.config = self.path.parts[-3], self.path.parts[-2]
        index = self.path / records.VIDEOS_FILE
        if not index.exists():
            raise NotPreparedError(
                f"{index} is missing: the preparation of '{self.source}' did not end. Run "
                f"`surgzoo prepare --source={self.source} --overwrite` again."
            )
        if (self.path / records.TABLES_FOLDER).is_dir():
            ontology.add_tables(self.path / records.TABLES_FOLDER)
        with open(index, encoding="utf-8") as file:
            self.videos: tuple[records.StoredVideo, ...] = tuple(
                schema.from_json(records.StoredVideo, line) for line in file
            )
        self._by_id = {stored.video.id: stored for stored in self.videos}
        self._folds: dict[str, dict[str, schema.Split]] = {}  # scheme -> video id -> split

    @classmethod
    def open(cls, data_dir: str | Path, source: str, config: str = "") -> Store:
        """The newest version of a prepared source. NotPreparedError says what to run.

        Without `config` it is the usual one, `DEFAULT_CONFIG`, or the only one that is prepared.
        """
        parent = Path(data_dir).expanduser() / source
        path = newest(parent / (config or DEFAULT_CONFIG))
        if path is None:
            present = sorted(p.name for p in parent.glob("*") if newest(p))
            if not config and len(present) == 1:
                return cls(newest(parent / present[0]))
            extra = f" (prepared configs: {', '.join(present)})" if present else ""
            option = f" --builder_config={config}" if config not in ("", DEFAULT_CONFIG) else ""
            raise NotPreparedError(
                f"'{source}' (config {config or DEFAULT_CONFIG}) is not prepared in "
                f"{data_dir}{extra}. Run "
                f"`surgzoo prepare --source={source}{option} --data_dir={data_dir}`."
            )
        return cls(path)

    @functools.cached_property
    def _reader(self):
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(self.path)
        return builder.as_data_source(
            split=records.SPLIT, decoders={"image": tfds.decode.SkipDecoding()}
        )

    def content(self, *, derived: bool = True) -> str:
        """A hash of all that tasks can see: records, videos, and what was derived for them.

        Without `derived` of records and videos alone. Equal for two preparations of the same input.
        A source that was prepared before `records.CONTENT_FILE` came up has its shards read for it.
        """
        digest = hashlib.blake2b(digest_size=16)
        known = self.path / records.CONTENT_FILE
        shards = sorted(self.path.glob("*.array_record*"))
        for path in (known,) if known.exists() else shards:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
        digest.update((self.path / records.VIDEOS_FILE).read_bytes())
        for _, found in sorted(self._derived.items()) if derived else ():
            digest.update(found.content())
        return digest.hexdigest()

    def quarantined(self) -> tuple[records.Quarantined, ...]:
        """What could not be stored, in stored order."""
        with open(self.path / records.QUARANTINE_FILE, encoding="utf-8") as file:
            return tuple(schema.from_json(records.Quarantined, line) for line in file)

    @functools.cached_property
    def _derived(self) -> dict[str, maps.DerivedMaps]:
        """Maps that were derived for this source (`db/derive/maps.py`), by name."""
        return {found.manifest.what: found for found in maps.find(self.path)}

    def __getstate__(self):
        """Workers open their own reader."""
        return {k: v for k, v in self.__dict__.items() if k != "_reader"}

    def __len__(self) -> int:
        return sum(stored.count for stored in self.videos)

    def __getitem__(self, index: int) -> records.FrameRecord:
        """The record number `index` of the whole store."""
        return records.decode(self._reader[index])

    def video(self, video_id: str) -> records.StoredVideo:
        """Raises KeyError that names the source."""
        try:
            return self._by_id[video_id]
        except KeyError:
            raise KeyError(f"{self.source} has no video '{video_id}' in {self.path}") from None

    def frame(self, video_id: str, index: int) -> records.FrameRecord:
        """Frame `index` of a video, counted in stored frames."""
        stored = self.video(video_id)
        if not 0 <= index < stored.count:
            raise IndexError(
                f"{self.source}/{video_id}: frame {index} of {stored.count} stored frames"
            )
        return self[stored.first + index]

    def schemes(self) -> list[str]:
        """Split schemes that name a video of the source, sorted."""
        return sorted({name for stored in self.videos for name in stored.video.splits})

    def check_scheme(self, scheme: str) -> None:
        """Raises ValueError for a split scheme that names no video."""
        if not folds.is_scheme(scheme) and scheme not in self.schemes():
            known = self.schemes()
            raise ValueError(
                f"{self.source} has no split scheme '{scheme}'; "
                + (
                    f"it has {', '.join(known)}. Choose with --scheme"
                    if known
                    else "nobody has split its videos. Split 'all' takes every one; "
                    "surgzoo build_db --scheme='*=leak_free' splits them by operation"
                )
            )

    def select(self, split: str, scheme: str = "default") -> list[records.StoredVideo]:
        """Videos of a split under a split scheme; `all` selects every video."""
        if split == "all":
            return list(self.videos)
        self.check_scheme(scheme)
        return [stored for stored in self.videos if self.split_of(stored, scheme) == split]

    def split_of(self, stored: records.StoredVideo, scheme: str) -> schema.Split | None:
        """The split of one of the videos under a scheme, also one of `db/folds.py`; None where the
        scheme does not name the video."""
        if not folds.is_scheme(scheme):
            return stored.video.splits.get(scheme)
        if scheme not in self._folds:
            self._folds[scheme] = folds.of_videos(self.videos, scheme)
        return self._folds[scheme].get(stored.video.id)

    def records(self, stored: records.StoredVideo) -> Iterator[records.FrameRecord]:
        """All records of a video, in order."""
        for index in range(stored.first, stored.first + stored.count):
            yield self[index]

    def map(self, video_id: str, index: int, name: str) -> bytes:
        """The encoded map `name` of a frame, its own or a derived one.

        Raises KeyError where the frame has none.
        """
        found = self.frame(video_id, index).dense.get(name)
        if found is None and name in self._derived:
            found = self._derived[name].read(video_id, index)
        if found is None:
            raise KeyError(f"{self.source}/{video_id}: frame {index} has no map '{name}'")
        return found

    def footage(
        self,
        stored: records.StoredVideo,
        look: Callable[[records.FrameRecord], None] = lambda record: None,
        *,
        hold: int = 0,
    ) -> Footage:
        """A video's annotations, all frames read once; pixels stay in the store.

        `look` sees every whole record as it is read. `hold` bytes of encoded maps are kept for
        `Footage.dense`: for who is going to ask for them, as a map costs reading its whole record.
        """
        derived = {name: found.has(stored.video.id) for name, found in self._derived.items()}
        shots = []
        kept: dict[tuple[int, str], bytes] = {}
        for record in self.records(stored):
            look(record)
            shots.append(self._shot(record, derived))
            for name, data in record.dense.items():
                if len(data) <= hold:
                    kept[record.frame.index, name] = data
                    hold -= len(data)

        def dense(index: int, name: str) -> bytes:
            found = kept.get((index, name))
            return self.map(stored.video.id, index, name) if found is None else found

        return Footage(stored.video, shots, stored.annotations, dense)

    def _shot(self, record: records.FrameRecord, derived: dict[str, frozenset[int]]) -> Shot:
        """A frame with its own maps and, where it lacks them, the derived ones."""
        own = frozenset(record.dense)
        more = [n for n, frames in derived.items() if n not in own and record.frame.index in frames]
        annotations = record.annotations
        if more:
            how = {name: self._derived[name].manifest.how for name in more}
            annotations = dataclasses.replace(annotations, derived={**annotations.derived, **how})
        return Shot(record.frame, annotations, own.union(more))
