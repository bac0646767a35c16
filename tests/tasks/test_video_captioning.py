import pytest
from footage_records import encode, footage, segment, spans, task, triplet

from surgzoo.db.captions import DERIVED
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored
from surgzoo.tasks.video_captioning import windows

TASK = task("video_captioning")
HOLD = triplet("grasper", "retract", "gallbladder")
CUT = triplet("scissors", "cut", "cystic_duct")
CLIP = triplet("clipper", "clip", "cystic_duct")
IDLE = triplet("hook", "null_verb", "null_target")


def shown(*triplets):
    return FrameAnnotations(triplets=triplets)


def test_given_captions():
    items = encode(
        "video_captioning", captions=[(0.0, 2.5, " A. "), (2.5, 2.9, "B."), (4.0, 7.0, "C.")]
    )
    assert [(item.answer, spans(item)) for item in items] == [
        ("A.", [(0, 3, "clip")]),
        ("C.", [(4, 3, "clip")]),  # no frame shows B
    ]
    assert {item.derived for item in items} == {None}


def test_a_chain_in_order_with_what_goes_on_meanwhile():
    frames = [shown(HOLD, IDLE)] + [shown(HOLD, CLIP)] * 2 + [shown(HOLD), shown(HOLD, CUT)]
    (item,) = encode("video_captioning", 5, annotations=dict(enumerate(frames)))
    assert item.answer.replace(" as ", " while ") == (
        "The grasper retracts the gallbladder while the clipper clips the cystic duct, "
        "then the scissors cuts the cystic duct."
    )
    assert item.derived == DERIVED


def test_actions_where_there_are_no_triplets():
    items = encode(
        "video_captioning",
        10,
        segments=[
            segment("step", "adhesiolysis", 0, 6),
            segment("step", "liver_bed_dissection", 6, 10),
            segment("action", "dissection", 1, 3, "hook"),
            segment("action", "tissue_retraction", 3, 5),
        ],
    )
    assert [item.answer for item in items] == ["Dissection with the hook, then tissue retraction."]
    assert spans(items[0]) == [(0, 6, "clip")]


def test_long_stretches_are_cut():
    steps = [segment("step", "adhesiolysis", 0, 75), segment("step", "fundus_dissection", 75, 80)]
    assert list(windows(footage(80, segments=steps))) == [(0, 25), (25, 50), (50, 75), (75, 80)]
    assert list(windows(footage(30))) == [(0, 30)]
    assert list(windows(footage(0))) == []


def test_nothing_annotated():
    assert encode("video_captioning") == []
    assert encode("video_captioning", annotations=shown(IDLE)) == []


def test_order_counts():
    (item,) = encode(
        "video_captioning",
        4,
        annotations=dict(enumerate([shown(CLIP), shown(CLIP), shown(CUT), shown(CUT)])),
    )
    turned = "The scissors cuts the cystic duct, then the clipper clips the cystic duct."
    found = TASK.metrics([Scored(item, turned)])
    assert found["fact_f1"] == 1
    assert found["fact_order"] == pytest.approx(3 / 6)
    assert TASK.metrics([Scored(item, item.answer)])["fact_order"] == 1
