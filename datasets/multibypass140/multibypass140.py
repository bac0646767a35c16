"""MultiBypass140: gastric bypasses of Bern and Strasbourg, with phases and steps at 25 fps."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.intervals import Intervals
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.multibypass140.labels import read_segments, read_split
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema, splits

SOURCE = "multibypass140"
CENTRES = {"B": "bern", "S": "strasbourg"}

# A pickle is of one centre, split and fold, which the released file names count from 0.
_PICKLE = (
    r".*labels/(bern|strasbourg)/labels_by70_splits/labels/"
    r"(train|val|test)/1fps(?:_100)?_(\d)\.pickle"
)


class MultiBypass140(SourceBuilder):
    """Labels without video are quarantined, a video without labels is an error.

    Folds of a centre come from its pickles where they are there (`bern_fold1` is their number 1).
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases, steps and flags."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The rate of the published results."),
        SourceConfig(name="fps5", fps=5.0, description="For clips."),
    ]
    EXPECTED = """
BernBypass70/videos/BBP01.mp4 ...                 videos, in any folder
StrasBypass70/videos/SBP01.mp4 ...
labels/bern/labels_by70/BBP01.mp4.json ...        the label folder of the repository
labels/strasbourg/labels_by70/SBP01.mp4.json ...
labels/bern/labels_by70_splits/labels/{train,val,test}/*.pickle   optional
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        labels = {
            m[1].upper(): file for file, m in tree.match(r".*labels_by70/([BS]BP\d\d)\.mp4\.json")
        }
        if not labels:
            raise tree.error("there are no label files")
        media = tree.one_each(
            r"(?:.*/)?([BS]BP\d\d)\.mp4", lambda match: match[1].upper(), "are the same video"
        )
        missing = sorted(media.keys() - labels.keys())
        if missing:
            raise tree.error(f"label files are missing: {', '.join(missing[:5])}")
        folds: dict[str, dict[str, schema.Split]] = {}
        for file, match in tree.match(_PICKLE):
            for video in read_split(file):
                folds.setdefault(video, {})[f"{match[1]}_fold{match[3]}"] = match[2]
        return [
            self._job(name, media.get(name), labels[name], folds.get(name, {}))
            for name in sorted(labels)
        ]

    def _job(
        self, name: str, media: File | None, label_file: File, folds: dict[str, schema.Split]
    ) -> VideoJob:
        segments = read_segments(label_file)
        if media is None:
            return self.lost(name, f"{name}.mp4", "labels are there, the video is not", segments)
        info, notes = frame_readers.probe(media), []
        end = max(segment.end for segment in segments)
        if info and end > info.duration + 1:
            notes.append(f"labels end at {end:.1f} s, the video at {info.duration:.1f} s")
        label = functools.partial(_annotations, Intervals(segments))
        annotations = schema.VideoAnnotations(segments, notes=tuple(notes))
        known = {**splits.official(SOURCE, name), **folds}
        return self.of_file(name, media, info, label, annotations, splits=known)


def _annotations(intervals: Intervals, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(
        phase=intervals.one("phase", time),
        step=intervals.one("step", time),
        flags={label.concept: 1.0 for label in intervals.at("flag", time)},
    )
