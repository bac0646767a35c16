"""m2cai16-tool-locations as released: frames of m2cai16-tool with boxes of the seven tools."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.m2cai16_tool_locations.labels import annotate, read_names
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema
from surgzoo.db.splits import DEFAULT, SPLITS

SOURCE = "m2cai16_tool_locations"
FRAME_RATE = 25  # frames are counted in m2cai16-tool's videos, from 0
SCHEME = "official"

_NAME = r"(v(\d+)_(\d+))(_flip)?"


class M2cai16ToolLocations(SourceBuilder):
    """The frames of one operation that are in one list are a video: the official split is by frame.

    Mirrored copies (`_flip`) show no frame of their own and are left out.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Boxes."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
JPEGImages/vNN_FFFFFF.jpg              FFFFFF counts the 25-fps video from 0
Annotations/vNN_FFFFFF.xml
ImageSets/Main/{train,val,test}.txt    optional; the official split
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("JPEGImages", "Annotations")
        split_of = _lists(tree)
        labels = {
            m[1].lower(): file for file, m in tree.match(rf"Annotations/{_NAME}\.xml") if not m[4]
        }
        found: dict[tuple[int, str], dict[int, tuple[str, File]]] = {}
        mirrored: dict[tuple[int, str], int] = {}
        for file, match in tree.match(rf"JPEGImages/{_NAME}\.(?:jpe?g|png)"):
            stem, number, frame = match[1].lower(), int(match[2]), int(match[3])
            key = number, split_of.get(stem, "")
            if match[4]:
                mirrored[key] = mirrored.get(key, 0) + 1
                continue
            images = found.setdefault(key, {})
            if frame in images:
                raise tree.error(f"{file} and {images[frame][1]} are of the same frame")
            images[frame] = stem, file
        if not found:
            raise tree.error("there is no JPEGImages/vNN_FFFFFF.jpg")
        if not labels:
            raise tree.error("there is no Annotations/vNN_FFFFFF.xml")
        shown = {stem for images in found.values() for stem, _ in images.values()}
        order = ("", *SPLITS)
        return [
            self._job(*key, found[key], labels, shown, mirrored.get(key, 0))
            for key in sorted(found, key=lambda key: (key[0], order.index(key[1])))
        ]

    def _job(
        self,
        number: int,
        split: str,
        images: dict[int, tuple[str, File]],
        labels: dict[str, File],
        shown: set[str],
        mirrored: int,
    ) -> VideoJob:
        operation = f"v{number:02d}"
        name = f"{operation}_{split}" if split else operation
        stills = [
            Still(frame / FRAME_RATE, file, labels.get(stem))
            for frame, (stem, file) in sorted(images.items())
        ]
        height, width = frame_readers.image_size(stills)
        notes = []
        if bare := sum(still.key is None for still in stills):
            notes.append(f"{bare} of {len(stills)} images have no label file")
        mine = {stem for stem in labels if int(stem[1:].partition("_")[0]) == number}
        if gone := len(mine - shown):
            notes.append(f"{gone} of {len(mine)} label files of {operation} have no image")
        if mirrored:
            notes.append(f"{mirrored} mirrored copies are left out")
        return VideoJob(
            self.video(
                name,
                splits_of=operation,
                splits={SCHEME: split, DEFAULT: split} if split else {},
                height=height,
                width=width,
                duration=stills[-1].time + 1.0,
            ),
            functools.partial(frame_readers.from_images, name, stills, _annotate),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _annotate(file: File | None, image: np.ndarray) -> schema.FrameAnnotations:
    return schema.FrameAnnotations() if file is None else annotate(file, image.shape[:2])


def _lists(tree: Tree) -> dict[str, schema.Split]:
    """Frame -> its list. Mirrored copies do not count, in whichever list they are."""
    out: dict[str, schema.Split] = {}
    for split in SPLITS:
        file = tree.get(f"ImageSets/Main/{split}.txt")
        for name in read_names(file) if file else ():
            if not name.endswith("_flip") and out.setdefault(name, split) != split:
                raise AnnotationFileError(f"{file}: {name} is in {out[name]}.txt too")
    return out
