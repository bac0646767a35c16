"""Traces in conversations: composed where asked for, up to the task's level, true."""

import dataclasses
import random

import pytest
from task_records import (
    NAMES,
    SOURCE,
    SOURCES,
    context,
    encode,
    footage,
    frame,
    random_annotations,
    task,
)

from surgzoo.data.turns import messages
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.reasoning import Labels, verify
from surgzoo.db.schema import Media

LEVELS = {
    "instrument_recognition": 1,
    "instrument_localization": 1,
    "tissue_recognition": 1,
    "tissue_localization": 1,
    "triplet_recognition": 2,
    "action_recognition": 2,
    "phase_recognition": 3,
    "step_recognition": 3,
    "safety_assessment": 3,
    "visual_question_answering": 0,
}


def annotated(rng, name):
    """Random annotations of the kinds that the task's source has: its labels are checked against
    its own tables."""
    annotations = random_annotations(rng)
    if SOURCES.get(name, SOURCE) == SOURCE:
        return dataclasses.replace(
            annotations, step=None, actions=None, tissues=None, criteria=None, questions=None
        )
    return dataclasses.replace(annotations, triplets=None)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_climbs_to_its_level(name):
    rng = random.Random(0)
    traces = 0
    for index in range(30):
        annotations = annotated(rng, name)
        where = context(source=SOURCES.get(name, SOURCE)).video
        for c in encode(name, annotations, index, thinking=True):
            if not LEVELS[name] or c.thinking is None:
                assert not LEVELS[name] and c.thinking is None
                continue
            seen = Shot(frame(index), annotations)
            if c.media[0].kind == "clip":
                film = footage(annotations, index, source=where.source)
                seen = Labels.of_clip(film, c.media[0].first, c.media[0].count)
            assert c.thinking.startswith(f"This is a Level {LEVELS[name]} task. ")
            assert verify(c.thinking, seen, where) == []
            said = messages(c)[-1].text
            assert said == f"<think>{c.thinking}</think><answer>{c.target}</answer>"
            assert task(name).parse(said, c).error is None
            traces += 1
    assert (traces > 10) == (LEVELS[name] > 0)


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
    footage = Footage(
        context().video, [Shot(frame(i), annotated(rng, "phase_recognition")) for i in range(4)]
    )
    phase, where = task("phase_recognition"), context(thinking=True)
    clip = (Media(SOURCE, "fps1", "VID01", 0, 4, "clip"),)
    asked = {"media": clip, "options": ("preparation",)}
    blind = phase.conversation(footage.shots[0], where, "preparation", **asked)
    seen = Labels.of_clip(footage, 0, 4)
    told = phase.conversation(footage.shots[0], where, "preparation", seen=seen, **asked)
    assert blind.thinking is None
    assert "4 seconds" in told.thinking and verify(told.thinking, seen, where.video) == []
