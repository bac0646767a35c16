"""Weights of the video model in the keys of transformers' Timesformer, and those of the planner."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import warnings
from typing import Any

import jax
from jaxtyping import PyTree

from surgzoo.models import key_table
from surgzoo.models.base import Params
from surgzoo.models.bsa.config import BSAConfig, PlannerConfig
from surgzoo.models.key_table import Row, dense, norm, packed_qkv
from surgzoo.models.tensor_files import TensorFolder

HEADS = {  # our path -> their key; transformers knows the first and leaves out the others
    "action": "classifier",
    "balanced_action": "balanced_classifier",
    "skill": "skill_classifier",
}
_OURS = "surgzoo"  # the key of config.json that holds what transformers has no name for


def table(config: BSAConfig) -> list[Row]:
    """The rows of the tower, then those of the heads that the config has."""
    ours, theirs = "video/layers/{}", "timesformer.encoder.layer.{}"
    embeddings = "timesformer.embeddings"
    kernel = (config.patch, config.patch, 3)
    tower = [
        Row("video/whole", f"{embeddings}.cls_token", lambda a: a[0, 0], lambda a: a[None, None]),
        Row("video/place", f"{embeddings}.position_embeddings", lambda a: a[0], lambda a: a[None]),
        Row("video/moment", f"{embeddings}.time_embeddings", lambda a: a[0], lambda a: a[None]),
        Row(  # [out, channel, y, x] <-> [y * x * channel, out]
            "video/patch/kernel",
            f"{embeddings}.patch_embeddings.projection.weight",
            lambda a: a.transpose(2, 3, 1, 0).reshape(-1, a.shape[0]),
            lambda a: a.reshape(*kernel, -1).transpose(3, 2, 0, 1),
        ),
        Row("video/patch/bias", f"{embeddings}.patch_embeddings.projection.bias"),
        *norm(f"{ours}/time_norm", f"{theirs}.temporal_layernorm"),
        *attention(f"{ours}/time", f"{theirs}.temporal_attention"),
        *dense(f"{ours}/time_dense", f"{theirs}.temporal_dense"),
        *norm(f"{ours}/space_norm", f"{theirs}.layernorm_before"),
        *attention(f"{ours}/space", f"{theirs}.attention"),
        *norm(f"{ours}/norm", f"{theirs}.layernorm_after"),
        *dense(f"{ours}/mlp/fc1", f"{theirs}.intermediate.dense"),
        *dense(f"{ours}/mlp/fc2", f"{theirs}.output.dense"),
        *norm("video/norm", "timesformer.layernorm"),
    ]
    there = {"action": True, "balanced_action": config.dual, "skill": config.skills > 0}
    heads = [row for name, key in HEADS.items() if there[name] for row in dense(name, key)]
    return tower + heads


def attention(ours: str, theirs: str) -> list[Row]:
    qkv = f"{theirs}.attention.qkv"
    return [
        *packed_qkv(f"{ours}/qkv", f"{qkv}.weight", f"{qkv}.bias"),
        *dense(f"{ours}/out", f"{theirs}.output.dense"),
    ]


def load(
    config: BSAConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    rng: jax.Array | None = None,
) -> Params:
    """Parameters from a folder that `save` or transformers wrote.

    Args:
      config: the model; `read_config(folder)` makes one.
      folder: with safetensors.
      abstract: dtypes and, if set, shardings of the result; default float32 on the first device.
      rng: draws the heads that the files lack or have in another shape, as those of Kinetics,
        with a warning that names them. Without it they are an error. A head of the same shape is
        read, whatever its labels were.

    Raises FileNotFoundError or ValueError as `key_table.load` does.
    """
    abstract = config.build().abstract() if abstract is None else abstract
    rows = table(config)
    with TensorFolder(folder) as files:
        drawn = [] if rng is None else _unfit(abstract, files)
        hint = "`read_config` makes the config of a folder"
        if rng is None:
            hint += "; with `rng` heads that do not fit are drawn anew"
        strangers = [] if rng is None else [HEADS[name] for name in HEADS if name not in abstract]
        ignored = [re.escape(key) for key in (*(HEADS[name] for name in drawn), *strangers)]
        params = key_table.load(
            rows,
            files,
            {name: part for name, part in abstract.items() if name not in drawn},
            str(folder),
            ignore=rf"({'|'.join(ignored)})\..*" if ignored else r"$.",
            hint=hint,
        )
    if not drawn:
        return params
    warnings.warn(f"{folder} has no fitting {', '.join(drawn)}: drawn anew", stacklevel=2)
    model = config.build()
    fresh = jax.jit(lambda key: {k: v for k, v in model.init(key).items() if k in drawn})(rng)

    def placed(value, like):
        return jax.device_put(value.astype(like.dtype), like.sharding)

    return params | jax.tree.map(placed, fresh, {k: abstract[k] for k in fresh})


def _unfit(abstract: PyTree[jax.ShapeDtypeStruct], files: TensorFolder) -> list[str]:
    """The heads that the files lack or have in another shape."""

    def fits(name: str) -> bool:
        kernel, bias = (abstract[name][part].shape for part in ("kernel", "bias"))
        found = [files.shapes.get(f"{HEADS[name]}.{part}") for part in ("weight", "bias")]
        return found == [kernel[::-1], bias]

    return [name for name in HEADS if name in abstract and not fits(name)]


def save(config: BSAConfig, params: Params, folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Writes model.safetensors and config.json, for `load` and for transformers' Timesformer.

    transformers reads the tower and the first head and names the keys of the other heads as not
    used. Raises ValueError when the parameters are not those of the config.
    """
    return key_table.save(table(config), params, expected(config, params), folder, describe(config))


def describe(config: BSAConfig) -> dict[str, Any]:
    """The content of config.json."""
    return {
        "architectures": ["TimesformerForVideoClassification"],
        "model_type": "timesformer",
        "attention_type": "divided_space_time",
        "image_size": config.image_size,
        "patch_size": config.patch,
        "num_channels": 3,
        "num_frames": config.frames,
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": config.norm_eps,
        "id2label": {str(i): f"LABEL_{i}" for i in range(config.actions)},
        "label2id": {f"LABEL_{i}": i for i in range(config.actions)},
        _OURS: {"dual": config.dual, "skills": config.skills},
    }


def read_config(folder: str | pathlib.Path, **changes: Any) -> BSAConfig:
    """The config of a folder's config.json; one of transformers has a single head.

    `changes` are further fields of `BSAConfig`. Raises ValueError, naming the file, for another
    kind of model.
    """
    path = pathlib.Path(folder) / "config.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    wanted = {
        "model_type": "timesformer",
        "attention_type": "divided_space_time",
        "hidden_act": "gelu",
        "qkv_bias": True,
        "num_channels": 3,
    }
    # Written by transformers, a config.json leaves nothing of these out but the model's type.
    defaults = wanted | {"model_type": None}
    for key, value in wanted.items():
        if found.get(key, defaults[key]) != value:
            raise ValueError(f"{path}: {key} is {found.get(key)!r}; this family has {value!r} only")
    ours = found.get(_OURS, {"dual": False, "skills": 0})
    fields: dict[str, Any] = {
        "actions": len(found["id2label"]) if "id2label" in found else 2,  # transformers' default
        "skills": ours["skills"],
        "dual": ours["dual"],
        "width": found["hidden_size"],
        "depth": found["num_hidden_layers"],
        "heads": found["num_attention_heads"],
        "mlp": found["intermediate_size"],
        "frames": found["num_frames"],
        "image_size": found["image_size"],
        "patch": found["patch_size"],
        "norm_eps": found["layer_norm_eps"],
    }
    return BSAConfig(**fields | changes)


def expected(config: BSAConfig | PlannerConfig, params: Params) -> PyTree[jax.ShapeDtypeStruct]:
    """Shapes of the config's parameters, layers stacked or side by side as `params` has them."""
    tower = params.get("video", params)
    stacked = "0" not in tower["layers"]
    return dataclasses.replace(config, scan_layers=stacked).build().abstract()
