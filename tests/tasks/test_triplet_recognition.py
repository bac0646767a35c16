import pytest
from hypothesis import given
from task_records import SOURCE, encode, task, triplet, triplets

from surgzoo.db import ontology
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("triplet_recognition")
RETRACT = ["grasper", "retract", "gallbladder"]
DISSECT = ["hook", "dissect", "cystic duct"]


def question(*parts):
    annotations = FrameAnnotations(triplets=tuple(triplet(*p) for p in parts))
    (conversation,) = encode(TASK.name, annotations)
    return conversation


def test_conversation():
    conversation = question(
        ("hook", "dissect", "cystic_duct"), ("grasper", "retract", "gallbladder")
    )
    assert conversation.answer == [RETRACT, DISSECT]
    assert conversation.target == "grasper retract gallbladder, hook dissect cystic duct"
    assert conversation.options[0].count(", ") == 2
    assert len(conversation.options) == len(ontology.triplets(SOURCE)) == 100
    assert question().target == "none"
    idle = question(("hook", "null_verb", "null_target"))
    assert idle.target == "hook null verb null target"


@given(triplets)
def test_render_and_parse_round_trip(annotated):
    """Also for combinations that are not among the valid ones of the source."""
    (conversation,) = encode(TASK.name, FrameAnnotations(triplets=annotated))
    assert TASK.parse(TASK.render(conversation.answer), conversation) == (conversation.answer, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grasper Retract Gallbladder, Hook Dissect Cystic Duct", [RETRACT, DISSECT]),
        ("<hook, dissect, cystic_duct>", [DISSECT]),
        (
            "[['hook', 'dissect', 'cystic duct'], ['grasper', 'retract', 'gallbladder']]",
            [RETRACT, DISSECT],
        ),
        (
            "The grasper retracts the gallbladder while the hook is dissecting the cystic duct.",
            [RETRACT, DISSECT],
        ),
        ("Instrument: hook\nVerb: dissect\nTarget: cystic duct", [DISSECT]),
        ("hook-dissect-cystic duct; grasper-retract-gallbladder", [RETRACT, DISSECT]),
        ("hook disect cystic-ducts", [DISSECT]),
        (
            "hook dissects the cystic duct and the gallbladder",
            [["hook", "dissect", "gallbladder"], DISSECT],
        ),
        ("grasper grasps liver and retracts gallbladder", [["grasper", "grasp", "liver"], RETRACT]),
        ("The hook is in view. The hook dissects the cystic duct.", [DISSECT]),
        ("hook dissect cystic duct, grasper", [["grasper", "", ""], DISSECT]),
        ("hook, cystic duct", [["hook", "", "cystic duct"]]),
        ("hook pack liver", [["hook", "pack", "liver"]]),  # not among the valid ones
        ("scalpel cut liver", [["scalpel", "cut", "liver"]]),  # outside the vocabulary
        ("hook burn liver", [["hook", "burn", "liver"]]),
        ("hook dissect spleen", [["hook", "dissect", "spleen"]]),
        ("hook carefully dissect inflamed cystic duct", [DISSECT]),
        ("hook null_verb null_target", [["hook", "null verb", "null target"]]),
        ("No surgical action", []),
        ("none", []),
    ],
)
def test_tolerant(text, expected):
    assert TASK.parse(text, question()) == (expected, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cut the liver", "names no known instrument: 'cut the liver'"),
        ("surgery", "names no known triplet: 'surgery'"),
    ],
)
def test_reasons(text, reason):
    assert TASK.parse(text, question()) == (None, reason)


def test_a_source_without_a_list_of_triplets_says_what_to_do():
    annotations = FrameAnnotations(triplets=(triplet("hook", "dissect", "cystic_duct"),))
    with pytest.raises(ValueError, match=r"cholec80\.tsv has no triplet row"):
        encode(TASK.name, annotations, source="cholec80")


def test_golden_metrics():
    both = question(("hook", "dissect", "cystic_duct"), ("grasper", "retract", "gallbladder"))
    metrics = TASK.metrics(
        [
            Scored(both, [RETRACT, ["hook", "dissect", "gallbladder"]]),
            Scored(both, None),
            Scored(question(), []),
        ]
    )
    assert metrics["ivt_f1"] == pytest.approx(2 * 1 / (2 * 1 + 2 + 3))
    assert metrics["i_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert metrics["t_f1"] == pytest.approx(2 * 1 / (2 * 1 + 1 + 3))
    assert metrics["ivt_macro_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert metrics["exact_match"] == pytest.approx(1 / 3)
    # retract: recall 1/2, precision 1, prevalence 2/3; dissect duct: the prevalence alone
    assert metrics["ivt_ap"] == pytest.approx((0.5 + 0.5 * 2 / 3 + 2 / 3) / 2)
    assert metrics["parsed"] == pytest.approx(2 / 3)


def test_reward_gives_part_for_parts():
    one = question(("hook", "dissect", "cystic_duct"))
    assert TASK.reward(one, "hook dissect cystic duct") == 1.0
    assert TASK.reward(one, "hook dissect gallbladder") == pytest.approx(3 / 6)
    assert TASK.reward(one, "scissors cut liver") == 0.0
    assert TASK.reward(one, "?") == 0.0
    assert TASK.reward(question(), "none") == 1.0
