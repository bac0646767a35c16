"""PitVis: endoscopic pituitary operations with steps and instruments by the second."""

from __future__ import annotations

import functools
import math

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.pitvis.labels import PHASE_OF_STEP, Second, read_seconds, segments
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "pitvis"
UNLABELLED = frozenset({19})  # released without annotations


class PitVis(SourceBuilder):
    """A video without annotations is an error, save number 19, which is released so.

    A frame has the labels of the second that it lies in.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Steps, phases derived from them, instruments."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The rate of the labels."),
        SourceConfig(name="fps4", fps=4.0, description="For clips; labels are by the second."),
    ]
    EXPECTED = """
video_NN.mp4           in any folder
annotations_NN.csv     int_video,int_time,int_step,int_instrument1,int_instrument2
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        media = _numbered(tree, r"(?:.*/)?video_?(\d+)\.mp4")
        labels = _numbered(tree, r"(?:.*/)?annotations_?(\d+)\.csv")
        if not media and not labels:
            raise tree.error("there is neither a video nor an annotation file")
        missing = [f"annotations_{n:02d}.csv" for n in sorted(media.keys() - labels.keys())]
        missing = [name for name in missing if int(name[12:14]) not in UNLABELLED]
        if missing:
            raise tree.error(f"label files are missing: {', '.join(missing[:5])}")
        return [
            self._job(number, media.get(number), labels.get(number))
            for number in sorted(media.keys() | labels.keys())
        ]

    def _job(self, number: int, media: File | None, label_file: File | None) -> VideoJob:
        name = f"video_{number:02d}"
        seconds = read_seconds(label_file, number) if label_file else {}
        found = segments(seconds)
        if media is None:
            return self.lost(name, f"{name}.mp4", "labels are there, the video is not", found)
        info = frame_readers.probe(media)
        notes = [] if seconds else ["released without annotations"]
        last = max(seconds, default=0)
        if info and seconds and last + 1 < math.floor(info.duration):
            notes.append(f"labels end at second {last}, the video at {info.duration:.1f} s")
        annotations = schema.VideoAnnotations(found, notes=tuple(notes))
        return self.of_file(name, media, info, functools.partial(_label, seconds), annotations)


def _numbered(tree: Tree, pattern: str) -> dict[int, File]:
    return tree.one_each(pattern, lambda match: int(match[1]), "are of the same video")


def _label(seconds: dict[int, Second], time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    found = seconds.get(math.floor(time))
    if found is None:
        return schema.FrameAnnotations()
    instruments = found.instruments
    return schema.FrameAnnotations(
        phase=found.phase,
        step=found.step,
        instruments=None if instruments is None else tuple(map(schema.Instrument, instruments)),
        flags={"out_of_body": 1.0} if found.outside else {},
        derived={"phase": PHASE_OF_STEP} if found.phase else {},
    )
