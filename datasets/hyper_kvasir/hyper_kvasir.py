"""HyperKvasir: endoscopic pictures of 23 findings, a folder each, and masks of polyps."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.stills import NO_CLOCK, series
from surgzoo.db import ontology, schema

SOURCE = "hyper_kvasir"
SEGMENTED = "segmented"
FINDING, POLYP = "What does the picture show?", "Where is the polyp?"
HALF = 128


class HyperKvasir(SourceBuilder):
    """A folder of a class is a series of pictures; those with masks of polyps are one more.

    The schema has no field for findings, so that they are questions with their answers.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Findings and polyps."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
labeled-images/lower-gi-tract/anatomical-landmarks/cecum/*.jpg     a folder a class
labeled-images/upper-gi-tract/pathological-findings/barretts/*.jpg
segmented-images/images/NAME.jpg                                  optional
segmented-images/masks/NAME.jpg
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("labeled-images", "segmented-images")
        classes: dict[str, dict[str, File]] = {}
        for file, match in tree.match(
            r"labeled-images/(?:lower|upper)-gi-tract/[^/]+/([^/]+)/[^/]+\.jpe?g"
        ):
            classes.setdefault(match[1], {})[file.path] = file
        pictures = {
            f.stem: f for f, _ in tree.match(r"segmented-images/images/[^/]+\.(?:jpe?g|png)")
        }
        stencils = {
            f.stem: f for f, _ in tree.match(r"segmented-images/masks/[^/]+\.(?:jpe?g|png)")
        }
        if not classes and not pictures:
            raise tree.error("there are no pictures")
        jobs = []
        for native, files in sorted(classes.items()):
            try:
                ontology.label(SOURCE, "finding", native)
            except ontology.UnmappedLabelError as error:
                raise tree.error(str(error)) from None
            jobs.append(self._job(native, files, functools.partial(_finding, native), []))
        if pictures:
            bare = len(pictures.keys() - stencils.keys())
            notes = [f"{bare} of {len(pictures)} images have no mask"] if bare else []
            jobs.append(self._job(SEGMENTED, pictures, functools.partial(_polyp, stencils), notes))
        return jobs

    def _job(
        self, name: str, files: dict[str, File], label: frame_readers.Label, notes: list[str]
    ) -> VideoJob:
        stills = series(files)
        return VideoJob(
            self.video(name, duration=stills[-1].time + 1),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=(NO_CLOCK, "patients are not told apart", *notes)),
            frame_count=len(stills),
        )


def _finding(native: str, key: str, image: np.ndarray) -> schema.FrameAnnotations:
    del key, image
    question = schema.Question(FINDING, native, kind="finding")
    return schema.FrameAnnotations(
        questions=(question,), derived={"questions": "the folder of the picture"}
    )


def _polyp(stencils: dict[str, File], name: str, image: np.ndarray) -> schema.FrameAnnotations:
    if name not in stencils:
        return schema.FrameAnnotations()
    file = stencils[name]
    mask = masks.one_channel(masks.read_mask(file, image.shape[:2]), file) >= HALF
    box = masks.box(polyps(mask))
    answer = "polyps" if box else "none"
    return schema.FrameAnnotations(
        questions=(schema.Question(POLYP, answer, box, kind="finding"),),
        derived={"questions": masks.BOX_OF_MASK},
    )


def polyps(bright: np.ndarray) -> np.ndarray:
    """The polyps of a black-and-white mask, [height, width] bool.

    Loaders disagree on which of the two is polyp. A polyp fills no more than a part of the rim of
    its picture, so what most of the rim is made of is background.
    """
    rim = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
    return ~bright if rim.mean() > 0.5 else bright
