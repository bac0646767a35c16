"""The registry: one generic class, used for models, tasks and sources.

An entry is lazy: a `module:attribute` string that is imported when the entry is first asked for, so
that listing what exists imports nothing heavy. Its `Card` (licence, source, sizes) is cheap and
always there. Other packages join through the entry-point group `surgzoo.plugins`: each entry point
names a function that takes no argument and registers things, e.g. in their pyproject.toml

    [project.entry-points."surgzoo.plugins"]
    my_lab = "my_lab.surgzoo_plugin:register"
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

PLUGIN_GROUP = "surgzoo.plugins"


@dataclasses.dataclass(frozen=True)
class Card:
    """What a person must know before using a registered thing."""

    summary: str
    licence: str
    source: str  # paper section, dataset page or repository
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A name, where its object lives, its card and who registered it."""

    name: str
    target: str | Any
    card: Card
    origin: str = "surgzoo"


class UnknownNameError(KeyError):
    """An unknown name; the message lists the nearest ones."""

    def __str__(self) -> str:
        return self.args[0]


class Registry(Generic[T]):
    """Names of one kind of thing ("model", "task", "source") and how to get at them."""

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, target: str | Any, card: Card, origin: str = "surgzoo") -> None:
        """Adds an entry. `target` is "module:attribute" or the object itself.

        Raises ValueError when the name is taken, whoever took it.
        """
        if name in self._entries:
            taken = self._entries[name]
            raise ValueError(
                f"{self.kind} '{name}' is registered twice: by {taken.origin} ({taken.target}) and "
                f"by {origin} ({target}). Rename one of them."
            )
        self._entries[name] = Entry(name, target, card, origin)

    def entry(self, name: str) -> Entry:
        """The entry, its object not imported. Raises UnknownNameError with the nearest names."""
        load_plugins()
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, n=3, cutoff=0.4)
            hint = (
                f"Did you mean {', '.join(near)}?" if near else f"Known: {', '.join(self.names())}."
            )
            raise UnknownNameError(
                f"There is no {self.kind} '{name}'. {hint} (`surgzoo list {self.kind}s` shows all.)"
            )
        return self._entries[name]

    def get(self, name: str) -> T:
        """The object itself, imported now if it was not before."""
        target = self.entry(name).target
        return resolve(target) if isinstance(target, str) else target

    def names(self, pattern: str = "*") -> list[str]:
        """Sorted names that match a shell-style wildcard."""
        load_plugins()
        return sorted(fnmatch.filter(self._entries, pattern))

    def __contains__(self, name: str) -> bool:
        load_plugins()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter([self.entry(name) for name in self.names()])


def resolve(target: str) -> Any:
    """Imports "module:attribute"."""
    module, _, attribute = target.partition(":")
    if not attribute:
        raise ValueError(f"'{target}' is not of the form module:attribute")
    return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))


_plugins_loaded = False


def load_plugins() -> None:
    """Calls every entry point of the group once. A plug-in that fails is an error that names it."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True  # before the calls: a plug-in may look names up while it registers
    for point in importlib.metadata.entry_points(group=PLUGIN_GROUP):
        try:
            register: Callable[[], None] = point.load()
            register()
        except Exception as error:
            package = point.dist.name if point.dist else "?"
            raise RuntimeError(
                f"The plug-in '{point.name}' ({point.value}) of package {package} failed to "
                f"register: {error!r}. Uninstall or repair that package."
            ) from error
