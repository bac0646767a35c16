"""The page of the ontology: every concept, and every native label that means it, with evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from surgzoo.core import pages
from surgzoo.db import ontology

_HERE = Path(__file__).parent


@dataclasses.dataclass
class Native:
    """One table row: the native label, and the sources whose tables include it beside its own."""

    row: ontology.Row
    also: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Entry:
    """A concept and its native labels. A triplet is no concept of its own: it has no note."""

    id: str
    name: str
    note: str
    natives: list[Native] = dataclasses.field(default_factory=list)

    @property
    def ours(self) -> bool:
        """Whether the note says that the concept itself, or its name, was decided here."""
        return ontology.OURS in self.note


@dataclasses.dataclass
class Kind:
    """All concepts of one kind, in the order of concepts.tsv."""

    name: str
    entries: list[Entry]

    @property
    def rows(self) -> int:
        return sum(len(entry.natives) for entry in self.entries)

    @property
    def ours(self) -> int:
        return sum(native.row.ours for entry in self.entries for native in entry.natives)


def collect(sources: Iterable[str]) -> list[Kind]:
    """Kinds in the order of `ontology.KINDS`, each concept with its rows in the given tables.

    A row that several tables share by include is listed once. Kinds without a row are left out.
    Raises as `ontology.rows` does.
    """
    entries: dict[str, dict[str, Entry]] = {kind: {} for kind in ontology.KINDS}
    for concept in ontology.concepts().values():
        entry = Entry(concept.id, concept.name, concept.note)
        entries[concept.kind][concept.id] = entry
    placed: dict[tuple[str, int], Native] = {}
    included: list[tuple[str, ontology.Row]] = []
    for source in sources:
        for row in ontology.rows(source):
            if row.table != source:
                included.append((source, row))
                continue
            native = placed[row.table, row.line] = Native(row)
            _entry(entries, row).natives.append(native)
    for source, row in included:  # after all others, as a table may come before what it includes
        if (row.table, row.line) not in placed:
            native = placed[row.table, row.line] = Native(row)
            _entry(entries, row).natives.append(native)
        placed[row.table, row.line].also.append(source)
    kinds = [Kind(kind, list(found.values())) for kind, found in entries.items()]
    return [kind for kind in kinds if kind.rows]


def _entry(entries: dict[str, dict[str, Entry]], row: ontology.Row) -> Entry:
    if row.kind != "triplet":
        return entries[row.kind][row.concept]
    if row.concept not in entries["triplet"]:
        parts = zip(ontology.TRIPLET, row.concept.split(","), strict=True)
        shown = " ".join(ontology.name(kind, part) for kind, part in parts)
        entries["triplet"][row.concept] = Entry(row.concept, shown, "")
    return entries["triplet"][row.concept]


def html(sources: Iterable[str] | None = None) -> str:
    """The page as text: one HTML document that needs nothing beside itself.

    Args:
      sources: names of tables; all of them by default.
    """
    names = tuple(sources) if sources is not None else ontology.sources()
    template = pages.environment(_HERE).get_template("page.html")
    return template.render(
        kinds=collect(names),
        concepts=len(ontology.concepts()),
        sources=names,
        ours=ontology.OURS,
    )


def write(path: str | Path) -> Path:
    """Writes the page of all tables and returns its path."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html(), encoding="utf-8")
    return path
