"""Endoscapes2023 as released: frames at 1 fps with CVS scores, boxes and class masks."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.endoscapes.labels import (
    FRAME_RATE,
    Image,
    Key,
    annotate,
    read_coco,
    read_numbers,
)
from surgzoo.datasets.frames import Annotated, Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema, splits

SOURCE = "endoscapes"

_IMAGE = r"(train|val|test)(?:_seg)?/(\d+)_(\d+)\.jpg"
# The detection file first: its boxes are the ones that are asked for.
_LABELS = (
    r"(train|val|test)/annotation_coco(?:\..*)?\.json",
    r"(train|val|test)_seg/annotation_coco(?:\..*)?\.json",
    r"(train|val|test)/annotation_ds_coco(?:\..*)?\.json",
)
_MASK = r"semseg/(\d+)_(\d+)\.png"


class Endoscapes(SourceBuilder):
    """What is stored are the images that are there; labels of others are counted in the notes.

    `Frame.time` is the 25-fps frame of the file name / 25.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "CVS scores, boxes and masks."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
{train,val,test}/VIDEO_FRAME.jpg               FRAME counts the 25-fps video
{train,val,test}/annotation_ds_coco.json       CVS scores
{train,val,test}/annotation_coco.json          boxes
{train,val,test}_seg/                          optional
semseg/VIDEO_FRAME.png                         class masks, where there are any
{train,val,test}_vids.txt                      optional; compared with the official split
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("train", "val", "test")
        images: dict[int, dict[int, File]] = {}
        folders: dict[int, str] = {}
        for file, match in tree.match(_IMAGE):
            number, frame = int(match[2]), int(match[3])
            split = match[1].lower()
            if folders.setdefault(number, split) != split:
                raise tree.error(f"video {number} is in {folders[number]} and in {split}")
            # "train/" sorts before "train_seg/", which repeats images of it.
            images.setdefault(number, {}).setdefault(frame, file)
        if not images:
            raise tree.error("there is no image VIDEO_FRAME.jpg in train, val or test")
        for number, split in folders.items():
            if splits.official(SOURCE, str(number)).get("official") != split:
                raise tree.error(f"video {number} is in {split}, which is not its official split")
        files = [(file, match[1].lower()) for p in _LABELS for file, match in tree.match(p)]
        bare = sorted(set(folders.values()) - {split for _, split in files})
        if bare:
            raise tree.error(f"{bare[0]}/annotation_ds_coco.json is missing")
        labels = read_coco(file for file, _ in files)
        for file, match in tree.match(r"(train|val|test)_vids\.txt"):
            _check_list(file, match[1].lower())
        masks = {(int(m[1]), int(m[2])): file for file, m in tree.match(_MASK)}
        return [
            self._job(number, frames, labels, masks) for number, frames in sorted(images.items())
        ]

    def _job(
        self,
        number: int,
        images: dict[int, File],
        labels: dict[Key, Image],
        masks: dict[Key, File],
    ) -> VideoJob:
        name = str(number)
        mine = {frame: labels.get((number, frame)) for frame in images}
        stills = [
            Still(frame / FRAME_RATE, file, (mine[frame], masks.get((number, frame))))
            for frame, file in sorted(images.items())
        ]
        height, width = frame_readers.image_size(stills)
        annotated = {frame for video, frame in itertools.chain(labels, masks) if video == number}
        gone = len(annotated - images.keys())
        notes = (f"{gone} of {len(annotated)} annotated frames have no image",) if gone else ()
        return VideoJob(
            self.video(name, height=height, width=width, duration=stills[-1].time + 1.0),
            functools.partial(frame_readers.from_images, name, stills, _annotate),
            schema.VideoAnnotations(notes=notes),
            frame_count=len(stills),
        )


def _annotate(known: tuple[Image | None, File | None], image: np.ndarray) -> Annotated:
    return annotate(*known, image.shape[:2])


def _check_list(file: File, split: str) -> None:
    wrong = [
        number
        for number in read_numbers(file)
        if splits.official(SOURCE, str(number)).get("official") != split
    ]
    if wrong:
        raise AnnotationFileError(
            f"{file}: video {wrong[0]} is not in the official split '{split}'"
        )
