"""DSAD, the Dresden Surgical Anatomy Dataset: frames with a mask of one organ, or of several."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.stills import NO_CLOCK, series
from surgzoo.db import ontology, schema

SOURCE = "dsad"
MULTILABEL = "multilabel"
INSIDE = 128  # masks are black and white; lossy copies are not exactly


class DSAD(SourceBuilder):
    """A folder `<organ>/<operation>` is a series of pictures.

    In a folder of one organ the others are in view and not annotated. So its mask is stored and
    asked about by a question ("Is the liver in view?"), and the frame has no list of tissues.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks of organs."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The annotated frames.")]
    EXPECTED = """
liver/04/image00.png, liver/04/mask00.png            a folder an organ, a folder an operation
multilabel/04/image00.png, mask00_liver.png ...      a mask an organ
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        organs = [native for kind, native in ontology.table(SOURCE) if kind == "tissue"]
        tree = tree.descend(*organs, MULTILABEL)
        names = "|".join([*organs, MULTILABEL])
        pictures: dict[tuple[str, str], dict[int, File]] = {}
        for file, match in tree.match(rf"({names})/(\d+)/image(\d+)\.(?:png|jpe?g)"):
            key = match[1].lower(), f"{int(match[2]):02d}"
            pictures.setdefault(key, {})[int(match[3])] = file
        found: dict[tuple[str, str], dict[int, dict[str, File]]] = {}
        for file, match in tree.match(rf"({names})/(\d+)/mask(\d+)(?:_(\w+))?\.png"):
            folder, organ = match[1].lower(), (match[4] or match[1]).lower()
            if organ not in organs:
                raise tree.error(f"{file}: '{organ}' is no organ of this dataset")
            of_folder = found.setdefault((folder, f"{int(match[2]):02d}"), {})
            of_folder.setdefault(int(match[3]), {})[organ] = file
        if not pictures:
            raise tree.error("there are no images")
        return [self._job(key, pictures[key], found.get(key, {})) for key in sorted(pictures)]

    def _job(
        self, key: tuple[str, str], pictures: dict[int, File], found: dict[int, dict[str, File]]
    ) -> VideoJob:
        folder, operation = key
        name = f"{folder}_{operation}"
        stills = series(pictures)
        height, width = frame_readers.image_size(stills)
        notes = [NO_CLOCK]
        bare = len(pictures.keys() - found.keys())
        if bare:
            notes.append(f"{bare} of {len(pictures)} images have no mask")
        label = functools.partial(_label, folder == MULTILABEL, found)
        return VideoJob(
            self.video(
                name,
                splits_of=operation,
                height=height,
                width=width,
                duration=stills[-1].time + 1,
            ),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _label(
    several: bool, found: dict[int, dict[str, File]], number: int, image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    if number not in found:
        return schema.FrameAnnotations()
    organs = [native for kind, native in ontology.table(SOURCE) if kind == "tissue"]
    values, labels = np.zeros(image.shape[:2], np.uint8), {}
    for organ, file in sorted(found[number].items()):
        inside = _inside(file, image)
        value = organs.index(organ) + 1
        if (values[inside] > 0).any():
            other = organs[int(values[inside].max()) - 1]
            raise FrameError(f"{file}: overlaps the mask of {other}")
        values[inside] = value
        labels[value] = ontology.label(SOURCE, "tissue", organ)
    dense = {"tissue_mask": masks.encode(values)}
    if several:
        known = {"tissues.box": masks.BOX_OF_MASK}
        tissues = masks.tissues(values, labels)
        return schema.FrameAnnotations(tissues=tissues, derived=known), dense
    ((value, label),) = labels.items()
    box = masks.box(values == value)
    question = schema.Question(
        f"Is the {ontology.name('tissue', label.concept)} in view?",
        "yes" if box else "no",
        box,
        kind="tissue",
    )
    known = {"questions": "the mask of one organ"}
    return schema.FrameAnnotations(questions=(question,), derived=known), dense


def _inside(file: File, image: np.ndarray) -> np.ndarray:
    return masks.one_channel(masks.read_mask(file, image.shape[:2]), file) >= INSIDE
