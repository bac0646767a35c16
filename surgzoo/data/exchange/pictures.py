"""The media of conversations as files: every frame is written once, as it was stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from surgzoo.db.derive import maps
from surgzoo.db.records import FOLDER_NAME, PICTURES
from surgzoo.db.schema import Conversation, Media
from surgzoo.db.store import Store


class Pictures:
    """Writes frames below `folder`/images and answers with paths relative to `folder`.

    A frame is `images/<source>.<config>/<video>/<frame number>.jpg`, a map, stored or derived,
    `<map>/<source>.<config>/<video>/<frame number>.png` (.jpg for those that are pictures). Stored
    bytes are copied, never encoded again; a file that is there already is left alone, so an export
    that was cut off goes on.
    """

    def __init__(self, folder: str | Path, stores: Callable[[str, str], Store]):
        self.folder = Path(folder)
        self._stores = stores

    def __call__(self, media: Media) -> list[str]:
        """One path a frame of the media."""
        return [self._write(media, media.first + k) for k in range(media.count)]

    def _write(self, media: Media, index: int) -> str:
        whole = media.kind in PICTURES
        parts = ("images" if whole else media.kind, f"{media.source}.{media.config}", media.video)
        for part in parts:
            if not FOLDER_NAME.fullmatch(part):  # a released file may say ../../home
                raise ValueError(
                    f"'{part}' in a pointer to {'/'.join(parts)}, frame {index}, cannot be the "
                    "name of a folder; prepare the source with another id for this video"
                )
        name = "/".join((*parts, f"{index:06d}{'.jpg' if whole else _suffix(media.kind)}"))
        path = self.folder / name
        if path.exists() and path.stat().st_size:
            return name
        store = self._stores(media.source, media.config)
        if whole:
            data = store.frame(media.video, index).image
        else:
            try:
                data = store.map(media.video, index, media.kind)
            except KeyError as error:
                raise ValueError(f"nothing to export: {error.args[0]}") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")  # a killed export leaves no half picture under its name
        part.write_bytes(data)
        part.replace(path)
        return name


def _suffix(kind: str) -> str:
    """Of a map's file."""
    return ".jpg" if kind == "clean" else maps.SUFFIXES.get(kind, ".png")


def address(name: str) -> tuple[str, str, str, int, str]:
    """(source, config, video, frame, kind) of a path that `Pictures` gave. Raises ValueError."""
    try:
        kind, place, video, file = Path(name).parts[-4:]
        source, config = place.split(".", 1)
        return source, config, video, int(Path(file).stem), "image" if kind == "images" else kind
    except ValueError:
        raise ValueError(
            f"'{name}' is not a path of an export (images/source.config/video/frame.jpg)"
        ) from None


def media_of(names: list[str], clip: bool) -> tuple[Media, ...]:
    """The pointers that the paths of one conversation came from: images, or one clip."""
    found = [address(name) for name in names]
    if not clip:
        return tuple(Media(s, c, video, index, 1, kind) for s, c, video, index, kind in found)
    source, config, video, first, _ = found[0]
    return (Media(source, config, video, first, len(found), "clip"),)


def check_answerable(conversation: Conversation) -> None:
    """Raises ValueError for a conversation whose answer is a picture: a chat cannot hold it."""
    if isinstance(conversation.answer, dict) and "media" in conversation.answer:
        raise ValueError(
            f"{conversation.id}: the answer of {conversation.task} is pixels, which a chat cannot "
            "hold; leave this task out"
        )


def write_json(path: Path, records: Iterator[dict]) -> int:
    """A JSON array, one record a line, whole or not at all; returns the number of records.

    Records are written as they come: memory does not grow with them.
    """
    part = path.with_name(path.name + ".part")
    count = 0
    with open(part, "w", encoding="utf-8") as file:
        file.write("[")
        for record in records:
            file.write(("," if count else "") + "\n" + json.dumps(record, ensure_ascii=False))
            count += 1
        file.write("\n]\n")
    part.replace(path)
    return count
