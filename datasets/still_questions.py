"""Questions about another dataset's stills: what EndoVis-18-VQA and the two VQLA sets share.

The release is text, a file a frame; the images are those of the EndoVis challenges, which the user
lays beside it. A line is `question|answer`, or `question|answer|x1,y1,x2,y2` with a box: pixels of
a 1280x1024 image that count from 1 (dataloader.py of github.com/longbai1006/Surgical-VQLA takes 1
from each).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import numpy as np

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError
from surgzoo.datasets.endovis2018 import sequences
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.question_files import answer_kinds, pairs
from surgzoo.datasets.source_builder import SourceBuilder, VideoJob
from surgzoo.db import boxes, schema

BOX_SIZE = (1024, 1280)  # height and width of the images that boxes are given in

# What the three questions are about, as kinds of the ontology. A sentence that answers them has its
# label among other words.
_ASKED = (
    (re.compile(r"what organ is being operated", re.IGNORECASE), "tissue"),
    (re.compile(r"what is the state of ", re.IGNORECASE), "action"),
    (re.compile(r"where is .* located", re.IGNORECASE), "place"),
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

Files = dict[str, dict[int, File]]  # sequence -> frame number -> file
KindOf = Callable[[str, str], str]  # question, answer -> kind of the answer


class StillQuestions(SourceBuilder):
    """Only frames with a question file are stored; the others are in the set that they come from.

    A frame whose file cannot be read, or holds an answer that is none, is quarantined.
    """

    boxed: bool = False  # whether a line has a box

    def images(self, tree: Tree) -> Files:
        # They may lie beside the questions and in the challenge's own folders.
        return sequences.left_images(tree, copies=True)

    def asked(self, tree: Tree) -> Files:
        """The question files. Raises LayoutError."""
        raise NotImplementedError

    def kind_of(self) -> KindOf:
        """A picklable function that may raise UnmappedLabelError."""
        return functools.partial(kind_of_answer, self.source)

    def jobs(self, tree: Tree) -> list[VideoJob]:
        asked, images = self.asked(tree), self.images(tree)
        if not asked:
            raise tree.error("there are no question files")
        if not asked.keys() & images.keys():
            raise tree.error(
                f"there are {sum(map(len, asked.values()))} question files and no image of theirs; "
                "the images come with the challenge's own data"
            )
        return [
            self._job(name, asked[name], images.get(name, {}))
            for name in sorted(asked, key=sequences.order)
        ]

    def _job(self, name: str, asked: dict[int, File], images: dict[int, File]) -> VideoJob:
        if not asked.keys() & images.keys():
            return self.lost(name, name, "questions are there, their images are not")
        stills = [
            Still(number / sequences.RATE, images[number], number)
            for number in sorted(asked.keys() & images.keys())
        ]
        height, width = frame_readers.image_size(stills)
        notes = []
        without = len(asked.keys() - images.keys())
        if without:
            notes.append(f"{without} of {len(asked)} question files have no image")
        label = functools.partial(_annotate, asked, self.kind_of(), self.boxed)
        duration = (stills[-1].key + 1) / sequences.RATE
        return VideoJob(
            self.video(name, height=height, width=width, duration=duration),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def kind_of_question(question: str, answer: str) -> str:
    """What a question is about, "" when it is of no known form."""
    del answer
    return next((kind for pattern, kind in _ASKED if pattern.match(question)), "")


def kind_of_answer(source: str, question: str, answer: str) -> str:
    """Raises UnmappedLabelError for an answer that is none of the source's."""
    del question
    return answer_kinds(source)(answer)


def read_questions(file: File, kind_of: KindOf, boxed: bool) -> tuple[schema.Question, ...]:
    """Raises AnnotationFileError, also for a file without a question."""
    questions = []
    for line, (question, answer, *rest) in pairs(file, 3 if boxed else 2):
        try:
            kind = kind_of(question, answer)
            box = _box(rest[0]) if boxed else None
        except ValueError as error:
            raise AnnotationFileError(f"{file}, line {line}: {error}") from None
        questions.append(schema.Question(question, answer, box, kind))
    if not questions:
        raise AnnotationFileError(f"{file}: holds no question")
    return tuple(questions)


def _box(text: str) -> schema.Box:
    """The box of a line. Raises ValueError."""
    values = [value.strip() for value in text.split(",")]
    if len(values) != 4 or not all(map(_NUMBER.fullmatch, values)):
        raise ValueError(f"'{text}' is not a box x1,y1,x2,y2")
    return boxes.from_xyxy([float(value) - 1 for value in values], BOX_SIZE, clip=True)


def _annotate(
    asked: dict[int, File], kind_of: KindOf, boxed: bool, number: int, image: np.ndarray
) -> schema.FrameAnnotations:
    height, width = image.shape[:2]
    if boxed and width * BOX_SIZE[0] != height * BOX_SIZE[1]:
        raise FrameError(
            f"the image is {width}x{height}, and the boxes are of images of {BOX_SIZE[1]}x"
            f"{BOX_SIZE[0]}: cut the picture out of its black frame"
        )
    try:
        return schema.FrameAnnotations(questions=read_questions(asked[number], kind_of, boxed))
    except AnnotationFileError as error:
        raise FrameError(str(error)) from None
