"""Typed experiment configs with command-line overrides.

A config file is Python and defines `get_config()`, which returns a (nested, frozen) dataclass:

    surgzoo train --config=configs/synthsurg.py --config.optim.lr=1e-4 --config.steps=200

An override names a field by its path; the value is read by the field's type. An unknown field is an
error with the nearest name. `split_argv` takes the overrides out of the arguments before absl sees
them.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib.util
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

C = TypeVar("C")

PREFIX = "config"

command_line: dict[str, str] = {}  # the --config.* overrides of this process, for the programs


class ConfigError(ValueError):
    """A config file that cannot be loaded, or an override that does not fit."""


def load(path: str | Path, overrides: Mapping[str, str] | None = None) -> Any:
    """Runs `get_config()` of a config file and applies overrides ({"optim.lr": "1e-4"}).

    A path that does not exist is also looked for among the configs that the package ships. Raises
    ConfigError with the way out.
    """
    file = Path(path)
    if not file.exists():
        import surgzoo.configs

        shipped = [Path(folder) / file.name for folder in surgzoo.configs.__path__]
        found = [candidate for candidate in shipped if candidate.exists()]
        if not found:
            names = sorted({p.name for folder in shipped for p in folder.parent.glob("*.py")})
            raise ConfigError(
                f"There is no config file {path}. Shipped configs: {', '.join(names)}"
            )
        file = found[0]
    spec = importlib.util.spec_from_file_location(f"surgzoo_config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{file} defines no get_config()")
    config = module.get_config()
    if not dataclasses.is_dataclass(config):
        raise ConfigError(f"get_config() of {file} must return a dataclass, not {type(config)}")
    for key, text in (overrides or {}).items():
        config = override(config, key, text)
    return config


def override(config: C, key: str, text: str) -> C:
    """A copy of the config with one field, named by its dotted path, read from text."""
    return _override(config, key.split("."), text, key)


def _override(config: Any, path: list[str], text: str, key: str) -> Any:
    name, rest = path[0], path[1:]
    if isinstance(config, Mapping):
        return {**config, ".".join(path): _literal(text)}  # the keys of mappings may have dots
    if isinstance(config, tuple) and rest:
        if not name.isdigit() or int(name) >= len(config):
            raise ConfigError(f"--{PREFIX}.{key}: '{name}' is not an index below {len(config)}")
        index = int(name)
        return (*config[:index], _override(config[index], rest, text, key), *config[index + 1 :])
    if not dataclasses.is_dataclass(config):
        raise ConfigError(f"--{PREFIX}.{key}: '{type(config).__name__}' has no fields")
    fields = {field.name for field in dataclasses.fields(config)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)
        done = key.split(".")[: -len(path)]
        meant = ".".join([*done, near[0]]) if near else ""
        raise ConfigError(
            f"--{PREFIX}.{key}: there is no field '{name}'. Nearest: --{PREFIX}.{meant}. "
            f"Fields: {', '.join(sorted(fields))}"
        )
    if rest:
        value = _override(getattr(config, name), rest, text, key)
    else:
        hint = typing.get_type_hints(type(config))[name]
        try:
            value = _read(hint, text)
        except (ValueError, SyntaxError, TypeError) as error:
            raise ConfigError(f"--{PREFIX}.{key}={text}: not a {_show(hint)} ({error})") from None
    return dataclasses.replace(config, **{name: value})


def _show(hint: Any) -> str:
    return getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _read(hint: Any, text: str) -> Any:
    """A value of type `hint` from text."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        options = typing.get_args(hint)
        if type(None) in options and text in ("None", "none", ""):
            return None
        return _read(next(option for option in options if option is not type(None)), text)
    if origin is typing.Literal:
        if text not in typing.get_args(hint):
            raise ValueError(f"one of {', '.join(map(str, typing.get_args(hint)))}")
        return text
    if hint is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError("true or false")
        return text.lower() in ("true", "1")
    if hint is str:
        return text
    if hint is int:
        return int(text.replace("_", ""))
    if hint is float:
        return float(text)
    value = ast.literal_eval(text)
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise ValueError("a tuple such as (1, 2)")
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def split_argv(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--config.a.b=value` (or `--config.a.b value`) out of an argument list."""
    rest, overrides = [], {}
    arguments = iter(argv)
    for argument in arguments:
        stripped = argument.lstrip("-")
        if argument.startswith("-") and stripped.startswith(f"{PREFIX}."):
            name, equals, value = stripped[len(PREFIX) + 1 :].partition("=")
            if not equals:
                value = next(arguments, None)
                if value is None:
                    raise ConfigError(f"{argument} needs a value")
            overrides[name] = value
        else:
            rest.append(argument)
    return rest, overrides


def to_dict(config: Any) -> Any:
    """Plain JSON values of a config, for checkpoints' meta and reports."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_dict(item) for item in config]
    if isinstance(config, Mapping):
        return {key: to_dict(item) for key, item in config.items()}
    return config


def from_dict(kind: Any, value: Any) -> Any:
    """The inverse of `to_dict` for the dataclass `kind`. Raises ConfigError on an unknown field."""
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        options = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return None if value is None else from_dict(options[0], value)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise ConfigError(f"{kind.__name__} has no field {', '.join(unknown)}")
        return kind(**{name: from_dict(hints[name], item) for name, item in value.items()})
    if origin is tuple:
        args = typing.get_args(kind)
        inner = args[0] if args else Any
        return tuple(from_dict(inner, item) for item in value)
    return value


def dump(config: Any) -> str:
    """Indented JSON of a config."""
    return json.dumps(to_dict(config), indent=2)
