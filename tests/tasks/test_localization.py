"""Boxes of instruments (thousandths) and of tissues (fractions): one base, two ways to write."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_records import boxes as some_box
from task_records import encode, instrument, instruments, task, tissue, tissues

from surgzoo.db import boxes
from surgzoo.db.schema import Box, FrameAnnotations
from surgzoo.tasks.base import Scored

HOOK, LEFT, RIGHT = (0.643, 0.0, 0.92, 0.298), (0.1, 0.2, 0.3, 0.4), (0.5, 0.2, 0.7, 0.4)


class Kind:
    """One of the two tasks, with two classes of it in the source's order and an unknown one."""

    def __init__(self, name, field, make, some, first, second, unknown, count, texts):
        self.task, self.field, self.make, self.some = task(name), field, make, some
        self.first, self.second, self.unknown = first, second, unknown
        self.count, self.texts = count, texts  # classes of the source; LEFT, RIGHT, HOOK as text

    def ask(self, *annotated, index=0):
        return encode(self.task.name, FrameAnnotations(**{self.field: annotated}), index)

    def shown(self, concept):
        return concept.replace("_", " ")


INSTRUMENT = Kind(
    "instrument_localization", "instruments", instrument, instruments, "grasper", "hook",
    "trocar", 6, ("(100,200),(300,400)", "(500,200),(700,400)", "(643,0),(920,298)"),
)  # fmt: skip
TISSUE = Kind(
    "tissue_localization", "tissues", tissue, tissues, "liver", "cystic_duct", "spleen", 15,
    ("[0.100, 0.200, 0.300, 0.400]", "[0.500, 0.200, 0.700, 0.400]",
     "[0.643, 0.000, 0.920, 0.298]"),
)  # fmt: skip

both = pytest.mark.parametrize("kind", [INSTRUMENT, TISSUE], ids=["instrument", "tissue"])


@both
def test_one_question_a_class_and_one_for_all(kind):
    one, two, everything = kind.ask(
        kind.make(kind.second, HOOK), kind.make(kind.first, RIGHT), kind.make(kind.first, LEFT)
    )
    first, second = kind.shown(kind.first), kind.shown(kind.second)
    left, right, hook = kind.texts
    assert [c.id[-1] for c in (one, two, everything)] == ["0", "1", "2"]
    assert one.options == (first,) and first in one.prompt
    assert one.target == f"{left}; {right}"
    assert one.answer == [[first, list(LEFT)], [first, list(RIGHT)]]
    assert two.target == hook
    assert len(everything.options) == kind.count
    assert everything.target == f"{first} {left}; {first} {right}; {second} {hook}"


@both
def test_missing_boxes_make_no_incomplete_answers(kind):
    assert kind.ask(kind.make(kind.second)) == []
    assert kind.ask(kind.make(kind.second, HOOK), kind.make(kind.second)) == []
    (kept,) = kind.ask(kind.make(kind.second, HOOK), kind.make(kind.first))
    assert kept.options == (kind.shown(kind.second),)


@both
def test_a_frame_without_any_has_the_answer_none(kind):
    (everything,) = kind.ask()
    assert (everything.answer, everything.target) == ([], "none")
    assert len(everything.options) == kind.count


@both
def test_the_answer_keeps_the_annotation_and_the_text_its_thousandths(kind):
    exact = (0.10012, 0.2, 0.3, 0.4)
    one, _ = kind.ask(kind.make(kind.first, exact))
    assert one.answer == [[kind.shown(kind.first), list(exact)]]
    assert one.target == kind.texts[0]


@both
@given(data=st.data())
def test_render_and_parse_round_trip(kind, data):
    """Exact on the thousandths that text can hold, in the same order, in both forms."""
    for conversation in kind.ask(*data.draw(kind.some)):
        for text in (conversation.target, kind.task.render(conversation.answer)):
            answer, error = kind.task.parse(text, conversation)
            assert error is None
            assert [name for name, _ in answer] == [name for name, _ in conversation.answer]
            for (_, got), (_, wanted) in zip(answer, conversation.answer, strict=True):
                assert boxes.to_thousand(Box(*got)) == boxes.to_thousand(Box(*wanted))


@both
@given(box=some_box)
def test_float_and_list_forms_are_the_same_box(kind, box):
    conversation, _ = kind.ask(kind.make(kind.first, box))
    name = kind.shown(kind.first)
    integers = list(boxes.to_thousand(Box(*box)))
    expected = kind.task.parse(conversation.target, conversation).answer
    for text in (
        str(integers),
        f"The {name} is at {integers}.",
        "[" + ", ".join(f"{v / 1000:.3f}" for v in integers) + "]",
        "[" + ", ".join(f"{v / 10:.1f}%" for v in integers) + "]",
        f"({integers[2]},{integers[3]}),({integers[0]},{integers[1]})",
    ):
        ((got_name, got),) = kind.task.parse(text, conversation).answer
        assert got_name == name
        assert got == pytest.approx(expected[0][1])


@given(some_box)
def test_the_text_of_a_tissue_box_holds_three_decimals(box):
    text = boxes.to_float_text(Box(*box))
    assert re.fullmatch(r"\[(?:[01]\.\d{3}, ){3}[01]\.\d{3}\]", text)
    assert tuple(map(float, text[1:-1].split(", "))) == pytest.approx(box)


@both
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{two} (1,2),(3,4); {one} (5,6),(7,8)", "12"),
        ("{two} (1,2),(3,4), (5,6),(7,8)", "22"),
        ("The {TWO} is at [1,2,3,4] and the two {one}s at [5,6,7,8] and [1,2,3,9].", "112"),
        ('```json\n[{{"bbox_2d": [1, 2, 3, 4], "label": "{two}"}}]\n```', "2"),
        ('{{"tissue": "{two}", "bbox": [0.2, 0.3, 0.4, 0.5]}}', "2"),
        ('[{{"organ": "{concept}", "bbox_2d": [282, 452, 447, 752]}}]', "2"),
        ("<|object_ref_start|>{two}<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>", "2"),
        ("{two} (1,2),(3,4); {other} (5,6),(7,8)", "2?"),
        ("{two} (1,2),(3,4); {one} (5,6),(7", "2"),  # cut off: not said
        ("{one} (1,2),(3,4); {one} (1,2),(3,4)", "11"),  # said twice: a false positive
        ("No {one}; {two} (1,2),(3,4)", "2"),
        ("No tools detected", ""),
        ("No organs in view", ""),
    ],
)
def test_all_form_is_tolerant(kind, text, names):
    one, two = kind.shown(kind.first), kind.shown(kind.second)
    said = {"1": one, "2": two, "?": kind.unknown}
    text = text.format(one=one, two=two, TWO=two.title(), concept=kind.second, other=kind.unknown)
    conversation = kind.ask(kind.make(kind.second, HOOK))[-1]
    answer, error = kind.task.parse(text, conversation)
    assert error is None
    assert [name for name, _ in answer] == [said[letter] for letter in names]


@both
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(1,2),(3,4)", "2"),
        ("1, 2, 3, 4", "2"),
        ("Bounding box coordinates: (1,2),(3,4); (5,6),(7,8)", "22"),
        ("{two} (1,2),(3,4); {one} (5,6),(7,8)", "21"),
        ("Coords: (1,2),(3,4)", "2"),
        ("Sure! What you look for lies around (1,2),(3,4)", "2"),
        ("not present", ""),
        ("There is no {two}.", ""),
        ("The {two} is not visible.", ""),
        ("The {two} is not in the image.", ""),
    ],
)
def test_class_form_is_tolerant(kind, text, names):
    one, two = kind.shown(kind.first), kind.shown(kind.second)
    conversation, _ = kind.ask(kind.make(kind.second, HOOK))
    answer, error = kind.task.parse(text.format(one=one, two=two), conversation)
    assert error is None
    assert [name for name, _ in answer] == [{"1": one, "2": two}[letter] for letter in names]


@both
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(1,2),(3,4)", r"a box without an? (?:instrument|tissue): "),
        ("{two} on the left", "gives no box: "),
        ("{two} (9,1),(5,3)", "the corners of a box are swapped on one axis: "),
        ("{two} [0.5, 0.2, 0.3, 0.4]", "the corners of a box are swapped on one axis: "),
        ("{two} (0,0),(854,1480)", "a box reaches outside the image: "),
        ("{two} [0.1, 0.1, 1.4, 0.9]", "a box reaches outside the image: "),
        ("{two} (1,1),(1,1)", "a box has no area: "),
    ],
)
def test_reasons(kind, text, reason):
    conversation = kind.ask(kind.make(kind.second, HOOK))[-1]
    answer, error = kind.task.parse(text.format(two=kind.shown(kind.second)), conversation)
    assert answer is None
    assert re.match(reason, error)


def test_a_tissue_with_one_box_may_be_asked_for_by_its_area():
    areas = set()
    duct = (0.282, 0.452, 0.447, 0.752)
    for index in range(60):
        two, one, _ = TISSUE.ask(
            tissue("cystic_duct", duct), tissue("liver", LEFT), tissue("liver", RIGHT), index=index
        )
        areas |= set(re.findall(r"(?:top|middle|bottom)-\w+", one.prompt))
        assert not re.search(r"(?:top|middle|bottom)-\w+", two.prompt)
        assert "cystic duct" in one.prompt and "liver" in two.prompt
    assert areas == {"middle-center"}  # the middle of the duct is at 0.36, 0.60


@both
def test_golden_metrics(kind):
    one, two, everything = kind.ask(kind.make(kind.second, HOOK), kind.make(kind.first, LEFT))
    first, second = kind.shown(kind.first), kind.shown(kind.second)
    below = [0.1, 0.3, 0.3, 0.5]  # IoU 1/3 with LEFT
    metrics = kind.task.metrics(
        [
            Scored(one, [[first, below], [first, list(RIGHT)]]),
            Scored(two, [[second, list(HOOK)]]),
            Scored(everything, [[first, list(LEFT)], [kind.unknown, list(RIGHT)]]),
        ]
    )
    assert metrics["miou"] == pytest.approx((1 / 3 + 1) / 2)
    assert metrics["miou_strict"] == pytest.approx((1 / 3 + 1) / 3)
    assert metrics["ap50"] == pytest.approx((0 + 1) / 2)
    assert metrics["miou_all"] == pytest.approx(1 / 2)
    assert metrics["miou_strict_all"] == pytest.approx(1 / 3)
    assert metrics["parsed"] == 1.0


@both
def test_an_unread_answer_misses_all_and_is_one_false_positive(kind):
    one, two, everything = kind.ask(kind.make(kind.second, HOOK), kind.make(kind.first, LEFT))
    truth = Scored(one, one.answer)
    metrics = kind.task.metrics([truth, Scored(two, None), Scored(everything, None)])
    assert metrics["miou"] == pytest.approx(1 / 2)
    assert metrics["miou_strict"] == pytest.approx(1 / 3)
    assert metrics["miou_all"] == metrics["miou_strict_all"] == metrics["ap50_all"] == 0.0
    assert metrics["parsed"] == pytest.approx(1 / 3)


@both
def test_what_no_box_can_measure_is_nan(kind):
    (empty,) = kind.ask()
    metrics = kind.task.metrics([Scored(empty, [])])
    assert math.isnan(metrics["miou"]) and math.isnan(metrics["miou_all"])
    assert metrics["miou_strict_all"] == 1.0


@both
def test_reward_charges_false_positives(kind):
    one, everything = kind.ask(kind.make(kind.second, HOOK))
    reward = kind.task.reward
    assert reward(one, kind.texts[2]) == pytest.approx(1.0)
    assert reward(one, f"{kind.texts[2]}; {kind.texts[2]}") == pytest.approx(0.5)
    assert reward(everything, f"{kind.shown(kind.first)} {kind.texts[2]}") == 0.0
    assert reward(kind.ask()[0], "none") == 1.0
    assert reward(kind.ask()[0], "?") == 0.0


@both
def test_boxes_drawn_around_masks_say_so(kind):
    annotated = {kind.field: (kind.make(kind.first, LEFT),)}
    for key in (kind.field, f"{kind.field}.box"):
        known = FrameAnnotations(**annotated, derived={key: "around the mask"})
        items = encode(kind.task.name, known)
        assert {c.derived for c in items} == {"around the mask"} and len(items) == 2
