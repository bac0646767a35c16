import pytest
from task_records import context, frame, label, task

from surgzoo.db import ontology
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.schema import Frame, FrameAnnotations, Label, Media, Segment, VideoAnnotations
from surgzoo.tasks import clips
from surgzoo.tasks.base import Scored
from surgzoo.tasks.clips import FROM_FRAMES
from surgzoo.tasks.templates import ACTION_RECOGNITION, ACTOR_ACTION_RECOGNITION

TASK = task("action_recognition")


def segment(concept, start, end, kind="action", actor=None):
    return Segment(kind, label(kind, concept), start, end, actor)


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


def test_actions_at_the_same_time_are_asked_for_by_their_actors():
    clip, cut, after = questions(
        segment("clipping", 3, 5, actor="clip_applier"),
        segment("cutting", 3, 6, actor="left hand"),
        segment("aspiration", 6, 9, actor="irrigator"),
    )
    assert [c.id[-2:] for c in (clip, cut, after)] == ["/0", "/1", "/0"]
    assert [c.answer for c in (clip, cut, after)] == ["clipping", "cutting", "aspiration"]
    assert "clip applier" in clip.prompt and "left hand" in cut.prompt
    assert "irrigator" not in after.prompt  # alone in its frames
    assert clip.prompt in {t.format(actor="clip applier") for t in ACTOR_ACTION_RECOGNITION}
    assert after.prompt in ACTION_RECOGNITION


@pytest.mark.parametrize("actors", [("hook", "hook"), ("hook", None), (None, None)])
def test_actions_that_nothing_tells_apart_are_left_out(actors):
    both = [
        segment(name, 3, 5 + k, actor=actor)
        for k, (name, actor) in enumerate(zip(("clipping", "cutting"), actors, strict=True))
    ]
    kept = questions(*both, segment("aspiration", 8, 9))
    assert [c.answer for c in kept] == ["aspiration"]


def test_the_same_action_of_two_actors_has_one_answer():
    twice = questions(segment("clipping", 3, 5), segment("clipping", 4, 6))
    assert [(c.answer, c.prompt in ACTION_RECOGNITION) for c in twice] == [("clipping", True)] * 2
    # They touch between two frames, and share none.
    assert len(questions(segment("clipping", 0, 3.6), segment("cutting", 3.4, 6))) == 2


def test_frame_labels_make_segments_and_say_so():
    def labels(*names):
        return FrameAnnotations(actions=tuple(Label(n, f"{n} {k}") for k, n in enumerate(names)))

    frames = [labels("clipping")] * 2 + [labels()] + [labels("cutting"), labels("cutting")]
    frames[1] = FrameAnnotations(actions=(Label("clipping", "another spelling"),))
    where = context(source="synthsurg")
    film = Footage(where.video, [Shot(frame(i), shown) for i, shown in enumerate(frames)])
    items = list(TASK.encode_video(film, where))
    assert [(c.answer, c.media[0].first, c.media[0].count) for c in items] == [
        ("clipping", 0, 2),
        ("cutting", 3, 2),
    ]
    assert {c.derived for c in items} == {FROM_FRAMES}


def test_frames_far_apart_are_in_no_run_together():
    """Single pictures, and sparse labels: nobody knows what happened in between."""
    clip = FrameAnnotations(actions=(Label("clipping", "clip"),))
    times = (0.0, 1.0, 10.0, 12.5)
    where = context(source="synthsurg")
    shots = [Shot(Frame("VID01", i, time), clip) for i, time in enumerate(times)]
    segments, derived = clips.actions(Footage(where.video, shots))
    assert [(s.start, s.end) for s in segments] == [(0.0, 2.0), (10.0, 13.5)]
    assert derived == FROM_FRAMES


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
