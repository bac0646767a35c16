"""CholecT45's reader on small trees in the released layout."""

import numpy as np
import pytest
import simplejpeg
from fixtures_camma import (
    SIZE,
    conversations,
    frames,
    natives,
    t45_names,
    t45_rows,
    write_cholect45,
)
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_image, write_text
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholect45.cholect45 import CholecT45
from surgzoo.datasets.cholect45.labels import class_names, read_presence
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology, splits
from surgzoo.db.source_cards import card_of
from surgzoo.db.sources import sources

GRASP = "grasper,retract,gallbladder"
HOOK = "hook,dissect,gallbladder"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cholect45")
    write_cholect45(
        folder / "CholecT45",
        79,
        {0: [], 1: [GRASP], 2: [GRASP, HOOK], 3: [], 9: [HOOK]},
        {n: numbered_image(n) for n in (1, 2, 3, 4, 9)} | {0: np.zeros((*SIZE, 3), np.uint8)},
        instrument={3: ["bipolar"]},
    )
    return prepared(CholecT45, folder, manual_dir=folder / "CholecT45")


def test_triplets_and_instruments_of_each_second(store):
    got = {time: record.annotations for time, record in frames(store, "VID79").items()}
    assert list(got) == [0.0, 1.0, 2.0, 3.0, 4.0, 9.0]
    said = {
        time: None
        if found.triplets is None
        else [(t.instrument.native, t.verb.native, t.target.native) for t in found.triplets]
        for time, found in got.items()
    }
    hook, grasp = tuple(HOOK.split(",")), tuple(GRASP.split(","))
    assert said == {0: [], 1: [grasp], 2: [grasp, hook], 3: [], 4: None, 9: [hook]}
    assert natives(got[2.0].instruments) == ["grasper", "hook"]
    assert got[0.0].instruments == () and got[4.0].instruments is None
    assert all(found.phase is None for found in got.values())


def test_an_instrument_may_be_in_view_without_a_triplet(store):
    got = frames(store, "VID79")[3.0].annotations
    assert natives(got.instruments) == ["bipolar"] and got.triplets == ()


def test_images_go_with_the_frame_that_the_row_names(store):
    """The 5th row is of second 9, not 4."""
    for time, record in frames(store, "VID79").items():
        if time:
            assert read_number(simplejpeg.decode_jpeg(record.image)) == time


def test_the_video_says_what_it_is(store):
    stored = store.video("VID79")
    assert stored.video.canonical == "cholec80/video79"
    assert (stored.video.height, stored.video.width) == (HEIGHT, WIDTH)
    assert stored.video.duration == 10.0
    assert stored.video.splits["default"] == stored.video.splits["crossval1"] == "test"
    assert stored.annotations.notes == ("1 of 6 images have no annotation",)
    assert store.quarantined() == ()


def test_black_frames_are_flagged(store):
    assert frames(store, "VID79")[0.0].annotations.flags == {"out_of_body": 1.0}


def test_columns_are_named_by_the_dict_files(tmp_path):
    names = t45_names("instrument")
    names[0], names[2] = names[2], names[0]
    path = tmp_path / "instrument.txt"
    path.write_text("".join(f"{n}:{name}\n" for n, name in enumerate(names)))
    labels = tmp_path / "VID01.txt"
    labels.write_text("0,1,0,0,0,0,0\n")
    got = read_presence(File.at(labels), class_names("instrument", File.at(path)))
    assert [label.native for label in got[0]] == ["hook"]
    usual = read_presence(File.at(labels), class_names("instrument", None))
    assert [label.native for label in usual[0]] == ["grasper"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:grasper\n2:hook\n", r"line 2: '2:hook' where '1:name'"),
        ("0 grasper\n", "where '0:name' should follow"),
        ("0:grasper\n1:grasper\n", "1 names, not 6"),
        ("", "0 names, not 6"),
    ],
)
def test_a_wrong_dict_file_is_named(tmp_path, text, message):
    path = tmp_path / "instrument.txt"
    path.write_text(text)
    with pytest.raises(AnnotationFileError, match=rf"instrument\.txt.*{message}"):
        class_names("instrument", File.at(path))


def test_an_unknown_name_is_named(tmp_path):
    path = tmp_path / "instrument.txt"
    path.write_text("0:fork\n")
    with pytest.raises(ontology.UnmappedLabelError, match=r"instrument\.txt, line 1: .*'fork'"):
        class_names("instrument", File.at(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,1,0,0,0,0\n", "line 1: 6 fields, not 7"),
        ("0,1,0,0,0,0,2\n", "line 1: 2 is not 0 or 1"),
        ("0,1,0,0,0,0,-1\n", "line 1: -1 is not 0 or 1"),
        ("0,1,0,0,0,0,0\n0,0,0,0,0,0,0\n", "line 2: frame 0 is given twice"),
        ("-1,1,0,0,0,0,0\n", "frame -1 is negative"),
        ("x,1,0,0,0,0,0\n", "frame is 'x', not a number"),
        ("", "has no row"),
    ],
)
def test_a_wrong_label_file_is_named(tmp_path, text, message):
    path = tmp_path / "VID01.txt"
    path.write_text(text)
    with pytest.raises(AnnotationFileError, match=rf"VID01\.txt.*{message}"):
        read_presence(File.at(path), class_names("instrument", None))


def test_a_triplet_whose_part_is_absent_is_quarantined(tmp_path):
    raw = write_cholect45(tmp_path / "raw", 1, {second: [HOOK] for second in range(30)})
    write_text(
        raw / "verb/VID01.txt",
        t45_rows("verb", {s: ["dissect"] if s else ["cut"] for s in range(30)}),
    )
    store = prepared(CholecT45, tmp_path)
    (item,) = store.quarantined()
    assert item.where == "data/VID01/000000.png"
    assert item.reason == "a triplet of the verb dissect, which is said to be absent"


def test_missing_parts_are_reported(tmp_path):
    raw = write_cholect45(tmp_path / "raw", 1, {second: [HOOK] for second in range(30)})
    write_cholect45(raw, 2, {0: [HOOK]}, images={})
    store = prepared(CholecT45, tmp_path)
    assert [item.video for item in store.quarantined()] == ["VID02"]
    (raw / "verb/VID01.txt").unlink()
    with pytest.raises(LayoutError, match=r"label files are missing: verb/VID01\.txt"):
        prepared(CholecT45, tmp_path, overwrite=True)


def test_a_frame_that_one_file_lacks_has_no_such_label(tmp_path):
    raw = write_cholect45(tmp_path / "raw", 1, {0: [HOOK], 1: [HOOK]})
    write_text(raw / "instrument/VID01.txt", t45_rows("instrument", {0: ["hook"]}))
    store = prepared(CholecT45, tmp_path)
    assert frames(store, "VID01")[1.0].annotations.instruments is None
    assert len(frames(store, "VID01")[1.0].annotations.triplets) == 1
    assert store.videos[0].annotations.notes == ("1 of 2 annotated frames are not in instrument/",)


def test_a_wrong_table_of_triplets_stops_the_build(tmp_path):
    raw = write_cholect45(tmp_path / "raw", 1, {0: [HOOK]})
    write_text(raw / "dict/maps.txt", "0,1,2,3,4,5\n")
    with pytest.raises(AnnotationFileError, match=r"maps\.txt, line 1"):
        prepared(CholecT45, tmp_path)


def test_a_wrong_folder_shows_what_is_expected(tmp_path):
    write_text(tmp_path / "raw/labels/VID01.json", "{}")
    with pytest.raises(LayoutError, match="there is no triplet") as caught:
        prepared(CholecT45, tmp_path)
    assert "data/VIDNN/000000.png" in str(caught.value) and "labels/" in str(caught.value)
    write_cholect45(tmp_path / "raw", 1, {0: [HOOK]})
    write_image(tmp_path / "raw/data/VID01/000000.jpg", numbered_image(0))
    with pytest.raises(LayoutError, match="is not the only image of one second"):
        prepared(CholecT45, tmp_path)


def test_the_records_give_the_tasks_of_the_card(store):
    assert sources.get("cholect45") is CholecT45
    found = {task: conversations(store, task) for task in card_of(CholecT45).tasks}
    assert [len(found[task]) for task in ("triplet_recognition", "instrument_recognition")] == [
        5,
        5,
    ]
    assert found["triplet_recognition"][2].answer == [
        ["grasper", "retract", "gallbladder"],
        ["hook", "dissect", "gallbladder"],
    ]


def test_five_folds_hold_the_45_videos():
    folds = splits.folds("cholect45", "crossval")
    assert [len(fold) for fold in folds] == [9] * 5
    assert len({number for fold in folds for number in fold}) == 45
