"""Weights of the temporal models, in the keys of the authors' MS-TCN (stage1.*, stages.N.*)."""

from __future__ import annotations

import dataclasses
import pathlib

import jax
from jaxtyping import PyTree

from surgzoo.models import key_table
from surgzoo.models.base import Params
from surgzoo.models.key_table import Row
from surgzoo.models.temporal.config import TemporalConfig
from surgzoo.models.tensor_files import TensorFolder


def table(config: TemporalConfig) -> list[Row]:
    """The rows of all stages."""
    rows: list[Row] = []
    for number in range(config.stages):
        ours, theirs = f"stage{number}", f"stages.{number - 1}" if number else "stage1"
        rows += _single(f"{ours}/inward", f"{theirs}.conv_1x1")
        rows += [
            Row(  # [out, in, tap] <-> [tap * in, out]
                f"{ours}/layers/{{}}/dilated/kernel",
                f"{theirs}.layers.{{}}.conv_dilated.weight",
                lambda a: a.transpose(2, 1, 0).reshape(-1, a.shape[0]),
                lambda a: a.reshape(3, -1, a.shape[1]).transpose(2, 1, 0),
            ),
            Row(f"{ours}/layers/{{}}/dilated/bias", f"{theirs}.layers.{{}}.conv_dilated.bias"),
        ]
        rows += _single(f"{ours}/layers/{{}}/mix", f"{theirs}.layers.{{}}.conv_1x1")
        rows += _single(f"{ours}/outward", f"{theirs}.conv_out")
    return rows


def _single(ours: str, theirs: str) -> list[Row]:
    """A convolution of one frame: [out, in, 1] <-> [in, out]."""
    kernel = Row(
        f"{ours}/kernel", f"{theirs}.weight", lambda a: a[..., 0].T, lambda a: a.T[..., None]
    )
    return [kernel, Row(f"{ours}/bias", f"{theirs}.bias")]


def load(
    config: TemporalConfig,
    folder: str | pathlib.Path,
    abstract: PyTree[jax.ShapeDtypeStruct] | None = None,
    rng: jax.Array | None = None,
) -> Params:
    """Parameters from safetensors. Raises as `key_table.load` does."""
    del rng  # files of this family lack nothing
    abstract = config.build().abstract() if abstract is None else abstract
    hint = "config.json beside them, if `save` wrote them, tells the sizes"
    with TensorFolder(folder) as files:
        return key_table.load(table(config), files, abstract, str(folder), hint=hint)


def save(config: TemporalConfig, params: Params, folder: str | pathlib.Path) -> list[pathlib.Path]:
    """Writes model.safetensors and config.json. Raises as `key_table.save` does."""
    described = {"model_type": "causal_ms_tcn"} | dataclasses.asdict(config)
    return key_table.save(table(config), params, config.build().abstract(), folder, described)
