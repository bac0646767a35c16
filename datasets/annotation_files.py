"""Annotation files as they are met in the wild, read to values that were checked.

Text comes as UTF-8 with or without BOM, as UTF-16 with one, with any line ends. Whatever else is
wrong ends in an `AnnotationFileError` that names the file, the line or the JSON path, and what was
found: never in a traceback from the depths, never in a guess.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from surgzoo.datasets.layout import File

_SEEN = 12  # keys or columns that an error lists


class AnnotationFileError(ValueError):
    """A label file that is not as the release has it; the message names file and place."""


class FrameError(ValueError):
    """Labels of one frame that contradict each other or the image: the frame is quarantined."""


def text(file: File) -> str:
    """The file's text with "\\n" line ends and without BOM. Raises AnnotationFileError."""
    try:
        data = file.read()
    except Exception as error:  # zipfile, zlib and the file system each have their own
        raise AnnotationFileError(f"{file}: cannot be read ({error})") from None
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        out = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AnnotationFileError(
            f"{file}: is not {encoding.removesuffix('-sig').upper()} text: byte "
            f"{error.object[error.start]:#04x} at offset {error.start}. Save it as UTF-8."
        ) from None
    if "\0" in out:
        raise AnnotationFileError(
            f"{file}: holds zero bytes, so it is no text or UTF-16 without a byte order mark. "
            "Save it as UTF-8."
        )
    return out.replace("\r\n", "\n").replace("\r", "\n")


# ---- tables --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table; reads its fields with errors that name file, line and column."""

    file: File
    line: int
    fields: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.fields[column]

    def error(self, problem: str) -> AnnotationFileError:
        return AnnotationFileError(f"{self.file}, line {self.line}: {problem}")

    def int(self, column: str) -> int:
        """A whole number; "7.0" and "7e0" are ones."""
        value = self.float(column)
        if value != int(value):
            raise self.error(f"{column} is {self.fields[column]!r}, not a whole number")
        return int(value)

    def float(self, column: str) -> float:
        """A finite number."""
        try:
            value = float(self.fields[column])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(f"{column} is {self.fields[column]!r}, not a number")
        return value


def rows(
    file: File,
    columns: Sequence[str] | None = None,
    *,
    header: bool = True,
    delimiter: str = ",",
    exact: bool = False,
) -> Iterator[Row]:
    """The lines of a delimited table; empty lines are skipped.

    Args:
      columns: the columns that must be there (a header may have more, in any order, unless
        `exact`), or, without header, the names of all columns. None takes the header as it is.
      delimiter: one character; " " stands for any run of blanks and tabs.

    Raises AnnotationFileError.
    """
    lines = _split(file, delimiter)
    names = list(columns or ())
    if header:
        number, found = next(lines, (0, None))
        if found is None:
            raise AnnotationFileError(f"{file}: is empty; expected the columns {', '.join(names)}")
        found = [name.strip() for name in found]
        missing = [name for name in names if name not in found]
        if missing or (exact and found != names):
            raise AnnotationFileError(
                f"{file}, line {number}: the header is {_listed(found)}; expected "
                f"{', '.join(names)}"
            )
        if len(set(found)) < len(found):
            raise AnnotationFileError(f"{file}, line {number}: a column is named twice: {found}")
        names = found
    for number, values in lines:
        if len(values) != len(names):
            raise AnnotationFileError(
                f"{file}, line {number}: {len(values)} fields, not {len(names)} "
                f"({_listed(names)}): {_listed(values)}"
            )
        fields = {n: v.strip() for n, v in zip(names, values, strict=True)}
        yield Row(file, number, fields)


def _split(file: File, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    whole = text(file)
    if delimiter == " ":
        for number, line in enumerate(whole.split("\n"), start=1):
            if line.strip():
                yield number, line.split()
        return
    reader = csv.reader(io.StringIO(whole), delimiter=delimiter)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield reader.line_num, values
    except csv.Error as error:
        raise AnnotationFileError(f"{file}, line {reader.line_num}: {error}") from None


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:_SEEN])
    return shown + (f" and {len(values) - _SEEN} more" if len(values) > _SEEN else "")


# ---- JSON ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Node:
    """A value of a JSON file with its path, e.g. `annotations[3].bbox`; checks what it is asked."""

    value: Any
    file: File
    path: str = ""

    def error(self, problem: str) -> AnnotationFileError:
        return AnnotationFileError(f"{self.file}, {self.path or 'top level'}: {problem}")

    def __contains__(self, key: str) -> bool:
        return key in self._mapping()

    def __getitem__(self, key: str) -> Node:
        """A member that must be there."""
        found = self.get(key)
        if found is None:
            seen = _listed(list(self._mapping()))
            raise self.error(f"the key '{key}' is missing; it has {seen or 'none'}")
        return found

    def get(self, *keys: str) -> Node | None:
        """The first of the keys that is there and not null, as releases rename them."""
        mapping = self._mapping()
        for key in keys:
            if mapping.get(key) is not None:
                return Node(mapping[key], self.file, f"{self.path}.{key}" if self.path else key)
        return None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Members of an object."""
        for key in self._mapping():
            if self.value[key] is not None:
                yield key, self[key]

    def list(self) -> list[Node]:
        """Items of an array."""
        if not isinstance(self.value, list):
            raise self._wrong("a list")
        return [Node(v, self.file, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def str(self) -> str:
        if not isinstance(self.value, str):
            raise self._wrong("a text")
        return self.value

    def float(self) -> float:
        """A finite number; a text that is one counts, as some releases quote numbers."""
        value = self.value
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise self._wrong("a number") from None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong("a number")
        if not math.isfinite(value):
            raise self._wrong("a finite number")
        return float(value)

    def int(self) -> int:
        value = self.float()
        if value != int(value):
            raise self._wrong("a whole number")
        return int(value)

    def floats(self, count: int) -> tuple[float, ...]:
        """An array of exactly `count` numbers."""
        items = self.list()
        if len(items) != count:
            raise self.error(f"{len(items)} numbers, not {count}")
        return tuple(item.float() for item in items)

    def _mapping(self) -> dict:
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        return self.value

    def _wrong(self, wanted: str) -> AnnotationFileError:
        return self.error(f"{json.dumps(self.value)[:60]} is not {wanted}")


def json_file(file: File) -> Node:
    """A whole JSON file. A key given twice in one object is an error: one would win in silence."""
    return Node(_json(file, text(file)), file)


def json_lines(file: File) -> Iterator[Node]:
    """The values of a JSON-lines file; their paths begin with the line."""
    for number, line in enumerate(text(file).split("\n"), start=1):
        if line.strip():
            yield Node(_json(file, line, number), file, f"line {number}")


def _json(file: File, whole: str, first: int = 1) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise AnnotationFileError(f"{file}: the key '{twice}' is given twice in one object")
        return out

    try:
        return json.loads(whole, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise AnnotationFileError(f"{file}, line {first + error.lineno - 1}: {error.msg}") from None
    except RecursionError:
        raise AnnotationFileError(f"{file}: is nested too deep to be a label file") from None


# ---- XML -----------------------------------------------------------------------------------------


def xml_file(file: File) -> ElementTree.Element:
    """The root of an XML file. Raises AnnotationFileError."""
    return xml_text(text(file), str(file))


def xml_text(whole: str, where: str) -> ElementTree.Element:
    """The root of XML without document type: entities could blow it up. `where` is for errors."""
    if "<!DOCTYPE" in whole or "<!ENTITY" in whole:
        raise AnnotationFileError(f"{where}: declares a document type, which no label file needs")
    # The declaration names the encoding of the bytes, which is undone already.
    if whole.startswith("<?xml"):
        whole = whole.partition("?>")[2]
    try:
        return ElementTree.fromstring(whole.strip())
    except ElementTree.ParseError as error:
        raise AnnotationFileError(f"{where}: is not whole XML ({error})") from None
