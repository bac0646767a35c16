"""The config.json of the published files, in both directions."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from surgzoo.models.depth_anything_v2.config import (
    BackboneConfig,
    DepthAnythingConfig,
    InputConfig,
    NeckConfig,
)

FACTORS = [4, 2, 1, 0.5]
# What these fields must say, as the model here does nothing else; absent means the same.
_FIXED = {"reassemble_factors": FACTORS, "head_in_index": -1}
_BACKBONE_FIXED = {
    "model_type": "dinov2",
    "hidden_act": "gelu",
    "use_swiglu_ffn": False,
    "qkv_bias": True,
    "apply_layernorm": True,
    "num_channels": 3,
}


def read_config(folder: str | pathlib.Path, **changes: Any) -> DepthAnythingConfig:
    """The config that a folder's config.json describes, with some fields changed.

    Raises FileNotFoundError without the file, ValueError when it describes another architecture or
    a choice that is not built here, naming the field.
    """
    path = pathlib.Path(folder) / "config.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}. Get it again.") from error
    if said.get("model_type") != "depth_anything":
        raise ValueError(f"{path}: model_type '{said.get('model_type')}', not 'depth_anything'")
    backbone = said.get("backbone_config")
    if not isinstance(backbone, dict):
        raise ValueError(f"{path}: 'backbone_config' is missing; a 'backbone' by name is not read")
    for fields, fixed, where in (
        (said, _FIXED, ""), (backbone, _BACKBONE_FIXED, "backbone_config.")
    ):  # fmt: skip
        for key, value in fixed.items():
            if fields.get(key, value) != value:
                raise ValueError(
                    f"{path}: {where}{key} is {fields[key]}; only {value} is built here"
                )
    try:
        patch, width = backbone["patch_size"], backbone["hidden_size"]
        taps = backbone.get("out_indices")
        if taps is None:
            taps = [int(name.removeprefix("stage")) for name in backbone["out_features"]]
        metric = said.get("depth_estimation_type", "relative") == "metric"
        config = DepthAnythingConfig(
            backbone=BackboneConfig(
                width=width,
                depth=backbone.get("num_hidden_layers", 12),
                heads=backbone["num_attention_heads"],
                taps=tuple(taps),
                mlp_ratio=backbone.get("mlp_ratio", 4),
                patch=patch,
                grid=backbone["image_size"] // patch,
                norm_eps=backbone.get("layer_norm_eps", 1e-6),
            ),
            neck=NeckConfig(
                channels=tuple(said["neck_hidden_sizes"]),
                fusion=said["fusion_hidden_size"],
                head=said.get("head_hidden_size", 32),
            ),
            input=InputConfig(size=backbone["image_size"]),
            max_depth=float(said["max_depth"]) if metric else None,
        )
    except KeyError as error:
        raise ValueError(f"{path}: the field {error} is missing. Get the file again.") from error
    return dataclasses.replace(config, **changes)


def describe(config: DepthAnythingConfig) -> dict[str, Any]:
    """The fields of a config.json that transformers reads."""
    backbone, neck = config.backbone, config.neck
    return {
        "architectures": ["DepthAnythingForDepthEstimation"],
        "model_type": "depth_anything",
        "backbone_config": {
            **_BACKBONE_FIXED,
            "hidden_size": backbone.width,
            "num_hidden_layers": backbone.depth,
            "num_attention_heads": backbone.heads,
            "mlp_ratio": backbone.mlp_ratio,
            "patch_size": backbone.patch,
            "image_size": backbone.grid * backbone.patch,
            "layer_norm_eps": backbone.norm_eps,
            "out_indices": list(backbone.taps),
            "out_features": [f"stage{tap}" for tap in backbone.taps],
            "reshape_hidden_states": False,
        },
        **_FIXED,
        "patch_size": backbone.patch,
        "reassemble_hidden_size": backbone.width,
        "neck_hidden_sizes": list(neck.channels),
        "fusion_hidden_size": neck.fusion,
        "head_hidden_size": neck.head,
        "depth_estimation_type": "relative" if config.max_depth is None else "metric",
        "max_depth": 1 if config.max_depth is None else _whole(config.max_depth),
        "dtype": "float32",
    }


def _whole(depth: float) -> int | float:
    """transformers takes whole metres alone, as whole numbers."""
    return int(depth) if depth == int(depth) else depth
