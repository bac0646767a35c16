"""The released JSON of SurgΣ-DB: read from small files in its layout, its defects repaired."""

import json

import cv2
import numpy as np
import pytest
from prepared_sources import prepared

from surgzoo.data.conversations import conversations
from surgzoo.datasets.source_builder import LayoutError, prepare
from surgzoo.datasets.surgsigma_v01 import release
from surgzoo.datasets.surgsigma_v01.surgsigma_v01 import SurgSigmaV01
from surgzoo.db.schema import Box
from surgzoo.db.store import Store

LOCATE = "Locate all the tools in bbox form (x1,y1), (x2,y2)."
FRAMES = (
    "CholecT50/videos/VID02/000509.png",
    "CholecT50/videos/VID2/000510.png",  # not padded: the same video
    "CholecT50/videos/VID02/000511.png",
    "CholecT50/videos/VID111/000007.png",
)


def anno(number, images, answer, codes=(1,), question=LOCATE, **more):
    return {
        "id": number,
        "task type": list(codes),
        "images": list(images),
        "question": question,
        "answer": answer,
        **more,
    }


def whole(annos):
    return {
        "videos": [{"id": 45, "source dataset": "CholecT50", "surgical type": "Cholecystectomy"}],
        "images": [{"id": n, "image path": path} for n, path in enumerate(FRAMES)],
        "annos": annos,
    }


ANNOS = [
    anno(1, [0], "hook (643,0),(920,298); grasper (12,30),(250,410)", thinking="Level 1: two."),
    anno(2, [0], "hook, dissect, cystic duct", codes=(5, 8), question="Describe the action."),
    anno(3, [1], "grasper <|object_ref_start|>(10,20),(300,400)<|object_ref_end|>"),
    anno(4, [2], "No tools detected"),
    anno(5, [3], "irrigator (1,1),(500,999)"),
]


def write(folder, annos=ANNOS, name="SurgSigma_v0.1_T50subset.json", frames=FRAMES, below=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(whole(annos)), encoding="utf-8")
    for number, path in enumerate(frames):
        file = folder / below / path
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((48, 85, 3), 40 + 20 * number, np.uint8))
    return folder


@pytest.fixture
def store(tmp_path):
    prepare(SurgSigmaV01, tmp_path / "data", manual_dir=write(tmp_path / "raw"), workers=1)
    return Store.open(tmp_path / "data", "surgsigma_v01")


def test_boxes_questions_and_reasoning(store):
    assert [(v.video.id, v.count) for v in store.videos] == [
        ("CholecT50_VID02", 3),
        ("CholecT50_VID111", 1),
    ]
    first = store.frame("CholecT50_VID02", 0)
    assert first.frame.time == 509.0
    assert {(i.label.concept, i.box) for i in first.annotations.instruments} == {
        ("hook", Box(0.643, 0.0, 0.92, 0.298)),
        ("grasper", Box(0.012, 0.03, 0.25, 0.41)),
    }
    one, two = first.annotations.questions
    assert (one.text, one.kind, one.thinking) == (LOCATE, "task 1", "Level 1: two.")
    assert (two.answer, two.kind) == ("hook, dissect, cystic duct", "task 5,8")
    assert store.frame("CholecT50_VID02", 2).annotations.instruments == ()


def test_defects_are_repaired_and_counted(store):
    repaired = store.frame("CholecT50_VID02", 1).annotations
    assert [i.box for i in repaired.instruments] == [Box(0.01, 0.02, 0.3, 0.4)]
    assert "<|" not in repaired.questions[0].answer
    assert store.videos[0].annotations.notes == (
        f"1 records: {release.TOKENS}",
        f"1 records: {release.PADDING}",
    )
    assert store.videos[1].annotations.notes == ()


def test_operations_and_splits_are_cholect50s(store):
    a, b = (stored.video for stored in store.videos)
    assert (a.canonical, b.canonical) == ("cholec80/video02", "camma/VID111")
    assert (a.splits["default"], b.splits["default"]) == ("train", "test")


def test_it_feeds_the_tasks(store):
    found = list(conversations(store, "instrument_localization", "train"))
    assert [c.answer for c in found if len(c.options) > 1][-1] == []
    assert len(list(conversations(store, "instrument_recognition", "all"))) == 4


def test_frames_may_lie_below_raw_data(tmp_path):
    write(tmp_path / "raw", below="raw_data")
    prepare(SurgSigmaV01, tmp_path / "data", manual_dir=tmp_path / "raw", workers=1)
    assert len(Store.open(tmp_path / "data", "surgsigma_v01")) == 4


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (anno(6, [2], "hook (10,20),(10,400)"), "a box has no area"),
        (anno(6, [2], "lightsaber (10,20),(100,400)"), "lightsaber: no instrument of cholect50"),
        (anno(6, [2], ""), "the question or the answer is empty"),
        (anno(6, [0], "hook (1,2),(3,4)"), "other boxes than an earlier record"),
        (anno(6, [2], "somewhere"), "gives no box"),
    ],
)
def test_a_record_that_cannot_be_read_is_quarantined(tmp_path, bad, reason, monkeypatch):
    monkeypatch.setattr(SurgSigmaV01.BUILDER_CONFIGS[0], "max_quarantined", 0.5)
    write(tmp_path / "raw", [*ANNOS, bad])
    store = prepared(SurgSigmaV01, tmp_path)
    (entry,) = store.quarantined()
    assert reason in entry.reason
    assert entry.where == "SurgSigma_v0.1_T50subset.json, annotation 6"
    assert len(store) == 4


def test_a_missing_image_is_quarantined(tmp_path, monkeypatch):
    monkeypatch.setattr(SurgSigmaV01.BUILDER_CONFIGS[0], "max_quarantined", 0.5)
    write(tmp_path / "raw", frames=FRAMES[:3])
    reasons = {item.reason for item in prepared(SurgSigmaV01, tmp_path).quarantined()}
    assert any("the image is missing" in reason for reason in reasons)


def test_unpadded_names_on_disk_are_found(tmp_path):
    frames = [path.replace("VID02", "VID2") for path in FRAMES]
    write(tmp_path / "raw", frames=frames)
    prepare(SurgSigmaV01, tmp_path / "data", manual_dir=tmp_path / "raw", workers=1)
    assert len(Store.open(tmp_path / "data", "surgsigma_v01")) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("annos"),
            "the table 'annos' is missing.*the keys 'videos', 'images'",
        ),
        (
            lambda w: w["annos"][1].update(frage=w["annos"][1].pop("question")),
            r"annos\[1\]: a question is missing \(looked for question, .*'frage'",
        ),
        (
            lambda w: w["annos"][0].update(images=[99]),
            r"annos\[0\]: there is no image with .* 99",
        ),
        (
            lambda w: w["images"][2].update({"image path": "frame7.png"}),
            r"images\[2\]: the image path 'frame7.png' is not of the form",
        ),
        (lambda w: w["images"][2].update(id=0), r"images\[2\]: the id 0 is given twice"),
    ],
)
def test_another_layout_is_refused_with_what_was_seen(tmp_path, change, message):
    content = whole([dict(a) for a in ANNOS])
    change(content)
    path = tmp_path / "release.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(release.ReleaseError, match=message):
        release.read(path)


def test_no_or_two_json_files(tmp_path):
    write(tmp_path / "raw")
    (tmp_path / "raw" / "other.json").write_text("{}")
    with pytest.raises(LayoutError, match="there are 2 JSON files"):
        prepare(SurgSigmaV01, tmp_path / "data", manual_dir=tmp_path / "raw", workers=1)
    (tmp_path / "raw" / "other.json").unlink()
    (tmp_path / "raw" / "SurgSigma_v0.1_T50subset.json").write_text("[1")
    with pytest.raises(release.ReleaseError, match="is not JSON"):
        prepare(SurgSigmaV01, tmp_path / "data", manual_dir=tmp_path / "raw", workers=1)


def test_keys_may_have_underscores(tmp_path):
    content = whole(ANNOS)
    content["images"] = [
        {"id": row["id"], "image_path": row["image path"]} for row in content["images"]
    ]
    path = tmp_path / "release.json"
    path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert len(release.read(path).annos) == len(ANNOS)
