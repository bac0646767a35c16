"""A source of ten operations with two instruments and three phases."""

import functools

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds

from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, records, schema

FRAMES = 20
VIDEOS = {f"op{n:02d}": "train" if n < 3 else "test" for n in range(9)} | {"op09": "val"}
PHASES = ("preparation", "carlot-triangle-dissection", "clipping-and-cutting")


def label(kind, native):
    return ontology.label("toyscope", kind, native)


def annotations(number, index):
    """The grasper wanders, the hook is in every third frame, phases change at a third each."""
    shift = 0.02 * index + 0.01 * number
    instruments = [
        schema.Instrument(label("instrument", "grasper"), schema.Box(0.1, 0.1, 0.4, 0.5))
    ]
    triplets = [("grasper", "retract", "gallbladder")]
    if (index + number) % 3 == 0:
        box = schema.Box(0.3 + shift, 0.3, 0.5 + shift, 0.8)
        instruments.append(schema.Instrument(label("instrument", "hook"), box))
        triplets.append(("hook", "dissect", "cystic_duct"))
    return schema.FrameAnnotations(
        phase=label("phase", PHASES[min(3 * index // FRAMES, 2)]),
        instruments=tuple(instruments),
        triplets=tuple(
            schema.Triplet(label("instrument", i), label("verb", v), label("target", t))
            for i, v, t in triplets
        ),
    )


def frames(video, number):
    for index in range(FRAMES):
        picture = np.full((48, 64, 3), (150, 70, 60), np.uint8)
        known = annotations(number, index)
        for item in known.instruments:
            x1, x2 = int(item.box.x1 * 64), int(item.box.x2 * 64)
            picture[int(item.box.y1 * 48) : int(item.box.y2 * 48), x1:x2] = 180
        frame = schema.Frame(video, index, float(index))
        yield records.FrameRecord(frame, known, simplejpeg.encode_jpeg(picture))


class Toyscope(SourceBuilder):
    name = source = "toyscope"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [SourceConfig(name="fps1")]

    def jobs(self, manual_dir):
        for number, (name, split) in enumerate(VIDEOS.items()):
            procedure = "cholecystectomy" if number % 2 else "nephrectomy"
            video = schema.Video(
                id=name,
                canonical=f"toyscope/{name}",
                source="toyscope",
                specialty="hepatobiliary",
                procedure=procedure,
                licence="CC0",
                splits={"default": split},
                width=64,
                height=48,
                duration=float(FRAMES),
            )
            yield VideoJob(video, functools.partial(frames, name, number))
