import numpy as np
import pytest
from footage_records import encode, instrument, task

from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored

TASK = task("instrument_segmentation")
MAP = ("instrument_mask",)


def asked(*instruments, maps=MAP):
    return encode(
        "instrument_segmentation",
        1,
        annotations=FrameAnnotations(instruments=instruments),
        maps=maps,
    )


def test_a_question_a_class_and_one_for_all():
    items = asked(instrument("hook", 4), instrument("grasper", 3), instrument("grasper", 2))
    assert [(item.options[0], item.answer["values"]) for item in items[:2]] == [
        ("grasper", [2, 3]),
        ("hook", [4]),
    ]
    assert items[2].answer["values"] == [2, 3, 4]
    assert "grasper" in items[0].prompt and "grasper" not in items[2].prompt
    assert items[0].answer["media"] == {
        "source": "synthsurg", "config": "fps1", "video": "v", "first": 0, "kind": "instrument_mask"
    }  # fmt: skip
    assert items[0].media[0].kind == "image"


def test_what_has_no_mask_is_not_asked():
    assert asked(instrument("hook", 4), maps=()) == []
    assert encode("instrument_segmentation", 1, maps=MAP) == []
    items = asked(instrument("hook", 4), instrument("grasper", 0))
    assert [item.options for item in items] == [("hook",)]  # and no question about all
    (nothing,) = asked()
    assert nothing.answer["values"] == []


def test_a_derived_mask_says_so():
    seen = FrameAnnotations(
        instruments=(instrument("hook", 4),), derived={"instrument_mask": "a segmenter"}
    )
    items = encode("instrument_segmentation", 1, annotations=seen, maps=MAP)
    assert {item.derived for item in items} == {"a segmenter"}


def test_pixels_by_hand():
    stored = np.array([[0, 3], [4, 3]], np.uint8)
    white = TASK.pixels(stored, {"values": [3]})
    assert white.tolist() == [[0, 255], [0, 255]]
    assert TASK.pixels(stored, {"values": []}).max() == 0
    found = TASK.compare(white, TASK.pixels(stored, {"values": [3, 4]}), {})
    # Outlines of 4 and 6 half diagonals and 2 straight corners each; 4 and 2 are in common.
    half = 0.5**0.5
    nsd = 2 * (2 + 4 * half) / (2 + 4 * half + 2 + 6 * half)
    assert found == pytest.approx({"dice": 2 * 2 / 5, "iou": 2 / 3, "nsd": nsd})


def test_the_tolerance_of_outlines_grows_with_the_image():
    for high in (108, 540):  # ten pixels of 1080 rows
        truth = np.zeros((high, high), np.uint8)
        truth[: high // 2] = 255
        for off, right in ((high // 108, True), (high // 27, False)):
            found = TASK.compare(truth, np.roll(truth, off, 0) | truth, {})["nsd"]
            assert (found == 1) == right


def test_files_of_any_depth_size_and_channels():
    truth = np.kron(np.array([[0, 255], [0, 255]], np.uint8), np.ones((8, 8), np.uint8))
    small = truth[::2, ::2]
    fractions = (truth / 255).astype(np.float32)
    for said in (
        truth,
        small,
        np.stack([truth] * 3, -1),
        truth.astype(np.uint16) * 257,
        fractions,
        np.stack([fractions] * 3, -1),
    ):
        assert TASK.compare(truth, said, {}) == {"dice": 1, "iou": 1, "nsd": 1}


def test_metrics_by_hand():
    items = asked(instrument("hook", 4), instrument("grasper", 3))
    half, full = {"dice": 0.5, "iou": 1 / 3, "nsd": 0.2}, {"dice": 1.0, "iou": 1.0, "nsd": 1.0}
    scored = [
        Scored(items[0], half),
        Scored(items[0], full),
        Scored(items[1], None),
        Scored(items[2], full),
    ]
    assert TASK.metrics(scored) == pytest.approx(
        {
            "dice": 2.5 / 4,
            "iou": (1 / 3 + 2) / 4,
            "nsd": 2.2 / 4,
            "class_dice": (0.75 + 0) / 2,
            "class_iou": (2 / 3 + 0) / 2,
            "ch_iou": (1 / 3 + 1 + 0) / 3,
            "all_dice": 1,
            "parsed": 0.75,
        }
    )
