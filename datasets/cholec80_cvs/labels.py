"""Cholec80-CVS's workbook: intervals of Cholec80's videos with three criteria scored 0, 1 or 2.

The columns are found by the words in their heads, as names of the times differ between copies: a
video number, the begin and the end of the interval (one column of minute:second, or a column of
minutes and one of seconds), the three criteria, and a total that is checked. A row that ends before
it begins, or whose total is not the sum, is wrong in a way that nobody can mend: its stretch counts
as not annotated.
"""

from __future__ import annotations

import dataclasses
import re

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholec80_cvs.workbook import first_sheet
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "cholec80_cvs"
CRITERIA = ("two_structures", "cystic_plate", "hepatocystic_triangle")
HIGHEST = 2
BEGIN, END = ("initial", "start", "begin"), ("final", "end")


@dataclasses.dataclass(frozen=True)
class Interval:
    """[start, end] in seconds with the criteria's scores; `row` of the workbook.

    `problem` says what is wrong with the row; its scores are not to be used then.
    """

    row: int
    start: float
    end: float
    scores: tuple[int, ...]
    problem: str = ""

    def criteria(self) -> tuple[schema.Criterion, ...]:
        """As the schema has them: half the score, so that 1 and 2 count as met.

        The authors' own preparation takes min(1, score).
        """
        return tuple(
            schema.Criterion(ontology.label(SOURCE, "criterion", name), score / HIGHEST)
            for name, score in zip(CRITERIA, self.scores, strict=True)
        )


def read_intervals(file: File) -> dict[int, tuple[Interval, ...]]:
    """Video number -> its intervals by start. Raises AnnotationFileError."""
    table = first_sheet(file)
    if not table:
        raise AnnotationFileError(f"{file}: the first sheet is empty")
    heads = {column: _plain(name) for column, name in table[0][1].items()}
    video = _column(file, heads, "the video", lambda head: "video" in head)
    columns = [_column(file, heads, name, lambda head, n=name: head == n) for name in CRITERIA]
    total = next((column for column, head in heads.items() if head == "total"), None)
    begin, end = _times(file, heads, BEGIN), _times(file, heads, END)
    out: dict[int, list[Interval]] = {}
    for number, cells in table[1:]:
        where = f"{file}, row {number}"
        scores = tuple(_score(cells.get(column, ""), where) for column in columns)
        problem = ""
        if total and total in cells and _number(cells[total], where) != sum(scores):
            problem = f"its total is {cells[total]}, its criteria add up to {sum(scores)}"
        digits = re.search(r"\d+", cells.get(video, ""))
        if digits is None:
            raise AnnotationFileError(f"{where}: no video number in {cells.get(video, '')!r}")
        start, stop = (_seconds(cells, part, where) for part in (begin, end))
        if not start < stop:
            problem = f"it begins at {start:g} s and ends at {stop:g} s"
            start, stop = stop, start
        out.setdefault(int(digits[0]), []).append(Interval(number, start, stop, scores, problem))
    if not out:
        raise AnnotationFileError(f"{file}: no row below the heads")
    return {n: tuple(sorted(items, key=lambda i: i.start)) for n, items in sorted(out.items())}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _column(file: File, heads: dict[str, str], what: str, fits) -> str:
    found = [column for column, head in heads.items() if fits(head)]
    if len(found) != 1:
        raise AnnotationFileError(
            f"{file}: {len(found)} columns for {what}, not one; the heads are "
            f"{', '.join(heads.values())}"
        )
    return found[0]


def _times(file: File, heads: dict[str, str], words: tuple[str, ...]) -> tuple[str, ...]:
    """The column of minute:second, or those of minutes and of seconds."""
    found = {c: head for c, head in heads.items() if set(head.split("_")) & set(words)}
    minutes = [c for c, head in found.items() if "minute" in head and "second" not in head]
    seconds = [c for c, head in found.items() if "second" in head and "minute" not in head]
    if len(minutes) == len(seconds) == 1:
        return minutes[0], seconds[0]
    whole = [column for column in found if column not in (*minutes, *seconds)]
    if len(whole) != 1 or minutes or seconds:
        raise AnnotationFileError(
            f"{file}: no one column (or pair of minutes and seconds) with {' or '.join(words)}; "
            f"the heads are {', '.join(heads.values())}"
        )
    return (whole[0],)


def _seconds(cells: dict[str, str], columns: tuple[str, ...], where: str) -> float:
    texts = [cells.get(column, "") for column in columns]
    if len(texts) == 1:
        match = re.fullmatch(r"(\d+):([0-5]?\d)", texts[0])
        if match is None:
            raise AnnotationFileError(
                f"{where}: the time {texts[0]!r} is not minute:second as text"
            )
        return 60.0 * int(match[1]) + int(match[2])
    minute, second = (_number(value, where) for value in texts)
    if minute < 0 or not 0 <= second < 60:
        raise AnnotationFileError(f"{where}: {texts[0]} minutes and {texts[1]} seconds")
    return 60 * minute + second


def _number(value: str, where: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise AnnotationFileError(f"{where}: {value!r} is not a number") from None


def _score(value: str, where: str) -> int:
    score = _number(value, where)
    if score not in range(HIGHEST + 1):
        raise AnnotationFileError(f"{where}: the score {value} is none of 0, 1, 2")
    return int(score)
