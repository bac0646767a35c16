"""Starting from an adapter that was trained elsewhere: `model.adapter`, beside `model.weights`."""

from __future__ import annotations

import dataclasses

import jax
from jaxtyping import PyTree

from surgzoo.models.architecture import Architecture
from surgzoo.models.build import model_config
from surgzoo.train.experiment import ModelConfig
from surgzoo.train.state import Tree


def with_lora(settings: ModelConfig) -> ModelConfig:
    """The settings with `overrides.lora` as the folder of `adapter` says; without one, as they are.

    So a run's config.json holds all of the model, and its checkpoints need the folder no more.

    Raises FileNotFoundError when the folder holds no adapter; ValueError without base weights, for
    a model that reads no adapters, and when `overrides.lora` says something else.
    """
    if not settings.adapter:
        return settings
    if not settings.weights:
        raise ValueError(
            f"model.adapter ({settings.adapter}) changes weights: say which with model.weights, "
            "the folder of the base that it was trained on"
        )
    architecture = model_config(settings.name, settings.overrides)
    if not hasattr(architecture, "adapter_lora"):
        raise ValueError(f"model.adapter: {settings.name} reads no adapters in peft's form")
    lora = architecture.adapter_lora(settings.adapter)
    if architecture.lora is not None:  # the same in other words, perhaps
        return settings
    overrides = {**settings.overrides, "lora": dataclasses.asdict(lora)}
    return dataclasses.replace(settings, overrides=overrides)


def load_weights(
    settings: ModelConfig,
    architecture: Architecture,
    abstract: PyTree[jax.ShapeDtypeStruct],
    rng: jax.Array,
) -> Tree:
    """The weights, and the adapter if there is one, placed as `abstract` says.

    `settings` are those of `with_lora`, `architecture` is the model of them.
    """
    params = architecture.load_weights(settings.weights, abstract, rng)
    if settings.adapter:
        params = architecture.load_adapter(params, settings.adapter, abstract)
    return params
