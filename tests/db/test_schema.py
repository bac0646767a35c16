"""The schema's JSON: everything that can be built is read back equal."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgzoo.db import records, schema

TEXT = st.text(max_size=12)
UNIT = st.floats(0, 1)
SECONDS = st.floats(0, 1e5)
LABELS = st.builds(schema.Label, TEXT, TEXT)


def tuples(items):
    return st.lists(items, max_size=3).map(tuple)


@st.composite
def some_boxes(draw):
    x1, y1 = draw(st.floats(0, 0.9)), draw(st.floats(0, 0.9))
    x2, y2 = draw(st.floats(x1, 1, exclude_min=True)), draw(st.floats(y1, 1, exclude_min=True))
    return schema.Box(x1, y1, x2, y2)


BOXES = st.none() | some_boxes()
INSTRUMENTS = st.builds(
    schema.Instrument,
    LABELS,
    BOXES,
    st.integers(0, 255),
    st.none() | st.integers(0, 99),
    st.none() | TEXT,
    st.none() | st.tuples(UNIT, UNIT),
)
FRAME_ANNOTATIONS = st.builds(
    schema.FrameAnnotations,
    phase=st.none() | LABELS,
    step=st.none() | LABELS,
    actions=st.none() | tuples(LABELS),
    instruments=st.none() | tuples(INSTRUMENTS),
    tissues=st.none() | tuples(st.builds(schema.Tissue, LABELS, BOXES, st.integers(0, 255))),
    triplets=st.none() | tuples(st.builds(schema.Triplet, LABELS, LABELS, LABELS, BOXES, BOXES)),
    criteria=st.none() | tuples(st.builds(schema.Criterion, LABELS, UNIT)),
    questions=st.none()
    | tuples(st.builds(schema.Question, TEXT, TEXT, BOXES, TEXT, accepted=tuples(TEXT))),
    caption=st.none() | TEXT,
    flags=st.dictionaries(TEXT, UNIT, max_size=3),
    derived=st.dictionaries(TEXT, TEXT, max_size=3),
)
SEGMENTS = st.builds(
    lambda kind, label, start, length, actor: schema.Segment(
        kind, label, start, start + length, actor
    ),
    TEXT,
    LABELS,
    SECONDS,
    st.floats(0.04, 1e4),
    st.none() | TEXT,
)
VIDEO_ANNOTATIONS = st.builds(
    schema.VideoAnnotations,
    segments=tuples(SEGMENTS),
    captions=tuples(st.tuples(SECONDS, SECONDS, TEXT)),
    skills=tuples(st.builds(schema.Skill, TEXT, SECONDS, SECONDS, SECONDS)),
    notes=tuples(TEXT),
)
VIDEOS = st.builds(
    schema.Video,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    TEXT,
    splits=st.dictionaries(TEXT, st.sampled_from(["train", "val", "test"]), max_size=3),
    fps=st.floats(0.1, 60),
    width=st.integers(0, 4000),
    height=st.integers(0, 4000),
    duration=SECONDS,
    url=TEXT,
)
ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | UNIT | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CONVERSATIONS = st.builds(
    schema.Conversation,
    TEXT,
    TEXT,
    tuples(st.builds(schema.Media, TEXT, TEXT, TEXT, st.integers(0, 99), st.integers(1, 9), TEXT)),
    tuples(st.builds(schema.Turn, st.sampled_from(["user", "assistant"]), TEXT)),
    ANSWERS,
    tuples(TEXT),
    tuples(TEXT),
    st.none() | TEXT,
    TEXT,
    TEXT,
    st.none() | TEXT,
)


def round_trip(kind, value):
    text = schema.to_json(value)
    assert "\n" not in text
    assert schema.from_json(kind, text) == value
    assert schema.to_json(schema.from_json(kind, text)) == text


@settings(deadline=None)
@given(FRAME_ANNOTATIONS)
def test_frame_annotations(value):
    round_trip(schema.FrameAnnotations, value)


@settings(deadline=None)
@given(VIDEOS, st.integers(0, 10**9), st.integers(1, 10**5), VIDEO_ANNOTATIONS)
def test_stored_videos(video, first, count, annotations):
    round_trip(records.StoredVideo, records.StoredVideo(video, first, count, annotations))


@settings(deadline=None)
@given(CONVERSATIONS)
def test_conversations(value):
    round_trip(schema.Conversation, value)


def test_not_annotated_and_annotated_as_none_stay_apart():
    nothing = schema.FrameAnnotations()
    none_there = schema.FrameAnnotations(instruments=())
    assert schema.to_json(nothing) == "{}"
    assert schema.from_json(schema.FrameAnnotations, "{}").instruments is None
    text = schema.to_json(none_there)
    assert schema.from_json(schema.FrameAnnotations, text).instruments == ()


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="Frame has no field fps"):
        schema.from_json(schema.Frame, json.dumps({"video": "a", "index": 0, "time": 0, "fps": 1}))


def test_nan_is_not_written():
    with pytest.raises(ValueError):
        schema.to_json(schema.FrameAnnotations(flags={"smoke": float("nan")}))


@pytest.mark.parametrize(
    "values",
    [(0, 0, 0, 1), (0.5, 0, 0.4, 1), (0, 0, 1, 1.01), (-0.1, 0, 1, 1), (float("nan"), 0, 1, 1)],
)
def test_bad_boxes(values):
    with pytest.raises(ValueError, match="box"):
        schema.Box(*values)


def test_bad_segments_and_criteria():
    label = schema.Label("preparation", "Preparation")
    with pytest.raises(ValueError, match="phase/preparation"):
        schema.Segment("phase", label, 3.0, 3.0)
    with pytest.raises(ValueError, match=r"score 1\.5"):
        schema.Criterion(label, 1.5)
    assert schema.Criterion(label, 0.5).met and not schema.Criterion(label, 0.4).met
