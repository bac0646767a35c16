"""Safetensors files, read and written part by part.

The format is eight bytes with the length of a JSON header (little endian), the header, which gives
dtype, shape and place of every tensor, and the tensors' bytes without a gap (safetensors'
README.md, section "Format"). The library of that name maps a file into memory, where every page
that was touched counts, and needs all tensors of a file at once to write it. What is here holds one
part at a time, and says what is wrong with a file that is cut short.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import ml_dtypes
import numpy as np

from surgzoo.models.ahead import ahead

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PART_BYTES = 8 << 20  # of a file that are in memory at a time

Shapes = dict[str, tuple[int, ...]]

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class _Tensor(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    start: int  # byte in the file
    stop: int


class TensorFile:
    """One open file.

    Raises ValueError when it is not a whole safetensors file.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self._file = open(self.path, "rb")  # noqa: SIM115
        try:
            self._tensors = self._header()
        except BaseException:
            self.close()
            raise

    def _header(self) -> dict[str, _Tensor]:
        size = os.fstat(self._file.fileno()).st_size
        head = self._file.read(8)
        if head == b"version ":
            raise ValueError(
                f"{self.path} is a Git LFS pointer, not weights. Run `git lfs pull` where it was "
                "cloned, or download the file."
            )
        length = int.from_bytes(head, "little")
        broken = ValueError(
            f"{self.path} ({size} bytes) is no whole safetensors file: its header cannot be read. "
            "Download or write it again."
        )
        if len(head) < 8 or length > size - 8:
            raise broken
        tensors = {}
        try:
            header = json.loads(self._file.read(length))
            header.pop("__metadata__", None)
            for key, value in header.items():
                start, stop = (8 + length + offset for offset in value["data_offsets"])
                tensors[key] = _Tensor(value["dtype"], tuple(value["shape"]), start, stop)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise broken from error
        end = max((t.stop for t in tensors.values()), default=8 + length)
        if end != size:
            raise ValueError(
                f"{self.path} is damaged: its header tells of {end} bytes, it has {size}. "
                "Download or write it again."
            )
        for key, tensor in tensors.items():
            dtype = DTYPES.get(tensor.dtype)
            if dtype and math.prod(tensor.shape) * dtype.itemsize != tensor.stop - tensor.start:
                raise ValueError(
                    f"{self.path} is damaged: {key}, {tensor.dtype} {tensor.shape}, has "
                    f"{tensor.stop - tensor.start} bytes. Download or write it again."
                )
        return tensors

    @property
    def shapes(self) -> Shapes:
        return {key: tensor.shape for key, tensor in self._tensors.items()}

    def read(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a tensor in the dtype of the file; of a number, the number."""
        tensor = self._tensors[key]
        dtype = DTYPES.get(tensor.dtype)
        if dtype is None:
            raise ValueError(
                f"{self.path}: {key} is stored as {tensor.dtype}; {', '.join(DTYPES)} can be read. "
                "Take the weights that are not quantised."
            )
        first, shape = tensor.start, tensor.shape
        if shape:
            stop = shape[0] if stop is None else stop
            first += start * math.prod(shape[1:]) * dtype.itemsize
            shape = (stop - start, *shape[1:])
        out = np.empty(shape, dtype)
        view, done = memoryview(out.reshape(-1).view(np.uint8)), 0
        while done < out.nbytes:
            count = os.preadv(self._file.fileno(), [view[done:]], first + done)
            if not count:
                raise ValueError(f"{self.path} became shorter while it was read")
            done += count
        return out

    def row_bytes(self, key: str) -> int:
        """Bytes of one row of a tensor in the file."""
        tensor = self._tensors[key]
        return (tensor.stop - tensor.start) // max(tensor.shape[0] if tensor.shape else 1, 1)

    def close(self) -> None:
        self._file.close()


class TensorFolder(contextlib.AbstractContextManager):
    """The tensors of all files of a folder, under the names that `rename` gives their keys.

    `model.safetensors`, else what `model.safetensors.index.json` names, else all files that end
    in `.safetensors`; the order in which transformers looks.

    Raises FileNotFoundError without files or when some of those that the index names are not there,
    ValueError when a file is damaged, when files of a set lie there without their index, or when
    two files hold the same key.
    """

    def __init__(self, folder: str | pathlib.Path, rename: Callable[[str], str] = lambda key: key):
        self.folder = pathlib.Path(folder)
        self._where: dict[str, tuple[TensorFile, str]] = {}
        with contextlib.ExitStack() as stack:
            for name in self._names():
                file = TensorFile(self.folder / name)
                stack.callback(file.close)
                for key in file.shapes:
                    new = rename(key)
                    if new in self._where:
                        other, old = self._where[new]
                        raise ValueError(
                            f"{self.folder}: {old} of {other.path.name} and {key} of {name} are "
                            "the same parameter. Take the files away that do not belong here."
                        )
                    self._where[new] = (file, key)
            self._close = stack.pop_all().close

    def _names(self) -> list[str]:
        if (self.folder / SINGLE).is_file():
            return [SINGLE]
        index = self.folder / INDEX
        if not index.is_file():
            names = sorted(f.name for f in self.folder.glob("*.safetensors"))
            if not names:
                raise FileNotFoundError(f"no .safetensors files in {self.folder}")
            parts = [name for name in names if re.search(r"-\d+-of-\d+\.", name)]
            if parts:  # of one save, or of two, of which the second did not end: nobody can say
                raise ValueError(
                    f"{self.folder} has {parts[0]} but no {INDEX}: the download or save did not "
                    "end. Download or save again."
                )
            return names
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{index} is no index of safetensors (JSON with a 'weight_map'). Get it again."
            ) from error
        gone = [name for name in names if not (self.folder / name).is_file()]
        if gone:
            shown = ", ".join(gone[:5]) + (", ..." if len(gone) > 5 else "")
            raise FileNotFoundError(
                f"{self.folder}: {len(gone)} of the {len(names)} files that {INDEX} names are not "
                f"there: {shown}. Get them, or take the folder of a whole model."
            )
        return names

    @property
    def shapes(self) -> Shapes:
        return {new: file.shapes[old] for new, (file, old) in self._where.items()}

    def read(self, key: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows [start, stop) of a tensor, see `TensorFile.read`."""
        file, old = self._where[key]
        return file.read(old, start, stop)

    def row_bytes(self, key: str) -> int:
        file, old = self._where[key]
        return file.row_bytes(old)

    def __exit__(self, *exc: object) -> None:
        self._close()


def write_file(
    path: str | pathlib.Path,
    shapes: Shapes,
    dtype: np.dtype,
    parts: Callable[[str], Iterable[np.ndarray]],
) -> None:
    """Writes a safetensors file; the next part is made, in a thread, while one is written.

    Args:
      path: replaced when it is there.
      shapes: of the tensors, in the order in which they are written.
      dtype: of all of them.
      parts: called with each key; gives the tensor's rows in order, in as many parts as it likes.

    Raises OSError when the disk is full, ValueError when the parts are not those of the shapes.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}  # transformers asks for it
    end = 0
    for key, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[key] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the tensors for those who map them
    with open(path, "wb") as file:
        _reserve(file.fileno(), 8 + len(text) + end)
        file.write(len(text).to_bytes(8, "little") + text)
        written = dict.fromkeys(shapes, 0)
        for key, part in ahead((name, part) for name in shapes for part in parts(name)):
            if part.dtype != dtype or part.shape[1:] != tuple(shapes[key][1:]):
                raise ValueError(f"{key} is {dtype} {shapes[key]}; got {part.dtype} {part.shape}")
            written[key] += file.write(np.ascontiguousarray(part).reshape(-1).view(np.uint8))
        for key, count in written.items():
            if count != math.prod(shapes[key]) * dtype.itemsize:
                raise ValueError(f"{key} has {count} bytes, not those of {dtype} {shapes[key]}")


def _reserve(descriptor: int, size: int) -> None:
    """Takes the space of a file at once where the file system can.

    A full disk is then known before anything is written, and ext4 writes several times faster. Not
    `os.posix_fallocate`: where the file system cannot, that one writes into every block.
    """
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate64", None)
    if fallocate is None or not size:
        return
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if fallocate(descriptor, 0, 0, size):
        code = ctypes.get_errno()
        if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(code, f"{os.strerror(code)}: a file of {size} bytes of weights")


def row_ranges(start: int, stop: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """The rows [start, stop) in runs of at most `PART_BYTES`, but at least a row: (first, last).

    They are as alike in size as can be: for every size an accelerator compiles anew.
    """
    count = -(-(stop - start) // max(PART_BYTES // max(row_bytes, 1), 1))
    step = -(-(stop - start) // max(count, 1))
    for first in range(start, stop, max(step, 1)):
        yield first, min(first + step, stop)
