"""Safetensors in and out: the key rows of transformers' CLIPModel, SiglipModel and Siglip2Model."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
from jaxtyping import PyTree

from surgzoo.models import key_table
from surgzoo.models.base import Params
from surgzoo.models.clip.config import DualEncoderConfig
from surgzoo.models.clip.hf_config import write_config
from surgzoo.models.clip.processor import tokenizer_file
from surgzoo.models.key_table import Row, dense, norm, packed_qkv
from surgzoo.models.tensor_files import TensorFolder

# Buffers that older files carry.
_IGNORE = r"(text|vision)_model\.embeddings\.position_ids"


def _layer(ours: str, theirs: str) -> list[Row]:
    attention = f"{theirs}.self_attn"
    return [
        *norm(f"{ours}/norm1", f"{theirs}.layer_norm1"),
        *dense(f"{ours}/attention/q", f"{attention}.q_proj"),
        *dense(f"{ours}/attention/k", f"{attention}.k_proj"),
        *dense(f"{ours}/attention/v", f"{attention}.v_proj"),
        *dense(f"{ours}/attention/out", f"{attention}.out_proj"),
        *norm(f"{ours}/norm2", f"{theirs}.layer_norm2"),
        *dense(f"{ours}/mlp/fc1", f"{theirs}.mlp.fc1"),
        *dense(f"{ours}/mlp/fc2", f"{theirs}.mlp.fc2"),
    ]


def _patch(config: DualEncoderConfig) -> Row:
    """[out, channel, y, x], or [out, (y x channel)] of naflex files, <-> [(y x channel), out]."""
    ours, theirs = "vision/patch/kernel", "vision_model.embeddings.patch_embedding.weight"
    if config.naflex_files:
        return Row(ours, theirs, lambda a: a.T, lambda a: a.T)
    size = config.vision.patch
    return Row(
        ours,
        theirs,
        lambda a: a.transpose(2, 3, 1, 0).reshape(-1, a.shape[0]),
        lambda a: a.reshape(size, size, 3, -1).transpose(3, 2, 0, 1),
    )


def _probe() -> list[Row]:
    """SigLIP's pooling."""
    ours, theirs = "vision/pool", "vision_model.head"
    return [
        Row(
            f"{ours}/query",
            f"{theirs}.probe",
            lambda a: a.reshape(-1),
            lambda a: a.reshape(1, 1, -1),
        ),
        *packed_qkv(
            f"{ours}/qkv",
            f"{theirs}.attention.in_proj_weight",
            f"{theirs}.attention.in_proj_bias",
        ),
        *dense(f"{ours}/out", f"{theirs}.attention.out_proj"),
        *norm(f"{ours}/norm", f"{theirs}.layernorm"),
        *dense(f"{ours}/mlp/fc1", f"{theirs}.mlp.fc1"),
        *dense(f"{ours}/mlp/fc2", f"{theirs}.mlp.fc2"),
    ]


def text_rows(config: DualEncoderConfig) -> list[Row]:
    """The rows of the text tower, which another image tower may stand beside."""
    text, clip = "text_model", config.style == "clip"
    return [
        Row("text/embedding", f"{text}.embeddings.token_embedding.weight"),
        Row("text/position", f"{text}.embeddings.position_embedding.weight"),
        *_layer("text/layers/{}", f"{text}.encoder.layers.{{}}"),
        *norm("text/norm", f"{text}.final_layer_norm"),
        *dense("text/project", "text_projection" if clip else f"{text}.head", bias=not clip),
    ]


def table(config: DualEncoderConfig) -> list[Row]:
    """The rows of a model."""
    vision = "vision_model"
    rows = [
        *text_rows(config),
        _patch(config),
        Row("vision/position", f"{vision}.embeddings.position_embedding.weight"),
        *_layer("vision/layers/{}", f"{vision}.encoder.layers.{{}}"),
        *norm("vision/norm", f"{vision}.post_layernorm"),
    ]
    if config.style == "clip":
        return [
            *rows,
            Row("vision/first", f"{vision}.embeddings.class_embedding"),
            *norm("vision/pre_norm", f"{vision}.pre_layrnorm"),  # their spelling
            *dense("vision/project", "visual_projection", bias=False),
            Row("log_scale", "logit_scale"),
        ]
    scalar = (lambda a: a.reshape(()), lambda a: a.reshape(1))
    return [
        *rows,
        Row("vision/patch/bias", f"{vision}.embeddings.patch_embedding.bias"),
        *_probe(),
        Row("log_scale", "logit_scale", *scalar),
        Row("bias", "logit_bias", *scalar),
    ]


def load(
    config: DualEncoderConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    rng: jax.Array | None = None,
) -> Params:
    """Parameters from the safetensors of a folder.

    `abstract` has dtypes and, if set, shardings of the result; default float32, first device.

    Raises FileNotFoundError without weights, ValueError for damaged files and, with a list, for
    missing, unexpected and wrongly shaped keys.
    """
    del rng  # files of this family lack nothing
    abstract = config.build().abstract() if abstract is None else abstract
    with TensorFolder(folder) as files:
        return key_table.load(table(config), files, abstract, str(folder), _IGNORE)


def save(
    config: DualEncoderConfig,
    params: Params,
    folder: str | pathlib.Path,
    *,
    tokenizer: str | pathlib.Path | None = None,
) -> list[pathlib.Path]:
    """Writes float32 safetensors, config.json and, where one is known, tokenizer.json.

    `tokenizer` is the folder or file to copy tokenizer.json from; default the config's. Returns the
    files. Raises ValueError when the parameters are not those of `config`.
    """
    source = tokenizer or config.tokenizer
    source = None if source is None else tokenizer_file(source)
    described: dict[str, Any] = write_config(config)
    abstract = config.build().abstract()
    return key_table.save(table(config), params, abstract, folder, described, source)
