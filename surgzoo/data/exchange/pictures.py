"""The media of conversations as files: every frame is written once, as it was stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from surgzoo.db.schema import Conversation, Media
from surgzoo.db.store import Store


class Pictures:
    """Writes frames below `folder`/images and answers with paths relative to `folder`.

    A frame is `images/<source>.<config>/<video>/<frame number>.jpg`, a dense map
    `<map>/<source>.<config>/<video>/<frame number>.png`. Stored bytes are copied, never encoded
    again; a file that is there already is left alone, so an export that was cut off goes on.
    """

    def __init__(self, folder: str | Path, stores: Callable[[str, str], Store]):
        self.folder = Path(folder)
        self._stores = stores
        self._written: set[str] = set()

    def __call__(self, media: Media) -> list[str]:
        """One path a frame of the media."""
        return [self._write(media, media.first + k) for k in range(media.count)]

    def _write(self, media: Media, index: int) -> str:
        whole = media.kind in ("image", "clip")
        kind = "images" if whole else media.kind
        place = f"{kind}/{media.source}.{media.config}/{media.video}/{index:06d}"
        name = place + (".jpg" if whole or media.kind == "clean" else ".png")
        if name in self._written:
            return name
        self._written.add(name)
        path = self.folder / name
        if path.exists() and path.stat().st_size:
            return name
        record = self._stores(media.source, media.config).frame(media.video, index)
        if not whole and media.kind not in record.dense:
            raise ValueError(
                f"{media.source}.{media.config}/{media.video}, frame {index}: there is no stored "
                f"'{media.kind}'; it has {', '.join(record.dense) or 'no dense map'}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")  # a killed export leaves no half picture under its name
        part.write_bytes(record.image if whole else record.dense[media.kind])
        part.replace(path)
        return name


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
