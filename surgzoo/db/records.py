"""How one frame is stored: one FeaturesDict for all sources, and the codec to and from it.

A source stores each frame once, in video order, in the TFDS split `frames`. Which video is train,
val or test is data (`Video.splits`), not layout: official splits can be changed without writing
media again. Beside the records lies `videos.jsonl`, one `StoredVideo` a line: record of frame i =
first + i.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from surgzoo.db import schema

# Dense maps that may accompany a frame, each as an encoded image or b"".
#   instrument_mask  PNG, 8 bit: 0 background, else Instrument.mask
#   tissue_mask      PNG, 8 bit: 0 unlabelled, else Tissue.mask
#   depth            PNG, 16 bit: relative depth, 0 nearest .. 65535 farthest
#   clean            JPEG: the same frame without smoke
DENSE = ("instrument_mask", "tissue_mask", "depth", "clean")

# Ids of videos become names of folders, in exports and beside a source: not hidden, not .. or a/b.
FOLDER_NAME = re.compile(r"(?!\.)[^/\\\0]+")
PICTURES = ("image", "clip")  # kinds of `schema.Media` that are the frames; any other is a map

SPLIT = "frames"
VIDEOS_FILE = "videos.jsonl"
QUARANTINE_FILE = "quarantine.jsonl"
CONTENT_FILE = "content.txt"  # a hash of all records, so that nobody has to read them for one
TABLES_FOLDER = "ontology"  # tables of a source that brings its own labels


@dataclasses.dataclass(frozen=True)
class FrameRecord:
    """One stored frame. `image` and the values of `dense` are encoded bytes, never arrays."""

    frame: schema.Frame
    annotations: schema.FrameAnnotations
    image: bytes
    dense: dict[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class StoredVideo:
    """A video's place in the store: its records are first .. first + count - 1."""

    video: schema.Video
    first: int
    count: int
    annotations: schema.VideoAnnotations = dataclasses.field(
        default_factory=schema.VideoAnnotations
    )


@dataclasses.dataclass(frozen=True)
class Quarantined:
    """A frame, a rest of a video or a whole one that is not stored, and why: a line of the file.

    `absent` says that nothing is wrong with it, but its media are not there: labs hold parts of a
    release. Anything else is broken.
    """

    video: str
    where: str  # file, and frame or line in it
    reason: str
    absent: bool = False


def features() -> Any:
    """The TFDS FeaturesDict of every source."""
    import tensorflow_datasets as tfds  # 0.5 s to import; most users of this module do not write

    return tfds.features.FeaturesDict(
        {
            "video": tfds.features.Text(),
            "index": tfds.features.Scalar(np.int64),
            "time": tfds.features.Text(),  # a number here would be stored as float32
            "image": tfds.features.Image(shape=(None, None, 3)),
            "annotations": tfds.features.Text(),
            **{name: tfds.features.Text() for name in DENSE},
        }
    )


def encode(record: FrameRecord) -> dict[str, Any]:
    """FrameRecord to the features of one TFDS example."""
    unknown = sorted(set(record.dense) - set(DENSE))
    if unknown:
        raise ValueError(f"unknown dense map {', '.join(unknown)}; known: {', '.join(DENSE)}")
    return {
        "video": record.frame.video,
        "index": record.frame.index,
        "time": repr(float(record.frame.time)),
        "image": record.image,
        "annotations": schema.to_json(record.annotations),
        **{name: record.dense.get(name, b"") for name in DENSE},
    }


def decode(example: dict[str, Any]) -> FrameRecord:
    """The inverse of `encode`, for an example read with image decoding skipped."""
    frame = schema.Frame(
        example["video"].decode(), int(example["index"]), float(example["time"].decode())
    )
    annotations = schema.from_json(schema.FrameAnnotations, example["annotations"].decode())
    dense = {name: bytes(example[name]) for name in DENSE if example[name]}
    return FrameRecord(frame, annotations, example["image"], dense)
