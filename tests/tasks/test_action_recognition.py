import pytest
from task_records import context, frame, label, task

from surgzoo.db import ontology
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.schema import FrameAnnotations, Media, Segment, VideoAnnotations
from surgzoo.tasks.base import Scored

TASK = task("action_recognition")


def segment(concept, start, end, kind="action"):
    return Segment(kind, label(kind, concept), start, end)


def questions(*segments, frames=20, source="synthsurg"):
    """Of a video at one frame a second."""
    shots = [Shot(frame(i), FrameAnnotations()) for i in range(frames)]
    where = context(source=source)
    return list(TASK.encode_video(Footage(where.video, shots, VideoAnnotations(segments)), where))


def test_one_question_an_action_about_all_its_frames():
    first, second = questions(
        segment("clipping", 7.5, 10.0), segment("aspiration", 2.0, 5.2), segment("x", 0, 9, "phase")
    )
    assert first.answer == first.target == "aspiration"
    assert first.media == (Media("synthsurg", "fps1", "VID01", 2, 4, "clip"),)
    assert first.id == "synthsurg.fps1/VID01/000002/action_recognition/0"
    assert first.options == ontology.names("synthsurg", "action")
    assert second.answer == "clipping"
    assert second.media == (Media("synthsurg", "fps1", "VID01", 8, 2, "clip"),)


def test_actions_that_begin_together_are_two_questions():
    ids = [c.id[-2:] for c in questions(segment("clipping", 3, 5), segment("cutting", 3, 6))]
    assert ids == ["/0", "/1"]


def test_an_action_between_two_frames_shows_nothing():
    assert questions(segment("clipping", 3.2, 3.9)) == []
    assert questions() == []


def test_the_classes_are_those_of_the_source():
    (conversation,) = questions(segment("needle_grasping", 0, 2), source="surgsigma")
    assert len(conversation.options) == 10  # BSA-10
    assert conversation.answer == "needle grasping"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The surgical action is Aspiration.", ("aspiration", None)),
        ("Knot Tying", ("knot-tying", None)),
        ("The surgeon is retracting", (None, "names no known action: 'The surgeon is retracting'")),
        ("cutting, clipping", (None, "two actions: 'cutting', 'clipping'")),
    ],
)
def test_tolerant_and_reasons(text, expected):
    (conversation,) = questions(segment("aspiration", 2, 5))
    assert TASK.parse(text, conversation) == expected


def test_golden_metrics():
    a, b, c = questions(
        segment("clipping", 0, 2), segment("cutting", 2, 4), segment("clipping", 4, 6)
    )
    metrics = TASK.metrics([Scored(a, "clipping"), Scored(b, "clipping"), Scored(c, None)])
    assert metrics["accuracy"] == pytest.approx(1 / 3)
    assert metrics["recall"] == pytest.approx((1 / 2 + 0) / 2)
    assert metrics["precision"] == pytest.approx((1 / 2 + 0) / 2)
    assert metrics["jaccard"] == pytest.approx((1 / 3 + 0) / 2)
    assert metrics["parsed"] == pytest.approx(2 / 3)
