"""SSG-VQA: questions on CholecT45's frames, from scene graphs of instruments and anatomy."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.ssg_vqa.labels import DETECTED, SOURCE, read_graph, read_questions
from surgzoo.db import ontology, schema

_Graphs = dict[int, tuple[schema.Instrument, ...] | None]  # by second; None: a broken box


class SSGVQA(SourceBuilder):
    """Frames are CholecT45's (data/VIDNN) or CholecT50's (videos/VIDNN), those with questions.

    A frame number is the second. Kinds of a question are the types that its line names. Where the
    scene graphs are there too, the instruments with the boxes of their detector go with a frame.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Questions, answers and their types; detected instruments."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
qa_txt/VID01/1.txt                 two lines, then question|answer|type|type ... (ssg-qa.zip,
                                   packed or unpacked into any folder)
scene_graph/VID01_0.json           optional (scene_graph_ssgqa.zip)
data/VID01/000001.png              frames of CholecT45
or videos/VID01/000001.png         frames of CholecT50
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        asked = tree.by_frame(r"(?:.*/)?VID0*(\d+)/(\d+)\.txt")
        if not asked:
            raise tree.error("there are no question files")
        media = tree.by_frame(
            r"(?:.*/)?(?:data|videos)/VID0*(\d+)/(\d+)\.(?:png|jpe?g)", "are the same frame"
        )
        if not media:
            raise tree.error("there are no frames of CholecT45 (data/) or CholecT50 (videos/)")
        graphs: dict[int, _Graphs] = {}
        for file, _ in tree.match(r"(?:.*/)?VID\d+_\d+\.json"):
            number, second, instruments = read_graph(file)
            found = graphs.setdefault(number, {})
            if second in found:
                raise tree.error(f"{file} is the second scene graph of VID{number:02d}_{second}")
            found[second] = instruments
        return [self._job(n, media.get(n, {}), asked[n], graphs.get(n, {})) for n in sorted(asked)]

    def _job(
        self, number: int, images: dict[int, File], asked: dict[int, File], graphs: _Graphs
    ) -> VideoJob:
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
        broken = sum(instruments is None for instruments in graphs.values())
        if broken:
            notes.append(
                f"{broken} of {len(graphs)} scene graphs hold a box that is empty or outside the "
                "image: their instruments are not annotated"
            )
        return VideoJob(
            self.video(name, height=height, width=width, duration=there[-1] + 1.0),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, asked, graphs)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _label(
    asked: dict[int, File], graphs: _Graphs, second: int, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    instruments = graphs.get(second)
    try:
        questions = read_questions(asked[second])
    except (AnnotationFileError, ontology.UnmappedLabelError) as error:
        raise FrameError(str(error)) from None
    return schema.FrameAnnotations(
        questions=questions,
        instruments=instruments,
        derived={} if instruments is None else {"instruments": DETECTED},
    )
