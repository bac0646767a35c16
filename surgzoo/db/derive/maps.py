"""Derived maps beside a prepared source: one file a frame, so nothing is prepared again.

  <data_dir>/derived/<what>/<source>.<config>/manifest.json
                                             /<video>/<frame, six digits>.png or .jpg

`what` is the name of a map: `depth` (PNG, 16 bit, as in `db/records.py`) or `smoke` (JPEG: the
frame with synthetic smoke). The manifest says how the maps were made and of which version of the
source. `Store` shows them as maps of the frames that lack a map of that name themselves, and puts
`how` into `FrameAnnotations.derived`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = "derived"
MANIFEST = "manifest.json"
UNFINISHED = ".unfinished"
SUFFIXES = {"depth": ".png", "smoke": ".jpg"}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """How maps were made.

    Attributes:
      what: name of the map. version: of the source. how: in words, for the record.
      parameters: all numbers that went in, by video where they differ.
    """

    what: str
    version: str
    how: str
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DerivedMaps:
    """Finished maps of one kind, for reading."""

    path: Path
    manifest: Manifest

    def has(self, video: str) -> frozenset[int]:
        """The frames of a video that have a map."""
        folder = self.path / video
        if not folder.is_dir():
            return frozenset()
        suffix = SUFFIXES[self.manifest.what]
        names = (p.stem for p in folder.iterdir() if p.suffix == suffix)
        return frozenset(int(name) for name in names if name.isdecimal())

    def content(self) -> bytes:
        """A hash of the manifest and of which files there are, with their sizes."""
        digest = hashlib.blake2b((self.path / MANIFEST).read_bytes(), digest_size=16)
        suffix = SUFFIXES[self.manifest.what]
        for path in sorted(self.path.glob(f"*/*{suffix}")):
            name = path.relative_to(self.path).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        return digest.digest()

    def read(self, video: str, index: int) -> bytes | None:
        """The encoded map of a frame, None where there is none."""
        path = file_of(self.path, self.manifest.what, video, index)
        return path.read_bytes() if path.exists() else None


def place(source_path: Path, what: str) -> Path:
    """The folder of derived maps of a source, whose path is data_dir/source/config/version."""
    source, config = source_path.parts[-3], source_path.parts[-2]
    return source_path.parents[2] / FOLDER / what / f"{source}.{config}"


def file_of(folder: Path, what: str, video: str, index: int) -> Path:
    return folder / video / f"{index:06d}{SUFFIXES[what]}"


def find(source_path: Path) -> Iterator[DerivedMaps]:
    """What was derived for a prepared source. Raises ValueError when it is of another version."""
    for what in SUFFIXES:
        folder = place(source_path, what)
        path = folder / MANIFEST
        if not path.exists():
            continue
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
        if manifest.version != source_path.name:
            raise ValueError(
                f"{folder} was derived from version {manifest.version} of the source, but "
                f"{source_path.name} is prepared. Run `surgzoo derive --what={what}` again, or "
                "remove the folder."
            )
        yield DerivedMaps(folder, manifest)


def begin(folder: Path) -> Path:
    """An empty folder beside it to write maps into; what a killed run left there is removed."""
    unfinished = folder.with_name(folder.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    return unfinished


def finish(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest and puts what `begin` began in the place of the maps from before."""
    unfinished = folder.with_name(folder.name + UNFINISHED)
    text = json.dumps(dataclasses.asdict(manifest), indent=1, sort_keys=True, ensure_ascii=False)
    (unfinished / MANIFEST).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
