"""m2cai16-workflow as released: 41 cholecystectomies with eight phases at 25 fps."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import video as videos
from surgzoo.datasets.cholec80.labels import LABEL_FPS, last_row, rate_notes, read_phases
from surgzoo.datasets.frame_runs import Runs
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.m2cai16_workflow.pairs import pairs
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "m2cai16_workflow"


class M2cai16Workflow(SourceBuilder):
    """A video without labels is an error, labels without video are quarantined.

    Frame k of a video shows k / fps seconds; its phase is row floor(25 k / fps) of the label file.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The usual benchmark rate."),
        SourceConfig(name="fps5", fps=5.0, description="For clips."),
    ]
    EXPECTED = """
train_dataset/workflow_video_NN.mp4          (NN = 01 .. 27)
train_dataset/workflow_video_NN.txt
test_dataset/test_workflow_video_NN.mp4      (NN = 01 .. 14)
test_dataset/test_workflow_video_NN.txt
(other folders, or none, are fine)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        found = pairs(tree, r"(?:test_)?workflow_video")
        return [self._job(name, media, labels) for name, (media, labels) in found.items()]

    def _job(self, name: str, media: File | None, label_file: File) -> VideoJob:
        if media is None:
            return self.lost(name, str(label_file), "labels are there, the video is not")
        info, phases = frame_readers.probe(media), read_phases(label_file, SOURCE)
        notes = rate_notes(info) + phases.ends_early("phases", last_row(info))
        annotations = schema.VideoAnnotations(
            segments=phases.segments("phase", LABEL_FPS), notes=tuple(notes)
        )
        return self.of_file(name, media, info, functools.partial(_annotate, phases), annotations)


def _annotate(phases: Runs, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(phase=phases.at(videos.frame_at(time, LABEL_FPS)))
