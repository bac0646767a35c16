"""Safetensors in and out: one table of key rows, read in both directions.

The names are those of the published files (`Depth-Anything-V2-*-hf`), which every version of
transformers reads; those that its modules have from 5 on (`attention.q_proj`) are read as well. The
authors' own `.pth` files are not read.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from surgzoo.models.base import Params
from surgzoo.models.depth_anything_v2.config import DepthAnythingConfig, EncoderDecoderConfig
from surgzoo.models.depth_anything_v2.hf_config import describe
from surgzoo.models.layers.stack import unstack
from surgzoo.models.tensor_files import SINGLE, TensorFolder, write_file

OUTPUT = "head.conv3."  # keys of the layer that says what a map means


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
_ROW = Transform(lambda a: a[0], lambda a: a[None])
_CLASS = Transform(lambda a: a[0, 0], lambda a: a[None, None])
_TRANSPOSED = Transform(lambda a: a.T, lambda a: a.T)
_CONV = Transform(lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1))
_POINT = Transform(lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])
_SPREAD = Transform(lambda a: a.transpose(0, 2, 3, 1), lambda a: a.transpose(0, 3, 1, 2))


def _pair(ours: str, theirs: str, kind: Transform) -> list[Row]:
    return [
        Row(f"{ours}/kernel", f"{theirs}.weight", kind),
        Row(f"{ours}/bias", f"{theirs}.bias", _SAME),
    ]


def _norm(ours: str, theirs: str) -> list[Row]:
    return [
        Row(f"{ours}/scale", f"{theirs}.weight", _SAME),
        Row(f"{ours}/bias", f"{theirs}.bias", _SAME),
    ]


def table(config: EncoderDecoderConfig) -> list[Row]:
    """The rows of a model."""
    size = config.backbone.patch
    patch = Transform(  # [out, channel, y, x] <-> [patch, out]
        lambda a: a.reshape(a.shape[0], -1).T, lambda a: a.T.reshape(a.shape[1], 3, size, size)
    )
    ours, theirs = "backbone/layers/{}", "backbone.encoder.layer.{}"
    embeddings = "backbone.embeddings"
    rows = [
        Row("backbone/cls", f"{embeddings}.cls_token", _CLASS),
        Row("backbone/positions", f"{embeddings}.position_embeddings", _ROW),
        *_pair("backbone/patch", f"{embeddings}.patch_embeddings.projection", patch),
        *_norm(f"{ours}/norm1", f"{theirs}.norm1"),
        *_pair(f"{ours}/attention/q", f"{theirs}.attention.attention.query", _TRANSPOSED),
        *_pair(f"{ours}/attention/k", f"{theirs}.attention.attention.key", _TRANSPOSED),
        *_pair(f"{ours}/attention/v", f"{theirs}.attention.attention.value", _TRANSPOSED),
        *_pair(f"{ours}/attention/out", f"{theirs}.attention.output.dense", _TRANSPOSED),
        Row(f"{ours}/scale1", f"{theirs}.layer_scale1.lambda1", _SAME),
        *_norm(f"{ours}/norm2", f"{theirs}.norm2"),
        *_pair(f"{ours}/up", f"{theirs}.mlp.fc1", _TRANSPOSED),
        *_pair(f"{ours}/down", f"{theirs}.mlp.fc2", _TRANSPOSED),
        Row(f"{ours}/scale2", f"{theirs}.layer_scale2.lambda1", _SAME),
        *_norm("backbone/norm", "backbone.layernorm"),
    ]
    for level in range(4):
        ours, theirs = f"neck/reassemble/{level}", f"neck.reassemble_stage.layers.{level}"
        rows += _pair(f"{ours}/project", f"{theirs}.projection", _POINT)
        if level < 2:
            rows += [
                Row(f"{ours}/resize/product/kernel", f"{theirs}.resize.weight", _SPREAD),
                Row(f"{ours}/resize/bias", f"{theirs}.resize.bias", _SAME),
            ]
        elif level == 3:
            rows += _pair(f"{ours}/resize", f"{theirs}.resize", _CONV)
        rows.append(Row(f"{ours}/out/kernel", f"neck.convs.{level}.weight", _CONV))
    for level in range(4):
        ours, theirs = f"neck/fuse/{level}", f"neck.fusion_stage.layers.{level}"
        for unit, number in ("skip", 1), ("refine", 2):
            if (unit, level) != ("skip", 0):
                for conv in (1, 2):
                    rows += _pair(
                        f"{ours}/{unit}/conv{conv}",
                        f"{theirs}.residual_layer{number}.convolution{conv}",
                        _CONV,
                    )
        rows += _pair(f"{ours}/project", f"{theirs}.projection", _POINT)
    return [
        *rows,
        *_pair("head/conv1", "head.conv1", _CONV),
        *_pair("head/conv2", "head.conv2", _CONV),
        *_pair("head/out", "head.conv3", _POINT),
    ]


def unused(config: EncoderDecoderConfig) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of published files that no prediction depends on.

    The mask of DINOv2's pre-training, and the unit that would add a finer map to the coarsest. They
    are not read, and written as zeros, so that those who read the file find it whole.
    """
    width, fusion = config.backbone.width, config.neck.fusion
    unit = "neck.fusion_stage.layers.0.residual_layer1.convolution"
    out: dict[str, tuple[int, ...]] = {"backbone.embeddings.mask_token": (1, width)}
    for conv in (1, 2):
        out[f"{unit}{conv}.weight"] = (fusion, fusion, 3, 3)
        out[f"{unit}{conv}.bias"] = (fusion,)
    return out


def load(
    config: EncoderDecoderConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    fresh: Params | None = None,
) -> Params:
    """Parameters from the safetensors of a folder.

    Args:
      config: the model; `hf_config.read_config(folder)` makes one for published files. Its
        `scan_layers` decides whether the result is stacked.
      folder: where the files lie.
      abstract: dtypes and, if set, shardings of the result; default float32 on the first device.
      fresh: parameters of the model, whose output layer is taken instead of the file's.

    Raises FileNotFoundError without weights, ValueError for damaged files and, with a list, for
    missing, unexpected and wrongly shaped keys.
    """
    rows = {row.ours: row for row in table(config)}
    with TensorFolder(folder, rename=_published) as files:
        expected = {key: shape for key, shape, _ in _keys(config)}
        found = {key: shape for key, shape in files.shapes.items() if key not in unused(config)}
        if fresh is not None:
            expected, found = (
                {key: shape for key, shape in keys.items() if not key.startswith(OUTPUT)}
                for keys in (expected, found)
            )
        _check(expected, found, folder)

        def fetch(path: tuple[str, ...], like: jax.ShapeDtypeStruct) -> jax.Array:
            if fresh is not None and path[:2] == ("head", "out"):
                return _place(np.asarray(fresh["head"]["out"][path[-1]]), like)
            if path[:2] != ("backbone", "layers"):
                row = rows["/".join(path)]
                return _place(row.transform.read(files.read(row.theirs)), like)
            stacked = not path[2].isdigit()
            row = rows["/".join(("backbone/layers/{}", *path[2 if stacked else 3 :]))]
            numbers = range(like.shape[0]) if stacked else [int(path[2])]
            values = [row.transform.read(files.read(row.theirs.format(n))) for n in numbers]
            return _place(np.stack(values) if stacked else values[0], like)

        abstract = config.build().abstract() if abstract is None else abstract
        return jax.tree_util.tree_map_with_path(
            lambda path, like: fetch(tuple(key.key for key in path), like), abstract
        )


def save(
    config: EncoderDecoderConfig, params: Params, folder: str | pathlib.Path
) -> list[pathlib.Path]:
    """Writes model.safetensors (float32), and of a depth model the config.json of transformers.

    Args:
      config: the model; `params` may be stacked or side by side whatever it says.
      params: from init, a checkpoint or `load`.
      folder: made when missing; files of these names are replaced.

    Returns the files. Raises ValueError when the parameters are not those of `config`.
    """
    params = {**params, "backbone": unstack(params["backbone"])}
    _check(_flat_shapes(_side_by_side(config)), _flat_shapes(params), "the parameters")
    blank = unused(config)
    shapes, sources = {}, {}
    for key, shape, source in _keys(config):
        shapes[key], sources[key] = shape, source

    def parts(key: str) -> Iterator[np.ndarray]:
        if key in blank:
            yield np.zeros(blank[key], np.float32)
        else:
            path, row = sources[key]
            yield np.asarray(row.transform.write(np.asarray(_at(params, path))), np.float32)

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{SINGLE}.unfinished"  # a full disk must not cost the old weights
    try:
        write_file(new, shapes | blank, np.dtype(np.float32), parts)
        new.replace(folder / SINGLE)
    finally:
        new.unlink(missing_ok=True)
    written = [folder / SINGLE]
    if isinstance(config, DepthAnythingConfig):
        written.insert(0, folder / "config.json")
        written[0].write_text(json.dumps(describe(config), indent=2) + "\n")
    return written


def _published(key: str) -> str:
    """A key in the names of the published files."""
    for new, old in (
        (".attention.q_proj.", ".attention.attention.query."),
        (".attention.k_proj.", ".attention.attention.key."),
        (".attention.v_proj.", ".attention.attention.value."),
        (".attention.o_proj.", ".attention.output.dense."),
    ):
        key = key.replace(new, old)
    return key


def _keys(
    config: EncoderDecoderConfig,
) -> Iterator[tuple[str, tuple[int, ...], tuple[str, Row]]]:
    """Every key of their files, its shape, and our path of it, side by side, with its row."""
    abstract = _side_by_side(config)
    for row in table(config):
        for number in range(config.backbone.depth) if "{}" in row.ours else [None]:
            path = row.ours.format(number)
            shape = jax.eval_shape(row.transform.write, _at(abstract, path)).shape
            yield row.theirs.format(number), shape, (path, row)


def _side_by_side(config: EncoderDecoderConfig) -> Params:
    """Shapes of the parameters with every layer of the encoder by itself."""
    abstract = config.build().abstract()
    return {**abstract, "backbone": jax.eval_shape(unstack, abstract["backbone"])}


def _flat_shapes(params: Params) -> dict[str, tuple[int, ...]]:
    flat = jax.tree_util.tree_leaves_with_path(params)
    return {"/".join(key.key for key in path): tuple(leaf.shape) for path, leaf in flat}


def _at(params: Params, path: str) -> Any:
    node: Any = params
    for part in path.split("/"):
        node = node[part]
    return node


def _place(value: np.ndarray, like: jax.ShapeDtypeStruct) -> jax.Array:
    value = np.asarray(value, like.dtype)
    if like.sharding is None:
        return jax.numpy.asarray(value)
    return jax.make_array_from_callback(like.shape, like.sharding, lambda index: value[index])


def _check(expected: dict, found: dict, where: Any) -> None:
    """Raises ValueError with the keys that are missing, unexpected or wrongly shaped."""
    keys = [k for k in sorted(expected.keys() | found.keys()) if expected.get(k) != found.get(k)]
    if not keys:
        return
    lines = [
        f"  {k}: expected {expected.get(k, '-')}, found {found.get(k, '-')}" for k in keys[:20]
    ]
    if len(keys) > 20:
        lines.append(f"  and {len(keys) - 20} more")
    raise ValueError(
        f"{where}: not the weights of this config, {len(keys)} keys differ ('-' = not there). "
        "hf_config.read_config makes the config that a config.json describes.\n" + "\n".join(lines)
    )
