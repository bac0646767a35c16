"""Each quality gate catches a planted defect, and a sound conversation passes them all."""

import dataclasses
import re

import cv2
import numpy as np
import pytest
import simplejpeg

from surgzoo.datasets.surg_sigma_db import gates
from surgzoo.datasets.surg_sigma_db.gates import GATES, Gatekeeper, Limits
from surgzoo.db import records
from surgzoo.db.footage import Shot
from surgzoo.db.schema import (
    Box,
    Frame,
    FrameAnnotations,
    Instrument,
    Label,
    Media,
    Triplet,
    Turn,
    Video,
)
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context

VIDEO = Video("VID01", "cholec/1", "cholect50", "hepatobiliary", "cholecystectomy", "-")
ANNOTATIONS = FrameAnnotations(
    phase=Label("preparation", "Preparation"),
    instruments=(Instrument(Label("hook", "hook"), Box(0.1, 0.2, 0.33333, 0.4)),),
    triplets=(
        Triplet(
            Label("hook", "hook"),
            Label("dissect", "dissect"),
            Label("gallbladder", "gallbladder"),
        ),
    ),
)
NAMES = (
    "phase_recognition",
    "instrument_recognition",
    "instrument_localization",
    "triplet_recognition",
)


def task(name):
    return tasks.get(name)()


def sound(name, index=0):
    shot = Shot(Frame("VID01", index, float(index)), ANNOTATIONS)
    return task(name).encode(shot, Context("fps1", VIDEO, "train"))[0]


def told(conversation, text):
    return dataclasses.replace(
        conversation, turns=(*conversation.turns[:-1], Turn("assistant", text))
    )


def verdicts(conversation):
    """{gate: reason} of the first gate that objects, as in a build; {} when none does."""
    for name, gate in GATES.items():
        if reason := gate(conversation, task(conversation.task), Limits()):
            return {name: reason}
    return {}


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_conversation_passes(name):
    assert verdicts(sound(name)) == {}
    thinking = dataclasses.replace(sound(name), thinking="There is a hook.")
    assert verdicts(thinking) == {}


PLANTED = {
    "blank target": (lambda c: told(c, "  "), "empty_answer", "turn 1 .assistant. says nothing"),
    "no answer": (lambda c: dataclasses.replace(c, answer=None), "empty_answer", "is None"),
    "no target": (lambda c: dataclasses.replace(c, turns=c.turns[:1]), "empty_answer", "not end"),
    "no question": (lambda c: dataclasses.replace(c, turns=c.turns[1:]), "empty_answer", "begin"),
    "blank trace": (lambda c: dataclasses.replace(c, thinking=" "), "empty_answer", "trace"),
    "long turn": (
        lambda c: dataclasses.replace(c, turns=(Turn("user", "why " * 2000), *c.turns[1:])),
        "text_over_length",
        "turn 0 has 8000 characters, the limit is 4000",
    ),
    "long trace": (
        lambda c: dataclasses.replace(c, thinking="so " * 4000),
        "text_over_length",
        "trace has 12000",
    ),
    "another text": (lambda c: told(c, "nothing of the kind"), "round_trip", "read back"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("defect", PLANTED)
def test_planted_defects_of_any_task(name, defect):
    plant, gate, reason = PLANTED[defect]
    found = verdicts(plant(sound(name)))
    assert gate in found and re.search(reason, found[gate]), found


@pytest.mark.parametrize(
    "box",
    [
        [0.1, 0.2, 1.2, 0.4],
        [-0.1, 0.2, 0.3, 0.4],
        [0.5, 0.2, 0.3, 0.4],
        [0.1, 0.2, 0.1, 0.4],
        [0, 0, float("nan"), 1],
    ],
)
def test_impossible_boxes(box):
    good = sound("instrument_localization")
    found = verdicts(dataclasses.replace(good, answer=[["hook", box]]))
    assert "box" in found["impossible_box"]
    nested = dataclasses.replace(good, answer={"text": "there", "box": box})
    assert "box" in gates.impossible_box(nested, task(good.task), Limits())


def test_four_values_of_a_mask_are_no_box():
    good = sound("instrument_localization")
    four = dataclasses.replace(good, answer={"media": "masks", "values": [1, 2, 3, 4]})
    assert gates.impossible_box(four, task(good.task), Limits()) is None


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("phase_recognition", "lunch"),
        ("instrument_recognition", ["hook", "spoon"]),
        ("instrument_localization", [["spoon", [0.1, 0.2, 0.3, 0.4]]]),
        ("triplet_recognition", [["hook", "dissect", "moon"]]),
        ("triplet_recognition", [["gallbladder", "dissect", "hook"]]),
    ],
)
def test_unknown_labels(name, answer):
    bad = dataclasses.replace(sound(name), answer=answer)
    assert any(
        word in verdicts(bad)["unknown_label"] for word in ("lunch", "spoon", "moon", "gall")
    )


def test_an_unusual_triplet_is_right():
    triplet = dataclasses.replace(
        ANNOTATIONS.triplets[0], target=Label("fluid", "fluid"), verb=Label("pack", "pack")
    )
    shot = Shot(Frame("VID01", 0, 0.0), FrameAnnotations(triplets=(triplet,)))
    (made,) = task("triplet_recognition").encode(shot, Context("fps1", VIDEO, "train"))
    assert ", ".join(made.answer[0]) not in made.options
    assert verdicts(made) == {}


def test_rounding_is_no_defect_and_another_box_is():
    good = sound("instrument_localization")
    assert good.answer[0][1][2] == 0.33333  # "333" in the text
    other = dataclasses.replace(good, answer=[["hook", [0.1, 0.2, 0.3355, 0.4]]])
    assert set(verdicts(other)) == {"round_trip"}


IMAGE = simplejpeg.encode_jpeg(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
MAP = cv2.imencode(".png", np.random.default_rng(0).integers(0, 9, (64, 64), np.uint16))[
    1
].tobytes()
DAMAGED = {
    "cut": IMAGE[: len(IMAGE) // 2],
    "empty": b"",
    "text": b"404 not found",
    "header": IMAGE[:2] + b"\0" * 20 + IMAGE[22:],
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("images", ["decode", "header"])
def test_damaged_images(damage, images):
    assert gates.image_fault(IMAGE, images) is None
    fault = gates.image_fault(DAMAGED[damage], images)
    assert fault or (damage, images) == ("text", "header"), "a header alone cannot tell"


def test_a_damaged_middle_needs_decoding():
    torn = bytearray(IMAGE)
    torn[len(torn) // 2 : len(torn) // 2 + 60] = b"\xff\xd9" * 30
    assert gates.image_fault(bytes(torn), "decode")
    assert gates.image_fault(bytes(torn), "header") is None


@pytest.mark.parametrize("bits", [np.uint8, np.uint16])
def test_a_damaged_map(bits):
    levels = np.random.default_rng(0).integers(0, 200, (40, 50)).astype(bits)
    whole = cv2.imencode(".png", levels)[1].tobytes()
    assert gates.image_fault(whole, "decode") is None
    assert gates.image_fault(whole + b"\0" * 9, "decode") is None  # decoders ignore what follows
    for length in range(8, len(whole)):
        assert gates.image_fault(whole[:length], "decode") == "the PNG is cut off"
    for place in range(8, len(whole)):
        torn = bytearray(whole)
        torn[place] ^= 0x10
        assert gates.image_fault(bytes(torn), "decode"), place


class Shelf:
    """A store of four frames; the third image is torn."""

    source, config = "cholect50", "fps1"

    def __init__(self):
        self.read = []

    def video(self, name):
        return records.StoredVideo(VIDEO, 0, 4)

    def frame(self, video, index):
        self.read.append(index)
        frame = Frame(video, index, float(index))
        return records.FrameRecord(
            frame, FrameAnnotations(), DAMAGED["cut"] if index == 2 else IMAGE
        )

    def map(self, video, index, name):
        """Derived depth of frame 0, and one of frame 1 that is torn."""
        found = {0: MAP, 1: DAMAGED["cut"]}
        if name == "depth" and index in found:
            return found[index]
        raise KeyError(f"frame {index} has no map '{name}'")


def keeper(images="decode"):
    shelf = Shelf()
    return Gatekeeper(shelf, "VID01", Limits(images=images)), shelf


def test_each_frame_is_looked_at_once_for_all_tasks():
    keep, shelf = keeper()
    keep.look(shelf.frame("VID01", 3))
    shelf.read.clear()
    for index in range(4):
        for name in NAMES:
            held = keep.check(sound(name, index), task(name))
            assert (held is not None) == (index == 2)
            if held:
                assert held.gate == "corrupt_image" and held.reason.startswith("frame 2: cannot be")
    assert shelf.read == [0, 1, 2]
    off, shelf = keeper("off")
    assert off.check(sound("phase_recognition", 2), task("phase_recognition")) is None
    assert shelf.read == []


def test_a_clip_is_as_good_as_its_worst_frame():
    keep, _ = keeper()
    good = sound("phase_recognition")
    for media, bad in (((0, 2), False), ((0, 3), True), ((1, 4), True)):
        clip = Media("cholect50", "fps1", "VID01", *media, "clip")
        reason = keep.corrupt_image(dataclasses.replace(good, media=(clip,)), task(good.task))
        assert bool(reason) == bad
    assert "points at frames 1 to 4 of 4" in reason


def test_media_of_nobody():
    keep, _ = keeper("off")
    good = sound("phase_recognition")
    stranger = dataclasses.replace(good, media=(Media("cholect50", "fps1", "VID02", 0),))
    assert "another video" in keep.check(stranger, task(good.task)).reason
    without = dataclasses.replace(good, id=good.id.replace("000000", "000001"), media=())
    assert "points at no image" in keep.check(without, task(good.task)).reason
    # Words alone may ask for a clip: the answer is what points at frames.
    clip = {"media": {"source": "cholect50", "config": "fps1", "video": "VID01", "first": 0}}
    asked = dataclasses.replace(without, task="video_generation", answer=clip)
    assert keep.corrupt_image(asked, task("video_generation")) is None


def test_ids_are_unique_and_name_their_video():
    keep, _ = keeper("off")
    good = sound("phase_recognition")
    assert keep.check(good, task(good.task)) is None
    assert keep.check(good, task(good.task)).gate == "duplicate_id"
    names = ("something", good.id.replace("VID01", "VID02"), good.id + "/x")
    for wrong in (*names, good.id.replace(good.task, "step_recognition")):
        held = keep.check(dataclasses.replace(good, id=wrong), task(good.task))
        assert held.gate == "duplicate_id" and "FRAME/phase_recognition/PART" in held.reason


class Depth:
    """What the gates ask of a task whose answer is a stored map."""

    name, answer_form, level = "depth", "pixels", "image"

    def render(self, answer):
        return "<image>"


def depth(answer, text="<image>"):
    good = told(sound("phase_recognition"), text)
    named = good.id.replace(good.task, "depth")
    return dataclasses.replace(good, id=named, task="depth", answer=answer)


def test_an_answer_in_pixels_is_stored_pixels():
    there = {"media": {"source": "cholect50", "config": "fps1", "video": "VID01", "first": 1}}
    torn = {"media": {**there["media"], "first": 2}}
    derived = {"media": {**there["media"], "first": 0, "kind": "depth"}}
    torn_map = {"media": {**there["media"], "kind": "depth"}}
    without = {"media": {**there["media"], "kind": "clean"}}
    keep, _ = keeper()
    assert keep.check(depth(there), Depth()) is None
    assert keeper()[0].check(depth(derived), Depth()) is None
    assert "frame 1: cannot be decoded" in keeper()[0].check(depth(torn_map), Depth()).reason
    for answer in ({"map": 1}, {"media": {"first": 1}}, {"media": 3}, ["media"]):
        assert keeper()[0].check(depth(answer), Depth()).gate == "empty_answer"
    assert keeper()[0].check(depth(there, "<video>"), Depth()).gate == "round_trip"
    assert "frame 2" in keeper()[0].check(depth(torn), Depth()).reason
    assert keeper()[0].check(depth(without), Depth()).reason == "frame 1: is not stored"
    keep, shelf = keeper()
    keep.map_of = lambda index, name: MAP if (index, name) == (1, "depth") else b""
    assert keep.check(depth(torn_map), Depth()) is None
    assert 1 not in shelf.read  # the map was at hand
