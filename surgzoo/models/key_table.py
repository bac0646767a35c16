"""A table of key rows, read in both directions, for models whose tensors fit the host one by one.

A row says where a tensor of a published file stands in our parameters and how it is turned. `{}` in
both names stands for the number of a layer; ours may be stacked or side by side.
"""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import PyTree

from surgzoo.models.assemble import assemble
from surgzoo.models.base import Params
from surgzoo.models.tensor_files import INDEX, SINGLE, Shapes, write_file

Turn = Callable[[np.ndarray], np.ndarray]


class Row(NamedTuple):
    """Our path, their key, and how an array of theirs becomes ours and back."""

    ours: str
    theirs: str
    read: Turn = lambda a: a
    write: Turn = lambda a: a


class Tensors(Protocol):
    """What a file of tensors gives; `tensor_files.TensorFolder` is one."""

    shapes: Shapes

    def read(self, key: str) -> np.ndarray: ...


def dense(ours: str, theirs: str, bias: bool = True) -> list[Row]:
    """The rows of a Linear; torch keeps kernels as [out, in]."""
    rows = [Row(f"{ours}/kernel", f"{theirs}.weight", lambda a: a.T, lambda a: a.T)]
    return rows + [Row(f"{ours}/bias", f"{theirs}.bias")] * bias


def conv(ours: str, theirs: str, bias: bool = False) -> list[Row]:
    """The rows of a convolution: [out, in, y, x] <-> [y, x, in, out]."""
    kernel = Row(
        f"{ours}/kernel",
        f"{theirs}.weight",
        lambda a: a.transpose(2, 3, 1, 0),
        lambda a: a.transpose(3, 2, 0, 1),
    )
    return [kernel] + [Row(f"{ours}/bias", f"{theirs}.bias")] * bias


def norm(ours: str, theirs: str) -> list[Row]:
    """The rows of a LayerNorm."""
    return [Row(f"{ours}/scale", f"{theirs}.weight"), Row(f"{ours}/bias", f"{theirs}.bias")]


def packed_qkv(ours: str, kernel: str, bias: str) -> list[Row]:
    """The rows of query, key and value in one Linear: [3 * out, in] <-> [in, 3, out]."""
    return [
        Row(
            f"{ours}/kernel",
            kernel,
            lambda a: a.reshape(3, -1, a.shape[1]).transpose(2, 0, 1),
            lambda a: a.transpose(1, 2, 0).reshape(-1, a.shape[0]),
        ),
        Row(f"{ours}/bias", bias, lambda a: a.reshape(3, -1), lambda a: a.reshape(-1)),
    ]


def load(
    rows: Sequence[Row],
    tensors: Tensors,
    abstract: PyTree[jax.ShapeDtypeStruct],
    where: str,
    ignore: str = r"$.",
    hint: str = "",
) -> Params:
    """Parameters like `abstract` (shapes, dtypes, shardings) from the tensors of a file.

    Args:
      where: what the tensors come from, for errors.
      ignore: a regular expression of keys, matched whole, that may be there and are not read.
      hint: the way out, for the error about keys.

    Raises ValueError that lists the keys that are missing, unexpected or of another shape.
    """
    table = {row.ours: row for row in rows}
    wanted = {key: shape for key, shape, _ in _their_keys(table, abstract)}
    found = {key: s for key, s in tensors.shapes.items() if not re.fullmatch(ignore, key)}
    hint = f" ({hint})" if hint else ""
    _check(wanted, found, f"{where} does not hold the weights of this config{hint}")

    def fetch(path: str, like: jax.ShapeDtypeStruct) -> jax.Array:
        row, layers, stacked = _row(table, path, like)
        sharding = getattr(like, "sharding", None)
        if not like.shape:
            value = row.read(tensors.read(row.theirs)).astype(like.dtype)
            return jax.device_put(value, sharding)
        parts = (
            (
                (i, *[0] * (len(like.shape) - 1)) if stacked else (0,) * len(like.shape),
                row.read(tensors.read(row.theirs.format(layer)))[(None,) * stacked],
            )
            for i, layer in enumerate(layers)
        )
        return assemble(like.shape, like.dtype, sharding, parts)

    return _map_paths(fetch, abstract)


def save(
    rows: Sequence[Row],
    params: Params,
    abstract: PyTree[jax.ShapeDtypeStruct],
    folder: str | pathlib.Path,
    described: Mapping[str, Any] | None = None,
    tokenizer: str | pathlib.Path | None = None,
    zeros: Mapping[str, tuple[int, ...]] | None = None,
) -> list[pathlib.Path]:
    """Writes float32 model.safetensors and, if given, config.json and tokenizer.json.

    `zeros` are keys, and their shapes, that readers of the file look for and we have nothing for.

    Raises ValueError when the parameters do not have the paths and shapes of `abstract`, and when
    the folder holds a set of several weight files, which would be read instead.
    """
    _check(_shapes(abstract), _shapes(params), "the parameters do not fit the config")
    table = {row.ours: row for row in rows}
    folder = pathlib.Path(folder)
    if (folder / INDEX).is_file():
        raise ValueError(f"{folder} holds a set of weight files with {INDEX}. Take another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    shapes, values = {}, {}
    for key, shape, value in _their_keys(table, params):
        shapes[key], values[key] = shape, value
    for key, shape in (zeros or {}).items():
        shapes[key], values[key] = shape, functools.partial(np.zeros, shape)

    def parts(key: str) -> Iterator[np.ndarray]:
        yield np.asarray(values[key](), np.float32)

    shapes = dict(sorted(shapes.items()))  # one order, stacked or side by side
    unfinished = folder / f".{SINGLE}.unfinished"  # a full disk must not cost what lies there
    try:
        write_file(unfinished, shapes, np.dtype(np.float32), parts)
        unfinished.replace(folder / SINGLE)
    finally:
        unfinished.unlink(missing_ok=True)
    written = [folder / SINGLE]
    if described is not None:
        (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n")
        written.append(folder / "config.json")
    if tokenizer is not None:
        shutil.copyfile(tokenizer, folder / "tokenizer.json")
        written.append(folder / "tokenizer.json")
    return written


def _their_keys(
    table: Mapping[str, Row], tree: PyTree
) -> Iterator[tuple[str, tuple[int, ...], Callable[[], np.ndarray]]]:
    """Every key of theirs with its shape, and what makes its array out of ours."""
    leaves: list[tuple[str, Any]] = []
    _map_paths(lambda path, leaf: leaves.append((path, leaf)), tree)
    for path, leaf in leaves:
        row, layers, stacked = _row(table, path, leaf)
        shape = leaf.shape[1:] if stacked else leaf.shape
        shape = jax.eval_shape(row.write, jax.ShapeDtypeStruct(shape, np.float32)).shape
        for i, layer in enumerate(layers):

            def value(leaf=leaf, row=row, i=i, stacked=stacked):
                return row.write(np.asarray(leaf[i] if stacked else leaf))

            yield row.theirs.format(layer), shape, value


def _row(table: Mapping[str, Row], path: str, leaf: Any) -> tuple[Row, Iterable[int | None], bool]:
    """The row of a path of ours, the numbers of its layers, and whether they are stacked."""
    number = re.search(r"(?:^|/)layers/(\d+)/", path)
    if number is not None:
        before, after = path[: number.start(1)], path[number.end(1) :]
        return table[f"{before}{{}}{after}"], [int(number[1])], False
    stacked = re.sub(r"((?:^|/)layers/)", r"\1{}/", path, count=1)
    if stacked != path and stacked in table:
        return table[stacked], range(leaf.shape[0]), True
    return table[path], [None], False


def _shapes(tree: PyTree) -> Shapes:
    out: Shapes = {}
    _map_paths(lambda path, leaf: out.update({path: tuple(leaf.shape)}), tree)
    return out


def _map_paths(fn: Callable[[str, Any], Any], tree: Any, path: str = "") -> Any:
    if not isinstance(tree, dict):
        return fn(path, tree)
    return {k: _map_paths(fn, v, f"{path}/{k}" if path else k) for k, v in tree.items()}


def _check(wanted: Shapes, found: Shapes, what: str) -> None:
    keys = [k for k in sorted(wanted.keys() | found.keys()) if wanted.get(k) != found.get(k)]
    if keys:
        lines = [f"  {k}: expected {wanted.get(k, '-')}, found {found.get(k, '-')}" for k in keys]
        more = [f"  and {len(keys) - 40} more"] if len(keys) > 40 else []
        raise ValueError(
            f"{what}; {len(keys)} keys differ ('-' = not there):\n" + "\n".join(lines[:40] + more)
        )
