"""Traces in conversations: composed where asked for, up to the task's level, true."""

import random

import pytest
from task_records import NAMES, SOURCE, context, encode, frame, random_annotations, task

from surgzoo.data.pipeline import messages
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.reasoning import Labels, verify
from surgzoo.db.schema import Media

LEVELS = {
    "instrument_recognition": 1,
    "instrument_localization": 1,
    "triplet_recognition": 2,
    "phase_recognition": 3,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_task_climbs_to_its_level(name):
    rng = random.Random(0)
    for index in range(30):
        annotations = random_annotations(rng)
        shot = Shot(frame(index), annotations)
        for c in encode(name, annotations, index, thinking=True):
            assert c.thinking.startswith(f"This is a Level {LEVELS[name]} task. ")
            assert verify(c.thinking, shot, context().video) == []
            said = messages(c)[-1].text
            assert said == f"<think>{c.thinking}</think><answer>{c.target}</answer>"
            assert task(name).parse(said, c).error is None


@pytest.mark.parametrize("name", NAMES)
def test_no_trace_unless_asked_for(name):
    annotations = random_annotations(random.Random(3))
    plain = encode(name, annotations)
    assert all(c.thinking is None for c in plain)
    asked = encode(name, annotations, thinking=True)
    assert [(c.id, c.answer, c.target) for c in plain] == [
        (c.id, c.answer, c.target) for c in asked
    ]


def test_a_clip_needs_its_labels():
    """A trace from the first frame alone would say wrong things about a clip."""
    rng = random.Random(5)
    footage = Footage(context().video, [Shot(frame(i), random_annotations(rng)) for i in range(4)])
    phase, where = task("phase_recognition"), context(thinking=True)
    clip = (Media(SOURCE, "fps1", "VID01", 0, 4, "clip"),)
    asked = {"media": clip, "options": ("preparation",)}
    blind = phase.conversation(footage.shots[0], where, "preparation", **asked)
    seen = Labels.of_clip(footage, 0, 4)
    told = phase.conversation(footage.shots[0], where, "preparation", seen=seen, **asked)
    assert blind.thinking is None
    assert "4 seconds" in told.thinking and verify(told.thinking, seen, where.video) == []
