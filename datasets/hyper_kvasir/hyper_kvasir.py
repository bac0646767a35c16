"""HyperKvasir: images of gastrointestinal endoscopy in 23 classes, and 1,000 polyps with masks."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.kvasir_instrument.labels import Boxes, read_boxes
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import identity, ontology, schema

SOURCE = "hyper_kvasir"
SEGMENTED = "segmented_polyps"
POLYPS = "polyps"  # the class that the segmented images are of
VALUE = 1  # of a polyp in our mask
MIDDLE = 127

QUESTION = "What does the endoscopic image show?"
AS_QUESTION = "the folder of the image, put as a question"
DARK = "the dark part of the file: its border is mostly bright, and the border is background"
ORDER = "single images; a time is the image's place in the order of names"
BORDER = "which of black and white is the polyp is told by the border of each mask"

_LABELED = r"(?:.*/)?(lower|upper)-gi-tract/[^/]+/([^/]+)/([^/]+)\.(?:jpe?g|png)"
_IMAGE = r"(?:.*/)?segmented-images/images/([^/]+)\.(?:jpe?g|png)"
_MASK = r"(?:.*/)?segmented-images/masks/([^/]+)\.(?:jpe?g|png)"
_BOXES = r"(?:.*/)?segmented-images/bounding-boxes\.json"


class HyperKvasir(SourceBuilder):
    """`lower_polyps` are the images of one folder, `segmented_polyps` those with masks.

    No image says whose it is, so a folder is one video, and a time is a place in it. The segmented
    images are of the folder of polyps, and count as the same operation.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Findings; masks of polyps."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The images as they are.")]
    EXPECTED = """
labeled-images/lower-gi-tract/pathological-findings/polyps/*.jpg     region, group, class
labeled-images/upper-gi-tract/anatomical-landmarks/z-line/*.jpg
segmented-images/images/*.jpg
segmented-images/masks/*.jpg
segmented-images/bounding-boxes.json                                 optional
(one of the two parts is enough)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        folders: dict[tuple[str, str], list[File]] = {}
        for file, match in tree.match(_LABELED):
            key = match[1].lower(), _native(match[2], file)
            folders.setdefault(key, []).append(file)
        images, mask_files = _by_name(tree, _IMAGE), _by_name(tree, _MASK)
        if not folders and not images:
            raise tree.error("there are no labeled and no segmented images")
        if images and not mask_files:
            raise tree.error("the masks of the segmented images are missing")
        jobs = [self._folder(*key, files) for key, files in sorted(folders.items())]
        if images or mask_files:
            found = [file for file, _ in tree.match(_BOXES)]
            if len(found) > 1:
                raise tree.error(f"{found[0]} and {found[1]} are the same file")
            boxes = read_boxes(found[0]) if found else {}
            jobs.append(self._segmented(images, mask_files, boxes))
        return jobs

    def _folder(self, region: str, native: str, files: list[File]) -> VideoJob:
        name = f"{region}_{native.replace('-', '_')}"
        stills = [Still(float(order), file, native) for order, file in enumerate(files)]
        height, width = frame_readers.image_size(stills)
        return VideoJob(
            self.video(name, height=height, width=width, duration=float(len(stills))),
            functools.partial(frame_readers.from_images, name, stills, _found),
            schema.VideoAnnotations(notes=(ORDER,)),
            frame_count=len(stills),
        )

    def _segmented(
        self, images: dict[str, File], mask_files: dict[str, File], boxes: dict[str, Boxes]
    ) -> VideoJob:
        canonical = identity.canonical(SOURCE, f"lower_{POLYPS}")
        if not images:
            where, reason = "segmented-images/images", "masks are there, images are not"
            return self.lost(SEGMENTED, where, reason, canonical=canonical)
        stills = [Still(float(k), file, stem) for k, (stem, file) in enumerate(images.items())]
        height, width = frame_readers.image_size(stills)
        notes = [ORDER, BORDER]
        bare, alone = len(images.keys() - mask_files.keys()), len(mask_files.keys() - images.keys())
        if bare:
            notes.append(f"{bare} of {len(images)} images have no mask")
        if alone:
            notes.append(f"the images of {alone} of {len(mask_files)} masks are missing")
        label = functools.partial(_outlined, mask_files, boxes)
        return VideoJob(
            self.video(
                SEGMENTED,
                canonical=canonical,
                height=height,
                width=width,
                duration=float(len(stills)),
            ),
            functools.partial(frame_readers.from_images, SEGMENTED, stills, label),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _native(folder: str, file: File) -> str:
    """Raises UnmappedLabelError."""
    try:
        return ontology.label(SOURCE, "finding", folder.lower()).native
    except ontology.UnmappedLabelError as error:
        raise ontology.UnmappedLabelError(f"{file}: {error}") from None


def _by_name(tree: Tree, pattern: str) -> dict[str, File]:
    return tree.one_each(pattern, lambda match: match[1].lower(), "are the same image")


def _found(native: str, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    concept = ontology.label(SOURCE, "finding", native).concept
    question = schema.Question(QUESTION, ontology.name("finding", concept), kind="finding")
    return schema.FrameAnnotations(questions=(question,), derived={"questions": AS_QUESTION})


def polyps(file: File, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """(bool [height, width] of the polyps, whether they are the dark part). Raises FrameError.

    Public readers contradict each other on whether black or white is the polyp. The outermost
    pixels are mostly background, whichever they are; masks are lossy, so grey goes to the nearer.
    """
    mask = masks.read_mask(file, size)
    bright = (mask if mask.ndim == 2 else mask.mean(axis=2)) > MIDDLE
    border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
    if 2 * border.sum() == border.size:
        raise FrameError(f"{file}: half of the border is bright, so the background is not told")
    dark = bool(2 * border.sum() > border.size)
    return ~bright if dark else bright, dark


def _outlined(
    mask_files: dict[str, File], boxes: dict[str, Boxes], stem: str, image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    found = _found(POLYPS, image)
    if stem not in mask_files:
        return found
    size = image.shape[:2]
    region, dark = polyps(mask_files[stem], size)
    derived = dict(found.derived)
    if dark:
        derived["tissue_mask"] = DARK
    places = boxes[stem].of(size) if stem in boxes else ()
    if places:
        _check(region, boxes[stem], mask_files[stem])
    elif region.any():
        places = (masks.box(region),)
        derived["tissues.box"] = masks.BOX_OF_MASK
    label = ontology.label(SOURCE, "tissue", "polyp")
    value = VALUE if region.any() else 0
    annotations = schema.FrameAnnotations(
        tissues=tuple(schema.Tissue(label, place, value) for place in places),
        questions=found.questions,
        derived=derived,
    )
    return annotations, {"tissue_mask": masks.encode(region * VALUE)}


def _check(region: np.ndarray, boxes: Boxes, file: File) -> None:
    """A polyp that fills the border would be taken for background, but it is in a box."""
    inside = np.zeros(region.shape, bool)
    for x1, y1, x2, y2 in boxes.corners:
        inside[max(0, int(y1)) : int(y2) + 1, max(0, int(x1)) : int(x2) + 1] = True
    if 2 * (region & inside).sum() < region.sum():
        raise FrameError(f"{file}: most of the polyp by the mask is outside of its boxes")
