"""SurgVU24's label files: logs of tools and tasks of a session, boxes, questions.

  tools.csv  which tool was on which arm, from (part, HH:MM:SS.f) to (part, HH:MM:SS.f)
  tasks.csv  which task was done, from (part, seconds) to (part, seconds)
             A session's video comes in parts, each with a clock of its own that both logs use. An
             interval may begin in one part and end in a later one. Extra columns are possible.
  N_fps1_coco.json   boxes in pixels; a file name is the number of a frame, counted from 0
  caseNNN_question.json, caseNNN.json   one question about a clip, and its accepted answers

The logs are as a machine writes them: the camera counts as the tool "nan(camera in)", rows are
there twice, names differ in case and have blanks at the end, times can be missing, negative or
before their start. What names no tool is left out and counted; a row that cannot be used is
reported with its line. (github.com/isi-challenges/surgVU-dataset; public parsers of both logs.)
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
import re
from collections.abc import Callable, Sequence

from surgzoo.datasets.annotation_files import AnnotationFileError, Node, json_file, text
from surgzoo.datasets.layout import File
from surgzoo.db import boxes, ontology, schema

SOURCE = "surgvu24"
MOST_BAD = 0.1  # share of unusable rows from which on the file is not what it should be
_CLOCK = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")
_FRAME = re.compile(r"(?:.*/)?(\d+)\.(?:jpe?g|png)", re.IGNORECASE)
# The boxes' file has this class in the singular.
_SPELLED = {"monopolar curved scissor": "monopolar curved scissors"}


@dataclasses.dataclass(frozen=True)
class Interval:
    """A label from a moment of one part to a moment of the same or of a later part."""

    label: schema.Label
    first: int  # part
    start: float  # seconds of that part
    last: int
    end: float

    def within(self, part: int) -> tuple[float, float] | None:
        """[start, end) in seconds of a part; None where it is not part of it."""
        if not self.first <= part <= self.last:
            return None
        start = self.start if part == self.first else 0.0
        return start, self.end if part == self.last else math.inf


@dataclasses.dataclass(frozen=True)
class Log:
    """The intervals of a log, how many rows name nothing, and the rows that cannot be used."""

    intervals: tuple[Interval, ...]
    unnamed: int
    bad: tuple[tuple[int, str], ...]  # line, reason

    def at(self, part: int, time: float) -> tuple[schema.Label, ...]:
        """The distinct labels at a moment of a part."""
        found = []
        for interval in self.intervals:
            within = interval.within(part)
            if within and within[0] <= time < within[1]:
                found.append(interval.label)
        return tuple(dict.fromkeys(found))

    def parts(self) -> set[int]:
        """All parts that an interval begins or ends in."""
        return {part for one in self.intervals for part in (one.first, one.last)}


def read_tools(file: File) -> Log:
    """Raises AnnotationFileError, or UnmappedLabelError for a tool that the ontology lacks."""
    columns = (
        *("install_case_part", "install_case_time"),
        *("uninstall_case_part", "uninstall_case_time"),
        "groundtruth_toolname",
    )
    return _read(file, columns, instrument)


def read_tasks(file: File) -> Log:
    """Raises AnnotationFileError, or UnmappedLabelError for a task that the ontology lacks."""
    columns = ("start_part", "start_time", "stop_part", "stop_time", "groundtruth_taskname")
    return _read(file, columns, step)


def instrument(name: str) -> schema.Label:
    """By name, whatever its case, "-", "/" and "_". Raises UnmappedLabelError."""
    return _label("instrument", name)


def step(name: str) -> schema.Label:
    """By name, whatever its case. Raises UnmappedLabelError."""
    return _label("step", name)


def read_boxes(file: File) -> dict[int, tuple[schema.Instrument, ...] | str]:
    """Frame number -> its instruments, or why they cannot be used.

    A frame that the file lists without a box shows no instrument. Raises AnnotationFileError, or
    UnmappedLabelError.
    """
    data = json_file(file)
    names: dict[int, schema.Label] = {}
    for node in data["categories"].list():
        number = node["id"].int()
        if number in names:
            raise node.error(f"the id {number} is given twice")
        try:
            names[number] = instrument(node["name"].str())
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file} ({node.path}): {error}") from None
    images: dict[int, tuple[int, tuple[int, int]]] = {}
    out: dict[int, tuple[schema.Instrument, ...] | str] = {}
    for node in data["images"].list():
        match = _FRAME.fullmatch(node["file_name"].str())
        if match is None:
            raise node["file_name"].error(f"{node['file_name'].value!r} is no number of a frame")
        frame, number = int(match[1]), node["id"].int()
        if number in images or frame in out:
            raise node.error("the image is given twice")
        images[number] = frame, (node["height"].int(), node["width"].int())
        out[frame] = ()
    for node in data["annotations"].list():
        number = node["image_id"].int()
        if number not in images:
            raise node.error(f"there is no image {number}")
        frame, size = images[number]
        found = out[frame]
        if isinstance(found, str):
            continue
        try:
            out[frame] = (*found, _boxed(node, size, names))
        except AnnotationFileError as error:
            out[frame] = str(error)
    return out


def read_question(question: File, answers: File) -> tuple[schema.Question, ...]:
    """The question of a clip with its accepted answers. Raises AnnotationFileError."""
    asked = _said(json_file(question))
    listed = json_file(answers).list()
    if not listed:
        raise AnnotationFileError(f"{answers}: holds no answer")
    first, *others = dict.fromkeys(_said(node) for node in listed)
    return (schema.Question(asked, first, accepted=tuple(others)),)


def _said(node: Node) -> str:
    if not node.str().strip():
        raise node.error("is empty")
    return node.str().strip()


def _boxed(node: Node, size: tuple[int, int], names: dict[int, schema.Label]) -> schema.Instrument:
    number = node["category_id"].int()
    if number not in names:
        raise node.error(f"there is no category {number}")
    try:
        return schema.Instrument(
            names[number], boxes.from_xywh(node["bbox"].floats(4), size, clip=True)
        )
    except ValueError as error:
        raise node.error(str(error)) from None


def _read(file: File, columns: Sequence[str], label: Callable[[str], schema.Label]) -> Log:
    """Rows of first part, start, last part, end, name; in the order of time."""
    lines = csv.reader(io.StringIO(text(file)))
    header = [name.strip() for name in next(lines, [])]
    missing = [name for name in columns if header.count(name) != 1]
    if missing:
        raise AnnotationFileError(
            f"{file}, line 1: the header is {', '.join(header) or 'empty'}; expected "
            f"{', '.join(columns)}"
        )
    places = [header.index(name) for name in columns]
    intervals: dict[Interval, None] = {}
    unnamed, bad, count = 0, [], 0
    try:
        for values in lines:
            if not any(value.strip() for value in values):
                continue
            count += 1
            if len(values) != len(header):
                bad.append((lines.line_num, f"{len(values)} fields, not {len(header)}"))
                continue
            first, start, last, end, name = (values[place].strip() for place in places)
            if not name or name.lower().startswith("nan"):
                unnamed += 1
                continue
            if '"' in name:
                bad.append((lines.line_num, f"the name {name!r} is torn out of its quotes"))
                continue
            try:
                named = label(name)
            except ontology.UnmappedLabelError as error:
                raise ontology.UnmappedLabelError(
                    f"{file}, line {lines.line_num}: {error}"
                ) from None
            try:
                begin, stop = (_part(first), _seconds(start)), (_part(last), _seconds(end))
                if stop <= begin:
                    raise ValueError(f"it ends at {end} of part {last}, before {start} of {first}")
            except ValueError as error:
                bad.append((lines.line_num, str(error)))
            else:
                intervals[Interval(named, *begin, *stop)] = None
    except csv.Error as error:
        raise AnnotationFileError(f"{file}, line {lines.line_num}: {error}") from None
    if not count:
        raise AnnotationFileError(f"{file}: no row below the header")
    if len(bad) > max(1, MOST_BAD * count):
        shown = "\n".join(f"  line {line}: {reason}" for line, reason in bad[:5])
        raise AnnotationFileError(f"{file}: {len(bad)} of {count} rows cannot be used:\n{shown}")
    ordered = sorted(intervals, key=lambda i: (i.first, i.start, i.last, i.end, i.label.native))
    return Log(tuple(ordered), unnamed, tuple(bad))


def _part(value: str) -> int:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not number >= 1 or number != int(number):
        raise ValueError(f"{value!r} is no part counted from 1")
    return int(number)


def _seconds(value: str) -> float:
    """Of a clock or of a plain number."""
    match = _CLOCK.fullmatch(value)
    if match:
        return 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{value!r} is no time")
    return number


def _plain(name: str) -> str:
    words = " ".join(re.split(r"[\s_/-]+", name.strip().lower()))
    return _SPELLED.get(words, words)


@functools.cache
def _natives(kind: str) -> dict[str, str]:
    return {_plain(native): native for k, native in ontology.table(SOURCE) if k == kind}


def _label(kind: str, name: str) -> schema.Label:
    return ontology.label(SOURCE, kind, _natives(kind).get(_plain(name), name))
