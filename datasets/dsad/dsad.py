"""DSAD: images of 32 rectal resections, a folder for each organ with the masks of that organ."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.dsad.labels import annotate, organ_of, organs, read_presence
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "dsad"
MULTILABEL = "multilabel"

_FOLDER = r"(?:.*/)?([a-z_]+)/(\d+)"
_IMAGE = rf"{_FOLDER}/image_?(\d+)\.png"
_MASK = rf"{_FOLDER}/(mask[^/]*)\.png"
_PRESENCE = rf"{_FOLDER}/weak_labels\.csv"

_Key = tuple[str, int]  # folder of an organ, operation


class DSAD(SourceBuilder):
    """`liver_02` are the images of operation 02 in the folder of the liver.

    Images are in the order of their numbers, and timed by them, as the release has no times. Masks
    of the three annotators (`anno_*`) are not read: those beside the image are the reviewed ones.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks and presence of organs."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The images as they are.")]
    EXPECTED = """
liver/02/image00.png                 11 folders of organs, and multilabel
liver/02/mask00.png                  0 and 255
liver/02/weak_labels.csv             optional; which organs are in view
multilabel/02/image00.png
multilabel/02/mask00_liver.png       one for each organ
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        images: dict[_Key, dict[int, File]] = {}
        for file, match in tree.match(_IMAGE):
            folder, number = match[1].lower(), int(match[3])
            if folder != MULTILABEL and folder not in organs():
                raise tree.error(f"{file} is in no folder of an organ")
            found = images.setdefault((folder, int(match[2])), {})
            if found.setdefault(number, file) is not file:
                raise tree.error(f"{found[number]} and {file} are the same image")
        if not images:
            raise tree.error("there are no images")
        mask_files, strange = _masks(tree)
        presence = {
            (m[1].lower(), int(m[2])): read_presence(file) for file, m in tree.match(_PRESENCE)
        }
        return [
            self._job(key, images.get(key, {}), mask_files.get(key, {}), presence.get(key), strange)
            for key in sorted(images.keys() | mask_files.keys())
        ]

    def _job(
        self,
        key: _Key,
        images: dict[int, File],
        mask_files: dict[int, dict[str, File]],
        presence: dict[int, frozenset[str]] | None,
        strange: dict[_Key, int],
    ) -> VideoJob:
        folder, operation = key
        name = f"{folder}_{operation:02d}"
        known = f"{operation:02d}"
        if not images:
            where, reason = f"{folder}/{known}/image*.png", "masks are there, the images are not"
            return self.lost(name, where, reason, splits_of=known)
        stills = [Still(float(number), file, number) for number, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        bare = len(images.keys() - mask_files.keys())
        alone = len(mask_files.keys() - images.keys())
        notes = ["times are the numbers of the images"]
        if bare:
            notes.append(f"{bare} of {len(images)} images have no mask")
        if alone:
            notes.append(f"the images of {alone} of {len(mask_files)} masks are missing")
        if strange.get(key):
            notes.append(f"{strange[key]} masks are of no organ by their names")
        if presence is None and folder != MULTILABEL:
            notes.append("there is no weak_labels.csv: other organs may be in view")
        label = functools.partial(_label, mask_files, presence, folder == MULTILABEL)
        return VideoJob(
            self.video(
                name,
                splits_of=known,
                height=height,
                width=width,
                duration=stills[-1].time + 1,
            ),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _masks(tree: Tree) -> tuple[dict[_Key, dict[int, dict[str, File]]], dict[_Key, int]]:
    """(masks by folder, image and organ; how many masks of a folder are of no organ)."""
    out: dict[_Key, dict[int, dict[str, File]]] = {}
    strange: dict[_Key, int] = {}
    for file, match in tree.match(_MASK):
        folder = match[1].lower()
        key = folder, int(match[2])
        digits = "".join(c for c in match[3] if c.isdigit())
        organ = organ_of(match[3]) if folder == MULTILABEL else folder
        if not digits or organ not in organs():
            if folder == MULTILABEL or folder in organs():
                strange[key] = strange.get(key, 0) + 1
            continue
        found = out.setdefault(key, {}).setdefault(int(digits), {})
        if found.setdefault(organ, file) is not file:
            raise tree.error(f"{found[organ]} and {file} are masks of one organ in one image")
    return out, strange


def _label(
    mask_files: dict[int, dict[str, File]],
    presence: dict[int, frozenset[str]] | None,
    whole: bool,
    number: int,
    image: np.ndarray,
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    seen = None if presence is None else presence.get(number)
    if number not in mask_files and seen is None:
        return schema.FrameAnnotations()
    files = mask_files.get(number, {})
    annotations, dense = annotate(files, seen, image.shape[:2], whole=whole)
    return annotations, dense if files else {}
