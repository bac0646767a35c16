"""The ontology: canonical concepts, and one table a source from its native labels to them.

Files beside this one (tab separated, UTF-8, `#` starts a comment line):

  concepts.tsv   kind, concept, name, note        one row a canonical concept; `name` is what is
  shown
                                                  to people and models ("cystic duct")
  <source>.tsv   kind, native, concept, evidence  one row a native label, in the source's own order;
                                                  `evidence` says where the mapping comes from

Kinds: instrument, verb, target, tissue, phase, step, action, criterion, specialty, procedure,
triplet. A triplet row's native and concept are three names joined by commas.
Nothing is mapped silently: a native label without a row raises `UnmappedLabelError`. A source of an
outside package calls `add_tables` with its own folder of the same two kinds of file.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
from pathlib import Path

from surgzoo.db.schema import Label

KINDS = (
    "instrument",
    "verb",
    "target",
    "tissue",
    "phase",
    "step",
    "action",
    "criterion",
    "specialty",
    "procedure",
    "triplet",
)

_FOLDERS: list[Path] = [Path(__file__).parent]


class UnmappedLabelError(ValueError):
    """A native label that no table maps, or a table row that names no concept."""


@dataclasses.dataclass(frozen=True, slots=True)
class Concept:
    """A canonical concept: unique by (kind, id)."""

    kind: str
    id: str
    name: str
    note: str


def add_tables(folder: str | Path) -> None:
    """Adds a folder with `<source>.tsv` tables (and an optional concepts.tsv of new concepts)."""
    folder = Path(folder)
    if folder not in _FOLDERS:
        _FOLDERS.append(folder)
        concepts.cache_clear()
        table.cache_clear()


def _rows(path: Path, width: int) -> list[tuple[int, list[str]]]:
    rows = []
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t"), start=1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) != width or row[0] not in KINDS:
                raise ValueError(
                    f"{path}, line {number}: need {width} tab-separated columns beginning with one "
                    f"of {', '.join(KINDS)}; found {row}"
                )
            rows.append((number, row))
    return rows


@functools.cache
def concepts() -> dict[tuple[str, str], Concept]:
    """All concepts by (kind, id). A concept given twice is an error that names both lines."""
    out: dict[tuple[str, str], Concept] = {}
    for folder in _FOLDERS:
        path = folder / "concepts.tsv"
        if not path.exists():
            continue
        for number, (kind, concept, name, note) in _rows(path, 4):
            if (kind, concept) in out:
                raise ValueError(f"{path}, line {number}: {kind} '{concept}' is given twice")
            out[kind, concept] = Concept(kind, concept, name, note)
    return out


@functools.cache
def table(source: str) -> dict[tuple[str, str], str]:
    """(kind, native) -> concept id of one source, in file order."""
    for folder in reversed(_FOLDERS):
        path = folder / f"{source}.tsv"
        if path.exists():
            break
    else:
        looked = ", ".join(str(folder) for folder in _FOLDERS)
        raise FileNotFoundError(f"No ontology table {source}.tsv in {looked}")
    out: dict[tuple[str, str], str] = {}
    for number, (kind, native, concept, _) in _rows(path, 4):
        if (kind, native) in out:
            raise ValueError(f"{path}, line {number}: {kind} '{native}' is mapped twice")
        if kind != "triplet" and (kind, concept) not in concepts():
            raise UnmappedLabelError(
                f"{path}, line {number}: there is no {kind} '{concept}' in concepts.tsv; add it"
            )
        out[kind, native] = concept
    return out


def label(source: str, kind: str, native: str) -> Label:
    """The label of a native string. Raises UnmappedLabelError that names the file to edit."""
    try:
        return Label(table(source)[kind, native], native)
    except KeyError:
        known = [n for k, n in table(source) if k == kind]
        raise UnmappedLabelError(
            f"{source} has no mapping for the {kind} '{native}'. Known: "
            f"{', '.join(known) or 'none'}. If the label is right, add a row "
            f"to surgzoo/db/ontology/{source}.tsv."
        ) from None


def name(kind: str, concept: str) -> str:
    """The shown name of a concept."""
    return concepts()[kind, concept].name


def names(source: str, kind: str) -> tuple[str, ...]:
    """Shown names of all concepts of `kind` that the source annotates, in the source's order."""
    seen = dict.fromkeys(concept for (k, _), concept in table(source).items() if k == kind)
    return tuple(name(kind, concept) for concept in seen)


def triplets(source: str) -> tuple[tuple[str, str, str], ...]:
    """The valid (instrument, verb, target) concept ids of the source, in its order."""
    return tuple(
        tuple(concept.split(","))
        for (kind, _), concept in table(source).items()
        if kind == "triplet"
    )
