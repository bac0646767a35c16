"""LapGyn4 v1.2: four sets of pictures of gynaecologic laparoscopy, a folder a class."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.stills import NO_CLOCK, series
from surgzoo.db import ontology, schema

SOURCE = "lapgyn4"
ACTIONS, ANATOMY = "Surgical_Actions", "Anatomical_Structures"
COUNTS, ON_ANATOMY = "Instrument_Count", "Actions_on_Anatomy"
SETS = (ACTIONS, ANATOMY, COUNTS, ON_ANATOMY)
COUNTING = "How many instruments are in view?"


class LapGyn4(SourceBuilder):
    """A folder `<set>/<class>` is a series of pictures that all have its label.

    A picture is labelled in the terms of its own set only: nothing is said of its other contents.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "All four sets."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
Surgical_Actions/Coagulation/*.jpg
Anatomical_Structures/Colon/*.jpg
Instrument_Count/0/*.jpg
Actions_on_Anatomy/Suturing_Ovary/*.jpg
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend(*SETS)
        found: dict[tuple[str, str], dict[str, File]] = {}
        by_name = {name.lower(): name for name in SETS}
        for file, match in tree.match(
            rf"({'|'.join(SETS)})/(?:.*/)?([^/]+)/([^/]+\.(?:jpe?g|png))"
        ):
            key = by_name[match[1].lower()], match[2]
            found.setdefault(key, {})[file.path] = file
        if not found:
            raise tree.error("there are no pictures")
        return [self._job(tree, *key, found[key]) for key in sorted(found)]

    def _job(self, tree: Tree, of: str, native: str, files: dict[str, File]) -> VideoJob:
        try:
            annotations = labels(of, native)
        except ontology.UnmappedLabelError as error:
            raise tree.error(f"{of}/{native}: {error}") from None
        name = f"{of}_{native}"
        stills = series(files)
        height, width = frame_readers.image_size(stills)
        return VideoJob(
            self.video(name, height=height, width=width, duration=stills[-1].time + 1),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, annotations)
            ),
            schema.VideoAnnotations(notes=(NO_CLOCK, "patients are not told apart")),
            frame_count=len(stills),
        )


def labels(of: str, native: str) -> schema.FrameAnnotations:
    """What a picture in the folder `native` of a set shows. Raises UnmappedLabelError."""
    if of == COUNTS:
        ontology.label(SOURCE, "answer", native)
        question = schema.Question(COUNTING, native, kind="count")
        return schema.FrameAnnotations(
            questions=(question,), derived={"questions": "the folder of the picture"}
        )
    if of == ANATOMY:
        tissue = schema.Tissue(ontology.label(SOURCE, "tissue", native))
        return schema.FrameAnnotations(tissues=(tissue,))
    action = ontology.label(SOURCE, "action", native)
    return schema.FrameAnnotations(actions=(action,))


def _label(
    annotations: schema.FrameAnnotations, key: str, image: np.ndarray
) -> schema.FrameAnnotations:
    del key, image
    return annotations
