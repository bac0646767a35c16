"""Depth estimation, desmoking and next-frame generation."""

import re

import numpy as np
import pytest
from footage_records import encode, footage, instrument, label, png, segment, spans, task

from surgzoo.db.derive.motion import DERIVED
from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks.base import Scored
from surgzoo.tasks.next_frame import frame_after

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 255, (24, 32, 3)).astype(np.uint8)


def kind(item):
    return item.answer["media"].get("kind", "image")


# ---- depth ----


def test_depth_only_where_a_map_is_stored():
    derived = FrameAnnotations(derived={"depth": "a model"})
    items = encode(
        "depth_estimation", 4, maps={1: ["depth"], 3: ["depth"]}, annotations={3: derived}
    )
    assert [(item.media[0].first, kind(item), item.derived) for item in items] == [
        (1, "depth", None),
        (3, "depth", "a model"),
    ]


def test_depth_of_any_scale_size_and_depth_of_bits():
    depth = task("depth_estimation")
    ramp = np.linspace(2000, 60000, 24 * 32).reshape(24, 32).astype(np.uint16)
    for said in (ramp, (ramp >> 8).astype(np.uint8), ramp.astype(np.float32) * 3 - 5):
        found = depth.compare(ramp, said, {})
        assert found["delta1"] > 0.99 and found["abs_rel"] < 0.02
    flat = depth.compare(ramp, np.zeros((5, 5), np.uint8), {})
    assert flat["delta1"] < 0.5
    assert depth.compare(ramp, 65535 - ramp, {}) == pytest.approx(flat)


def test_a_missing_depth_map_counts_as_worst():
    depth = task("depth_estimation")
    (item,) = encode("depth_estimation", 1, maps=["depth"])
    good = {"delta1": 1.0, "delta2": 1.0, "delta3": 1.0, "abs_rel": 0.0, "rmse": 0.0}
    found = depth.metrics([Scored(item, good), Scored(item, None)])
    assert found == dict.fromkeys([*good, "parsed"], 0.5)


def test_a_map_without_a_measurement_is_left_out_of_the_means():
    depth = task("depth_estimation")
    (item,) = encode("depth_estimation", 1, maps=["depth"])
    nothing = depth.compare(np.zeros((8, 8), np.uint16), np.ones((8, 8), np.uint8), {})
    assert all(np.isnan(value) for value in nothing.values())
    assert depth.quality(nothing) == 0.0
    good = {"delta1": 0.5, "delta2": 0.6, "delta3": 0.7, "abs_rel": 0.1, "rmse": 0.2}
    found = depth.metrics([Scored(item, good), Scored(item, nothing)])
    assert found == pytest.approx({**good, "parsed": 1.0})


# ---- desmoking ----


def test_desmoking_pairs():
    said = FrameAnnotations(derived={"smoke": "synthetic"})
    cleaned = FrameAnnotations(derived={"clean": "a dehazing model", "image": "not this"})
    items = encode(
        "desmoking",
        3,
        maps={0: ["clean"], 1: ["clean"], 2: ["smoke"]},
        annotations={1: cleaned, 2: said},
    )
    assert [(spans(item), kind(item), item.derived) for item in items] == [
        ([(0, 1, "image")], "clean", None),
        ([(1, 1, "image")], "clean", "a dehazing model"),
        ([(2, 1, "smoke")], "image", "synthetic"),
    ]


def test_desmoking_compares():
    desmoking = task("desmoking")
    same = desmoking.compare(PHOTO, PHOTO, {})
    assert same == pytest.approx({"psnr": 100, "ssim": 1})
    worse = desmoking.compare(PHOTO, 255 - PHOTO, {})
    assert worse["psnr"] < 15 and worse["ssim"] < 0.5
    assert desmoking.quality(same) == pytest.approx(1) and desmoking.quality(worse) < 0.5
    wide = np.repeat(np.repeat(PHOTO, 2, 0), 2, 1)  # scaled back by area means: the same
    assert desmoking.compare(PHOTO, wide, {}) == pytest.approx(same)


# ---- next frame ----


def test_next_frame_is_k_seconds_on():
    items = encode("next_frame", 40, annotations=FrameAnnotations(phase=label("preparation")))
    assert len(items) == 39  # nothing comes after the last
    gaps = set()
    for item in items:
        k = item.answer["media"]["first"] - item.media[0].first
        gaps.add(k)
        assert 1 <= k <= 10
        assert re.search(rf"\b{k} second{'' if k == 1 else 's'}\b", item.prompt)
        assert "Phase preparation." in item.prompt
        assert item.derived is None
    assert len(gaps) == 10


def test_next_frame_where_times_are_uneven():
    film = footage(4, times=[0.0, 1.5, 2.05, 7.0])
    assert [frame_after(film, 0, k) for k in (1, 2, 7, 8)] == [None, 2, 3, None]
    assert frame_after(film, 2, 5) == 3


def test_next_frame_is_the_nearest_of_a_dense_film():
    film = footage(60, times=[i / 25 for i in range(60)])
    assert [frame_after(film, i, 1) for i in (0, 3, 34, 37)] == [25, 28, 59, None]
    film = footage(3, times=[0.0, 0.96, 1.09])
    assert frame_after(film, 0, 1) == 1
    film = footage(3, times=[0.0, 0.92, 1.01])
    assert frame_after(film, 0, 1) == 2


def test_next_frame_needs_something_to_say():
    assert encode("next_frame") == []


def test_next_frame_with_the_direction_of_motion():
    """The hook's mask moves right by two pixels a frame, the grasper's stays."""

    def dense(index, name):
        assert name == "instrument_mask"
        mask = np.zeros((40, 60), np.uint8)
        mask[10:20, 2 * index : 2 * index + 10] = 4
        mask[30:38, 40:50] = 3
        return png(mask)

    seen = FrameAnnotations(instruments=(instrument("hook", 4), instrument("grasper", 3)))
    items = encode(
        "next_frame",
        20,
        annotations=seen,
        maps=["instrument_mask"],
        dense=dense,
        segments=[segment("action", "dissection", 0, 20)],
    )
    assert len(items) == 19
    for item in items:
        assert item.derived == DERIVED
        assert "Dissection, hook moves to the right, grasper stays still." in item.prompt


def test_both_forms_of_the_prompt_occur():
    seen = FrameAnnotations(phase=label("preparation"), instruments=(instrument("hook", 4),))
    items = encode(
        "next_frame",
        30,
        annotations=seen,
        maps=["instrument_mask"],
        dense=lambda index, name: png(np.full((8, 8), 4)),
        segments=[segment("action", "dissection", 0, 30)],
    )
    forms = {("Phase" in item.prompt, "hook stays still" in item.prompt) for item in items}
    assert forms == {(True, False), (False, True)}
