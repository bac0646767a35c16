"""GraSP's reader on small trees in both released layouts: every label kind, every known quirk."""

import json

import cv2
import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_image, write_text
from fixtures_prostatectomy import (
    CUTTING,
    HOLDING,
    grasp_coco,
    rectangle,
    run_lengths,
    write_grasp,
)
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.grasp import labels
from surgzoo.datasets.grasp.grasp import Grasp
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import LayoutError
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

LIGHT = {
    "CASE001/00000.jpg": ("LPIL", "Cut", ()),
    "CASE001/00001.jpg": ("LPIL", "Cut", (HOLDING, CUTTING)),
    "CASE001/00002.jpg": ("RPIL", "Cut", ()),
    "CASE001/00003.jpg": ("RPIL", "Suction", (HOLDING,)),
}
KEYS = ("CASE001/00001.jpg", "CASE001/00002.jpg", "CASE001/00003.jpg")


def all_records(store, case="CASE001"):
    return list(store.records(store.video(case)))


def shown(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


def change(path, edit):
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grasp")
    write_grasp(folder / "raw", LIGHT, keys=KEYS)
    test = {f"CASE041/{n:05d}.jpg": ("Idle", "Idle", ()) for n in range(2)}
    write_grasp(folder / "raw", test, part="test")
    return prepared(Grasp, folder, workers=2)


# ---- GraSP_1fps ----------------------------------------------------------------------------------


def test_frames_and_what_the_video_is(light):
    assert [(v.video.id, v.count) for v in light.videos] == [("CASE001", 4), ("CASE041", 2)]
    for second, record in enumerate(all_records(light)):
        assert (record.frame.time, shown(record)) == (float(second), second)
    video = light.video("CASE001").video
    assert (video.canonical, video.specialty) == ("grasp/CASE001", "urology")
    assert (video.procedure, video.duration) == ("prostatectomy", 4.0)
    assert (video.height, video.width) == (HEIGHT, WIDTH)
    assert video.splits == {"official": "train", "default": "train"}
    assert light.video("CASE041").video.splits["official"] == "test"
    assert light.quarantined() == () and light.video("CASE001").annotations.notes == ()


def test_phase_step_and_segments(light):
    found = [record.annotations for record in all_records(light)]
    assert [a.phase.native for a in found] == ["LPIL", "LPIL", "RPIL", "RPIL"]
    assert [a.step.native for a in found] == ["Cut", "Cut", "Cut", "Suction"]
    assert [
        (s.kind, s.label.native, s.start, s.end)
        for s in light.video("CASE001").annotations.segments
    ] == [
        ("phase", "LPIL", 0.0, 2.0),
        ("phase", "RPIL", 2.0, 4.0),
        ("step", "Cut", 0.0, 3.0),
        ("step", "Suction", 3.0, 4.0),
    ]


def test_instruments_boxes_masks_and_actions(light):
    none, both, empty, one = (record.annotations for record in all_records(light))
    assert (none.instruments, none.actions) == (None, None)  # no key frame
    assert (empty.instruments, empty.actions) == ((), ())  # a key frame without an instrument
    assert [(i.label.concept, i.mask) for i in both.instruments] == [
        ("prograsp_forceps", 1),
        ("monopolar_curved_scissors", 2),
    ]
    assert both.instruments[0].box == Box(0.25, 0.25, 0.5, 0.75)
    assert both.instruments[1].box == Box(0.375, 0.5, 0.875, 0.75)
    assert [a.concept for a in both.actions] == ["holding", "pulling", "cutting"]
    assert [a.native for a in one.actions] == ["Hold", "Pull"]
    dense = all_records(light)[1].dense
    mask = cv2.imdecode(np.frombuffer(dense["instrument_mask"], np.uint8), cv2.IMREAD_UNCHANGED)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[16:48, 48:96] = 1
    expected[32:48, 72:168] = 2  # the later instrument lies above
    assert (mask == expected).all()
    assert all_records(light)[0].dense == all_records(light)[2].dense == {}


def test_long_names_in_the_same_tree_are_other_frames(tmp_path):
    """Where both trees are there, config fps1 reads the one at 1 fps."""
    write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)
    dense = {"CASE001/000000068.jpg": ("Idle", "Idle", ())}
    write_grasp(tmp_path / "raw", dense, tree="GraSP_30fps")
    store = prepared(Grasp, tmp_path)
    assert [r.frame.time for r in all_records(store)] == [0.0, 1.0, 2.0, 3.0]
    assert all_records(store)[0].annotations.phase.native == "LPIL"


# ---- GraSP_30fps ---------------------------------------------------------------------------------


def test_what_the_numbers_count(tmp_path):
    """The README's key frames are 35 s apart, by 45 a second in CASE001 and by 30 in CASE053."""
    found = labels.times("CASE001", ["000001642", "000000068", "000003218"])
    assert np.diff(sorted(found.values())) == pytest.approx([35, 35], abs=0.03)
    assert found["000000068"] == pytest.approx(68 / 45)
    found = labels.times("CASE053", ["000000015", "000001065", "000002115"])
    assert list(found.values()) == [0.5, 35.5, 70.5]
    assert labels.times("CASE014", ["000000007", "000000002", "000000011"]) == {
        "000000002": 0.0,
        "000000007": 1 / 30,
        "000000011": 2 / 30,
    }
    assert labels.times("CASE014", ["00007", "00002"]) == {"00002": 2.0, "00007": 7.0}


def names_of(case, numbers):
    return tuple(f"{case}/{n:09d}.jpg" for n in numbers)


@pytest.mark.parametrize(("case", "fps"), [("CASE053", 30), ("CASE001", 45)])
def test_the_labelled_frames_of_the_dense_tree(tmp_path, case, fps):
    numbers = [fps // 2 + fps * k for k in range(3)]
    frames = {name: ("LPIL", "Cut", (HOLDING,)) for name in names_of(case, numbers)}
    everything = names_of(case, range(0, 3 * fps, fps // 15))
    write_grasp(
        tmp_path / "raw",
        frames,
        tree="GraSP_30fps",
        keys=names_of(case, numbers[:1]),
        images=tuple({*everything, *frames}),
    )
    store = prepared(Grasp, tmp_path)
    got = all_records(store, case)
    assert [r.frame.time for r in got] == pytest.approx([n / fps for n in numbers])
    assert [shown(r) for r in got] == numbers
    assert [r.annotations.instruments is None for r in got] == [False, True, True]
    first, *_ = store.video(case).annotations.segments
    assert (first.start, first.end) == pytest.approx((numbers[0] / fps, numbers[-1] / fps + 1))


def test_ten_a_second_with_the_nearest_phase(tmp_path):
    """45 a second, 30 of them kept: 0, 2, 3, 5, 6 ...; labels at 23 (0.51 s) and 68 (1.51 s)."""
    kept = [round(1.5 * i + 1e-9) for i in range(61)]
    first, second = kept[15], kept[45]
    frames = {
        f"CASE001/{first:09d}.jpg": ("LPIL", "Cut", (HOLDING,)),
        f"CASE001/{second:09d}.jpg": ("RPIL", "Suction", ()),
    }
    write_grasp(
        tmp_path / "raw",
        frames,
        tree="GraSP_30fps",
        keys=(f"CASE001/{first:09d}.jpg",),
        images=names_of("CASE001", kept),
    )
    store = prepared(Grasp, tmp_path, config="fps10")
    got = all_records(store)
    assert [r.frame.time for r in got] == [k / 10 for k in range(21)]
    assert [shown(r) for r in got] == [kept[3 * k] for k in range(21)]
    assert [r.annotations.phase.native for r in got] == ["LPIL"] * 11 + ["RPIL"] * 10
    assert [r.annotations.instruments is not None for r in got].index(True) == 5
    assert got[5].annotations.derived == {} and set(got[4].annotations.derived) == {"phase", "step"}
    assert store.video("CASE001").annotations.notes == ()
    assert store.video("CASE001").video.fps == 10.0


def test_frames_far_from_any_label_have_none(tmp_path):
    write_grasp(
        tmp_path / "raw",
        {"CASE053/000000015.jpg": ("LPIL", "Cut", ())},
        tree="GraSP_30fps",
        images=names_of("CASE053", range(0, 61, 3)),
    )
    got = all_records(prepared(Grasp, tmp_path, config="fps10"), "CASE053")
    assert [r.annotations.phase is not None for r in got] == [True] * 11 + [False] * 10


def test_irregular_numbers_are_noted(tmp_path):
    frames = {"CASE014/000000004.jpg": ("LPIL", "Cut", ())}
    write_grasp(
        tmp_path / "raw",
        frames,
        tree="GraSP_30fps",
        images=names_of("CASE014", (0, 1, 4, 5)),
    )
    store = prepared(Grasp, tmp_path)
    assert [r.frame.time for r in all_records(store, "CASE014")] == [2 / 30]
    assert store.video("CASE014").annotations.notes == (
        "irregular file numbers: times are places in the folder / 30",
    )


def test_a_hole_in_the_frames_stays_a_hole(tmp_path):
    frames = {"CASE053/000000000.jpg": ("LPIL", "Cut", ())}
    write_grasp(
        tmp_path / "raw",
        frames,
        tree="GraSP_30fps",
        images=names_of("CASE053", [0, 3, 6, 15, 18]),
    )
    got = all_records(prepared(Grasp, tmp_path, config="fps10"), "CASE053")
    assert [r.frame.time for r in got] == [0.0, 0.1, 0.2, 0.5, 0.6]


def test_labelled_frames_off_the_grid_are_noted(tmp_path):
    frames = {"CASE053/000000016.jpg": ("LPIL", "Cut", ())}
    write_grasp(tmp_path / "raw", frames, tree="GraSP_30fps", images=names_of("CASE053", range(31)))
    store = prepared(Grasp, tmp_path, config="fps10")
    assert store.video("CASE053").annotations.notes == (
        "1 labelled frames are between the frames stored",
    )


def test_the_light_tree_has_no_other_fps(tmp_path):
    write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)
    with pytest.raises(LayoutError, match="only frames at 1 fps are there; fps10 needs"):
        prepared(Grasp, tmp_path, config="fps10")


# ---- label files ---------------------------------------------------------------------------------


def test_folds_are_read_where_train_is_missing(tmp_path):
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)
    folder = raw / "GraSP_1fps" / "annotations"
    size = HEIGHT, WIDTH
    wrong = {"CASE001/00000.jpg": ("Idle", "Idle", ())}
    write_text(
        folder / "grasp_long-term_fold1.json",
        json.dumps(grasp_coco(wrong, short=False, size=size)),
    )
    assert all_records(prepared(Grasp, tmp_path))[0].annotations.phase.native == "LPIL"
    (folder / "grasp_long-term_train.json").unlink()
    got = all_records(prepared(Grasp, tmp_path, overwrite=True))
    assert got[0].annotations.phase.native == "Idle"
    assert got[1].annotations.phase is None and len(got[1].annotations.instruments) == 2


def test_ids_are_read_through_the_files_own_categories(tmp_path):
    """The ids of the 14 actions are in the files only, so no other order is known."""
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)

    def swap(value):
        table = value["actions_categories"]
        table[0]["name"], table[2]["name"] = table[2]["name"], table[0]["name"]

    change(raw / "GraSP_1fps" / "annotations" / "grasp_short-term_train.json", swap)
    both = all_records(prepared(Grasp, tmp_path))[1].annotations
    assert [a.native for a in both.actions] == ["Hold", "Pull", "Cauterize"]


def test_minus_one_and_empty_boxes_are_no_labels(tmp_path):
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)
    folder = raw / "GraSP_1fps" / "annotations"

    def long(value):
        value["annotations"][0] |= {"phases": -1, "bbox": [0, 0, 0, 0], "category_id": 0}

    def short(value):
        value["annotations"][0]["actions"] = [-1]

    change(folder / "grasp_long-term_train.json", long)
    change(folder / "grasp_short-term_train.json", short)
    first, second, *_ = (r.annotations for r in all_records(prepared(Grasp, tmp_path)))
    assert (first.phase, first.step.native, first.instruments) == (None, "Cut", None)
    assert second.actions is None and len(second.instruments) == 2


def test_polygons_and_compressed_run_lengths(tmp_path):
    from surgzoo.datasets import masks

    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)

    def edit(value):
        value["annotations"][0]["segmentation"] = [[48, 16, 95, 16, 95, 47, 48, 47]]
        del value["annotations"][1]["segmentation"]

    change(raw / "GraSP_1fps" / "annotations" / "grasp_short-term_train.json", edit)
    record = all_records(prepared(Grasp, tmp_path))[1]
    assert [i.mask for i in record.annotations.instruments] == [1, 0]
    mask = cv2.imdecode(
        np.frombuffer(record.dense["instrument_mask"], np.uint8), cv2.IMREAD_UNCHANGED
    )
    assert (mask == rectangle(48, 16, 48, 32)).all()
    plain = run_lengths(rectangle(48, 16, 48, 32))
    assert masks.run_lengths(plain["counts"], (HEIGHT, WIDTH)).sum() == 48 * 32


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [64, 190], "counts": [1]}, "a mask of size"),
        ({"size": [64, 192], "counts": [1]}, "run lengths of 1 pixels"),
        ({"size": [64, 192], "counts": ["a"]}, "neither a text nor whole numbers"),
        ({"size": [64, 192], "counts": "\u00e9"}, "hold the character"),
        ([[1, 2, 3]], "no list of x, y"),
        ([[1, 2, 3, 4]], "encloses nothing"),
        ("text", "neither run lengths nor polygons"),
    ],
)
def test_a_mask_that_does_not_fit_quarantines_its_frame(tmp_path, segmentation, message):
    many = {
        f"CASE001/{n:05d}.jpg": ("LPIL", "Cut", (HOLDING,) if n == 1 else ()) for n in range(30)
    }
    raw = write_grasp(tmp_path / "raw", many, keys=KEYS[:1])

    def edit(value):
        value["annotations"][0]["segmentation"] = segmentation

    change(raw / "GraSP_1fps" / "annotations" / "grasp_short-term_train.json", edit)
    store = prepared(Grasp, tmp_path)
    (bad,) = store.quarantined()
    assert bad.where.endswith("frames/CASE001/00001.jpg") and message in bad.reason
    assert store.video("CASE001").count == 29


def test_an_unknown_category_names_the_table_to_edit(tmp_path):
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)
    change(
        raw / "GraSP_1fps" / "annotations" / "grasp_short-term_train.json",
        lambda value: value["actions_categories"][13].update(name="Lunch"),
    )
    with pytest.raises(ontology.UnmappedLabelError, match=r"actions_categories\[13\].*grasp\.tsv"):
        prepared(Grasp, tmp_path)


# ---- incomplete trees ----------------------------------------------------------------------------


def test_labels_without_frames_and_frames_without_labels(tmp_path):
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS, images=())
    found = inspect(Grasp, raw)
    assert found.videos == 0
    assert "labels of 4 frames are there, the frames are not" in found.lost["frames/CASE001"]
    with pytest.raises(ValueError, match="the frames are not"):
        prepared(Grasp, tmp_path)
    write_image(raw / "GraSP_1fps" / "frames" / "CASE001" / "00999.jpg", numbered_image(0))
    found = inspect(Grasp, raw)
    assert "1 frames that they do not name" in found.broken["frames/CASE001"] and not found.lost
    write_image(raw / "GraSP_1fps" / "frames" / "CASE009" / "00000.jpg", numbered_image(0))
    with pytest.raises(LayoutError, match="no label file mentions CASE009"):
        prepared(Grasp, tmp_path)


def test_missing_images_are_noted_and_raw_frames_are_left_alone(tmp_path):
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS, images=KEYS)
    write_image(raw / "raw_frames_1fps" / "frames" / "CASE001" / "00000.jpg", numbered_image(9))
    store = prepared(Grasp, tmp_path)
    assert [r.frame.time for r in all_records(store)] == [1.0, 2.0, 3.0]
    assert store.video("CASE001").annotations.notes == ("1 of 4 labelled frames have no image",)


def test_packed_frames_and_another_folder(tmp_path):
    write_text(tmp_path / "raw" / "CASE001.tar.gz", "packed")
    with pytest.raises(
        LayoutError, match=r"no label file(.*\n)*.*unpack(.*\n)+.*GraSP_1fps/frames/CASE001"
    ):
        prepared(Grasp, tmp_path)


def test_a_wrong_name_is_an_error(tmp_path):
    raw = write_grasp(tmp_path / "raw", LIGHT, keys=KEYS)
    change(
        raw / "GraSP_1fps" / "annotations" / "grasp_long-term_train.json",
        lambda value: value["images"][0].update(file_name="frame.jpg"),
    )
    with pytest.raises(AnnotationFileError, match=r"long-term_train\.json, images\[0\]\.file_name"):
        prepared(Grasp, tmp_path)


# ---- facts ---------------------------------------------------------------------------------------


def test_the_registry_finds_the_builder_and_the_records_give_the_tasks(light):
    assert sources.get("grasp") is Grasp
    assert Grasp.name == Grasp.source == "grasp"
    assert given(light) >= promised("grasp")
