"""Cholec80-VQA: questions on phase, tools and their number, on frames of Cholec80's videos."""

from __future__ import annotations

import functools
import math

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.question_files import answer_kinds, questions
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.video import frame_at
from surgzoo.db import schema

SOURCE = "cholec80_vqa"
LABEL_FPS = 25  # the numbers of the question files count frames of Cholec80's videos
STRIDE = 100  # the authors' loader takes the frames of full hundreds
FORMS = ("Classification", "Sentence")


class Cholec80VQA(SourceBuilder):
    """Questions of the form `Classification`, and those of `Sentence` with full answers.

    Frames come from the release's own pictures, or from Cholec80's videos, one every four seconds:
    that is where the questions of the authors' loader are.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Both forms of questions."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=LABEL_FPS / STRIDE, description="Every fourth second.")
    ]
    EXPECTED = """
Cholec80-VQA/Classification/1/0_QA.txt      question|answer, the number is the 25-fps frame
Cholec80-VQA/Sentence/1/0_QA.txt            optional: the same with sentences as answers
Cholec80-VQA/cropped_images/1/0.png         the frames,
or videos/video01.mp4                       or the videos of Cholec80
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        asked: dict[int, dict[int, dict[str, File]]] = {}
        for form in FORMS:
            for number, files in tree.by_frame(rf"(?:.*/)?{form}/(\d+)/(\d+)_QA\.txt").items():
                frames = asked.setdefault(number, {})
                for frame, file in files.items():
                    frames.setdefault(frame, {})[form] = file
        if not asked:
            raise tree.error("there are no question files")
        pictures = tree.by_frame(
            r"(?:.*/)?cropped_images?/(\d+)/(?:.*/)?(\d+)\.(?:png|jpe?g)", "are the same frame"
        )
        videos = tree.one_each(
            r"(?:.*/)?video(\d\d)\.mp4", lambda match: int(match[1]), "are the same video"
        )
        if not pictures and not videos:
            raise tree.error("there are neither cropped_images nor videos of Cholec80")
        return [self._job(n, asked[n], pictures.get(n, {}), videos.get(n)) for n in sorted(asked)]

    def _job(
        self,
        number: int,
        asked: dict[int, dict[str, File]],
        pictures: dict[int, File],
        video: File | None,
    ) -> VideoJob:
        name = f"video{number:02d}"
        wanted = {frame: files for frame, files in asked.items() if frame % STRIDE == 0}
        there = sorted(wanted.keys() & pictures.keys())
        notes = []
        if len(wanted) < len(asked):
            notes.append(
                f"{len(asked) - len(wanted)} of {len(asked)} question files are of frames that "
                f"are no multiple of {STRIDE}: not read, as by the authors' loader"
            )
        if there:
            stills = [Still(frame / LABEL_FPS, pictures[frame], frame) for frame in there]
            size, duration = frame_readers.image_size(stills), (there[-1] + 1) / LABEL_FPS
            frames = functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, wanted)
            )
            count, lost = len(stills), len(wanted) - len(there)
        elif video is not None:
            info, fps = frame_readers.probe(video), self.builder_config.fps
            size, duration = ((info.height, info.width), info.duration) if info else ((0, 0), 0.0)
            frames = functools.partial(
                frame_readers.from_video, name, video, fps, functools.partial(_label_at, wanted)
            )
            count = math.ceil(duration * fps)  # one at 0, too
            lost = sum(frame / LABEL_FPS >= duration for frame in wanted) if info else 0
        else:
            return self.lost(name, f"cropped_images/{number}", "questions are there, no frames")
        if lost:
            notes.append(f"{lost} of {len(wanted)} question files have no image")
        return VideoJob(
            self.video(name, height=size[0], width=size[1], duration=duration),
            frames,
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=count,
        )


def _label_at(
    asked: dict[int, dict[str, File]], time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    return _label(asked, frame_at(time, LABEL_FPS), image)


def _label(
    asked: dict[int, dict[str, File]], frame: int, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    if frame not in asked:
        return schema.FrameAnnotations()
    kinds = {"Classification": answer_kinds(SOURCE), "Sentence": _of_sentence}
    found = [
        question
        for form in FORMS
        if form in asked[frame]
        for question in questions(asked[frame][form], kinds[form])
    ]
    return schema.FrameAnnotations(questions=tuple(found))


def _of_sentence(answer: str) -> str:
    del answer
    return "sentence"
