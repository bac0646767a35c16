"""Cholec80-CVS: the critical view of safety, scored on intervals of Cholec80's videos."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.cholec80_cvs.labels import Interval, read_intervals
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "cholec80_cvs"


class Cholec80CVS(SourceBuilder):
    """Frames of Cholec80's videos; those outside of all intervals have no criteria (None).

    A video without any interval is not stored; one whose file is missing is quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Three criteria."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="One frame a second."),
        SourceConfig(name="fps5", fps=5.0, description="The rate of the authors' preparation."),
    ]
    EXPECTED = """
cholec80-CVS.xlsx            or surgeons_annotations.xlsx
videos/videoNN.mp4           the videos of Cholec80
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        books = [
            file for file, _ in tree.match(r"(?:.*/)?(?:cholec80-?cvs|surgeons_annotations)\.xlsx")
        ]
        if len(books) != 1:
            raise tree.error(f"there are {len(books)} workbooks of annotations, not one")
        media = {int(m[1]): file for file, m in tree.match(r"(?:.*/)?video(\d\d)\.mp4")}
        intervals = read_intervals(books[0])
        if not media:
            raise tree.error("there is no video of Cholec80")
        return [self._job(n, media.get(n), found) for n, found in intervals.items()]

    def _job(self, number: int, media: File | None, found: tuple[Interval, ...]) -> VideoJob:
        name = f"video{number:02d}"
        if media is None:
            return self.lost(name, f"videos/{name}.mp4", "labels are there, the video is not")
        info = frame_readers.probe(media)
        late = [item.row for item in found if info and item.end > info.duration]
        notes = [f"rows {', '.join(map(str, late))} end after the video"] if late else []
        notes += [
            f"row {item.row} of the workbook: {item.problem}; its stretch is not annotated"
            for item in found
            if item.problem
        ]
        annotations = schema.VideoAnnotations(notes=tuple(notes))
        return self.of_file(name, media, info, functools.partial(_label, found), annotations)


def _label(found: tuple[Interval, ...], time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    now = [item for item in found if item.start <= time <= item.end and not item.problem]
    if len({item.scores for item in now}) > 1:
        # Neighbours share the second at which one ends and the other begins: the later one counts.
        now = [item for item in now if time < item.end]
    if len({item.scores for item in now}) > 1:
        rows = ", ".join(str(item.row) for item in now)
        raise FrameError(f"the rows {rows} of the workbook overlap and differ")
    return schema.FrameAnnotations(criteria=now[0].criteria() if now else None)
