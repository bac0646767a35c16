"""SSG-VQA: questions on CholecT45's frames, from scene graphs of instruments and anatomy."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, text
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.question_files import answer_kinds
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, schema

SOURCE = "ssg_vqa"
HEAD = 2  # lines that are no questions, at the top of every file


class SSGVQA(SourceBuilder):
    """Frames are CholecT45's (data/VIDNN) or CholecT50's (videos/VIDNN), those with questions.

    A frame number is the second. Kinds of a question are the types that its line names.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Questions, answers and their types."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
qa_txt/VID01/1.txt                 two lines, then question|answer|type|type ... (ssg-qa.zip)
data/VID01/000001.png              frames of CholecT45
or videos/VID01/000001.png         frames of CholecT50
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        asked: dict[int, dict[int, File]] = {}
        for file, match in tree.match(r"(?:.*/)?qa_txt/VID(\d+)/(\d+)\.txt"):
            asked.setdefault(int(match[1]), {})[int(match[2])] = file
        if not asked:
            raise tree.error("there are no question files below qa_txt")
        media: dict[int, dict[int, File]] = {}
        for file, match in tree.match(r"(?:.*/)?(?:data|videos)/VID(\d+)/(\d+)\.(?:png|jpe?g)"):
            frames = media.setdefault(int(match[1]), {})
            if frames.setdefault(int(match[2]), file) != file:
                raise tree.error(f"{frames[int(match[2])]} and {file} are the same frame")
        if not media:
            raise tree.error("there are no frames of CholecT45 (data/) or CholecT50 (videos/)")
        return [self._job(n, media.get(n, {}), asked[n]) for n in sorted(asked)]

    def _job(self, number: int, images: dict[int, File], asked: dict[int, File]) -> VideoJob:
        name = f"VID{number:02d}"
        there = sorted(asked.keys() & images.keys())
        if not there:
            return self.lost(name, f"data/{name}", "questions are there, the frames are not")
        stills = [Still(float(second), images[second], second) for second in there]
        height, width = frame_readers.image_size(stills)
        notes = []
        lost = len(asked) - len(there)
        if lost:
            notes.append(f"{lost} of {len(asked)} question files have no image")
        return VideoJob(
            self.video(name, height=height, width=width, duration=there[-1] + 1.0),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, asked)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _label(asked: dict[int, File], second: int, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    try:
        return schema.FrameAnnotations(questions=read_questions(asked[second]))
    except (AnnotationFileError, ontology.UnmappedLabelError) as error:
        raise FrameError(str(error)) from None


def read_questions(file: File) -> tuple[schema.Question, ...]:
    """The questions of a frame. Raises AnnotationFileError or UnmappedLabelError."""
    kind_of = answer_kinds(SOURCE)
    lines = [(n, line) for n, line in enumerate(text(file).split("\n"), 1) if line.strip()]
    if len(lines) < HEAD:
        raise AnnotationFileError(f"{file}: {len(lines)} lines; the first {HEAD} are its head")
    stray = next((n for n, line in lines[:HEAD] if "|" in line), None)
    if stray is not None:
        raise AnnotationFileError(f"{file}, line {stray}: a question where the head should be")
    out = []
    for number, line in lines[HEAD:]:
        fields = [field.strip() for field in line.split("|")]
        if len(fields) < 3 or not all(fields):
            raise AnnotationFileError(
                f"{file}, line {number}: need question|answer|type ...: {line!r}"
            )
        question, answer, *types = fields
        try:
            kind_of(answer)
        except ontology.UnmappedLabelError as error:
            raise ontology.UnmappedLabelError(f"{file}, line {number}: {error}") from None
        out.append(schema.Question(question, answer, kind="/".join(types)))
    return tuple(out)
