"""What lies below `manual_dir`: a tree of files, those inside zip and tar archives among them.

A dataset arrives as a folder, as archives, or half unpacked. `Tree` shows all of these as one tree
of relative paths: the members of an archive appear where unpacking it would put them, and are read
in place. Compressed tars cannot be read at random, so they have to be unpacked first; the error
says so. Nothing is ever extracted, and a member whose path leads outside is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

_ARCHIVES = (".zip", ".tar")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})  # and every name with a leading dot
_SHOWN = 20


class LayoutError(FileNotFoundError):
    """`manual_dir` does not hold the expected files; shows expected beside found."""

    def __init__(self, source: str, manual_dir: Path, expected: str, problem: str, found=None):
        lines = _outline(manual_dir) if found is None else found
        shown = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        super().__init__(
            f"{source}: {problem}\n  expected under manual_dir:\n"
            + "\n".join(f"    {line}" for line in expected.strip().splitlines())
            + f"\n  found in {manual_dir}:\n{shown}"
        )


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the tree; pickles, and opens where it lies.

    Attributes:
      path: relative to the tree, with "/": what messages say.
      disk: the file itself, or the archive that holds it.
      member: its name in a zip; "" outside of one.
      place: offset and size in a tar; None outside of one.
    """

    path: str
    disk: Path
    member: str = ""
    place: tuple[int, int] | None = None

    @classmethod
    def at(cls, path: str | Path) -> File:
        """A file on disk that is in no tree."""
        return cls(str(path), Path(path))

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def folder(self) -> str:
        """Path of the folder that holds it, "" for the top."""
        return self.path.rpartition("/")[0]

    def open(self) -> BinaryIO:
        """A seekable binary file. OSError or zipfile.BadZipFile when it cannot be read."""
        if self.member:
            return _zip(self.disk).open(self.member)
        if self.place is not None:
            return io.BytesIO(self.read())
        return open(self.disk, "rb")

    def read(self) -> bytes:
        """All its bytes."""
        if self.member:
            return _zip(self.disk).read(self.member)
        if self.place is None:
            return self.disk.read_bytes()
        with open(self.disk, "rb") as archive:
            archive.seek(self.place[0])
            return archive.read(self.place[1])

    def stamp(self) -> tuple[str, int, int]:
        """Changes when the file changes: its place, size and time of change (ns)."""
        info = self.disk.stat()
        return f"{self.disk}:{self.path}", info.st_size, info.st_mtime_ns

    def __str__(self) -> str:
        return self.path


Frames = dict[int, dict[int, File]]  # video -> frame -> file


@functools.lru_cache(maxsize=8)
def _zip(path: Path) -> zipfile.ZipFile:
    """One handle an archive and process: opening one reads its whole directory."""
    return zipfile.ZipFile(path)


class Tree:
    """Files by relative path, in sorted order.

    Paths compare without case, as releases are re-packed on systems that do not tell cases apart.
    """

    def __init__(self, root: Path, files: dict[str, File], source: str, expected: str):
        self.root = root
        self.source = source
        self.expected = expected
        self.files = dict(sorted(files.items()))
        self._lower = {path.lower(): path for path in self.files}

    @classmethod
    def open(cls, root: str | Path, source: str = "", expected: str = "") -> Tree:
        """Lists a folder, or a single archive. Raises LayoutError.

        `source` and `expected` (the tree as it should be, one path a line) go into errors.
        """
        root = Path(root).expanduser()
        if root.is_file():
            paths = {root.name: root}
        elif root.is_dir():
            paths = dict(_walk(root))
        else:
            raise LayoutError(source, root, expected, f"{root} is not a folder")
        files = {path: File(path, disk) for path, disk in paths.items()}
        for path, disk in paths.items():
            if path.lower().endswith(_ARCHIVES):
                above = path.rpartition("/")[0]
                try:
                    members = list(_members(disk))
                except (zipfile.BadZipFile, tarfile.TarError, OSError, ValueError) as error:
                    problem = f"the archive {path} cannot be used: {error}"
                    raise LayoutError(source, root, expected, problem) from None
                for name, member in members:
                    whole = f"{above}/{name}" if above else name
                    # What is unpacked already comes first.
                    files.setdefault(whole, dataclasses.replace(member, path=whole))
        if not files:
            raise LayoutError(source, root, expected, f"{root} is empty")
        return cls(root, files, source, expected)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, path: str) -> bool:
        return path.lower() in self._lower

    def get(self, path: str) -> File | None:
        """The file at a path, or None."""
        found = self._lower.get(path.lower())
        return None if found is None else self.files[found]

    def __getitem__(self, path: str) -> File:
        """Raises LayoutError that names the missing file."""
        found = self.get(path)
        if found is None:
            raise self.error(f"{path} is missing")
        return found

    def match(self, pattern: str) -> list[tuple[File, re.Match]]:
        """Files whose whole path fits a regular expression (without case), in order."""
        compiled = re.compile(pattern, re.IGNORECASE)
        matches = ((file, compiled.fullmatch(path)) for path, file in self.files.items())
        return [(file, match) for file, match in matches if match]

    def one_each(self, pattern: str, key: Callable[[re.Match], Any], same: str) -> dict[Any, File]:
        """What `key` makes of a match -> its file, for the files that fit `pattern`.

        Raises LayoutError for two files of one key; `same` ends the sentence: "are the same video".
        """
        out: dict[Any, File] = {}
        for file, match in self.match(pattern):
            first = out.setdefault(key(match), file)
            if first is not file:
                raise self.error(f"{first} and {file} {same}")
        return out

    def by_frame(self, pattern: str, same: str = "are of the same frame") -> Frames:
        """Video -> frame -> file, by the two numbers that `pattern` finds. Raises LayoutError."""
        found = self.one_each(pattern, lambda match: (int(match[1]), int(match[2])), same)
        out: Frames = {}
        for (video, frame), file in found.items():
            out.setdefault(video, {})[frame] = file
        return out

    def below(self, folder: str) -> Tree:
        """The tree of one folder; empty when there is none."""
        start = f"{folder.strip('/').lower()}/"
        files = {
            path[len(start) :]: file
            for path, file in self.files.items()
            if path.lower().startswith(start)
        }
        return Tree(self.root, files, self.source, self.expected)

    def folders(self) -> tuple[str, ...]:
        """Names of the folders at the top."""
        return tuple(dict.fromkeys(p.partition("/")[0] for p in self.files if "/" in p))

    def descend(self, *markers: str) -> Tree:
        """The shallowest folder that holds one of the `markers` (a file's or a folder's name).

        Archives often wrap everything in a folder of their own name, at times twice. Raises
        LayoutError when there is no such folder.
        """
        wanted = {marker.lower() for marker in markers}
        best: tuple[int, str] | None = None
        for path in self._lower:
            parts = path.split("/")
            for depth, part in enumerate(parts):
                if part in wanted:
                    found = depth, "/".join(parts[:depth])
                    best = found if best is None else min(best, found)
                    break
        if best is None:
            raise self.error(f"there is no {' and no '.join(markers)}")
        return self if best[0] == 0 else self.below(best[1])

    def error(self, problem: str) -> LayoutError:
        """An error that shows this tree beside the expected one."""
        packed = [p for p in self.files if p.lower().endswith(_COMPRESSED)]
        if packed:
            problem += f". {packed[0]} cannot be read in place: unpack it"
        return LayoutError(self.source, self.root, self.expected, problem, _shown(self.files))


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, names, files in os.walk(root, followlinks=True):
        names[:] = sorted(name for name in names if not _litter(name))
        for name in files:
            if not _litter(name):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path


def _litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


def _members(archive: Path) -> Iterator[tuple[str, File]]:
    """(name, file) of the regular files in an archive. Raises ValueError for an unsafe name."""
    if archive.suffix.lower() == ".zip":
        for info in _zip(archive).infolist():
            if not info.is_dir() and not any(map(_litter, _parts(info.filename))):
                if info.flag_bits & 1:
                    raise ValueError(f"{info.filename} is encrypted; unpack it yourself")
                yield _safe(info.filename), File("", archive, member=info.filename)
        return
    with tarfile.open(archive, mode="r:") as tar:
        for info in tar:
            if info.isreg() and not any(map(_litter, _parts(info.name))):
                yield _safe(info.name), File("", archive, place=(info.offset_data, info.size))


def _parts(name: str) -> list[str]:
    # "." and ".." are no litter: the first is dropped, the second refused, both by `_safe`.
    return [p for p in name.replace("\\", "/").split("/") if p not in ("", ".", "..")]


def _safe(name: str) -> str:
    clean = name.replace("\\", "/")
    parts = [part for part in clean.split("/") if part not in ("", ".")]
    if clean.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", clean):
        raise ValueError(f"the member {name!r} points outside of the archive")
    return "/".join(parts)


def _outline(folder: Path) -> list[str]:
    if not folder.is_dir():
        return [f"{folder} is not a folder"] if not folder.exists() else [folder.name]
    return _shown(dict(_walk(folder)))


def _shown(paths) -> list[str]:
    """The first entries of a tree, two levels deep."""
    tops: dict[str, list[str]] = {}
    for path in sorted(paths):
        top, _, rest = path.partition("/")
        inner = tops.setdefault(top, [])
        if rest and rest.partition("/")[0] not in inner:
            inner.append(rest.partition("/")[0])
    lines: list[str] = []
    for top, inner in tops.items():
        lines.append(f"{top}/" if inner else top)
        lines += [f"  {name}" for name in inner[:3]]
        if len(inner) > 3:
            lines.append(f"  … {len(inner) - 3} more")
        if len(lines) >= _SHOWN:
            return [*lines[:_SHOWN], "…"]
    return lines
