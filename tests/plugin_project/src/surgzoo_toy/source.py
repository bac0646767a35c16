"""A source of an outside package: plain red and green frames."""

import functools

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, records, schema

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30)}


def frames(video: str, count: int):
    for index in range(count):
        colour = tuple(COLOURS)[index % 2]
        image = np.full((64, 64, 3), COLOURS[colour], np.uint8)
        yield records.FrameRecord(
            schema.Frame(video, index, float(index)),
            schema.FrameAnnotations(phase=ontology.label("toy", "phase", colour)),
            simplejpeg.encode_jpeg(image),
        )


class Toy(SourceBuilder):
    source = "toy"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [SourceConfig(name="fps1", description="8 frames a video")]

    def jobs(self, manual_dir):
        for split in ("train", "test"):
            video = schema.Video(
                id=split,
                canonical=f"toy/{split}",
                source="toy",
                specialty="toy",
                procedure="toy",
                licence="Apache-2.0",
                splits={"default": split},
            )
            yield VideoJob(video, functools.partial(frames, split, 8))
