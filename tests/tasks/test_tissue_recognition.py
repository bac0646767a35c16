import pytest
from hypothesis import given
from sklearn.metrics import precision_recall_fscore_support
from sklearn.preprocessing import MultiLabelBinarizer
from task_records import dataset, encode, task, tissue, tissues

from surgzoo.db import ontology
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("tissue_recognition")


def question(*names, source="synthsurg"):
    annotations = FrameAnnotations(tissues=tuple(map(tissue, names)))
    (conversation,) = encode(TASK.name, annotations, source=source)
    return conversation


def test_conversation_lists_classes_in_the_order_of_the_source():
    conversation = question("gallbladder", "liver", "liver")
    assert conversation.answer == ["liver", "gallbladder"]
    assert conversation.target == "liver, gallbladder"
    assert conversation.options == ontology.names("synthsurg", "tissue")
    assert question().target == "none"


@given(tissues)
def test_render_and_parse_round_trip(annotated):
    (conversation,) = encode(TASK.name, FrameAnnotations(tissues=annotated))
    assert TASK.parse(TASK.render(conversation.answer), conversation) == (conversation.answer, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Liver, abdominal wall.", ["abdominal wall", "liver"]),
        ("The organs featured are the liver and the gall bladder.", ["liver", "gallbladder"]),
        ('["cystic_duct", "liver"]', ["liver", "cystic duct"]),
        ("There is no spleen, only the kidney.", ["kidney"]),
        ("liver, stomach", ["liver", "stomach"]),  # said, and outside the vocabulary
        ("No tissue is visible", []),
        ("There are no organs in view.", []),
        ("none", []),
    ],
)
def test_tolerant(text, expected):
    assert TASK.parse(text, question()) == (expected, None)


def test_reasons():
    answer, error = TASK.parse("It is too dark.", question())
    assert (answer, error) == (None, "names no known tissue: 'It is too dark.'")


def test_golden_metrics():
    metrics = TASK.metrics(
        [
            Scored(question("liver", "gallbladder"), ["liver"]),
            Scored(question("liver"), ["liver", "gut"]),
            Scored(question("gut"), None),
        ]
    )
    # 2 right; wrong: gut, the unread answer; missed: gallbladder, gut
    assert metrics["precision"] == pytest.approx(2 / 4)
    assert metrics["recall"] == pytest.approx(2 / 4)
    assert metrics["f1"] == pytest.approx(1 / 2)
    assert metrics["macro_recall"] == pytest.approx((1 + 0 + 0) / 3)
    assert metrics["exact_match"] == 0.0
    assert metrics["parsed"] == pytest.approx(2 / 3)


def test_f1_is_that_of_scikit_learn():
    data = dataset(TASK.name)
    answers = [c.answer for c in data[1:] + data[:1]]
    metrics = TASK.metrics([Scored(c, a) for c, a in zip(data, answers, strict=True)])
    binary = MultiLabelBinarizer().fit([c.answer for c in data])
    y, z = (binary.transform(x) for x in ([c.answer for c in data], answers))
    expected = precision_recall_fscore_support(y, z, average="micro")
    assert [metrics[k] for k in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
