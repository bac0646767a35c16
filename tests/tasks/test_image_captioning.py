import math

import pytest
from footage_records import encode, instrument, label, task, triplet

from surgzoo.db.captions import DERIVED
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored
from surgzoo.tasks.captioning import facts, named

TASK = task("image_captioning")
HOOK = FrameAnnotations(
    phase=label("calot_triangle_dissection"),
    instruments=(instrument("hook"), instrument("grasper")),
    triplets=(
        triplet("hook", "dissect", "cystic_duct"),
        triplet("grasper", "retract", "gallbladder"),
    ),
)


def test_the_caption_of_the_source_wins():
    given = FrameAnnotations(
        phase=label("preparation"), caption="A view.", derived={"caption": "x"}
    )
    (item,) = encode("image_captioning", 1, annotations=given)
    assert (item.answer, item.target, item.derived) == ("A view.", "A view.", "x")


def test_a_blank_caption_of_the_source_is_none():
    blank = FrameAnnotations(caption=" \n")
    assert encode("image_captioning", 1, annotations=blank) == []
    padded = FrameAnnotations(caption=" A view.\n")
    (item,) = encode("image_captioning", 1, annotations=padded)
    assert TASK.parse(item.target, item) == (item.answer, None) == ("A view.", None)


def test_a_caption_without_facts_is_rewarded_by_its_words():
    (item,) = encode("image_captioning", 1, annotations=FrameAnnotations(caption="All is calm."))
    assert TASK.reward(item, "All is calm.") == 1
    assert TASK.reward(item, "Something else") == 0
    assert TASK.reward(item, "All is well.") == pytest.approx(2 / 3)


def test_a_composed_caption_says_all_labels_and_that_it_is_composed():
    items = encode("image_captioning", 40, annotations=HOOK)
    assert {item.derived for item in items} == {DERIVED}
    assert len({item.answer for item in items}) > 10  # varied
    wanted = {
        "Calot triangle dissection", "hook", "grasper", "dissect", "retract", "cystic duct",
        "gallbladder",
    }  # fmt: skip
    for item in items:
        found = set(named(item.answer, item.options))
        assert {name.lower() for name in found} == {name.lower() for name in wanted}
        assert "cholecystectomy" in item.answer.lower()


def test_one_kind_of_label_is_too_little():
    assert encode("image_captioning", 3, annotations=FrameAnnotations()) == []
    assert (
        encode("image_captioning", 3, annotations=FrameAnnotations(phase=label("preparation")))
        == []
    )
    both = FrameAnnotations(phase=label("preparation"), instruments=())
    (item,) = encode("image_captioning", 1, annotations=both)
    assert "instrument" in item.answer


def test_facts_by_hand():
    (item,) = encode("image_captioning", 1, annotations=HOOK)
    # Right: hook, dissecting, cystic duct, phase. Wrong: liver. Not said: grasper, retract,
    # gallbladder.
    said = (
        "Calot triangle dissection. The hooks are dissecting the cystic ducts, not the clipper, "
        "near the liver."
    )
    found = TASK.metrics([Scored(item, said)])
    assert found["fact_precision"] == pytest.approx(4 / 5)
    assert found["fact_recall"] == pytest.approx(4 / 7)
    assert found["fact_f1"] == pytest.approx(8 / 12)
    assert TASK.reward(item, said) == pytest.approx(8 / 12)
    assert 0 < found["rouge_l"] < 1
    # Instruments: hook right, clipper no name, grasper missed. Targets: duct right, liver wrong,
    # gallbladder missed. Verbs: dissect right, retract missed.
    assert found["fact_precision/instrument"] == 1 and found["fact_recall/instrument"] == 0.5
    assert found["fact_f1/target"] == found["fact_precision/target"] == 0.5
    assert found["fact_recall/verb"] == 0.5
    assert found["fact_f1/phase"] == 1
    assert not any(key.endswith(("/step", "/action")) for key in found)


def test_unread_answers_cost():
    (item,) = encode("image_captioning", 1, annotations=HOOK)
    found = TASK.metrics([Scored(item, item.answer), Scored(item, None)])
    assert found["fact_recall"] == 0.5
    assert found["fact_precision"] == pytest.approx(7 / 8)
    assert found["fact_order"] == found["rouge_l"] == found["parsed"] == 0.5
    assert TASK.reward(item, "<think>a hook") == 0
    assert found["fact_precision/phase"] == found["fact_recall/phase"] == 0.5
    assert found["fact_precision/instrument"] == pytest.approx(2 / 3)
    assert found["bleu4"] == pytest.approx(math.exp(1 - 2))  # half of the words were said
    assert math.isnan(TASK.metrics([Scored(item, item.answer)])["cider_d"])


def test_one_scan_tells_verbs_from_actions():
    words = facts("synthsurg")
    assert "clip" in words and "clipping" not in words  # one stem
    assert named("The clipper clips, clipping the duct.", words).count("clip") == 2
    assert "null verb" not in words
    with pytest.raises(TypeError, match="caption is text"):
        TASK.render(3)
