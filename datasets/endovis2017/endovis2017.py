"""EndoVis 2017, robotic instrument segmentation, as released: stills at 2 Hz with masks."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.endovis2017 import labels
from surgzoo.datasets.endovis2017.labels import SOURCE, InstrumentFolder
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

RATE = 2.0  # frames a second
TEST_ONLY = (9, 10)  # sequences without a training part

_SEQUENCE = r"(?P<above>(?:.*/)?)instrument_dataset_0*(?P<number>\d+)/"
_FRAME = r"frame(?P<frame>\d+)\.png"


@dataclasses.dataclass
class Sequence:
    """Files of one sequence by frame number; `instruments` by folder."""

    images: dict[int, File] = dataclasses.field(default_factory=dict)
    instruments: dict[str, dict[int, File]] = dataclasses.field(default_factory=dict)
    types: dict[int, File] = dataclasses.field(default_factory=dict)


class EndoVis2017(SourceBuilder):
    """Left camera; the picture is cut out of its black frame.

    Sequences seq_1 to seq_8 are the training part, test_seq_1 to test_seq_8 the last frames of the
    same operations, seq_9 and seq_10 are for the test alone.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Instruments with masks, in training with boxes and tracks."}
    BUILDER_CONFIGS = [SourceConfig(name="fps2", fps=RATE, description="As released.")]
    EXPECTED = """
instrument_1_4_training/instrument_dataset_N/left_frames/frame000.png      (N = 1 .. 4)
instrument_1_4_training/instrument_dataset_N/ground_truth/<instrument>_labels/frame000.png
instrument_5_8_training/instrument_dataset_N/...                           (N = 5 .. 8)
and, for the test, folders with "test" in their names
instrument_1_4_testing/instrument_dataset_N/left_frames/frame225.png       (N = 1 .. 10)
instrument_2017_test/instrument_dataset_N/gt/TypeSegmentation/frame225.png
folders or their zip files
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        found = _sequences(tree)
        if not found:
            raise tree.error("there is no folder instrument_dataset_N")
        unlabelled = [
            name
            for name, s in found.items()
            if s.images and not _is_test(name) and not s.instruments
        ]
        if unlabelled:
            raise tree.error(f"ground_truth is missing of {', '.join(unlabelled)}")
        return [self._job(name, found[name]) for name in sorted(found, key=_order)]

    def _job(self, name: str, sequence: Sequence) -> VideoJob:
        images = sequence.images
        if not images:
            return self.lost(name, name, "masks are there, left_frames is not")
        stills = [Still(number / RATE, file, number) for number, file in sorted(images.items())]
        size = frame_readers.image_size(stills)
        crop = labels.PICTURE if size == labels.FRAME else None
        if crop is not None:
            size = crop[3], crop[2]
        notes = []
        if _is_test(name):
            label = functools.partial(_test, sequence.types)
            unlabelled = len(images.keys() - sequence.types.keys())
            if unlabelled:
                notes.append(f"{unlabelled} of {len(images)} images have no type mask")
        else:
            label = functools.partial(_training, labels.folders(sequence.instruments))
        return VideoJob(
            self.video(name, height=size[0], width=size[1], duration=(max(images) + 1) / RATE),
            functools.partial(frame_readers.from_images, name, stills, label, crop=crop),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _sequences(tree: Tree) -> dict[str, Sequence]:
    """Name of a video -> its files, wherever the folders instrument_dataset_N lie."""
    found: dict[str, Sequence] = {}

    def put(match, kind: str, file: File) -> None:
        number = int(match["number"])
        tested = "test" in match["above"].lower() and number not in TEST_ONLY
        sequence = found.setdefault(f"{'test_' if tested else ''}seq_{number}", Sequence())
        place = getattr(sequence, kind)
        if kind == "instruments":
            place = place.setdefault(match["folder"], {})
        other = place.setdefault(int(match["frame"]), file)
        if other is not file:
            raise tree.error(f"{other} and {file} are of the same frame")

    for kind, below in (
        ("images", "left_frames/"),
        ("instruments", r"ground_truth/(?P<folder>[^/]+)/"),
        ("types", r"(?:gt/)?TypeSegmentation/"),
    ):
        for file, match in tree.match(_SEQUENCE + below + _FRAME):
            put(match, kind, file)
    return found


def _is_test(name: str) -> bool:
    return name.startswith("test_") or _order(name)[1] in TEST_ONLY


def _order(name: str) -> tuple[bool, int]:
    return name.startswith("test_"), int(name.rpartition("_")[2])


def _training(folders: tuple[InstrumentFolder, ...], number: int, image: np.ndarray):
    return labels.instances(folders, number, image.shape[:2])


def _test(types: dict[int, File], number: int, image: np.ndarray):
    if number not in types:
        return schema.FrameAnnotations()
    return labels.types(types[number], image.shape[:2])
