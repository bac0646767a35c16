"""Names and boxes in free text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgzoo.db.schema import Box
from surgzoo.tasks import reading, reading_boxes

TOOLS = ("grasper", "hook", "scissors", "specimen bag", "needle driver")


def names(text, known=TOOLS):
    return [item.text for item in reading.Vocabulary(known).scan(text) if item.kind == "name"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Grasper and HOOK", ["grasper", "hook"]),
        ("specimen_bag", ["specimen bag"]),
        ("Specimen-Bags", ["specimen bag"]),
        ("SpecimenBag", ["specimen bag"]),
        ("a scissor", ["scissors"]),
        ("**hook**.", ["hook"]),
        ("grapser", ["grasper"]),  # one slip
        ("neddle drivers", ["needle driver"]),
        ("unhooked hooking", ["hook"]),  # a part of a word is no name, a verb ending is
        ("hooligan", []),
        ("a needle", []),
        ("no hook, but a grasper", ["grasper"]),
        ("not the hook", []),
        ("no grasper or hook", []),
        ("neither a grasper nor a hook", []),
        ("no grasper, but a hook or scissors", ["hook", "scissors"]),
        ("I don't see any grasper", []),
        ("I do not see a grasper", []),
        ("It isn't the hook", []),
        ("This cannot be a hook", []),
        ("no visible hook", []),
        ("grasper: yes, hook: no", ["grasper"]),
        ("hook: no\ngrasper: yes", ["grasper"]),
        ("The hook is not visible, the grasper is", ["grasper"]),
        ("hook absent; scissors", ["scissors"]),
        ("hook, no grasper", ["hook"]),  # "no" is about what follows
        ("hook not only once", ["hook"]),
        ("bag", []),
        ("", []),
    ],
)
def test_scan(text, expected):
    assert names(text) == expected


def test_a_near_miss_of_two_names_is_neither():
    known = ("cystic ductus", "cystic ductum")
    assert names("cystic ductux", known) == []
    assert names("cystic ductus", known) == ["cystic ductus"]


def test_a_name_inside_another_is_not_said_by_it():
    known = ("clip", "clipper", "cystic duct", "duct")
    assert names("The clipper is at the cystic duct", known) == ["clipper", "cystic duct"]
    assert names("a clip on the duct", known) == ["clip", "duct"]
    assert names("clipper", ("clip",)) == []
    assert names("bipolar", ("polar", "monopolar")) == []


def test_a_derived_word_is_no_slip():
    assert names("retractor", ("retract",)) == []
    assert names("retracting", ("retract",)) == ["retract"]


def test_longest_name_wins_and_order_of_the_text_is_kept():
    known = ("bag", "specimen bag", "hook")
    assert names("hook bag specimen bag", known) == ["hook", "bag", "specimen bag"]


def test_names_that_fall_together_are_read_as_they_are():
    known = ("clip", "clips", "clipping")
    assert names("clips clip clipping", known) == ["clips", "clip", "clipping"]


words = st.text("abcdefghij klmnopqrstuvwxyz", min_size=1, max_size=20).map(
    lambda text: " ".join(text.split())
)


@settings(deadline=None)
@given(st.lists(words.filter(lambda w: len(w) > 2), min_size=1, max_size=6, unique=True))
def test_every_name_is_read_back(known):
    clean = [name for name in known if not set(name.split()) & {"no", "not", "nor"}]
    for name in clean:
        assert names(name, tuple(clean)) == [name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hook", ("hook", None)),
        ("<think>grasper</think> hook", ("hook", None)),
        ("the prompt opened the thought</think>hook", ("hook", None)),
        ("<answer>hook", ("hook", None)),
        ("<answer>a</answer><answer>hook</answer> more", ("hook", None)),
        ("<|object_ref_start|>hook<|object_ref_end|>", ("hook", None)),
        ("hook<|im_end|>grasper", ("hook", None)),
        ("<think>and on", ("", "thinks without ever answering")),
        ("<answer></answer>", ("", "is empty")),
        (r"So it is \boxed{hook}", ("So it is hook", None)),
        (" \n", ("", "is empty")),
    ],
)
def test_spoken(text, expected):
    assert reading.spoken(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "None.",
        "No tools detected",
        "There are no surgical instruments in view.",
        "nothing",
        "[]",
        "It is not visible",
        "It is not in the image",
        "I don't see any surgical tools.",
        "I cannot detect any instrument here",
        "no action triplets",
    ],
)
def test_says_none(text):
    assert reading.says_none(text)


@pytest.mark.parametrize("text", ["hook", "", "I do not know", "nonesuch", "[1]"])
def test_does_not_say_none(text):
    assert not reading.says_none(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grasper, scalpel", ["scalpel"]),
        ("The instruments are a grasper and a linear stapler.", ["linear stapler"]),
        ("laparoscopic grasper", []),
        ("grasper (left), hook (right)", []),
        ("1. grasper\n2. trocar", ["trocar"]),
        ("grasper, one of the many long words of prose", []),
    ],
)
def test_extras(text, expected):
    assert reading.extras(reading.Vocabulary(TOOLS).scan(text)) == expected


def test_quote_is_short_and_on_one_line():
    assert reading.quote("it's\n" + "x" * 100) == "'it’s " + "x" * 54 + "…'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(326,545),(919,921)", (0.326, 0.545, 0.919, 0.921)),
        ("(326, 545) , (919, 921)", (0.326, 0.545, 0.919, 0.921)),
        ("[326, 545, 919, 921]", (0.326, 0.545, 0.919, 0.921)),
        ("[[326,545],[919,921]]", (0.326, 0.545, 0.919, 0.921)),
        ("(326 545 919 921)", (0.326, 0.545, 0.919, 0.921)),
        ("from (326,545) to (919,921)", (0.326, 0.545, 0.919, 0.921)),
        ("(326.5,545),(919,921)", (0.3265, 0.545, 0.919, 0.921)),
        ("[0.282, 0.452, 0.447, 0.752]", (0.282, 0.452, 0.447, 0.752)),
        ("[.1, 0, 1, 1]", (0.1, 0, 1, 1)),
        ("[28.2%, 45.2%, 44.7%, 75.2 %]", (0.282, 0.452, 0.447, 0.752)),
        ("326,545,919,921", (0.326, 0.545, 0.919, 0.921)),
        ("x1=326, y1=545, x2=919, y2=921", (0.326, 0.545, 0.919, 0.921)),
        (
            '{"box": {"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}}',
            (0.1, 0.2, 0.3, 0.4),
        ),
        ("(0,0),(1,1)", (0, 0, 0.001, 0.001)),  # integers are thousandths
        ("(919,921),(326,545)", (0.326, 0.545, 0.919, 0.921)),  # corners the other way round
        ("(990,990),(1010,1004)", (0.99, 0.99, 1, 1)),
        ("(-3,0),(10,10)", (0, 0, 0.01, 0.01)),
        ('{"label": "hook", "bbox_2d": [1, 2, 3, 4]}', (0.001, 0.002, 0.003, 0.004)),
    ],
)
def test_find_one_box(text, expected):
    (found,) = reading_boxes.find(text)
    box = found.box
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(5,5),(5,9)", "no area: '(5,5),(5,9)'"),
        ("(9,1),(5,3)", "swapped on one axis: '(9,1),(5,3)'"),
        ("(0,0),(1280,720)", "outside the image"),
        ("[-0.5, 0.1, 0.2, 0.3]", "outside the image"),
        ("[0.64, 0.0, 1.5, 0.3]", "outside the image"),  # fractions, not a box of a thousandth
        ("[28%, 45%, 144%, 75%]", "outside the image"),
    ],
)
def test_boxes_that_cannot_be_meant(text, reason):
    with pytest.raises(reading_boxes.BoxError) as caught:
        reading_boxes.find(f"hook {text}")
    assert reason in str(caught.value)


@pytest.mark.parametrize("text", ["", "hook", "(1,2)", "(1,2),(3,", "1 2 3 4", "(1,2),(3,4"])
def test_no_box(text):
    assert reading_boxes.find(text) == []


def test_find_keeps_what_stands_before_each_box():
    found = reading_boxes.find("hook (1,2),(3,4); grasper (5,6),(7,8), (9,10),(11,12) and (1,")
    assert [item.lead for item in found] == ["hook ", "; grasper ", ", "]
    assert found[2].box == Box(0.009, 0.01, 0.011, 0.012)
    labels = reading_boxes.find('[{"bbox_2d": [1,2,3,4], "label": "hook"}]')
    assert "hook" in labels[0].lead


def test_hostile_texts_are_read_in_time():
    start = time.monotonic()
    for text in (
        "(" * 20000,
        "(1,2),(" * 5000,
        "9" * 20000,
        "{" * 20000,
        " " * 50000 + "(",
        "x1=1," * 5000,
        "x1=1,y1=2,x2=" * 3000,
        "1%," * 5000,
    ):
        reading_boxes.find(text)
    assert time.monotonic() - start < 10
