"""Hand-made footage for the tests of tasks about clips and pixels: cholect50's labels, 1 fps."""

import cv2
import numpy as np

from surgzoo.db.footage import Footage, Shot
from surgzoo.db.schema import (
    Frame,
    FrameAnnotations,
    Instrument,
    Label,
    Segment,
    Triplet,
    Video,
    VideoAnnotations,
)
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context

SOURCE = "synthsurg"


def task(name):
    return tasks.get(name)()


def label(concept):
    return Label(concept, concept)


def segment(kind, concept, start, end, actor=None):
    return Segment(kind, label(concept), start, end, actor)


def triplet(i, v, t):
    return Triplet(label(i), label(v), label(t))


def instrument(concept, mask=0, track=None):
    return Instrument(label(concept), mask=mask, track=track)


def video(**changes):
    facts = ("synthsurg/v", SOURCE, "hepatobiliary", "cholecystectomy", "Apache-2.0")
    return Video("v", *facts, **changes)


def context():
    return Context("fps1", video(), "test")


def footage(
    frames=20, *, annotations=None, maps=None, segments=(), captions=(), dense=None, times=None
):
    """`annotations` and `maps` by frame number, or one for all; `times` default one a second."""

    def of(values, index, default):
        return values.get(index, default) if isinstance(values, dict) else values or default

    shots = [
        Shot(
            Frame("v", index, float(index) if times is None else times[index]),
            of(annotations, index, FrameAnnotations()),
            frozenset(of(maps, index, ())),
        )
        for index in range(frames)
    ]
    whole = VideoAnnotations(segments=tuple(segments), captions=tuple(captions))
    return Footage(video(), shots, whole, dense)


def encode(name, *args, **kwargs):
    return list(task(name).encode_video(footage(*args, **kwargs), context()))


def png(array):
    return cv2.imencode(".png", np.asarray(array, np.uint8))[1].tobytes()


def spans(conversation):
    return [(m.first, m.count, m.kind) for m in conversation.media]
