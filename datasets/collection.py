"""What the two sources for a lab's own data share: labels that come with the data, and defaults.

A collection is a folder with, beside its media and annotations,

  collection.json  {"specialty": "urology", "procedure": "prostatectomy", "licence": "in-house"}
  labels.tsv       optional: native labels to concepts, as the tables of `surgzoo/db/ontology`
  concepts.tsv     optional: concepts that the ontology lacks

A label that labels.tsv does not map must be a concept's id or its shown name, so that "hook" and
"cystic duct" need no table. What was used becomes the ontology table of the collection.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import io

from surgzoo.datasets.annotation_files import AnnotationFileError, json_file, text
from surgzoo.datasets.layout import File, Tree
from surgzoo.db import ontology, schema

COLLECTION_FILE = "collection.json"
LABELS_FILE = "labels.tsv"
FACTS = ("specialty", "procedure", "licence")
MEDIA = ("mp4", "mkv", "webm", "avi", "mov", "mpg", "mpeg", "m4v", "ts")

FILES = """
collection.json    {"specialty": "...", "procedure": "...", "licence": "..."}: for all videos
labels.tsv         optional: kind, native label, concept, evidence (tab separated)
concepts.tsv       optional: kind, concept, name, note of concepts that the ontology lacks
"""


class LabelBook:
    """Native labels of a collection to concepts; remembers what was looked up.

    Raises AnnotationFileError when a table is wrong.
    """

    def __init__(self, tree: Tree):
        self.extra: dict[tuple[str, str], tuple[str, str]] = {}  # (kind, concept) -> name, note
        self.rows: dict[tuple[str, str], tuple[str, str]] = {}  # (kind, native) -> concept, why
        concepts = tree.get(ontology.CONCEPTS_FILE)
        if concepts is not None:
            for line, (kind, concept, name, note) in _lines(concepts):
                there = ontology.concepts().get((kind, concept))
                # The same one is there when the collection was prepared before.
                if there not in (None, ontology.Concept(kind, concept, name, note)):
                    raise AnnotationFileError(
                        f"{concepts}, line {line}: the ontology has the {kind} '{concept}' "
                        f"already, as '{there.name}' ({there.note})"
                    )
                self.extra[kind, concept] = name, note
        self._names = {
            **{(c.kind, c.name.lower()): c.id for c in ontology.concepts().values()},
            **{(kind, name.lower()): c for (kind, c), (name, _) in self.extra.items()},
        }
        table = tree.get(LABELS_FILE)
        if table is not None:
            for line, (kind, native, concept, why) in _lines(table):
                if not self._known(kind, concept):
                    near = self._near(kind, concept)
                    raise AnnotationFileError(
                        f"{table}, line {line}: there is no {kind} '{concept}'{near}; add it to "
                        f"{ontology.CONCEPTS_FILE} beside it"
                    )
                if (kind, native) in self.rows:
                    raise AnnotationFileError(
                        f"{table}, line {line}: {kind} '{native}' is mapped twice"
                    )
                self.rows[kind, native] = concept, why

    def label(self, kind: str, native: str) -> schema.Label:
        """Raises UnmappedLabelError with the nearest concepts."""
        if kind not in ontology.KINDS:
            raise ontology.UnmappedLabelError(
                f"'{kind}' is no kind of label; known: {', '.join(ontology.KINDS)}"
            )
        if (kind, native) not in self.rows:
            concept = native if self._known(kind, native) else None
            concept = concept or self._names.get((kind, native.lower()))
            if concept is None:
                raise ontology.UnmappedLabelError(
                    f"there is no {kind} '{native}'{self._near(kind, native)}. Map it in "
                    f"{LABELS_FILE}: {kind}<tab>{native}<tab>CONCEPT<tab>why"
                )
            self.rows[kind, native] = concept, "named so in the collection"
        return schema.Label(self.rows[kind, native][0], native)

    def triplet(self, parts: tuple[schema.Label, schema.Label, schema.Label]) -> None:
        """Notes a triplet: the table lists those in use."""
        native = ",".join(part.native for part in parts)
        concept = ",".join(part.concept for part in parts)
        self.rows.setdefault(("triplet", native), (concept, "used in the collection"))

    def tables(self, source: str) -> dict[str, str]:
        """The ontology tables as files."""
        out = {f"{source}.tsv": _tsv((k, n, c, why) for (k, n), (c, why) in self.rows.items())}
        if self.extra:
            lines = ((k, c, name, note) for (k, c), (name, note) in self.extra.items())
            out[ontology.CONCEPTS_FILE] = _tsv(lines)
        return out

    def _known(self, kind: str, concept: str) -> bool:
        if kind == "triplet":
            parts = list(zip(ontology.TRIPLET, concept.split(","), strict=False))
            return len(concept.split(",")) == 3 and all(self._known(*part) for part in parts)
        return (kind, concept) in ontology.concepts() or (kind, concept) in self.extra

    def _near(self, kind: str, name: str) -> str:
        known = [n for k, n in self._names if k == kind]
        near = difflib.get_close_matches(name.lower(), known, n=3)
        return f" (near: {', '.join(near)})" if near else ""


def _lines(file: File):
    """(line, four fields) of a table."""
    for number, fields in enumerate(csv.reader(io.StringIO(text(file)), delimiter="\t"), start=1):
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) != 4 or fields[0] not in ontology.KINDS:
            raise AnnotationFileError(
                f"{file}, line {number}: need 4 tab-separated columns beginning with a kind of "
                f"label ({', '.join(ontology.KINDS)}); found {fields}"
            )
        yield number, fields


def _tsv(lines) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="\n").writerows(lines)
    return out.getvalue()


@dataclasses.dataclass(frozen=True)
class Defaults:
    """Facts of collection.json that hold for every video which says nothing else."""

    values: dict[str, str]
    file: str

    def fill(self, given: dict[str, str], book: LabelBook, where: str) -> dict[str, str]:
        """Specialty, procedure and licence of a video. Raises AnnotationFileError."""
        out = {}
        for fact in FACTS:
            value = given.get(fact) or self.values.get(fact)
            if not value:
                raise AnnotationFileError(
                    f"{where}: no {fact}; give it there or for all videos in {COLLECTION_FILE}"
                )
            try:
                out[fact] = value if fact == "licence" else book.label(fact, value).concept
            except ontology.UnmappedLabelError as error:
                place = where if given.get(fact) else self.file
                raise AnnotationFileError(f"{place}: {error}") from None
        return out


def read_defaults(tree: Tree) -> Defaults:
    """collection.json, where there is one."""
    file = tree.get(COLLECTION_FILE)
    if file is None:
        return Defaults({}, COLLECTION_FILE)
    node = json_file(file)
    unknown = [key for key, _ in node.items() if key not in FACTS]
    if unknown:
        raise node.error(f"unknown: {', '.join(unknown)}; known: {', '.join(FACTS)}")
    return Defaults({key: value.str() for key, value in node.items()}, str(file))


def check_split(split: str, where: str) -> schema.Split:
    if split not in ("train", "val", "test"):
        raise AnnotationFileError(f"{where}: the split '{split}' is none of train, val, test")
    return split
