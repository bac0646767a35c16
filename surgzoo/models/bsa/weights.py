"""Weights of the video model in the keys of transformers' Timesformer, and those of the planner."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
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
        *_attention(f"{ours}/time", f"{theirs}.temporal_attention"),
        *dense(f"{ours}/time_dense", f"{theirs}.temporal_dense"),
        *norm(f"{ours}/space_norm", f"{theirs}.layernorm_before"),
        *_attention(f"{ours}/space", f"{theirs}.attention"),
        *norm(f"{ours}/norm", f"{theirs}.layernorm_after"),
        *dense(f"{ours}/mlp/fc1", f"{theirs}.intermediate.dense"),
        *dense(f"{ours}/mlp/fc2", f"{theirs}.output.dense"),
        *norm("video/norm", "timesformer.layernorm"),
    ]
    there = {"action": True, "balanced_action": config.dual, "skill": config.skills > 0}
    heads = [row for name, key in HEADS.items() if there[name] for row in dense(name, key)]
    return tower + heads


def _attention(ours: str, theirs: str) -> list[Row]:
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
      rng: with it the tower alone is read and the heads are drawn anew: for weights that were
        trained for other labels, such as those of Kinetics.

    Raises FileNotFoundError or ValueError as `key_table.load` does.
    """
    abstract = config.build().abstract() if abstract is None else abstract
    rows = table(config)
    with TensorFolder(folder) as files:
        if rng is None:
            hint = "`read_config` makes the config of a folder; with `rng` its heads are left out"
            return key_table.load(rows, files, abstract, str(folder), hint=hint)
        heads = tuple(f"{key}." for key in HEADS.values())
        tower = key_table.load(
            [row for row in rows if not row.theirs.startswith(heads)],
            files,
            {"video": abstract["video"]},
            str(folder),
            ignore="|".join(f"{re.escape(head)}.*" for head in heads),
            hint="`read_config` makes the config of a folder",
        )
    model = config.build()
    fresh = jax.jit(lambda key: {k: v for k, v in model.init(key).items() if k in HEADS})(rng)

    def placed(value, like):
        return jax.device_put(value.astype(like.dtype), like.sharding)

    return tower | jax.tree.map(placed, fresh, {k: abstract[k] for k in fresh})


def save(config: BSAConfig, params: Params, folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Writes model.safetensors and config.json, for `load` and for transformers' Timesformer.

    transformers reads the tower and the first head and names the keys of the other heads as not
    used. Raises ValueError when the parameters are not those of the config.
    """
    return key_table.save(
        table(config), params, _expected(config, params), folder, describe(config)
    )


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
        _OURS: {
            "dual": config.dual,
            "skills": config.skills,
            "action_counts": config.action_counts,
        },
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
    ours = found.get(_OURS, {"dual": False, "skills": 0, "action_counts": None})
    counts = ours["action_counts"]
    fields: dict[str, Any] = {
        "actions": len(found["id2label"]) if "id2label" in found else 2,  # transformers' default
        "skills": ours["skills"],
        "dual": ours["dual"],
        "action_counts": None if counts is None else tuple(counts),
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


def planner_table() -> list[Row]:
    """The planner's keys are our paths: nobody else has such weights."""
    layer = "layers/{}"
    return [
        Row("action/kernel", "action.weight", lambda a: a.T, lambda a: a.T),
        Row("start", "start"),
        Row("place", "place"),
        *norm(f"{layer}/norm1", "layers.{}.norm1"),
        *_attention(f"{layer}/attention", "layers.{}.attention"),
        *norm(f"{layer}/norm2", "layers.{}.norm2"),
        *dense(f"{layer}/mlp/fc1", "layers.{}.mlp.fc1"),
        *dense(f"{layer}/mlp/fc2", "layers.{}.mlp.fc2"),
        *norm("norm", "norm"),
        *dense("next", "next"),
    ]


def load_planner(
    config: PlannerConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
) -> Params:
    """Parameters that `save_planner` wrote. Raises as `key_table.load` does."""
    abstract = config.build().abstract() if abstract is None else abstract
    hint = "config.json beside them tells the sizes"
    with TensorFolder(folder) as files:
        return key_table.load(planner_table(), files, abstract, str(folder), hint=hint)


def save_planner(
    config: PlannerConfig, params: Params, folder: str | pathlib.Path
) -> list[pathlib.Path]:
    """Writes model.safetensors and config.json. Raises as `key_table.save` does."""
    described = {"model_type": "bsa_planner"} | dataclasses.asdict(config)
    return key_table.save(planner_table(), params, _expected(config, params), folder, described)


def _expected(config: BSAConfig | PlannerConfig, params: Params) -> PyTree[jax.ShapeDtypeStruct]:
    """Shapes of the config's parameters, layers stacked or side by side as `params` has them."""
    tower = params.get("video", params)
    stacked = "0" not in tower["layers"]
    return dataclasses.replace(config, scan_layers=stacked).build().abstract()
