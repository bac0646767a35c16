"""Tensors of a torch checkpoint (.pth, .pt) without torch, and without running what is in it.

Such a file is a zip archive: `<name>/data.pkl` describes the tensors, `<name>/data/<key>` holds the
bytes of each storage. A pickle may name any function to be called; here the handful that describe
tensors are known, and every other name is refused (torch.load does so with weights_only=True).
"""

from __future__ import annotations

import contextlib
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from surgzoo.models.tensor_files import Shapes

_DTYPES = {
    "DoubleStorage": np.float64, "FloatStorage": np.float32, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
    "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}  # fmt: skip
# Where checkpoints keep the state dict of the model, when there is more beside it.
_INNER = ("state_dict", "model_state_dict", "model")


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    size: int  # elements


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int  # elements
    shape: tuple[int, ...]
    stride: tuple[int, ...]  # elements


class TorchFile(contextlib.AbstractContextManager):
    """The tensors of a checkpoint under the names that `rename` gives their keys.

    A state dict, or one under "state_dict", "model_state_dict" or "model". What is no tensor is
    passed over.

    Raises ValueError for another kind of file, for a pickle that asks for anything but tensors, for
    tensors that reach beyond their storage, and when two keys get the same name.
    """

    def __init__(self, path: str | pathlib.Path, rename: Callable[[str], str] = lambda key: key):
        self.path = pathlib.Path(path)
        try:
            self._zip = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            raise ValueError(
                f"{self.path} is no checkpoint that torch 1.6 or later wrote (a zip archive), or "
                "not a whole one. Get it again, or save it again with a recent torch."
            ) from error
        try:
            self._root, self._order = self._layout()
            self._tensors = self._read_keys(rename)
        except BaseException:
            self._zip.close()
            raise

    def _layout(self) -> tuple[str, str]:
        """The folder of the archive, and how numpy calls its byte order."""
        names = self._zip.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"{self.path} is a zip archive, but no torch checkpoint")
        root = pickles[0].removesuffix("data.pkl")
        big = f"{root}byteorder" in names and self._zip.read(f"{root}byteorder") == b"big"
        return root, ">" if big else "<"

    def _read_keys(self, rename: Callable[[str], str]) -> dict[str, _Tensor]:
        with self._zip.open(f"{self._root}data.pkl") as file:
            try:
                content = _Unpickler(file).load()
            except pickle.UnpicklingError as error:
                raise ValueError(f"{self.path}: {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"{self.path} holds a {type(content).__name__}, not a state dict")
        for name in _INNER:
            if isinstance(content.get(name), dict):
                content = content[name]
                break
        out: dict[str, _Tensor] = {}
        for key, value in content.items():
            if isinstance(value, _Tensor):
                new = rename(key)
                if new in out:
                    raise ValueError(f"{self.path}: two keys are '{new}', one of them '{key}'")
                out[new] = value
        if not out:
            raise ValueError(
                f"{self.path} holds no tensors; its keys: {', '.join(map(str, content))}"
            )
        return out

    @property
    def shapes(self) -> Shapes:
        return {key: tensor.shape for key, tensor in self._tensors.items()}

    def read(self, key: str) -> np.ndarray:
        """One tensor; the storage that it lies in is read whole."""
        (dtype, name, size), offset, shape, stride = self._tensors[key]
        data = self._zip.read(f"{self._root}data/{name}")
        last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
        empty = 0 in shape
        if (
            len(data) < size * dtype.itemsize
            or (last >= size and not empty)
            or min(offset, *stride, 0) < 0
        ):
            raise ValueError(f"{self.path}: tensor '{key}' reaches beyond its storage")
        if empty:
            return np.zeros(shape, dtype)
        flat = np.frombuffer(data, np.uint8, size * dtype.itemsize)
        if self._order == ">":
            flat = flat.reshape(-1, dtype.itemsize)[:, ::-1].reshape(-1)
        flat = flat.copy().view(dtype)[offset:]
        steps = [s * dtype.itemsize for s in stride]
        return np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)

    def __exit__(self, *exc: object) -> None:
        self._zip.close()


class _Unpickler(pickle.Unpickler):
    """Knows what describes tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if (module, name) == ("torch", "Size"):
            return tuple
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        raise pickle.UnpicklingError(
            f"the file wants to call {module}.{name}, which is no part of a state dict, and it is "
            "not called here. Load it with the code that wrote it and save the state dict alone."
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"unknown kind of storage {kind} {dtype}")
        return _Storage(dtype, str(key), int(size))


def _rebuild_tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(size), tuple(stride))
