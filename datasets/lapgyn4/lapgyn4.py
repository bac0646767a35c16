"""LapGyn4 v1.2: four sets of single images of gynecologic laparoscopies, a folder a class."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, schema

SOURCE = "lapgyn4"
COUNTS, STRUCTURES = "Instrument_Count", "Anatomical_Structures"
ACTIONS, ACTIONS_ON = "Surgical_Actions", "Actions_on_Anatomy"

# The kinds of the ontology's rows of each set's folders; the first one has all of them.
SETS = {
    COUNTS: ("answer",),
    STRUCTURES: ("tissue",),
    ACTIONS: ("action",),
    ACTIONS_ON: ("action", "tissue"),
}
QUESTIONS = {
    "answer": ("count", "How many instruments are in view?"),
    "action": ("action", "Which surgical action does the image show?"),
}
AS_QUESTION = "the folder of the image, put as a question"
ONE_TISSUE = "the folder of the image; others may be in view"

_IMAGE = rf"(?:.*/)?({'|'.join(SETS)})/([^/]+)/([^/]+)\.(?:jpe?g|png)"
_OF_CASE = re.compile(r"c_0*(\d+)_v_0*(\d+)_f_0*(\d+)")


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image: its class, and its place (video, frame) in its case or its number."""

    file: File
    native: str
    place: tuple[int, ...]


class LapGyn4(SourceBuilder):
    """`surgical_actions_case_012` are the images of one case in one set, in their order.

    Files without a case in their name (the set of counts) are one video a folder. The images are
    single ones: none follows from the one before, so actions are kept as answers to questions and
    not as `actions`, which the tasks on time would take for a course of events.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Counts, organs, actions."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The images as they are.")]
    EXPECTED = """
Surgical_Actions/Suturing/c_1_v_113587_f_13.jpg        case, video, frame
Anatomical_Structures/Uterus/c_1_v_1132_f_2.jpg
Actions_on_Anatomy/Suturing_Ovary/c_4_v_55_f_2203.jpg
Instrument_Count/3/31.jpg
(LapGyn4_v1.2.zip as it is will do, and so will some of the sets)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        videos: dict[tuple[str, str], list[Picture]] = {}
        for file, match in tree.match(_IMAGE):
            name = next(known for known in SETS if known.lower() == match[1].lower())
            native = _native(name, match[2], file)
            found = _OF_CASE.fullmatch(match[3].lower())
            if found:
                group, place = f"case_{int(found[1]):03d}", (int(found[2]), int(found[3]))
            else:
                group, place = native.lower(), _numbers(match[3])
            videos.setdefault((name, group), []).append(Picture(file, native, place))
        if not videos:
            raise tree.error("there are no images")
        return [self._job(*key, videos[key]) for key in sorted(videos)]

    def _job(self, name: str, group: str, pictures: list[Picture]) -> VideoJob:
        pictures = sorted(pictures, key=lambda p: (p.place, p.native, p.file.path))
        classes: dict[tuple[int, ...], list[str]] = collections.defaultdict(list)
        for picture in pictures:
            classes[picture.place].append(picture.native)
        stills = [
            Still(float(order), picture.file, (picture.native, tuple(classes[picture.place])))
            for order, picture in enumerate(pictures)
        ]
        height, width = frame_readers.image_size(stills)
        video = f"{name.lower()}_{group}"
        facts = {}
        if group.startswith("case_"):
            # Whether the sets number their cases alike is not told; if they do, it is one patient.
            facts["canonical"] = f"{SOURCE}/{group}"
        return VideoJob(
            self.video(video, height=height, width=width, duration=float(len(stills)), **facts),
            functools.partial(
                frame_readers.from_images, video, stills, functools.partial(_label, name)
            ),
            schema.VideoAnnotations(notes=("single images; a time is the image's place in order",)),
            frame_count=len(stills),
        )


def _native(name: str, folder: str, file: File) -> str:
    """The ontology's spelling of a folder. Raises UnmappedLabelError."""
    kind = SETS[name][0]
    known = [native for k, native in ontology.table(SOURCE) if k == kind]
    for native in known:
        if native.lower() == folder.lower():
            return native
    raise ontology.UnmappedLabelError(
        f"{file}: '{folder}' is no class of {name}; known: {', '.join(known)}"
    )


def _numbers(stem: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", stem))


def _label(
    name: str, key: tuple[str, tuple[str, ...]], image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    native, classes = key
    if len(set(classes)) > 1:
        raise FrameError(f"the image is in the folders {' and '.join(sorted(set(classes)))}")
    tissues, questions, derived = None, [], {}
    for kind in SETS[name]:
        if (kind, native) not in ontology.table(SOURCE):
            continue  # Suturing_Other: no organ is named
        label = ontology.label(SOURCE, kind, native)
        if kind == "tissue":
            tissues = (schema.Tissue(label),)
            derived["tissues"] = ONE_TISSUE
        else:
            asked, text = QUESTIONS[kind]
            answer = ontology.name(kind, label.concept)
            questions.append(schema.Question(text, answer, kind=asked))
            derived["questions"] = AS_QUESTION
    return schema.FrameAnnotations(
        tissues=tissues, questions=tuple(questions) or None, derived=derived
    )
