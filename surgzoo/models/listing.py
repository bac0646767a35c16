"""The registered models as users list them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from surgzoo.models import models

COLUMNS = ("family", "variant", "parameters", "reads", "tasks", "licence")


class ModelList(list[str]):
    """Names of models that print as a table. `rows` has the cells, whole."""

    @property
    def rows(self) -> list[dict[str, str]]:
        return [_row(name) for name in self]

    def __str__(self) -> str:
        shown = [[_short(row[name], name) for name in COLUMNS] for row in self.rows]
        return columns([list(COLUMNS), *shown])

    __repr__ = __str__


def list_models(pattern: str = "*") -> ModelList:
    """The names of registered models that match a shell-style wildcard, by family; plug-ins' too.

        >>> surgzoo.list_models("siglip2-*")         # prints as a table
        >>> [surgzoo.create_model(name) for name in surgzoo.list_models("*")]

    Nothing is imported but the cards.
    """
    return ModelList(sorted(models.names(pattern), key=lambda name: (_row(name)["family"], name)))


def _row(name: str) -> dict[str, str]:
    card = models.entry(name).card
    cells = {key: str(card.details.get(key, "?")) for key in ("family", "parameters", "reads")}
    tasks = ", ".join(card.details.get("tasks", "?")) or "–"
    return cells | {"variant": name, "tasks": tasks, "licence": card.licence}


def _short(cell: str, column: str) -> str:
    width = {"tasks": 40, "licence": 56}.get(column, 99)
    return textwrap.shorten(cell, width, placeholder=" …")


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Cells below one another, the first line as head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
