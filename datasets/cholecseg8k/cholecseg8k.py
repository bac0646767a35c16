"""CholecSeg8k as released: clips of 80 frames at 25 fps of 17 Cholec80 videos, with class masks."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.cholecseg8k.labels import annotate
from surgzoo.datasets.frames import Annotated, Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "cholecseg8k"
FRAME_RATE = 25  # frames are counted in Cholec80's video

_FRAME = r"video(\d+)/video(\d+)_(\d+)/frame_(\d+)_endo(_watershed_mask|_color_mask)?\.png"


class CholecSeg8k(SourceBuilder):
    """A video is all clips of one operation; `Frame.time` is the frame's number / 25.

    `fps1` keeps the frames at full seconds, which are those that Cholec80's fps1 has.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Class masks."}
    BUILDER_CONFIGS = [
        SourceConfig(
            name="fps1", fps=1.0, description="Frames at full seconds, three or four a clip."
        ),
        SourceConfig(name="fps25", fps=25.0, description="As released: 80 frames a clip."),
    ]
    EXPECTED = """
videoNN/videoNN_XXXXX/frame_N_endo.png                  N counts Cholec80's 25-fps video
videoNN/videoNN_XXXXX/frame_N_endo_watershed_mask.png
or, instead of it, frame_N_endo_color_mask.png
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = _root(tree)
        found: dict[int, dict[int, dict[str, File]]] = {}
        again: dict[int, int] = {}
        for file, match in tree.match(_FRAME):
            number, frame, part = int(match[2]), int(match[4]), match[5] or ""
            if number != int(match[1]):
                raise tree.error(f"{file} is of another video than its folder")
            files = found.setdefault(number, {}).setdefault(frame, {})
            if files.setdefault(part.lower(), file) is not file and not part:
                again[number] = again.get(number, 0) + 1
        if not any("" in files for frames in found.values() for files in frames.values()):
            raise tree.error("there is no frame_N_endo.png")
        return [
            self._job(number, frames, again.get(number, 0))
            for number, frames in sorted(found.items())
        ]

    def _job(self, number: int, frames: dict[int, dict[str, File]], again: int) -> VideoJob:
        name = f"video{number:02d}"
        stride = round(FRAME_RATE / self.builder_config.fps)
        stills = [
            Still(
                frame / FRAME_RATE,
                files[""],
                (files.get("_watershed_mask"), files.get("_color_mask")),
            )
            for frame, files in sorted(frames.items())
            if "" in files and frame % stride == 0
        ]
        if not stills:
            return self.lost(name, name, "masks are there, the frames are not")
        height, width = frame_readers.image_size(stills)
        notes = []
        if gone := sum("" not in files for files in frames.values()):
            notes.append(f"{gone} of {len(frames)} masks have no image")
        if bare := sum(still.key == (None, None) for still in stills):
            notes.append(f"{bare} of {len(stills)} images have no mask")
        if again:
            notes.append(f"{again} frames are in two clips and stored once")
        return VideoJob(
            self.video(name, height=height, width=width, duration=(max(frames) + 1) / FRAME_RATE),
            functools.partial(frame_readers.from_images, name, stills, _annotate),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _annotate(files: tuple[File | None, File | None], image: np.ndarray) -> Annotated:
    return annotate(*files, image.shape[:2])


def _root(tree: Tree) -> Tree:
    """The folder of the videos' folders, however deep."""
    places = tree.match(rf"(?:(.*)/)?{_FRAME}")
    if not places:
        raise tree.error("there is no videoNN/videoNN_XXXXX/frame_N_endo.png")
    above = min((match[1] or "" for _, match in places), key=lambda path: (path.count("/"), path))
    return tree.below(above) if above else tree
