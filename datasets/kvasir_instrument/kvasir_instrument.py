"""Kvasir-Instrument: 590 images of instruments in the digestive tract, with masks and boxes."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.kvasir_instrument.labels import (
    Boxes,
    read_boxes,
    read_list,
)
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, schema

SOURCE = "kvasir_instrument"
VALUE = 1  # of instruments in our mask
MIDDLE = 127  # masks are black and white

_IMAGE = r"images/([^/]+)\.(?:jpe?g|png)"
_MASK = r"masks/([^/]+)\.(?:png|jpe?g)"


class KvasirInstrument(SourceBuilder):
    """The images of each list are one video: `train` and `test`.

    No image says whose it is or when it was taken, so its time is its place in the list.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks and boxes of instruments."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The images as they are.")]
    EXPECTED = """
images/*.jpg         (images.tar.gz and masks.tar.gz unpacked)
masks/*.png          white on black
bboxes.json
train.txt
test.txt
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("images", "bboxes.json")
        images, mask_files = _by_name(tree, _IMAGE), _by_name(tree, _MASK)
        if not images:
            raise tree.error("there are no images")
        found = read_boxes(tree["bboxes.json"])
        lists = {split: read_list(tree[f"{split}.txt"]) for split in ("train", "test")}
        both = sorted(set(lists["train"]) & set(lists["test"]))
        if both:
            raise AnnotationFileError(f"{tree['test.txt']}: {both[0]} is in train.txt too")
        rest = tuple(sorted(images.keys() - set(lists["train"]) - set(lists["test"])))
        jobs = [
            self._job(split, names, images, mask_files, found) for split, names in lists.items()
        ]
        if rest:
            jobs.append(self._job("unlisted", rest, images, mask_files, found))
        return jobs

    def _job(
        self,
        name: str,
        names: tuple[str, ...],
        images: dict[str, File],
        mask_files: dict[str, File],
        found: dict[str, Boxes],
    ) -> VideoJob:
        splits = {} if name == "unlisted" else {"official": name, "default": name}
        here = [stem for stem in names if stem in images]
        if not here:
            where = f"images of {name}.txt"
            return self.lost(name, where, "none of the listed images is there", splits=splits)
        stills = [Still(float(order), images[stem], stem) for order, stem in enumerate(here)]
        height, width = frame_readers.image_size(stills)
        notes = ["single images; a time is the image's place in the list"]
        for what, count in (
            (f"of {len(names)} listed images are missing", len(names) - len(here)),
            (f"of {len(here)} images have no mask", len(set(here) - mask_files.keys())),
            (f"of {len(here)} images are not in bboxes.json", len(set(here) - found.keys())),
        ):
            if count:
                notes.append(f"{count} {what}")
        wanted = set(here)
        label = functools.partial(
            _label,
            {stem: file for stem, file in mask_files.items() if stem in wanted},
            {stem: boxes for stem, boxes in found.items() if stem in wanted},
        )
        return VideoJob(
            self.video(
                name, splits=splits, height=height, width=width, duration=float(len(stills))
            ),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _by_name(tree: Tree, pattern: str) -> dict[str, File]:
    return tree.one_each(pattern, lambda match: match[1].lower(), "are the same image")


def _label(
    mask_files: dict[str, File], found: dict[str, Boxes], stem: str, image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """All instruments share the value of the mask: it does not tell them apart, the boxes do."""
    if stem not in mask_files and stem not in found:
        return schema.FrameAnnotations()
    size = image.shape[:2]
    dense, value = {}, 0
    if stem in mask_files:
        file = mask_files[stem]
        region = masks.one_channel(masks.read_mask(file, size), file) > MIDDLE
        dense = {"instrument_mask": masks.encode(region * VALUE)}
        value = VALUE if region.any() else 0
    label = ontology.label(SOURCE, "instrument", "instrument")
    places: tuple[schema.Box | None, ...] = found[stem].of(size) if stem in found else ()
    if not places and value:
        places = (None,)  # a mask without a box: how many instruments it shows is not told
    instruments = tuple(schema.Instrument(label, place, value) for place in places)
    return schema.FrameAnnotations(instruments=instruments), dense
