"""SynthSurg's questions: each answer is made again from the masks and the plan, not the labels."""

import collections

import numpy as np
import pytest

from surgzoo.datasets.synthsurg import questions, truth
from surgzoo.datasets.synthsurg.procedures import PROCEDURES
from surgzoo.datasets.synthsurg.render import HANDS, Operation
from surgzoo.db import ontology, schema
from surgzoo.tasks import tasks

SIDE = 96
KINDS = {"phase", "count", "location", "instrument", "action"}


@pytest.fixture(scope="module")
def frames():
    """(operation, t, view, annotations) of both procedures, every third second."""
    out = []
    for number, procedure in enumerate(PROCEDURES):
        operation = Operation(5, number, procedure, SIDE)
        for t in np.arange(0.0, operation.duration, 3.0):
            view = operation.frame(t)
            out.append((operation, t, view, truth.frame_annotations(operation, view, t)))
    return out


def _word(kind, native):
    return ontology.name(kind, ontology.label(truth.SOURCE, kind, native).concept)


def _place(mask):
    """The quadrant of the middle of a mask's extent, in whole pixels."""
    ys, xs = np.nonzero(mask)
    upper, left = ys.min() + ys.max() + 1 < SIDE, xs.min() + xs.max() + 1 < SIDE
    return f"{'upper' if upper else 'lower'} {'left' if left else 'right'}"


def _shown(view):
    """{(instrument, id in the mask)} of what is not a bag, and quadrant -> how many things."""
    tools = [(_word("instrument", p.entry.act.instrument), p.ident) for p in view.poses]
    idents = set(np.unique(view.instruments).tolist()) - {0}
    return tools, collections.Counter(_place(view.instruments == ident) for ident in idents)


def test_two_questions_a_frame_of_different_kinds(frames):
    seen = set()
    for *_, found in frames:
        assert len({item.kind for item in found.questions}) == questions.EACH == 2
        seen |= {item.kind for item in found.questions}
    assert seen == KINDS


def test_every_answer_is_true_and_the_only_one(frames):
    for operation, t, view, found in frames:
        tools, places = _shown(view)
        names = [name for name, _ in tools]
        for item in found.questions:
            if item.kind == "phase":
                now = next(s for s in operation.timeline.phases if s.start <= t < s.end)
                assert item.answer == _word("phase", now.name)
                continue
            if item.kind == "count":
                assert item.answer == str(len(tools))
                continue
            about = item.answer if item.kind == "instrument" else None
            about = about or max((n for n in names if n in item.text), key=len)
            own = [ident for name, ident in tools if name == about]
            masks = {ident: view.instruments == ident for ident in own}
            if item.kind == "instrument":
                where = next(place for place in places if place in item.text)
                assert places[where] == 1
                own = [ident for ident in own if _place(masks[ident]) == where]
            (ident,) = own
            if item.kind == "location":
                assert item.answer == _place(masks[ident])
            if item.kind == "action":
                (pose,) = [p for p in view.poses if p.ident == ident]
                verb = pose.entry.act.verb if pose.touching else "null_verb"
                said = "idle" if verb == "null_verb" else _word("verb", verb)
                assert item.answer == said
            assert item.box == truth.box_of(masks[ident])


def test_no_instrument_no_question_about_one(frames):
    empty = [found for _, _, view, found in frames if not view.poses]
    assert empty
    for found in empty:
        assert {item.kind for item in found.questions} == {"phase", "count"}


def test_two_of_one_kind_are_not_asked_about_by_name(frames):
    twins = 0
    for _, _, view, found in frames:
        named = collections.Counter(p.entry.act.instrument for p in view.poses)
        double = {_word("instrument", name) for name, count in named.items() if count > 1}
        twins += bool(double)
        for item in found.questions:
            if item.kind in ("location", "action"):
                assert not any(f"the {name}" in item.text for name in double)
    assert twins


def test_a_bag_is_not_counted_but_fills_its_quadrant(frames):
    bags = [
        (view, found) for _, _, view, found in frames if (view.instruments == HANDS["bag"]).any()
    ]
    assert bags
    for view, found in bags:
        for item in found.questions:
            assert "specimen bag" not in item.answer
            if item.kind == "instrument":
                assert _place(view.instruments == HANDS["bag"]) not in item.text


def test_the_draw_depends_on_the_moment_alone():
    (name, *_) = PROCEDURES
    a, b = Operation(5, 0, name, SIDE), Operation(5, 0, name, SIDE)
    found = [a.draw(t).random() for t in (0.0, 0.25, 1.0)]
    assert [b.draw(t).random() for t in (1.0, 0.25, 0.0)] == found[::-1]
    assert len(set(found)) == 3
    assert Operation(5, 1, name, SIDE).draw(0.0).random() != found[0]


def test_answers_are_read_back(frames):
    task = tasks.get("visual_question_answering")()
    asked = schema.Conversation("i", task.name, (), (), None)
    for *_, found in frames:
        for item in found.questions:
            box = item.box and [item.box.x1, item.box.y1, item.box.x2, item.box.y2]
            answer = {"text": item.answer, "box": box}
            said = task.parse(task.render(answer), asked).answer
            assert said["text"] == item.answer
            assert (said["box"] is None) == (box is None)
            if box:
                assert said["box"] == pytest.approx(box, abs=1e-3)
