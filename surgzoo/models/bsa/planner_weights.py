"""The planner's weights in files of its own: nobody else has such."""

from __future__ import annotations

import dataclasses
import pathlib

import jax
from jaxtyping import PyTree

from surgzoo.models import key_table
from surgzoo.models.base import Params
from surgzoo.models.bsa.config import PlannerConfig
from surgzoo.models.bsa.weights import attention, expected
from surgzoo.models.key_table import Row, dense, norm
from surgzoo.models.tensor_files import TensorFolder


def table() -> list[Row]:
    """The planner's keys are our paths: nobody else has such weights."""
    layer = "layers/{}"
    return [
        Row("action/kernel", "action.weight", lambda a: a.T, lambda a: a.T),
        Row("start", "start"),
        Row("place", "place"),
        *norm(f"{layer}/norm1", "layers.{}.norm1"),
        *attention(f"{layer}/attention", "layers.{}.attention"),
        *norm(f"{layer}/norm2", "layers.{}.norm2"),
        *dense(f"{layer}/mlp/fc1", "layers.{}.mlp.fc1"),
        *dense(f"{layer}/mlp/fc2", "layers.{}.mlp.fc2"),
        *norm("norm", "norm"),
        *dense("next", "next"),
    ]


def load(
    config: PlannerConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    rng: jax.Array | None = None,
) -> Params:
    """Parameters that `save` wrote; they lack nothing. Raises as `key_table.load` does."""
    del rng
    abstract = config.build().abstract() if abstract is None else abstract
    hint = "config.json beside them tells the sizes"
    with TensorFolder(folder) as files:
        return key_table.load(table(), files, abstract, str(folder), hint=hint)


def save(config: PlannerConfig, params: Params, folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Writes model.safetensors and config.json. Raises as `key_table.save` does."""
    described = {"model_type": "bsa_planner"} | dataclasses.asdict(config)
    return key_table.save(table(), params, expected(config, params), folder, described)
