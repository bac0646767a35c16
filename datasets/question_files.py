"""Question files of the surgical VQA sets: one text a frame, one `question|answer` a line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, text
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

VOID = "void"


def lines(file: File) -> Iterator[tuple[int, str]]:
    """(number, line) of the lines that are not blank. Raises AnnotationFileError."""
    for number, line in enumerate(text(file).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def pairs(file: File, fields: int = 2) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of the lines that are not blank. Raises AnnotationFileError."""
    for number, line in lines(file):
        found = [part.strip() for part in line.split("|")]
        if len(found) != fields or not all(found):
            raise AnnotationFileError(
                f"{file}, line {number}: need {fields} texts with '|' between them: {line!r}"
            )
        yield number, found


def questions(
    file: File, kind_of: Callable[[str], str], *, drop_void: bool = False
) -> tuple[schema.Question, ...]:
    """The questions of a file of pairs. Raises FrameError that names the line, or the empty file.

    `kind_of` makes an answer to its kind and may raise UnmappedLabelError; `drop_void` leaves out
    questions whose answer stands for nothing.
    """
    out = []
    try:
        found = list(pairs(file))
    except AnnotationFileError as error:
        raise FrameError(str(error)) from None
    if not found:
        raise FrameError(f"{file}: holds no question")
    for line, (question, answer) in found:
        try:
            kind = kind_of(answer)
        except ontology.UnmappedLabelError as error:
            raise FrameError(f"{file}, line {line}: {error}") from None
        if kind != VOID or not drop_void:
            out.append(schema.Question(question, answer, kind=kind))
    return tuple(out)


@functools.cache
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
