"""m2cai16-tool as released: 15 cholecystectomies with seven tools at 1 fps."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import video as videos
from surgzoo.datasets.cholec80.labels import LABEL_FPS, Tools, last_row, rate_notes, read_tools
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.m2cai16_workflow.pairs import pairs
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "m2cai16_tool"


class M2cai16Tool(SourceBuilder):
    """A video without labels is an error, labels without video are quarantined.

    Frame k shows second k, which is frame 25 k of the file and of the labels. There is no denser
    config: between the annotated frames nothing is known.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Tools."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The annotated frames.")]
    EXPECTED = """
train_dataset/tool_video_NN.mp4      (NN = 01 .. 10)
train_dataset/tool_video_NN.txt
test_dataset/tool_video_NN.mp4       (NN = 11 .. 15)
test_dataset/tool_video_NN.txt
(other folders, or none, are fine)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        found = pairs(tree, r"tool_video")
        return [self._job(name, media, labels) for name, (media, labels) in found.items()]

    def _job(self, name: str, media: File | None, label_file: File) -> VideoJob:
        if media is None:
            return self.lost(name, str(label_file), "labels are there, the video is not")
        info, tools = frame_readers.probe(media), read_tools(label_file, SOURCE)
        notes = rate_notes(info) + tools.notes(last_row(info))
        annotations = schema.VideoAnnotations(notes=tuple(notes))
        return self.of_file(name, media, info, functools.partial(_annotate, tools), annotations)


def _annotate(tools: Tools, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(instruments=tools.at(videos.frame_at(time, LABEL_FPS)))
