"""Safetensors in and out: one table of key rows, read in both directions.

The names are those of the published files (`Depth-Anything-V2-*-hf`), which every version of
transformers reads; those that its modules have from 5 on (`attention.q_proj`) are read as well. The
authors' own `.pth` files are not read.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re

import jax
from jaxtyping import PyTree

from surgzoo.models import key_table
from surgzoo.models.base import Params
from surgzoo.models.depth_anything_v2.config import DepthAnythingConfig, EncoderDecoderConfig
from surgzoo.models.depth_anything_v2.hf_config import describe
from surgzoo.models.key_table import Row, Turn, dense, norm
from surgzoo.models.tensor_files import TensorFolder

OUTPUT = "head.conv3"  # the layer that says what a map means


def _layer(ours: str, theirs: str, read: Turn, write: Turn) -> list[Row]:
    return [
        Row(f"{ours}/kernel", f"{theirs}.weight", read, write),
        Row(f"{ours}/bias", f"{theirs}.bias"),
    ]


def _point(ours: str, theirs: str) -> list[Row]:
    """A convolution of one pixel: [out, in, 1, 1] <-> [in, out]."""
    return _layer(ours, theirs, lambda a: a[:, :, 0, 0].T, lambda a: a.T[:, :, None, None])


def table(config: EncoderDecoderConfig) -> list[Row]:
    """The rows of a model."""
    size = config.backbone.patch
    ours, theirs = "backbone/layers/{}", "backbone.encoder.layer.{}"
    embeddings = "backbone.embeddings"
    rows = [
        Row(
            "backbone/cls",
            f"{embeddings}.cls_token",
            lambda a: a[0, 0],
            lambda a: a[None, None],
        ),
        Row(
            "backbone/positions",
            f"{embeddings}.position_embeddings",
            lambda a: a[0],
            lambda a: a[None],
        ),
        *_layer(  # [out, channel, y, x] <-> [patch, out]
            "backbone/patch",
            f"{embeddings}.patch_embeddings.projection",
            lambda a: a.reshape(a.shape[0], -1).T,
            lambda a: a.T.reshape(a.shape[1], 3, size, size),
        ),
        *norm(f"{ours}/norm1", f"{theirs}.norm1"),
        *dense(f"{ours}/attention/q", f"{theirs}.attention.attention.query"),
        *dense(f"{ours}/attention/k", f"{theirs}.attention.attention.key"),
        *dense(f"{ours}/attention/v", f"{theirs}.attention.attention.value"),
        *dense(f"{ours}/attention/out", f"{theirs}.attention.output.dense"),
        Row(f"{ours}/scale1", f"{theirs}.layer_scale1.lambda1"),
        *norm(f"{ours}/norm2", f"{theirs}.norm2"),
        *dense(f"{ours}/up", f"{theirs}.mlp.fc1"),
        *dense(f"{ours}/down", f"{theirs}.mlp.fc2"),
        Row(f"{ours}/scale2", f"{theirs}.layer_scale2.lambda1"),
        *norm("backbone/norm", "backbone.layernorm"),
    ]
    for level in range(4):
        ours, theirs = f"neck/reassemble/{level}", f"neck.reassemble_stage.layers.{level}"
        rows += _point(f"{ours}/project", f"{theirs}.projection")
        if level < 2:
            rows += [
                Row(
                    f"{ours}/resize/product/kernel",
                    f"{theirs}.resize.weight",
                    lambda a: a.transpose(0, 2, 3, 1),
                    lambda a: a.transpose(0, 3, 1, 2),
                ),
                Row(f"{ours}/resize/bias", f"{theirs}.resize.bias"),
            ]
        elif level == 3:
            rows += key_table.conv(f"{ours}/resize", f"{theirs}.resize", bias=True)
        rows += key_table.conv(f"{ours}/out", f"neck.convs.{level}")
    for level in range(4):
        ours, theirs = f"neck/fuse/{level}", f"neck.fusion_stage.layers.{level}"
        for unit, number in ("skip", 1), ("refine", 2):
            if (unit, level) != ("skip", 0):
                for conv in (1, 2):
                    rows += key_table.conv(
                        f"{ours}/{unit}/conv{conv}",
                        f"{theirs}.residual_layer{number}.convolution{conv}",
                        bias=True,
                    )
        rows += _point(f"{ours}/project", f"{theirs}.projection")
    return [
        *rows,
        *key_table.conv("head/conv1", "head.conv1", bias=True),
        *key_table.conv("head/conv2", "head.conv2", bias=True),
        *_point("head/out", OUTPUT),
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
    rng: jax.Array | None = None,
) -> Params:
    """Parameters from the safetensors of a folder.

    Args:
      config: the model; `hf_config.read_config(folder)` makes one for published files. Its
        `scan_layers` decides whether the result is stacked.
      folder: where the files lie.
      abstract: dtypes and, if set, shardings of the result; default float32 on the first device.
      rng: draws the output layer where that of the files has another shape: for a start from a
        model with another output. Without it such files are refused.

    Raises FileNotFoundError or ValueError as `key_table.load` does.
    """
    abstract = config.build().abstract() if abstract is None else abstract
    rows, ignore = table(config), [re.escape(key) for key in unused(config)]
    output = abstract["head"]["out"]
    with TensorFolder(folder, rename=_published) as files:
        found = files.shapes.get(f"{OUTPUT}.weight", ())[:2]
        fresh = rng is not None and found != output["kernel"].shape[::-1]
        if fresh:
            rows = [row for row in rows if not row.theirs.startswith(OUTPUT)]
            ignore.append(rf"{re.escape(OUTPUT)}\..*")
            head = {name: layer for name, layer in abstract["head"].items() if name != "out"}
            abstract = {**abstract, "head": head}
        hint = "hf_config.read_config makes the config that a config.json describes"
        params = key_table.load(rows, files, abstract, str(folder), "|".join(ignore), hint)
    if fresh:
        model = config.build()
        drawn = jax.jit(lambda key: model.init(key)["head"]["out"])(rng)
        params["head"]["out"] = jax.tree.map(
            lambda value, like: jax.device_put(value.astype(like.dtype), like.sharding),
            drawn,
            output,
        )
    return params


def save(
    config: EncoderDecoderConfig, params: Params, folder: str | pathlib.Path
) -> list[pathlib.Path]:
    """Writes model.safetensors (float32), and of a depth model the config.json of transformers.

    Args:
      config: the model; `params` may be stacked or side by side whatever it says.
      params: from init, a checkpoint or `load`.
      folder: made when missing; files of these names are replaced.

    Returns the files. Raises ValueError as `key_table.save` does.
    """
    stacked = "0" not in params["backbone"]["layers"]
    expected = dataclasses.replace(config, scan_layers=stacked).build().abstract()
    described = describe(config) if isinstance(config, DepthAnythingConfig) else None
    return key_table.save(table(config), params, expected, folder, described, zeros=unused(config))


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
