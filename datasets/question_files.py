"""Question files of the surgical VQA sets: one text a frame, one `question|answer` a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from surgzoo.datasets.annotation_files import AnnotationFileError, text
from surgzoo.datasets.layout import File
from surgzoo.db import ontology

VOID = "void"


def pairs(file: File, fields: int = 2) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of the lines that are not blank. Raises AnnotationFileError."""
    for number, line in enumerate(text(file).split("\n"), start=1):
        if not line.strip():
            continue
        found = [part.strip() for part in line.split("|")]
        if len(found) != fields or not all(found):
            raise AnnotationFileError(
                f"{file}, line {number}: need {fields} texts with '|' between them: {line!r}"
            )
        yield number, found


def answer_kinds(source: str) -> Callable[[str], str]:
    """answer -> kind of label by the source's table, "void" for one that stands for nothing.

    The function raises UnmappedLabelError for an answer that the table lacks.
    """
    kinds = {native: kind for kind, native in ontology.table(source)}

    def kind_of(answer: str) -> str:
        if answer not in kinds:
            raise ontology.UnmappedLabelError(
                f"{source} has no answer '{answer}'. If it is right, add a row to "
                f"surgzoo/db/ontology/{source}.tsv."
            )
        return kinds[answer]

    return kind_of
