"""From a registered name to a model's config."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any

from surgzoo.models import models
from surgzoo.models.architecture import Architecture


def create_model(name: str, **overrides: Any) -> Architecture:
    """A registered model: its sizes and choices as a frozen config, and where its parts are.

        architecture = surgzoo.create_model("clip-tiny", vision={"depth": 2})
        model = architecture.build()                     # verbs: embed_image, embed_text, ...
        params = model.init(jax.random.key(0))           # or architecture.load_weights(folder)
        processor = architecture.processor()             # frames and texts to arrays
        images = model.embed_image(params, processor.images(frames))

    Nothing is allocated before `init` or `load_weights`, whatever the size; `model.abstract()` has
    the shapes. Parameters are a plain dict of arrays, and the verbs are pure functions of it
    (`models/base.py`), so they go through `jax.jit`, `jax.grad` and shardings as they are.

    Args:
      name: as `surgzoo.list_models()` has it.
      overrides: fields of the config, as in `model_config`.

    Raises UnknownNameError with the nearest names, ValueError with the nearest field.
    """
    return model_config(name, overrides)


def model_config(name: str, overrides: Mapping[str, Any] | None = None) -> Architecture:
    """The frozen config of a registered model with some fields changed.

    A key may go down with dots ("vision.depth"), a value may be a mapping of further fields
    ({"vision": {"depth": 2}}). All changes are made at once, so that fields which depend on one
    another can be changed together. A field that holds None and may hold a config, such as `lora`,
    starts from that config's defaults. Raises ValueError with the nearest field name.
    """
    nested: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        _put(nested, key, value)
    return _replace(models.get(name)(), nested, name)


def _put(nested: dict[str, Any], key: str, value: Any) -> None:
    """Adds one override to the nested ones; those that are there under other names stay."""
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(nested.setdefault(parent, {}), dict):
            raise ValueError(f"override '{key}' goes into '{parent}', which another one sets whole")
        nested = nested[parent]
    if isinstance(value, Mapping):
        nested.setdefault(last, {})
        for inner, item in value.items():
            _put(nested, f"{last}.{inner}", item)
    else:
        nested[last] = value


def _replace(config: Any, changes: Mapping[str, Any], where: str) -> Any:
    fields = [field.name for field in dataclasses.fields(config)]
    values = {}
    for key, value in changes.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.0)
            raise ValueError(f"{where}: no field '{key}'; nearest: {near[0]}")
        if isinstance(value, Mapping):
            current = getattr(config, key)
            current = _default(config, key) if current is None else current
            if not dataclasses.is_dataclass(current):
                raise ValueError(f"{where}: '{key}' has no fields to set ({', '.join(value)})")
            value = _replace(current, value, f"{where}: {key}")
        elif isinstance(value, list):  # from JSON; configs must stay hashable
            value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
        values[key] = value
    return dataclasses.replace(config, **values)


def _default(config: Any, key: str) -> Any:
    """What the field's type makes by itself, when it is a config or None; otherwise None."""
    hint = typing.get_type_hints(type(config))[key]
    kinds = [kind for kind in typing.get_args(hint) if dataclasses.is_dataclass(kind)]
    return kinds[0]() if kinds else None
