"""m2cai16-tool as released: 15 cholecystectomies with seven tools at 1 fps."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import video as videos
from surgzoo.datasets.cholec80.labels import LABEL_FPS, TOOL_STRIDE, Tools, read_tools
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
        fps, info = self.builder_config.fps, frame_readers.probe(media)
        tools = read_tools(label_file, SOURCE)
        duration, size = (info.duration, (info.height, info.width)) if info else (0.0, (0, 0))
        last_row, notes = round(duration * LABEL_FPS) - 1, []
        if info and info.fps != LABEL_FPS:
            notes.append(f"the file has {float(info.fps):.3f} fps, the labels 25; matched by time")
        if tools.last < last_row // TOOL_STRIDE * TOOL_STRIDE:
            notes.append(f"tools end at frame {tools.last}, the video at frame {last_row}")
        return VideoJob(
            self.video(name, height=size[0], width=size[1], duration=duration),
            functools.partial(
                frame_readers.from_video, name, media, fps, functools.partial(_annotate, tools)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=round(duration * fps),
        )


def _annotate(tools: Tools, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(instruments=tools.at(videos.frame_at(time, LABEL_FPS)))
