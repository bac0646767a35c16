"""SynthSurg: rendered laparoscopic operations with complete ground truth; needs no download.

Each video is one patient, drawn from (seed, number) alone. A split's numbers begin at `FIRST` in
every config, so a config with more videos holds those of a smaller one, and none trains on what
another tests on. Procedures alternate, so every split holds both.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.synthsurg import truth
from surgzoo.datasets.synthsurg.procedures import PROCEDURES
from surgzoo.datasets.synthsurg.render import Operation
from surgzoo.db import records, schema

LICENCE = "Apache-2.0"
JPEG_QUALITY = 92
FIRST = {"train": 1, "val": 2001, "test": 3001}  # number of a split's first video


@dataclasses.dataclass
class SynthSurgConfig(SourceConfig):
    """Videos of each split, and how they are drawn.

    Attributes:
      train, val, test: number of videos. side: pixels of the square image.
      pace: scales the durations of actions; 1 makes operations of 100 to 140 seconds.
      seed: draws everything. depth: whether depth maps are stored.
    """

    train: int = 48
    val: int = 6
    test: int = 12
    side: int = 256
    pace: float = 1.0
    seed: int = 0
    depth: bool = True


class SynthSurg(SourceBuilder):
    """Builder of the rendered source."""

    name = source = truth.SOURCE
    VERSION = tfds.core.Version("1.2.0")
    RELEASE_NOTES = {
        "1.0.0": "First patients.",
        "1.1.0": "Idle instruments that look idle.",
        "1.2.0": "Two questions a frame. Pictures, maps and the other labels are those of 1.1.0.",
    }
    BUILDER_CONFIGS = [
        SynthSurgConfig(name="fps1", description="66 videos, 256 x 256, one frame a second"),
        SynthSurgConfig(
            name="large",
            description="as fps1, with three times the training videos",
            train=144,
            depth=False,
        ),
        SynthSurgConfig(
            name="small",
            description="6 short videos, 128 x 128, for tests and first steps",
            train=2,
            val=2,
            test=2,
            side=128,
            pace=0.35,
        ),
        SynthSurgConfig(
            name="sparse",
            description="66 videos, 128 x 128, one frame in ten seconds: for models of frames",
            fps=0.1,
            side=128,
        ),
        SynthSurgConfig(
            name="fps4",
            description="as fps1, four frames a second",
            fps=4.0,
            train=24,
            val=4,
            test=6,
        ),
    ]

    def jobs(self, tree: None) -> Iterable[VideoJob]:
        config = self.builder_config
        for split, first in FIRST.items():
            for number in range(first, first + getattr(config, split)):
                yield _job(config, number, split)


def _job(config: SynthSurgConfig, number: int, split: schema.Split) -> VideoJob:
    procedure = tuple(PROCEDURES)[(number - 1) % len(PROCEDURES)]
    arguments = (config.seed, number, procedure, config.side, config.pace)
    operation = Operation(*arguments)
    video = schema.Video(
        id=f"synth_{number:04d}",
        canonical=f"{truth.SOURCE}/synth_{number:04d}",
        source=truth.SOURCE,
        specialty=truth.label("specialty", operation.procedure.specialty).concept,
        procedure=truth.label("procedure", procedure).concept,
        licence=LICENCE,
        splits={"default": split, "official": split},
        fps=config.fps,
        width=config.side,
        height=config.side,
        duration=operation.duration,
    )
    frames = functools.partial(render_video, video.id, arguments, config.fps, config.depth)
    return VideoJob(video, frames, truth.video_annotations(operation))


def render_video(
    video: str, arguments: tuple, fps: float, depth: bool = True
) -> Iterator[records.FrameRecord]:
    """All records of a video in order. `arguments` are those of `Operation`."""
    operation = Operation(*arguments)
    for index in range(int(np.ceil(operation.duration * fps))):
        yield render_frame(operation, video, index, index / fps, depth)


def render_frame(
    operation: Operation, video: str, index: int, time: float, depth: bool = True
) -> records.FrameRecord:
    """One frame with everything that is known about it."""
    view = operation.frame(time)
    annotations = truth.frame_annotations(operation, view, time)
    dense = {"instrument_mask": _png(view.instruments), "tissue_mask": _png(view.tissues)}
    if depth:
        dense["depth"] = _png(view.depth)
    if view.clean is not None:
        dense["clean"] = _jpeg(view.clean)
    return records.FrameRecord(
        schema.Frame(video, index, time), annotations, _jpeg(view.image), dense
    )


def _jpeg(image: np.ndarray) -> bytes:
    return simplejpeg.encode_jpeg(image, quality=JPEG_QUALITY)


def _png(array: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", array, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    if not done:
        raise ValueError(f"OpenCV could not encode a map of {array.shape} {array.dtype} as PNG")
    return data.tobytes()
