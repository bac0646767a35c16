"""The ontology: canonical concepts, and one table a label set from its native labels to them.

Files beside this one (tab separated, UTF-8, `#` starts a comment line):

  concepts.tsv   kind, concept, name, note        one row a canonical concept; `name` is what is
                                                  shown to people and models ("cystic duct")
  <source>.tsv   kind, native, concept, evidence  one row a native label, in the source's own order;
                                                  `evidence` says where the mapping comes from

A row whose evidence or note has the words "our choice" was decided here; the others are stated by
the source named. A source with a second label set (finer types, coarser tasks) keeps that in a
table of its own, `<source>_<set>.tsv`, so that the options of a question are of one set. A native
label may have a row in two kinds ("LigaSure shaft" is an instrument and a part).

A table takes over rows of another with a row of the kind `include`: `include, cholect50, *, why`
takes all, `include, cholec80, phase,instrument, why` those kinds.

Kinds: see `KINDS`. A triplet row's native and concept are three names joined by commas. `void`
holds native values that stand for no label (background, ignored, nothing there).
Nothing is mapped silently: a native label without a row raises `UnmappedLabelError`. A source of an
outside package calls `add_tables` with its own folder of the same two kinds of file.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

from surgzoo.db.schema import Label

KINDS = (
    "specialty",
    "procedure",
    "phase",
    "step",
    "action",  # basic action: BSA-10 and more
    "gesture",  # finer than an action; a native gesture has a row in both kinds
    "instrument",  # any man-made thing in view, a specimen bag or a gloved hand too
    "part",  # of an instrument
    "operator",  # whose hand holds the instrument
    "verb",
    "target",
    "triplet",
    "tissue",
    "criterion",
    "finding",
    "flag",  # condition of a frame: smoke, bleeding, out of body
    "motion",  # of the camera
    "place",  # in the picture
    "answer",  # of a question, where it is no label of another kind
    "skill",
    "void",
)

TRIPLET = ("instrument", "verb", "target")
CONCEPTS_FILE = "concepts.tsv"
OURS = "our choice"
BSA = "surgsigma"  # the table whose actions are BSA-10

_INCLUDE = "include"
_EVERY_KIND = "*"
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


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A native label and what it means. `table` and `line` say where that is written."""

    kind: str
    native: str
    concept: str
    evidence: str
    table: str
    line: int

    @property
    def ours(self) -> bool:
        """Whether the mapping was decided here, not stated by the source."""
        return OURS in self.evidence


def add_tables(folder: str | Path) -> None:
    """Adds a folder with `<source>.tsv` tables (and an optional concepts.tsv of new concepts)."""
    folder = Path(folder)
    if folder not in _FOLDERS:
        _FOLDERS.append(folder)
        concepts.cache_clear()
        table.cache_clear()


def _lines(path: Path, kinds: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """(line number, four fields) of a file."""
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t"), start=1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) != 4 or row[0] not in kinds:
                raise ValueError(
                    f"{path}, line {number}: need 4 tab-separated columns beginning with one "
                    f"of {', '.join(kinds)}; found {row}"
                )
            yield number, row


@functools.cache
def concepts() -> dict[tuple[str, str], Concept]:
    """All concepts by (kind, id). One given twice, or a name used twice in a kind, is an error."""
    out: dict[tuple[str, str], Concept] = {}
    shown: dict[tuple[str, str], str] = {}
    for folder in _FOLDERS:
        path = folder / CONCEPTS_FILE
        if not path.exists():
            continue
        for number, (kind, concept, text, note) in _lines(path, KINDS):
            if out.get((kind, concept)) == Concept(kind, concept, text, note):
                continue  # two collections of one lab bring the same concept
            if (kind, concept) in out:
                raise ValueError(f"{path}, line {number}: {kind} '{concept}' is given twice")
            if (kind, text) in shown:
                raise ValueError(
                    f"{path}, line {number}: {kind} '{concept}' is shown as '{text}', as is "
                    f"'{shown[kind, text]}'; an answer could not be told from the other"
                )
            out[kind, concept] = Concept(kind, concept, text, note)
            shown[kind, text] = concept
    return out


def sources() -> tuple[str, ...]:
    """Names of all tables, sorted. A label set of its own counts as one ("cadis_task2")."""
    found = {path.stem for folder in _FOLDERS for path in folder.glob("*.tsv")}
    return tuple(sorted(found - {Path(CONCEPTS_FILE).stem}))


def rows(source: str) -> tuple[Row, ...]:
    """All rows of a source in file order, those of included tables in the place of the include.

    Raises FileNotFoundError for a source without table, ValueError and UnmappedLabelError that name
    file and line for a row that is wrong.
    """
    return tuple(_rows(source, ()))


def _rows(source: str, within: tuple[str, ...]) -> Iterator[Row]:
    path = _path(source)
    seen: dict[tuple[str, str], Row] = {}
    for number, (kind, native, concept, evidence) in _lines(path, (*KINDS, _INCLUDE)):
        where = f"{path}, line {number}"
        if kind == _INCLUDE:
            found = _included(native, concept, where, (*within, source))
        else:
            _check(kind, concept, where)
            found = [Row(kind, native, concept, evidence, source, number)]
        for row in found:
            if (row.kind, row.native) in seen:
                raise ValueError(f"{where}: {row.kind} '{row.native}' is mapped twice")
            seen[row.kind, row.native] = row
            yield row


def _included(source: str, kinds: str, where: str, within: tuple[str, ...]) -> list[Row]:
    if source in within:
        raise ValueError(f"{where}: {' includes '.join((*within, source))}")
    try:
        found = list(_rows(source, within))
    except FileNotFoundError as error:
        raise ValueError(f"{where}: {error}") from None
    if kinds == _EVERY_KIND:
        return found
    wanted = kinds.split(",")
    absent = [kind for kind in wanted if not any(row.kind == kind for row in found)]
    if absent:
        raise ValueError(f"{where}: {source}.tsv has no row of the kind {', '.join(absent)}")
    return [row for row in found if row.kind in wanted]


def _check(kind: str, concept: str, where: str) -> None:
    parts = [(kind, concept)]
    if kind == "triplet":
        parts = list(zip(TRIPLET, concept.split(","), strict=False))
        if len(concept.split(",")) != len(TRIPLET):
            raise ValueError(f"{where}: '{concept}' is not instrument,verb,target")
    for part in parts:
        if part not in concepts():
            raise UnmappedLabelError(
                f"{where}: there is no {part[0]} '{part[1]}' in {CONCEPTS_FILE}; add it"
            )


def _path(source: str) -> Path:
    """The table's file. One of an outside folder goes before one of the same name here."""
    for folder in reversed(_FOLDERS):
        path = folder / f"{source}.tsv"
        if path.exists():
            return path
    looked = ", ".join(str(folder) for folder in _FOLDERS)
    raise FileNotFoundError(f"No ontology table {source}.tsv in {looked}")


@functools.cache
def table(source: str) -> dict[tuple[str, str], str]:
    """(kind, native) -> concept id of one source, in file order. Raises as `rows` does."""
    return {(row.kind, row.native): row.concept for row in rows(source)}


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


def ids(source: str, kind: str) -> tuple[str, ...]:
    """Concept ids of `kind` that the source annotates, each once, in the source's order."""
    return tuple(dict.fromkeys(c for (k, _), c in table(source).items() if k == kind))


def names(source: str, kind: str) -> tuple[str, ...]:
    """Shown names of all concepts of `kind` that the source annotates, in the source's order."""
    return tuple(name(kind, concept) for concept in ids(source, kind))


def triplets(source: str) -> tuple[tuple[str, str, str], ...]:
    """The valid (instrument, verb, target) concept ids of the source, in its order."""
    return tuple(
        tuple(concept.split(","))
        for (kind, _), concept in table(source).items()
        if kind == "triplet"
    )


def bsa10() -> tuple[str, ...]:
    """The action concepts of BSA-10 (arXiv 2603.12787), in the order of SurgΣ-DB's guideline."""
    return ids(BSA, "action")
