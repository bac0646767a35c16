"""EndoVis 2018, robotic scene segmentation, as released: stills at 2 Hz with 12-class masks."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.endovis2018 import sequences
from surgzoo.datasets.endovis2018.labels import REPAIRED, SOURCE, Classes, read_classes
from surgzoo.datasets.endovis2018.sequences import RATE, SEQUENCE
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

_REPAIR = r"(?P<above>(?:.*/)?)seq_0*(?P<number>\d+)_frame(?P<frame>\d+)\.png"


class EndoVis2018(SourceBuilder):
    """Left camera. The test's sequences seq_1 to seq_4 are stored as test_seq_1 to test_seq_4.

    Label images that the owner has repaired are taken from repairs.zip; without it their frames are
    quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Instruments by part, things and tissues, with masks."}
    BUILDER_CONFIGS = [SourceConfig(name="fps2", fps=RATE, description="As released.")]
    EXPECTED = """
miccai_challenge_2018_release_1/seq_N/left_frames/frame000.png     (N = 1 .. 4)
miccai_challenge_2018_release_1/seq_N/labels/frame000.png
miccai_challenge_2018_release_1/labels.json
miccai_challenge_release_2, _3, _4/...                             (N = 5 .. 7, 9 .. 12, 13 .. 16)
repairs/seq_1_frame042.png                                         from repairs.zip
test_data/seq_N/...                                                (N = 1 .. 4)
folders or their zip files
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        images = sequences.left_images(tree)
        labelled = sequences.by_frame(tree, SEQUENCE + r"labels/frame(?P<frame>\d+)\.png")
        if not images and not labelled:
            raise tree.error("there is no folder seq_N")
        bare = sorted(name for name in images.keys() - labelled.keys() if not _is_test(name))
        if bare:
            raise tree.error(f"the folder labels is missing of {', '.join(bare)}")
        lists = [file for file, _ in tree.match(r"(?:.*/)?labels\.json")]
        classes, repairs = read_classes(lists), _repairs(tree)
        return [
            self._job(name, images.get(name, {}), labelled.get(name, {}), repairs, classes, lists)
            for name in sorted(images.keys() | labelled.keys(), key=sequences.order)
        ]

    def _job(
        self,
        name: str,
        images: dict[int, File],
        labelled: dict[int, File],
        repairs: dict[str, dict[int, File]],
        classes: Classes,
        lists: list[File],
    ) -> VideoJob:
        if not images:
            return self.lost(name, name, "labels are there, left_frames is not")
        notes = [] if lists else ["no labels.json; classes by the published colours"]
        repaired = repairs.get(name, {})
        lacking = set(REPAIRED.get(name, ())) & labelled.keys() - repaired.keys()
        if repaired.keys() & labelled.keys():
            notes.append(f"{len(repaired.keys() & labelled.keys())} label images are repaired ones")
        if lacking:
            notes.append(f"{len(lacking)} label images are known to be wrong; get repairs.zip")
        unlabelled = len(images.keys() - labelled.keys())
        if unlabelled and _is_test(name):
            notes.append(f"{unlabelled} of {len(images)} images have no label image")
        files = {number: repaired.get(number, file) for number, file in labelled.items()}
        stills = [Still(number / RATE, file, number) for number, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        label = functools.partial(_annotate, classes, files, lacking, _is_test(name))
        return VideoJob(
            self.video(name, height=height, width=width, duration=(max(images) + 1) / RATE),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _is_test(name: str) -> bool:
    return name.startswith("test_")


def _repairs(tree: Tree) -> dict[str, dict[int, File]]:
    """Training sequence -> frame -> repaired label image.

    The zip may hold them without a folder, so its own name counts too.
    """
    found: dict[str, dict[int, File]] = {}
    for file, match in tree.match(_REPAIR):
        if "repair" in f"{match['above']}{file.disk.name}".lower():
            found.setdefault(f"seq_{int(match['number'])}", {})[int(match["frame"])] = file
    return found


def _annotate(
    classes: Classes,
    files: dict[int, File],
    wrong: set[int],
    test: bool,
    number: int,
    image: np.ndarray,
):
    if number in wrong:
        raise FrameError("the owner has repaired this label image, and repairs.zip is not there")
    if number in files:
        return classes.annotate(files[number], image.shape[:2])
    if test:
        return schema.FrameAnnotations()
    raise FrameError("there is no label image")
