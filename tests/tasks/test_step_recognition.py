import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, jaccard_score, precision_recall_fscore_support
from task_records import concepts, dataset, encode, label, task

from surgzoo.db import ontology
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("step_recognition")


def question(concept="adhesiolysis", index=0, video="VID01"):
    annotations = FrameAnnotations(step=label("step", concept))
    (conversation,) = encode(TASK.name, annotations, index, video)
    return conversation


def test_conversation():
    conversation = question("calot_fat_clearing")
    assert conversation.id == "synthsurg.fps1/VID01/000000/step_recognition/0"
    assert conversation.answer == conversation.target == "calot fat clearing"
    assert conversation.options == ontology.names("synthsurg", "step")


@given(st.sampled_from(concepts("step", "synthsurg")))
def test_render_and_parse_round_trip(concept):
    conversation = question(concept)
    assert TASK.parse(TASK.render(conversation.answer), conversation) == (conversation.answer, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The current step is Adhesiolysis.", ("adhesiolysis", None)),
        ("cystic_duct_clipping", ("cystic duct clipping", None)),
        ("Answer: cystic duct cliping", ("cystic duct clipping", None)),
        ("closing", (None, "names no known step: 'closing'")),
        (
            "bag placement or bag closure",
            (None, "two steps: 'bag placement', 'bag closure'"),
        ),
    ],
)
def test_tolerant_and_reasons(text, expected):
    assert TASK.parse(text, question()) == expected


def test_one_name_is_one_string():
    with pytest.raises(TypeError, match="a step is one name"):
        TASK.render(["adhesiolysis"])


def test_metrics_are_those_of_scikit_learn():
    data = dataset(TASK.name, videos=1)
    truth = [c.answer for c in data]
    said = truth[:40] + truth[:20]
    metrics = TASK.metrics([Scored(c, a) for c, a in zip(data, said, strict=True)])
    names = sorted(set(truth))
    rates = precision_recall_fscore_support(
        truth, said, labels=names, average="macro", zero_division=0
    )
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert [metrics[k] for k in ("precision", "recall", "f1")] == pytest.approx(rates[:3])
    jaccard = jaccard_score(truth, said, labels=names, average="macro", zero_division=0)
    assert metrics["jaccard"] == pytest.approx(jaccard)


def test_golden_metrics():
    a, b = question("adhesiolysis", 0), question("bag_closure", 1)
    metrics = TASK.metrics([Scored(a, "adhesiolysis"), Scored(b, None)])
    assert metrics["accuracy"] == metrics["recall"] == metrics["precision"] == 0.5
    assert metrics["parsed"] == 0.5
    assert TASK.reward(a, "Adhesiolysis.") == 1.0
    assert TASK.reward(a, "bag closure") == 0.0
