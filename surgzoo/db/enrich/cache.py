"""Replies on disk, so that no question is asked twice, in this run or the next.

One JSON line a reply, appended and flushed as it comes; a line that a crash tore is cut off when
the file is opened. In memory stand only the places of the lines.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path


def key(model: str, messages: list[dict[str, str]]) -> str:
    """What a reply is filed under: a hash of the model's name and the question."""
    text = json.dumps([model, messages], ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Cache:
    """Replies by key; safe to use from several threads of one process."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}
        self._file = open(self.path, "a+b")  # noqa: SIM115 - closed by close()
        self._load()

    def _load(self) -> None:
        self._file.seek(0)
        place = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break  # torn: cut off below
            try:
                self._places[json.loads(line)["key"]] = place
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"{self.path}, line {number}: is no cached reply; delete the line"
                ) from None
            place += len(line)
        self._file.truncate(place)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def get(self, name: str) -> str | None:
        """The reply, None if there is none."""
        with self._lock:
            if name not in self._places:
                return None
            self._file.seek(self._places[name])
            return json.loads(self._file.readline())["text"]

    def put(self, name: str, text: str) -> None:
        line = json.dumps({"key": name, "text": text}, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            self._file.seek(0, 2)
            place = self._file.tell()
            self._file.write(line)
            self._file.flush()
            self._places[name] = place

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_) -> None:
        self.close()
