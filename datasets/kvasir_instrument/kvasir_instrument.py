"""Kvasir-Instrument: pictures of endoscopic instruments, one class, with masks and boxes."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError, Node, json_file, text
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.stills import NO_CLOCK, series
from surgzoo.db import boxes, ontology, schema

SOURCE = "kvasir_instrument"
PARTS = ("train", "test")
INSIDE = 128  # masks are black and white; some were stored as JPEG
VALUE = 1  # of every instrument in our map: the masks do not tell instances apart


class KvasirInstrument(SourceBuilder):
    """The pictures of train.txt and of test.txt are a series each."""

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks and boxes."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
images/NAME.jpg
masks/NAME.png
bboxes.json      {NAME: {"height": ..., "width": ..., "bbox": [{"xmin", "ymin", "xmax", "ymax"}]}}
train.txt        a NAME a line
test.txt
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        lists = {part: _one(tree, f"{part}.txt") for part in PARTS}
        found = json_file(_one(tree, "bboxes.json"))
        tree = tree.descend("images")
        pictures = {file.stem: file for file, _ in tree.match(r"images/[^/]+\.(?:jpe?g|png)")}
        stencils = {file.stem: file for file, _ in tree.match(r"masks/[^/]+\.(?:png|jpe?g)")}
        if not pictures:
            raise tree.error("there are no images")
        known = {name: node for name, node in found.items()}
        jobs, seen = [], {}
        for part, file in lists.items():
            names = text(file).split()
            for name in names:
                if seen.setdefault(name, part) != part or names.count(name) > 1:
                    raise AnnotationFileError(f"{file}: {name} is listed twice")
            jobs.append(self._job(part, names, pictures, stencils, known))
        return jobs

    def _job(
        self,
        part: schema.Split,
        names: list[str],
        pictures: dict[str, File],
        stencils: dict[str, File],
        known: dict[str, Node],
    ) -> VideoJob:
        there = {name: pictures[name] for name in names if name in pictures}
        if not there:
            item = frame_readers.Quarantined(part, f"{part}.txt", "none of its images is there")
            return VideoJob(self.video(part), frame_readers.Lost(item))
        stills = series(there)
        notes = [NO_CLOCK]
        if len(there) < len(names):
            notes.append(f"{len(names) - len(there)} of {len(names)} listed images are missing")
        bare = sum(name not in known for name in there)
        if bare:
            notes.append(f"{bare} of {len(there)} images have no boxes")
        mine = {name: (known.get(name), stencils.get(name)) for name in there}
        return VideoJob(
            self.video(
                part,
                splits={"default": part, "official": part},
                duration=stills[-1].time + 1,
            ),
            functools.partial(
                frame_readers.from_images, part, stills, functools.partial(_label, mine)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _one(tree: Tree, name: str) -> File:
    """A file that lies at the top or one folder down, as two packings have it."""
    matches = tree.match(rf"(?:.*/)?{name}")
    if len(matches) != 1:
        raise tree.error(f"there are {len(matches)} files {name}, not one")
    return matches[0][0]


def _label(
    mine: dict[str, tuple[Node | None, File | None]], name: str, image: np.ndarray
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    node, stencil = mine[name]
    dense = {}
    if stencil is not None:
        mask = masks.one_channel(masks.read_mask(stencil, image.shape[:2]), stencil) >= INSIDE
        dense["instrument_mask"] = masks.encode(mask * np.uint8(VALUE))
    instruments = None
    if node is not None:
        try:
            instruments = _instruments(node, image.shape[:2], VALUE if dense else 0)
        except AnnotationFileError as error:
            raise FrameError(str(error)) from None
    return schema.FrameAnnotations(instruments=instruments), dense


def _instruments(node: Node, size: tuple[int, int], value: int) -> tuple[schema.Instrument, ...]:
    stated = node["height"].int(), node["width"].int()
    if stated != tuple(size):
        raise node.error(f"of an image of {stated[1]}x{stated[0]}; it is {size[1]}x{size[0]}")
    label = ontology.label(SOURCE, "instrument", "instrument")
    out = []
    for item in node["bbox"].list():
        corners = [item[key].float() for key in ("xmin", "ymin", "xmax", "ymax")]
        try:
            out.append(schema.Instrument(label, boxes.from_xyxy(corners, size, clip=True), value))
        except ValueError as error:
            raise item.error(str(error)) from None
    return tuple(out)
