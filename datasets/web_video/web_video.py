"""Videos from the web or a lecture archive: narrations and labels with times, in CSV files."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import Row, rows
from surgzoo.datasets.collection import (
    FACTS,
    FILES,
    MEDIA,
    Defaults,
    LabelBook,
    check_split,
    read_defaults,
)
from surgzoo.datasets.intervals import Intervals
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, schema

VIDEOS_FILE, NARRATIONS_FILE, LABELS_FILE = "videos.csv", "narrations.csv", "labels.csv"
SEGMENT_KINDS = ("phase", "step", "action", "gesture", "motion")
_VIDEO_COLUMNS = ("video", "title", "url", "split", "patient", *FACTS)


class WebVideo(SourceBuilder):
    """Narrations become captions of the video, labels its segments.

    Times are seconds or [HH:]MM:SS[.fff]. `video` is the file's name without folder and ending. A
    row that no video belongs to is an error; a video without rows is stored all the same.
    """

    name = source = "web_video"
    generic = True
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Narrations and labelled intervals."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="One frame a second."),
        SourceConfig(name="fps5", fps=5.0, description="Five frames a second."),
    ]
    EXPECTED = f"""
NAME.mp4 ...       videos ({", ".join(MEDIA)}), in any folder
{NARRATIONS_FILE}     video,start,end,text
{LABELS_FILE}         video,start,end,kind,label   (kind: {", ".join(SEGMENT_KINDS)})
{VIDEOS_FILE}         optional: video and any of {",".join(_VIDEO_COLUMNS[1:])}
{FILES}"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend(NARRATIONS_FILE, LABELS_FILE)
        self._book, defaults = LabelBook(tree), read_defaults(tree)
        media: dict[str, File] = {}
        for file, _ in tree.match(rf".*\.(?:{'|'.join(MEDIA)})"):
            if file.stem in media:
                raise tree.error(f"{media[file.stem]} and {file} have the same name")
            media[file.stem] = file
        if not media:
            raise tree.error("there is no video")
        facts = {}
        if VIDEOS_FILE in tree:
            for row in rows(tree[VIDEOS_FILE], ["video"]):
                unknown = [name for name in row.fields if name not in _VIDEO_COLUMNS]
                if unknown:
                    known = ", ".join(_VIDEO_COLUMNS)
                    raise row.error(f"unknown columns {', '.join(unknown)}; known: {known}")
                if _of(row, media) in facts:
                    raise row.error(f"the video '{row['video']}' is given twice")
                facts[row["video"]] = row
        spoken: dict[str, list[tuple[float, float, str]]] = {}
        if NARRATIONS_FILE in tree:
            for row in rows(tree[NARRATIONS_FILE], ["video", "start", "end", "text"]):
                if not row["text"]:
                    raise row.error("the text is empty")
                item = (*_interval(row), row["text"])
                spoken.setdefault(_of(row, media), []).append(item)
        labelled: dict[str, list[schema.Segment]] = {}
        if LABELS_FILE in tree:
            for row in rows(tree[LABELS_FILE], ["video", "start", "end", "kind", "label"]):
                labelled.setdefault(_of(row, media), []).append(self._segment(row))
        return [
            self._job(
                name,
                file,
                facts.get(name),
                defaults,
                tuple(sorted(spoken.get(name, []))),
                tuple(sorted(labelled.get(name, []), key=lambda s: (s.start, s.end))),
            )
            for name, file in sorted(media.items())
        ]

    def tables(self) -> dict[str, str]:
        return self._book.tables(self.source)

    def _segment(self, row: Row) -> schema.Segment:
        if row["kind"] not in SEGMENT_KINDS:
            known = ", ".join(SEGMENT_KINDS)
            raise row.error(f"the kind '{row['kind']}' is none of {known}")
        try:
            label = self._book.label(row["kind"], row["label"])
        except ontology.UnmappedLabelError as error:
            raise row.error(str(error)) from None
        return schema.Segment(row["kind"], label, *_interval(row))

    def _job(
        self,
        name: str,
        file: File,
        row: Row | None,
        defaults: Defaults,
        captions: tuple[tuple[float, float, str], ...],
        segments: tuple[schema.Segment, ...],
    ) -> VideoJob:
        given = row.fields if row else {}
        where = f"{row.file}, line {row.line}" if row else str(file)
        info = frame_readers.probe(file)
        notes = [f"title: {given['title']}"] if given.get("title") else []
        starts = [*(start for start, *_ in captions), *(segment.start for segment in segments)]
        late = sum(start >= info.duration for start in starts) if info else 0
        if late:
            notes.append(f"{late} narrations or labels begin after the end of the video")
        split = given.get("split")
        return self.of_file(
            name,
            file,
            info,
            functools.partial(_label, Intervals(segments)),
            schema.VideoAnnotations(segments, captions, notes=tuple(notes)),
            canonical=f"{self.source}/{given.get('patient') or name}",
            splits={"default": check_split(split, where)} if split else {},
            url=given.get("url", ""),
            **defaults.fill({fact: given.get(fact, "") for fact in FACTS}, self._book, where),
        )


def _of(row: Row, media: dict[str, File]) -> str:
    """The video of a row."""
    if row["video"] not in media:
        raise row.error(f"there is no video '{row['video']}'")
    return row["video"]


def _interval(row: Row) -> tuple[float, float]:
    start, end = seconds(row, "start"), seconds(row, "end")
    if not 0 <= start < end:
        raise row.error(f"the interval [{row['start']}, {row['end']}) is empty or begins before 0")
    return start, end


def seconds(row: Row, column: str) -> float:
    """Seconds, or [HH:]MM:SS[.fff] with minutes and seconds below 60."""
    parts = row[column].split(":")
    if len(parts) == 1:
        return row.float(column)
    numbers = [dataclasses.replace(row, fields={column: part}).float(column) for part in parts]
    whole = all(number == int(number) for number in numbers[:-1])
    if len(parts) > 3 or min(numbers) < 0 or max(numbers[1:]) >= 60 or not whole:
        raise row.error(f"{column} is '{row[column]}'; write seconds or HH:MM:SS")
    return sum(number * 60**power for power, number in enumerate(reversed(numbers)))


def _label(intervals: Intervals, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(
        # Two at once: which one is meant, nobody said.
        phase=intervals.one("phase", time),
        step=intervals.one("step", time),
        actions=intervals.actions(time),
    )
