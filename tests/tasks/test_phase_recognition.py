import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_records import SOURCE, concepts, encode, label, task

from surgzoo.db import ontology
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("phase_recognition")
PHASES = ontology.names(SOURCE, "phase")


def question(concept="preparation", index=0, video="VID01"):
    (conversation,) = encode(
        TASK.name, FrameAnnotations(phase=label("phase", concept)), index, video
    )
    return conversation


def test_conversation():
    conversation = question("calot_triangle_dissection")
    assert conversation.id == "cholect50.fps1/VID01/000000/phase_recognition/0"
    assert conversation.answer == conversation.target == "calot triangle dissection"
    assert conversation.options == PHASES
    assert conversation.video == "patient-VID01"


@given(st.sampled_from(concepts("phase")))
def test_render_and_parse_round_trip(concept):
    conversation = question(concept)
    assert TASK.parse(TASK.render(conversation.answer), conversation) == (conversation.answer, None)


@pytest.mark.parametrize(
    "text",
    [
        "Calot Triangle Dissection",
        "The phase is Calot triangle dissection.",
        "calot-triangle-dissection",
        "CalotTriangleDissection",
        "carlot-triangle-dissection",
        "Calot's triangle dissection",
        "callot triangle disection",
        "<think>Level 3: preparation is over.</think><answer>calot_triangle_dissection</answer>",
        "It is not preparation but Calot triangle dissection",
        "calot triangle dissection\nGallbladder dissection comes later.",
        '{"phase": "calot triangle dissection"}',
        "Answer: B. Calot triangle dissection",
    ],
)
def test_tolerant(text):
    assert TASK.parse(text, question()) == ("calot triangle dissection", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("suturing", "names no known phase: 'suturing'"),
        ("dissection", "names no known phase: 'dissection'"),
        (
            "preparation or gallbladder packaging",
            "two phases: 'preparation', 'gallbladder packaging'",
        ),
        (", ".join(PHASES), "several phases: "),
    ],
)
def test_reasons(text, reason):
    answer, error = TASK.parse(text, question())
    assert answer is None
    assert error.startswith(reason)


def test_golden_metrics():
    a, b = question("preparation", 0, "VID01"), question("preparation", 1, "VID01")
    c, d = question("gallbladder_dissection", 2, "VID01"), question("preparation", 0, "VID02")
    scored = [
        Scored(a, "preparation"),
        Scored(b, "gallbladder dissection"),
        Scored(c, "gallbladder dissection"),
        Scored(d, None),
    ]
    metrics = TASK.metrics(scored)
    assert metrics["accuracy"] == 0.5
    assert metrics["video_accuracy"] == pytest.approx(1 / 3)
    assert metrics["video_accuracy_std"] == pytest.approx((2 / 3) / math.sqrt(2))
    assert metrics["precision"] == pytest.approx((1 + 0.5) / 2)
    assert metrics["recall"] == pytest.approx((1 / 3 + 1) / 2)
    assert metrics["jaccard"] == pytest.approx((1 / 3 + 0.5) / 2)
    assert metrics["f1"] == pytest.approx((0.5 + 2 / 3) / 2)
    # preparation: VID01 0.5, VID02 0; gallbladder dissection: VID01 alone
    assert metrics["video_recall"] == pytest.approx((0.25 + 1) / 2)
    assert metrics["parsed"] == 0.75


def test_reward():
    assert TASK.reward(question("preparation"), "Preparation.") == 1.0
    assert TASK.reward(question("preparation"), "gallbladder packaging") == 0.0
    assert TASK.reward(question("preparation"), "?") == 0.0
