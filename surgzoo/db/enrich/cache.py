"""Replies on disk, so that no question is asked twice, in this run or the next.

One JSON line a reply, written as it comes; a line that a crash tore is cut off when the file is
opened. In memory stand only the places of the lines. One process at a time holds the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows: there nothing keeps a second run out
    fcntl = None


class CacheError(OSError):
    """The file cannot be opened, is in use, or takes no more replies."""


def key(model: str, messages: list[dict[str, str]], temperature: float) -> str:
    """What a reply is filed under: a hash of the question and of who is asked, and how."""
    text = json.dumps([model, temperature, messages], ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def hold(file: int) -> bool:
    """Keeps other processes out of an open file until it is closed; False if one has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


class Cache:
    """Replies by key; safe to use from several threads of one process.

    Raises CacheError when the file cannot be used, ValueError that names a line which is no reply.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}  # offset and bytes of a line
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise CacheError(
                f"{self.path}: replies cannot be kept there ({error.strerror}); name another cache"
            ) from None
        try:
            self._hold()
            self._load()
        except BaseException:
            self.close()
            raise

    def _hold(self) -> None:
        """Keeps other processes out: their torn lines would be taken for a crash's, and cut."""
        if not hold(self._file):
            raise CacheError(
                f"{self.path} is in use by another run: wait for it, or name another cache"
            )

    def _load(self) -> None:
        place = 0
        for number, line in enumerate(self._lines(), start=1):
            if not line.endswith(b"\n"):
                os.ftruncate(self._file, place)  # torn
                break
            try:
                reply = json.loads(line)
                name, text = reply["key"], reply["text"]
            except (ValueError, KeyError, TypeError):
                name = text = None
            if not isinstance(name, str) or not isinstance(text, str):
                raise ValueError(f"{self.path}, line {number}: is no cached reply; delete the line")
            self._places[name] = place, len(line)
            place += len(line)

    def _lines(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            yield from file

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def get(self, name: str) -> str | None:
        """The reply, None if there is none."""
        with self._lock:
            if name not in self._places:
                return None
            place, size = self._places[name]
            os.lseek(self._file, place, os.SEEK_SET)
            line = b""
            while len(line) < size and (more := os.read(self._file, size - len(line))):
                line += more
        return json.loads(line)["text"]

    def put(self, name: str, text: str) -> None:
        """Files a reply. Raises CacheError when it cannot, with what was there before whole."""
        data = json.dumps({"key": name, "text": text}).encode() + b"\n"
        with self._lock:
            place = os.lseek(self._file, 0, os.SEEK_END)
            try:
                written = 0
                while written < len(data):  # a disk that fills up takes a part first
                    written += os.write(self._file, data[written:])
            except OSError as error:
                os.ftruncate(self._file, place)
                raise CacheError(
                    f"{self.path}: a reply could not be kept ({error.strerror}); those before it "
                    f"are there, so make room and run again"
                ) from None
            self._places[name] = place, len(data)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_) -> None:
        self.close()
