"""PitVQA: questions about frames of PitVis's videos, with answers from 59 classes."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.question_files import answer_kinds, questions
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "pitvqa"


class PitVQA(SourceBuilder):
    """Frames without a question file were left out by the authors (blurred); they are stored bare.

    Questions whose answer says that nothing is visible are dropped, as the authors' loader does.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Questions and answers."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
images/video_NN/00001.png    the number is the second
QA/video_NN/00001.txt        question|answer, a line each
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("images", "QA")
        media = tree.by_frame(r"images/video_?(\d+)/(\d+)\.(?:png|jpe?g)")
        asked = tree.by_frame(r"QA/video_?(\d+)/(\d+)\.txt")
        if not asked:
            raise tree.error("there are no question files")
        bare = sorted(media.keys() - asked.keys())
        if bare:
            raise tree.error(f"question files are missing: QA/video_{bare[0]:02d}")
        return [self._job(n, media.get(n, {}), asked[n]) for n in sorted(asked)]

    def _job(self, number: int, images: dict[int, File], asked: dict[int, File]) -> VideoJob:
        name = f"video_{number:02d}"
        if not images:
            return self.lost(name, f"images/{name}", "questions are there, the frames are not")
        stills = [Still(float(n), file, n) for n, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        notes = []
        lost = len(asked.keys() - images.keys())
        if lost:
            notes.append(f"{lost} of {len(asked)} question files have no image")
        unasked = len(images.keys() - asked.keys())
        if unasked:
            notes.append(f"{unasked} of {len(images)} images have no question file")
        return VideoJob(
            self.video(name, height=height, width=width, duration=max(images) + 1.0),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, asked)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _label(asked: dict[int, File], number: int, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    if number not in asked:
        return schema.FrameAnnotations()
    found = questions(asked[number], answer_kinds(SOURCE), drop_void=True)
    return schema.FrameAnnotations(questions=found)
