"""From a stored video to conversations on disk: one pass over its records serves all tasks.

A finished video is three files in the spool folder: the conversations as lines of JSON, task after
task; the media key of each line; and a summary that says where each task's lines are. The summary
is written last and renamed into place, so a video without one is done again after a kill.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from surgzoo.datasets.surg_sigma_db.gates import Gatekeeper, Held, Limits
from surgzoo.datasets.surg_sigma_db.plan import Job, task
from surgzoo.db import schema
from surgzoo.db.conversation_store import media_key
from surgzoo.db.store import Store
from surgzoo.tasks.base import Context
from surgzoo.tasks.wording import Wording

HELD_BYTES = 64 << 20  # of a video's encoded maps; several tasks and the gates ask for them


@dataclasses.dataclass(frozen=True)
class Part:
    """Where the lines of one task are in a spool file, and what was held back."""

    offset: int = 0  # bytes
    size: int = 0  # bytes
    row: int = 0  # lines before
    count: int = 0  # lines
    held: tuple[tuple[str, str, str, str], ...] = ()


@functools.lru_cache(maxsize=4)  # jobs come source after source
def _store(data_dir: str, source: str, config: str, fingerprint: str) -> Store:
    """`fingerprint`: of the build, as a source may be prepared again between two of one process."""
    return Store.open(data_dir, source, config)


def path_of(folder: Path, number: int, ending: str) -> Path:
    return folder / f"{number:07d}.{ending}"


def write(
    job: Job,
    number: int,
    folder: Path,
    names: Sequence[str],
    wording: Wording,
    limits: Limits,
) -> int:
    """Encodes, checks and writes one video; returns `number`. Work that is there is left alone."""
    if _whole(folder, number, names):
        return number
    store = _store(job.data_dir, job.source, job.config, folder.name)
    stored = store.video(job.video)
    gates = Gatekeeper(store, job.video, limits)
    footage = store.footage(stored, gates.look, hold=HELD_BYTES)
    gates.map_of = footage.dense
    context = Context(job.config, stored.video, job.split, wording)
    parts: dict[str, Part] = {}
    keys, key_of = array("Q"), functools.lru_cache(maxsize=None)(media_key)
    with open(path_of(folder, number, "jsonl"), "wb") as file:
        offset = 0
        for name in names:
            encoder, held, first, begin = task(name), [], len(keys), offset
            for conversation in sorted(encoder.encode_video(footage, context), key=_place):
                if found := gates.check(conversation, encoder):
                    held.append(found)
                    continue
                line = schema.to_json(conversation).encode() + b"\n"
                file.write(line)
                offset += len(line)
                words_alone = "" if conversation.media else conversation.id
                keys.append(key_of(conversation.media, words_alone))
            parts[name] = Part(begin, offset - begin, first, len(keys) - first, tuple(held))
    with open(path_of(folder, number, "keys"), "wb") as file:
        keys.tofile(file)
    summary = {name: schema.to_jsonable(part) for name, part in parts.items()}
    unfinished = path_of(folder, number, "part")
    unfinished.write_text(json.dumps(summary), encoding="utf-8")
    unfinished.rename(path_of(folder, number, "json"))
    return number


def _whole(folder: Path, number: int, names: Sequence[str]) -> bool:
    """Whether a video is there with all these tasks. Files are as long as the summary says, or a
    machine that went down has lost what a renamed summary speaks of."""
    if not path_of(folder, number, "json").exists():
        return False
    parts = summary(folder, number)
    size = max((part.offset + part.size for part in parts.values()), default=0)
    rows = max((part.row + part.count for part in parts.values()), default=0)
    wanted = {"jsonl": size, "keys": rows * array("Q").itemsize}
    files = {ending: path_of(folder, number, ending) for ending in wanted}
    return set(names) <= set(parts) and all(
        path.exists() and path.stat().st_size == wanted[ending] for ending, path in files.items()
    )


def _place(conversation: schema.Conversation) -> tuple[int, int]:
    """Frame and part, as a task that asks about clips need not go through them by frame. An id
    that has none comes last, and does not get past the gates."""
    try:
        frame, _, part = conversation.id.split("/")[-3:]
        return int(frame), int(part)
    except ValueError:
        return sys.maxsize, 0


def summary(folder: Path, number: int) -> dict[str, Part]:
    """Task -> its part of a finished video."""
    text = path_of(folder, number, "json").read_text(encoding="utf-8")
    return {
        name: Part(**{**part, "held": tuple(Held(*row) for row in part.get("held", ()))})
        for name, part in json.loads(text).items()
    }


def lines(folder: Path, number: int, part: Part) -> Iterator[bytes]:
    """The conversations of one part, as JSON without the line's end."""
    with open(path_of(folder, number, "jsonl"), "rb") as file:
        file.seek(part.offset)
        for _ in range(part.count):
            yield file.readline()[:-1]


def keys(folder: Path, number: int, part: Part) -> bytes:
    """The media keys of one part: little-endian uint64 (the spool is read where it was written)."""
    found = array("Q")
    with open(path_of(folder, number, "keys"), "rb") as file:
        file.seek(part.row * found.itemsize)
        found.fromfile(file, part.count)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()
