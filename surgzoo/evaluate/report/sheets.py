"""A table as data: one description from which the page, the CSV and the Markdown are written."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from surgzoo.evaluate.report.words import figure, percent, seconds

FOLDER = "tables"


class Cell(NamedTuple):
    """`text` is read, `value` is what a spreadsheet gets and what a column is sorted by."""

    text: str
    value: float | int | str | None
    soft: str = ""  # a second line
    best: bool = False


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A named table. The first column names the row; `name` is also that of its CSV file."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: list[tuple[Cell, ...]]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers: it stands on the right and is sorted from the top."""
        values = [row[column].value for row in self.rows]
        return any(isinstance(v, int | float) for v in values) and not any(
            isinstance(v, str) for v in values
        )

    @property
    def csv(self) -> str:
        """Full numbers, an empty cell where there is none. What a spreadsheet could take for a
        formula begins with an apostrophe."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.head)
        writer.writerows([_plain(cell.value) for cell in row] for row in self.rows)
        return text.getvalue()

    @property
    def markdown(self) -> str:
        """A heading and the table as it is read on the page."""
        lines = [
            f"## {self.title}",
            "",
            _line(self.head),
            _line("--:" if self.numeric(i) else "---" for i in range(len(self.head))),
        ]
        for row in self.rows:
            lines.append(
                _line(
                    _escaped(f"**{c.text}**" if c.best else c.text)
                    + (f" ({_escaped(c.soft)})" if c.soft else "")
                    for c in row
                )
            )
        return "\n".join(lines) + "\n"

    @property
    def href(self) -> str:
        """The CSV as a link that needs no file."""
        return "data:text/csv;base64," + base64.b64encode(self.csv.encode()).decode()


def words(text: str, soft: str = "") -> Cell:
    return Cell(text, text, soft)


def whole(number: int) -> Cell:
    return Cell(f"{number:,}", number)


def measured(value: float | None, unit: str | None = None, soft: str = "") -> Cell:
    """A metric: a fraction in percent without a unit, else in its unit."""
    return Cell(figure(value, unit), value, soft)


def share(value: float | None) -> Cell:
    return Cell(percent(value), value)


def duration(value: float | None) -> Cell:
    return Cell(seconds(value), value)


def write(sheets: Sequence[Sheet], folder: Path, prefix: str = "") -> list[Path]:
    """One CSV file a sheet below `folder`/tables, and all of them as Markdown in one file."""
    below = folder / FOLDER
    below.mkdir(parents=True, exist_ok=True)
    paths = [below / f"{prefix}{sheet.name}.csv" for sheet in sheets]
    for path, sheet in zip(paths, sheets, strict=True):
        path.write_text(sheet.csv, encoding="utf-8")
    together = below / f"{prefix}all.md"
    together.write_text("\n".join(sheet.markdown for sheet in sheets), encoding="utf-8")
    return [*paths, together]


def _plain(value: float | int | str | None) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else str(value)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escaped(text: str) -> str:
    """Text inside a cell: a table's bars and markup of others would break it."""
    for sign, safe in (("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        text = text.replace(sign, safe)
    return text
