"""Safetensors in and out: one table of key rows, read in both directions.

Reads the key names of transformers from 4.52 on (`model.visual.*`, `model.language_model.*`,
`lm_head.*`) and the older ones (`visual.*`, `model.layers.*`); writes the newer ones, with a
config.json beside them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np
from jaxtyping import PyTree

from surgzoo.models.assemble import assemble, copy, host_part, local_bounds, overlaps
from surgzoo.models.base import Params
from surgzoo.models.layers.lora import (
    NAMES,
    fresh_adapters,
    merged_kernel,
    with_adapters,
    without_adapters,
)
from surgzoo.models.qwen2_5_vl.config import Qwen25VLConfig
from surgzoo.models.qwen2_5_vl.hf_config import tokenizer_file, write_config
from surgzoo.models.tensor_files import (
    INDEX,
    SINGLE,
    Shapes,
    TensorFolder,
    row_ranges,
    write_file,
)


class Transform(NamedTuple):
    """How an array of theirs becomes ours, and back.

    `rows` is the axis of ours along which their rows lie, so that the transform of some of their
    rows is that part of ours; None where this is not so, and the tensor is read at once.
    """

    read: Callable[[np.ndarray], np.ndarray]
    write: Callable[[np.ndarray], np.ndarray]
    rows: int | None = None


class Row(NamedTuple):
    """Our path, their key, the transform. `{}` in both stands for the number of a layer."""

    ours: str
    theirs: str
    transform: Transform


_SAME = Transform(lambda a: a, lambda a: a, rows=0)
_TRANSPOSED = Transform(lambda a: a.T, lambda a: a.T, rows=1)  # torch keeps kernels as [out, in]
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
        lambda a: a.reshape(a.shape[0], -1).T,
        lambda a: a.T.reshape(a.shape[1], *kernel),
        rows=1,
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
        Row("vision/layers/{}/attention/qkv/kernel", f"{block}.attn.qkv.weight", _QKV),
        Row("vision/layers/{}/attention/qkv/bias", f"{block}.attn.qkv.bias", _QKV_BIAS),
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
    rng: jax.Array | None = None,
) -> Params:
    """Parameters from the safetensors of a folder, one file or several with their index.

    A model with adapters gets fresh ones: the files hold base weights (`peft.py` reads adapters).

    Args:
      config: the model; `hf_config.read_config(folder)` makes one. Its `scan_layers` decides
        whether the result is stacked.
      folder: where the files lie.
      abstract: dtypes and, if set, shardings of the result; default float32 on the first device.
        With shardings each process reads only what its devices hold. Files in another dtype, such
        as the bfloat16 of the published ones, are converted.
      rng: draws the adapters, if the model has any; default `jax.random.key(0)`.

    At most a few parts of `tensor_files.PART_BYTES` are on the host beyond what is there for good.

    Raises FileNotFoundError without weights or without some of their files, ValueError for damaged
    files and, with a table, for missing, unexpected and wrongly shaped keys.
    """
    rows = {row.ours: row for row in table(config)}
    with TensorFolder(folder, rename=newer_key) as files:
        found = files.shapes
        if config.text.tied:
            found.pop("lm_head.weight", None)  # some writers store the shared table twice
        check_shapes(
            _their_shapes(config),
            found,
            f"{folder} does not hold the weights of this config (hf_config.read_config makes the "
            "one that its config.json describes)",
        )

        def fetch(path: str, like: jax.ShapeDtypeStruct) -> jax.Array:
            pattern, number = _pattern(path)
            blocks = _blocks(files, rows[pattern], number, like)
            return assemble(like.shape, like.dtype, like.sharding, blocks)

        abstract = config.build().abstract() if abstract is None else abstract
        params = _map_paths(fetch, without_adapters(abstract))
    if config.lora is None:
        return params
    rng = jax.random.key(0) if rng is None else rng
    return with_adapters(params, fresh_adapters(config.build(), rng, abstract))


def _blocks(
    files: TensorFolder, row: Row, number: int | None, like: jax.ShapeDtypeStruct
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """What this process holds of a parameter: (start, values) for `assemble`.

    A row of a file is read whole even when a device holds some columns of it alone: those of a
    device are shorter than a page, so nothing would be saved. No row is read twice.
    """
    stacked = "{}" in row.ours and number is None  # the leading axis counts the layers
    needed = list(local_bounds(like.shape, like.sharding))
    shape = like.shape[1:] if stacked else like.shape
    axis = row.transform.rows
    for layer in range(like.shape[0]) if stacked else [number]:
        lead = (layer,) if stacked else ()
        key = row.theirs if layer is None else row.theirs.format(layer)
        if axis is None:
            ranges = [(0, None)]
        else:
            held = _union(bounds[len(lead) + axis] for bounds in needed)
            ranges = [r for run in held for r in row_ranges(*run, files.row_bytes(key))]
        for first, last in ranges:
            start, stop = [0] * len(shape), list(shape)
            if axis is not None:
                start[axis], stop[axis] = first, last
            block = [(i, i + 1) for i in lead] + list(zip(start, stop, strict=True))
            if overlaps(needed, tuple(block)):
                values = row.transform.read(files.read(key, first, last))
                yield (*lead, *start), values[(None,) * len(lead)]


def _union(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges joined where they meet: (0, 4), (2, 6), (8, 9) -> (0, 6), (8, 9)."""
    out: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(stop, out[-1][1])
        else:
            out.append((start, stop))
    return out


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
      params: from init, a checkpoint or `load`. Adapters are merged into what is written.
      folder: made when missing; weights that lie there are replaced when the new ones are whole,
        so there must be room for both. A full disk (OSError) leaves the old ones as they are.
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
    check_shapes(
        _flat_shapes(expected), _flat_shapes(params), "the parameters do not fit the config"
    )

    shapes = _their_shapes(config)
    sources = {key: (row, number) for key, row, number in _keys(config)}

    def parts(key: str) -> Iterator[np.ndarray]:
        row, number = sources[key]
        lead = (number,) if stacked and number is not None else ()
        leaf = leaf_of(params, row.ours, number, stacked)
        if _adapted(config, row.ours):  # one at a time: a merged copy of all may not fit
            a, b = (leaf_of(params, _sibling(row.ours, name), number, stacked) for name in NAMES)
            leaf = merged_kernel(*(x[lead] for x in (leaf, a, b)), config.lora.scale)
            lead = ()
        return _written(leaf, lead, shapes[key], row.transform, kind)

    sizes = {key: math.prod(shape) * kind.itemsize for key, shape in shapes.items()}
    groups = _group(sizes, max_file_bytes)
    names = [SINGLE]
    if len(groups) > 1:
        names = [f"model-{i + 1:05}-of-{len(groups):05}.safetensors" for i in range(len(groups))]
    source = tokenizer_file(config, tokenizer)
    folder = pathlib.Path(folder)
    with _replacing(folder) as new:
        weight_map: dict[str, str] = {}
        for name, keys in zip(names, groups, strict=True):
            write_file(new / name, {key: shapes[key] for key in keys}, kind, parts)
            weight_map |= dict.fromkeys(keys, name)
        if len(groups) > 1:
            index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
            (new / INDEX).write_text(json.dumps(index, indent=2) + "\n")
        described = json.dumps(write_config(config, dtype, source), indent=2)
        (new / "config.json").write_text(described + "\n")
        if source is not None:
            shutil.copyfile(source, new / "tokenizer.json")
        written = sorted(file.name for file in new.iterdir())
    return [folder / name for name in written]


@contextlib.contextmanager
def _replacing(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new folder inside `folder`; its files replace the weights of `folder` when all are whole.

    Before that the old weights are not touched. Stopped while it replaces, it leaves the old ones
    (a single file goes before a set), the new ones, or a set without index, which `load` refuses;
    the new files that are not in their place yet stay in `.unfinished` then.
    """
    new = folder / ".unfinished"
    shutil.rmtree(new, ignore_errors=True)  # of a save that was killed
    new.mkdir(parents=True)
    try:
        yield new
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    names = [file.name for file in new.iterdir()]
    weights = [name for name in names if name.endswith(".safetensors")]
    old = [*folder.glob("model-*-of-*.safetensors"), *folder.glob(SINGLE)]
    if old:  # do not give them up for bytes that are not on the disk yet
        for name in names:
            with open(new / name, "rb") as file:
                os.fsync(file.fileno())
    (folder / INDEX).unlink(missing_ok=True)
    for name in weights:
        (new / name).replace(folder / name)
    for file in old:
        if file.name not in weights:  # it would be read along with the new ones
            file.unlink()
    for name in sorted(set(names) - set(weights), key=lambda name: name == INDEX):
        (new / name).replace(folder / name)
    new.rmdir()


def _written(
    leaf: Any, lead: tuple[int, ...], shape: tuple[int, ...], transform: Transform, kind: np.dtype
) -> Iterator[np.ndarray]:
    """The rows of their tensor of this shape, from ours or from layer `lead` of our stacked one."""
    row_bytes = math.prod(shape[1:]) * max(leaf.dtype.itemsize, kind.itemsize)
    axis = transform.rows
    ranges = [(0, None)] if axis is None else row_ranges(0, shape[0], row_bytes)
    for first, last in ranges:
        start, stop = [0] * (leaf.ndim - len(lead)), list(leaf.shape[len(lead) :])
        if axis is not None:
            start[axis], stop[axis] = first, last
        block = [(i, i + 1) for i in lead] + list(zip(start, stop, strict=True))
        part = host_part(leaf, tuple(block))
        part = transform.write(part[0] if lead else part)
        out = np.empty(part.shape, kind)
        copy(out, part)
        yield out


def newer_key(key: str) -> str:
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
    of_row = {  # all layers are alike
        row.theirs: jax.eval_shape(row.transform.write, leaf_of(abstract, row.ours, 0, False)).shape
        for row in table(config)
    }
    return {key: of_row[row.theirs] for key, row, _ in _keys(config)}


def leaf_of(params: Params, pattern: str, number: int | None, stacked: bool) -> Any:
    """The array of a row; of stacked layers the one of all layers."""
    node: Any = params
    for part in pattern.split("/"):
        if part != "{}":
            node = node[part]
        elif not stacked:
            node = node[str(number)]
    return node


def _adapted(config: Qwen25VLConfig, pattern: str) -> bool:
    """Whether a row is the kernel of a layer with an adapter."""
    layer, _, name = pattern.rpartition("/")
    return (
        config.lora is not None
        and name == "kernel"
        and config.lora.adapts(layer.replace("/{}", ""))
    )


def _sibling(pattern: str, name: str) -> str:
    """Another parameter of the same layer."""
    return f"{pattern.rpartition('/')[0]}/{name}"


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


def check_shapes(expected: Shapes, found: Shapes, what: str) -> None:
    """Raises ValueError with a table of the keys that are missing, unexpected or wrongly shaped.

    A line stands for all layers that differ in the same way.
    """
    keys = [k for k in sorted(expected.keys() | found.keys()) if expected.get(k) != found.get(k)]
    if not keys:
        return
    lines: dict[tuple[str, Any, Any], list[int]] = {}
    for key in keys:
        layer = re.search(r"(?<=[./])(layers|blocks)[./](\d+)(?=[./])", key)
        name = key if layer is None else f"{key[: layer.start(2)]}{{}}{key[layer.end(2) :]}"
        line = (name, expected.get(key, "-"), found.get(key, "-"))
        lines.setdefault(line, []).extend([] if layer is None else [int(layer.group(2))])
    rows = [("key", "expected shape", "found shape")]
    rows += [(key.format(_numbers(layers)), *shapes) for (key, *shapes), layers in lines.items()]
    widths = [max(len(str(row[i])) for row in rows) for i in range(3)]
    shown = [[str(cell).ljust(width) for cell, width in zip(r, widths, strict=True)] for r in rows]
    missing, extra = (sum(k not in side for k in keys) for side in (found, expected))
    table = "\n".join("  ".join(row).rstrip() for row in shown)
    raise ValueError(
        f"{what}: {len(keys)} keys differ, {missing} missing, {extra} not expected, "
        f"{len(keys) - missing - extra} of another shape ('-' = not there)\n{table}"
    )


def _numbers(layers: list[int]) -> str:
    """[0, 1, 2, 5] -> '0-2,5'."""
    runs = _union((layer, layer + 1) for layer in layers)
    return ",".join(str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in runs)
