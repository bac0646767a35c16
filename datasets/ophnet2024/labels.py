"""OphNet2024's label tables: who does what from when to when, by id.

  OphNet2024_loca_all.csv              video_id,start,end,split,surgery_id,phase_id,operation_id
  OphNet2024_loca_challenge.csv        the same; ids of labels with under 15 clips become "others"
  OphNet2024_loca_challenge_phase.csv  neighbours of one phase joined, no operation_id
  ..._trimmed.csv                      with a column segment_path: the clip cut from that row
  OphNet2024_surgery.csv               video_id,surgery; for all videos, "1,2" for two surgeries
(github.com/minghu0830/OphNet-benchmark, annotation and README). Seconds from the start of the
video. The names of phases are public, those of surgeries and operations are not.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import get_args

from surgzoo.datasets.annotation_files import AnnotationFileError, Row, rows
from surgzoo.datasets.layout import File
from surgzoo.db import ontology, schema

SOURCE = "ophnet2024"
OTHERS = 51  # in the challenge's tables; in the whole table it is a phase as any other

_SPLITS = get_args(schema.Split)


_CASE = re.compile(r"case_\d+")
_CLIP = re.compile(r"case_\d+_\d+\.mp4")


@dataclasses.dataclass(frozen=True)
class Case:
    """One video's rows: phases in seconds, the split, and what has no name.

    `clips` are the files that a trimmed table names, each with its row's segment (None where the
    row's phase has no name).
    """

    split: schema.Split
    segments: tuple[schema.Segment, ...]
    nameless: tuple[int, ...]  # ids of phases without a public name, one a row
    others: int  # rows of the challenge's "others"
    empty: int  # rows of no length
    clips: tuple[tuple[str, float, schema.Label | None], ...] = ()  # file name, seconds, phase

    def notes(self) -> tuple[str, ...]:
        out = []
        if self.nameless:
            ids = ", ".join(map(str, sorted(set(self.nameless))))
            out.append(f"{len(self.nameless)} rows are of phases without a public name: {ids}")
        if self.others:
            out.append(f"{self.others} rows are of the phase 'others', which is no label")
        if self.empty:
            out.append(f"{self.empty} rows of no length are left out")
        return tuple(out)


@functools.cache
def phases() -> tuple[str, ...]:
    """Names of the phases in the order of their ids."""
    return tuple(native for kind, native in ontology.table(SOURCE) if kind == "phase")


def read_cases(file: File, *, challenge: bool, trimmed: bool = False) -> dict[str, Case]:
    """Video -> its rows. `challenge`: id 51 stands for "others". Raises AnnotationFileError."""
    columns = ["video_id", "start", "end", "split", "phase_id"]
    found: dict[str, list[Row]] = {}
    for row in rows(file, [*columns, "segment_path"] if trimmed else columns):
        found.setdefault(_video(row), []).append(row)
    if not found:
        raise AnnotationFileError(f"{file}: no row below the header")
    return {video: _case(part, challenge, trimmed) for video, part in found.items()}


def _video(row: Row) -> str:
    name = row["video_id"].lower()
    if not _CASE.fullmatch(name):
        raise row.error(f"video_id is {row['video_id']!r}, not as case_0002")
    return name


def _case(part: list[Row], challenge: bool, trimmed: bool) -> Case:
    split = part[0]["split"]
    nameless, others, empty = [], 0, 0
    spans: list[tuple[float, float, int]] = []
    clips = []
    for row in part:
        if row["split"] != split or split not in _SPLITS:
            wanted = split if split in _SPLITS else "train, val or test"
            raise row.error(f"the split of {row['video_id']} is {row['split']!r}, not {wanted}")
        start, end, phase = row.float("start"), row.float("end"), row.int("phase_id")
        if start < 0 or end < start or phase < 0:
            raise row.error(f"phase {phase} runs from {start:g} to {end:g} s")
        named = phase < len(phases()) and not (challenge and phase == OTHERS)
        if trimmed:
            name = row["segment_path"].replace("\\", "/").rpartition("/")[2].lower()
            if not _CLIP.fullmatch(name) or any(name == other for other, *_ in clips):
                raise row.error(f"segment_path {row['segment_path']!r} names no clip of its own")
            clips.append((name, end - start, _label(phase) if named else None))
        if challenge and phase == OTHERS:
            others += 1
        elif not named:
            nameless.append(phase)
        elif start == end:
            empty += 1
        else:
            spans.append((start, end, phase))
    clips.sort(key=lambda clip: int(clip[0].rpartition("_")[2].removesuffix(".mp4")))
    return Case(split, _joined(spans), tuple(nameless), others, empty, tuple(clips))


def _joined(spans: list[tuple[float, float, int]]) -> tuple[schema.Segment, ...]:
    """Rows of one phase that follow each other are its operations, and one segment of it."""
    out: list[tuple[float, float, int]] = []
    for start, end, phase in sorted(spans):
        if out and out[-1][1:] == (start, phase):
            out[-1] = out[-1][0], end, phase
        else:
            out.append((start, end, phase))
    return tuple(schema.Segment("phase", _label(phase), start, end) for start, end, phase in out)


def _label(phase: int) -> schema.Label:
    return ontology.label(SOURCE, "phase", phases()[phase])


def read_surgeries(file: File) -> dict[str, tuple[int, ...]]:
    """Video -> ids of its surgeries, the first one is the main one. Raises AnnotationFileError."""
    out: dict[str, tuple[int, ...]] = {}
    for row in rows(file, ("video_id", "surgery")):
        try:
            ids = tuple(int(part) for part in row["surgery"].split(","))
        except ValueError:
            raise row.error(f"surgery is {row['surgery']!r}, not a list of ids") from None
        if _video(row) in out:
            raise row.error(f"{row['video_id']} is given twice")
        out[_video(row)] = ids
    return out
