"""Safetensors in and out: one table of key rows, read in both directions.

Reads the key names of transformers from 4.52 on (`model.visual.*`, `model.language_model.*`,
`lm_head.*`) and the older ones (`visual.*`, `model.layers.*`); writes the newer ones, with a
config.json beside them.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np
from jaxtyping import PyTree
from safetensors import safe_open
from safetensors.numpy import save_file

from surgzoo.models.base import Params
from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig
from surgzoo.models.qwen2_5_vl.hf_config import tokenizer_file, write_config

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"

Shapes = dict[str, tuple[int, ...]]


class Transform(NamedTuple):
    """How an array of theirs becomes ours, and back."""

    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]


class Row(NamedTuple):
    """Our path, their key, the transform. `{}` in both stands for the number of a layer."""

    ours: str
    theirs: str
    transform: Transform


_SAME = Transform(lambda a: a, lambda a: a)
_TRANSPOSED = Transform(lambda a: a.T, lambda a: a.T)  # torch keeps kernels as [out, in]
_QKV = Transform(  # [3 * out, in] <-> [in, 3, out]
    lambda a: a.reshape(3, -1, a.shape[1]).transpose(2, 0, 1),
    lambda a: a.transpose(1, 2, 0).reshape(-1, a.shape[0]),
)
_QKV_BIAS = Transform(lambda a: a.reshape(3, -1), lambda a: a.reshape(-1))


def _patch(config: Qwen25VLConfig) -> Transform:
    """[out, channel, frame, y, x] <-> [patch, out]."""
    v = config.vision
    kernel = (v.channels, v.temporal_patch, v.patch, v.patch)
    return Transform(
        lambda a: a.reshape(a.shape[0], -1).T, lambda a: a.T.reshape(a.shape[1], *kernel)
    )


def _dense(ours: str, theirs: str, bias: bool) -> list[Row]:
    rows = [Row(f"{ours}/kernel", f"{theirs}.weight", _TRANSPOSED)]
    return rows + [Row(f"{ours}/bias", f"{theirs}.bias", _SAME)] * bias


def table(config: Qwen25VLConfig) -> list[Row]:
    """The rows of a model. Tied models have none for the output head."""
    text, layer = "model.language_model", "model.language_model.layers.{}"
    vision, block = "model.visual", "model.visual.blocks.{}"
    return [
        Row("text/embedding", f"{text}.embed_tokens.weight", _SAME),
        Row("text/layers/{}/norm1/scale", f"{layer}.input_layernorm.weight", _SAME),
        *_dense("text/layers/{}/attention/q", f"{layer}.self_attn.q_proj", bias=True),
        *_dense("text/layers/{}/attention/k", f"{layer}.self_attn.k_proj", bias=True),
        *_dense("text/layers/{}/attention/v", f"{layer}.self_attn.v_proj", bias=True),
        *_dense("text/layers/{}/attention/out", f"{layer}.self_attn.o_proj", bias=False),
        Row("text/layers/{}/norm2/scale", f"{layer}.post_attention_layernorm.weight", _SAME),
        *_dense("text/layers/{}/mlp/gate", f"{layer}.mlp.gate_proj", bias=False),
        *_dense("text/layers/{}/mlp/up", f"{layer}.mlp.up_proj", bias=False),
        *_dense("text/layers/{}/mlp/down", f"{layer}.mlp.down_proj", bias=False),
        Row("text/norm/scale", f"{text}.norm.weight", _SAME),
        *([] if config.text.tied else [Row("text/head", "lm_head.weight", _TRANSPOSED)]),
        Row("vision/patch/kernel", f"{vision}.patch_embed.proj.weight", _patch(config)),
        Row("vision/layers/{}/norm1/scale", f"{block}.norm1.weight", _SAME),
        Row("vision/layers/{}/attention/qkv", f"{block}.attn.qkv.weight", _QKV),
        Row("vision/layers/{}/attention/qkv_bias", f"{block}.attn.qkv.bias", _QKV_BIAS),
        *_dense("vision/layers/{}/attention/out", f"{block}.attn.proj", bias=True),
        Row("vision/layers/{}/norm2/scale", f"{block}.norm2.weight", _SAME),
        *_dense("vision/layers/{}/mlp/gate", f"{block}.mlp.gate_proj", bias=True),
        *_dense("vision/layers/{}/mlp/up", f"{block}.mlp.up_proj", bias=True),
        *_dense("vision/layers/{}/mlp/down", f"{block}.mlp.down_proj", bias=True),
        Row("vision/merger/norm/scale", f"{vision}.merger.ln_q.weight", _SAME),
        *_dense("vision/merger/fc1", f"{vision}.merger.mlp.0", bias=True),
        *_dense("vision/merger/fc2", f"{vision}.merger.mlp.2", bias=True),
    ]


def load(
    config: Qwen25VLConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
) -> Params:
    """Parameters from the safetensors of a folder, one file or several with their index.

    Args:
      config: the model; `hf_config.read_config(folder)` makes one. Its `scan_layers` decides
        whether the result is stacked.
      folder: where the files lie.
      abstract: dtypes and, if set, shardings of the result; default float32 on the first device.
        With shardings each process reads only what its devices hold. Files in another dtype, such
        as the bfloat16 of the published ones, are converted.

    Raises FileNotFoundError without weights, ValueError with a table of all missing, unexpected and
    wrongly shaped keys.
    """
    files = _Files(pathlib.Path(folder))
    found = files.shapes()
    if config.text.tied:
        found.pop("lm_head.weight", None)  # some writers store the shared table twice
    _check(_their_shapes(config), found, f"{folder} does not hold the weights of this config")
    rows = {row.ours: row for row in table(config)}

    def fetch(path: str, like: jax.ShapeDtypeStruct) -> jax.Array:
        pattern, number = _pattern(path)
        row = rows[pattern]

        def one(layer: int | None, index: tuple[slice, ...]) -> np.ndarray:
            key = row.theirs if layer is None else row.theirs.format(layer)
            return row.transform.read(files.read(key))[index].astype(like.dtype)

        def part(index: tuple[slice, ...]) -> np.ndarray:
            if "{}" in pattern and number is None:  # stacked: the leading axis counts the layers
                return np.stack([one(i, index[1:]) for i in range(like.shape[0])[index[0]]])
            return np.ascontiguousarray(one(number, index))

        if like.sharding is None:
            return jax.numpy.asarray(part((slice(None),) * len(like.shape)))
        return jax.make_array_from_callback(like.shape, like.sharding, part)

    return _map_paths(fetch, config.build().abstract() if abstract is None else abstract)


def save(
    config: Qwen25VLConfig,
    params: Params,
    folder: str | pathlib.Path,
    *,
    dtype: str = "float32",
    max_file_bytes: int = 5 * 10**9,
    tokenizer: str | pathlib.Path | None = None,
) -> list[pathlib.Path]:
    """Writes safetensors, config.json and tokenizer.json, for transformers, servers and `load`.

    Args:
      config: the model; `params` may be stacked or side by side whatever it says.
      params: from init, a checkpoint or `load`.
      folder: made when missing; weights that lie there are replaced.
      dtype: float32 or bfloat16.
      max_file_bytes: above it the weights go to several files with an index.
      tokenizer: the folder or file to copy tokenizer.json from; default the config's, else the
        shipped one when the model is of its size. Without one, config.json has the published ids.

    Returns the files. Raises ValueError when the parameters are not those of `config`.
    """
    kinds = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
    if dtype not in kinds:
        raise ValueError(f"dtype is float32 or bfloat16, not '{dtype}'")
    kind = kinds[dtype]
    stacked = "0" not in params["text"]["layers"]
    expected = dataclasses.replace(config, scan_layers=stacked).build().abstract()
    _check(_flat_shapes(expected), _flat_shapes(params), "the parameters do not fit the config")

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("model-*-of-*.safetensors"), folder / _SINGLE, folder / _INDEX):
        old.unlink(missing_ok=True)  # a left-over file would be read along with the new ones

    sizes = {k: int(np.prod(s)) * kind.itemsize for k, s in _their_shapes(config).items()}
    sources = {key: (row, number) for key, row, number in _keys(config)}
    groups = _group(sizes, max_file_bytes)
    written, weight_map = [], {}
    for i, keys in enumerate(groups):
        name = _SINGLE if len(groups) == 1 else f"model-{i + 1:05}-of-{len(groups):05}.safetensors"
        tensors = {}
        for key in keys:
            row, number = sources[key]
            ours = row.transform.write(_leaf(params, row.ours, number, stacked))
            tensors[key] = np.ascontiguousarray(ours.astype(kind))
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(keys, name)
        written.append(folder / name)
    if len(groups) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n")
        written.append(folder / _INDEX)
    source = tokenizer_file(config, tokenizer)
    described = json.dumps(write_config(config, dtype, source), indent=2)
    (folder / "config.json").write_text(described + "\n")
    written.append(folder / "config.json")
    if source is not None and source.resolve() != (folder / source.name).resolve():
        written.append(pathlib.Path(shutil.copyfile(source, folder / "tokenizer.json")))
    return written


class _Files:
    """Every tensor of a folder under its newer key name; read when asked for."""

    def __init__(self, folder: pathlib.Path):
        if (folder / _INDEX).is_file():
            names = sorted(set(json.loads((folder / _INDEX).read_text())["weight_map"].values()))
        else:
            names = sorted(f.name for f in folder.glob("*.safetensors"))
        if not names:
            raise FileNotFoundError(f"no .safetensors files in {folder}")
        self._open = {name: safe_open(folder / name, framework="numpy") for name in names}
        self._where = {_newer(key): (f, key) for f in self._open.values() for key in f.keys()}  # noqa: SIM118

    def shapes(self) -> Shapes:
        return {k: tuple(f.get_slice(old).get_shape()) for k, (f, old) in self._where.items()}

    def read(self, key: str) -> np.ndarray:
        file, old = self._where[key]
        return file.get_tensor(old)


def _newer(key: str) -> str:
    """A key in the names from 4.52 on."""
    if key.startswith("visual."):
        return f"model.{key}"
    return re.sub(r"^model\.(layers|embed_tokens|norm)\.", r"model.language_model.\1.", key)


def _keys(config: Qwen25VLConfig) -> Iterator[tuple[str, Row, int | None]]:
    """Every key of their files, with its row and the number of its layer."""
    for row in table(config):
        if "{}" not in row.ours:
            yield row.theirs, row, None
            continue
        tower = config.text if row.ours.startswith("text/") else config.vision
        for number in range(tower.depth):
            yield row.theirs.format(number), row, number


def _their_shapes(config: Qwen25VLConfig) -> Shapes:
    abstract = dataclasses.replace(config, scan_layers=False).build().abstract()
    return {
        key: jax.eval_shape(row.transform.write, _leaf(abstract, row.ours, number, False)).shape
        for key, row, number in _keys(config)
    }


def _leaf(params: Params, pattern: str, number: int | None, stacked: bool) -> Any:
    """The array of a row and layer; of real parameters as numpy."""
    node: Any = params
    for part in pattern.split("/"):
        if part != "{}":
            node = node[part]
        elif not stacked:
            node = node[str(number)]
    if isinstance(node, jax.ShapeDtypeStruct):
        return node
    return np.asarray(node[number] if stacked and "{}" in pattern else node)


def _pattern(path: str) -> tuple[str, int | None]:
    """text/layers/3/x -> (text/layers/{}/x, 3); stacked text/layers/x -> (the same, None)."""
    found = re.search(r"/layers/((\d+)/)?", path)
    if found is None:
        return path, None
    number = found.group(2)
    return path.replace(found.group(), "/layers/{}/", 1), None if number is None else int(number)


def _map_paths(fn: Callable[[str, Any], Any], tree: Any, path: str = "") -> Any:
    """`fn(path, leaf)` over nested dicts."""
    if not isinstance(tree, dict):
        return fn(path, tree)
    return {k: _map_paths(fn, v, f"{path}/{k}" if path else k) for k, v in tree.items()}


def _flat_shapes(params: Params) -> Shapes:
    flat: Shapes = {}
    _map_paths(lambda path, leaf: flat.update({path: tuple(leaf.shape)}), params)
    return flat


def _group(sizes: dict[str, int], limit: int) -> list[list[str]]:
    """Keys in order, cut into runs of at most `limit` bytes (a larger key stands alone)."""
    groups: list[list[str]] = [[]]
    filled = 0
    for key, size in sizes.items():
        if groups[-1] and filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(key)
        filled += size
    return groups


def _check(expected: Shapes, found: Shapes, what: str) -> None:
    """Raises ValueError with one line per key that is missing, unexpected or wrongly shaped."""
    lines = [
        (key, expected.get(key, "-"), found.get(key, "-"))
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]
    if not lines:
        return
    rows = [("key", "expected shape", "found shape"), *lines]
    widths = [max(len(str(row[i])) for row in rows) for i in range(3)]
    shown = [[str(cell).ljust(width) for cell, width in zip(r, widths, strict=True)] for r in rows]
    table = "\n".join("  ".join(row).rstrip() for row in shown)
    raise ValueError(f"{what}: {len(lines)} keys differ ('-' = not there)\n{table}")
