"""From a registered name to a model's config."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from surgzoo.models import models


def model_config(name: str, overrides: Mapping[str, Any] | None = None) -> Any:
    """The frozen config of a registered model with some fields changed.

    A key may go down with dots ("vision.depth"). All changes are made at once, so that fields which
    depend on one another can be changed together. Raises ValueError with the nearest field name.
    """
    nested: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        level[last] = value
    return _replace(models.get(name)(), nested, name)


def _replace(config: Any, changes: Mapping[str, Any], where: str) -> Any:
    fields = [field.name for field in dataclasses.fields(config)]
    values = {}
    for key, value in changes.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.0)
            raise ValueError(f"{where}: no field '{key}'; nearest: {near[0]}")
        current = getattr(config, key)
        if dataclasses.is_dataclass(current) and isinstance(value, Mapping):
            value = _replace(current, value, f"{where}: {key}")
        elif isinstance(value, list):  # from JSON; configs must stay hashable
            value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
        values[key] = value
    return dataclasses.replace(config, **values)
