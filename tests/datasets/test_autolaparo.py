"""AutoLaparo's reader on small trees in the released layout: three tasks, every known quirk."""

import shutil

import cv2
import numpy as np
import pytest
import simplejpeg
from fixtures_autolaparo import (
    MASKED,
    TASK1,
    TASK2,
    TASK3,
    mask,
    motion_text,
    phase_text,
    write_task1,
    write_task2,
    write_task3,
)
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_image, write_text
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.autolaparo.autolaparo import AutoLaparo
from surgzoo.datasets.autolaparo.labels import VALUES, read_motions, read_phases
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

FIRST = {60: (96, 0, 48, 32), 80: (144, 0, 48, 16), 180: (0, 16, 96, 32)}


def all_records(store, video):
    return list(store.records(store.video(video)))


def shown(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


def dense(record, name):
    return cv2.imdecode(np.frombuffer(record.dense[name], np.uint8), cv2.IMREAD_UNCHANGED)


def at(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return File.at(path)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("autolaparo")
    write_task1(folder / "raw", 1, [1, 1, 2, 2, 7])
    write_task1(folder / "raw", 15, [3, 3])
    write_task2(folder / "raw", [(1, 5, 2), (171, 0, 4)])
    masks = {frame: mask({}) for frame in MASKED} | {1: mask(FIRST), 25: mask({20: FIRST[60]})}
    write_task3(folder / "raw", 1, masks)
    return prepared(AutoLaparo, folder, workers=2)


# ---- task 1 --------------------------------------------------------------------------------------


def test_frame_k_of_a_video_has_row_k_plus_one(three):
    """The labels count seconds from 1: row 1 is what is shown at 0 s."""
    got = all_records(three, "01")
    assert [r.frame.time for r in got] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [shown(r) for r in got] == [0, 25, 50, 75, 100]
    assert [r.annotations.phase.concept for r in got] == [
        "preparation",
        "preparation",
        "dividing_ligament_and_peritoneum",
        "dividing_ligament_and_peritoneum",
        "washing",
    ]
    assert all(r.annotations.instruments is None and not r.dense for r in got)
    assert three.quarantined() == ()


def test_phases_as_segments_and_what_the_video_is(three):
    stored = three.video("01")
    assert [(s.kind, s.label.native, s.start, s.end) for s in stored.annotations.segments] == [
        ("phase", "Preparation", 0.0, 2.0),
        ("phase", "Dividing Ligament and Peritoneum", 2.0, 4.0),
        ("phase", "Washing", 4.0, 5.0),
    ]
    video = stored.video
    assert (video.canonical, video.specialty) == ("autolaparo/01", "gynecology")
    assert (video.procedure, video.fps, video.duration) == ("hysterectomy", 1.0, 5.0)
    assert (video.height, video.width) == (HEIGHT, WIDTH)
    assert video.splits == {"official": "train", "default": "train"}
    assert three.video("15").video.splits["official"] == "test"
    assert stored.annotations.notes == ()


def test_a_denser_config(tmp_path):
    write_task1(tmp_path / "raw", 2, [1, 6])
    got = all_records(prepared(AutoLaparo, tmp_path, config="fps5"), "02")
    assert [shown(r) for r in got] == [5 * k for k in range(10)]
    natives = [r.annotations.phase.native for r in got]
    assert natives == ["Preparation"] * 5 + ["Suturing"] * 5


def test_labels_that_end_early_leave_the_rest_without_phase(tmp_path):
    write_task1(tmp_path / "raw", 2, [1, 6], frames=100)
    store = prepared(AutoLaparo, tmp_path)
    assert [r.annotations.phase is None for r in all_records(store, "02")] == [False] * 2 + [
        True
    ] * 2
    assert store.video("02").annotations.notes == ("2 seconds are labelled, the video has 4.0",)


def test_files_without_leading_zeros_and_in_other_folders(tmp_path):
    raw = write_task1(tmp_path / "first", 2, [1, 6]) / TASK1
    (tmp_path / "raw" / "task1").mkdir(parents=True)
    shutil.move(raw / "videos", tmp_path / "raw" / "task1" / "videos")
    shutil.move(raw / "labels", tmp_path / "raw" / "task1" / "labels")
    folder = tmp_path / "raw" / "task1"
    (folder / "videos" / "02.mp4").rename(folder / "videos" / "2.mp4")
    (folder / "labels" / "label_02.txt").rename(folder / "labels" / "label_2.txt")
    assert [v.video.id for v in prepared(AutoLaparo, tmp_path).videos] == ["02"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Frame\tPhase\n0\t1\n", "line 2: the first frame is 0, not 1"),
        ("Frame\tPhase\n1\t1\n3\t1\n", "line 3: frame 3 where 2 should follow"),
        ("Frame\tPhase\n1\t0\n", "line 2: there is no phase 0; known are 1 to 7"),
        ("Frame\tPhase\n1\t8\n", "line 2: there is no phase 8"),
        ("Frame\tPhase\n1\tx\n", "line 2: Phase is 'x', not a number"),
        ("Frame\tPhase\n1\t1\t1\n", "line 2: 3 fields, not 2"),
        ("Phase\tFrame\n1\t1\n", "line 1: the header"),
        ("Frame\tPhase\n", "no row of a frame"),
    ],
)
def test_errors_in_a_phase_file_name_the_line(tmp_path, text, message):
    with pytest.raises(AnnotationFileError, match=rf"label_01\.txt.*{message}"):
        read_phases(at(tmp_path, "label_01.txt", text))


def test_bom_crlf_and_blanks_are_tolerated(tmp_path):
    plain = read_phases(at(tmp_path, "a.txt", phase_text([1, 2, 3])))
    odd = "\ufeff" + phase_text([1, 2, 3], "\r\n").replace("\t", "  ") + "\r\n"
    assert read_phases(at(tmp_path, "b.txt", odd)) == plain


# ---- task 2 --------------------------------------------------------------------------------------


def test_motions_are_segments_from_the_fifth_second_on(three):
    stored = three.video("clip_001")
    (motion,) = stored.annotations.segments
    assert (motion.kind, motion.label.native, motion.label.concept) == (
        "motion",
        "Zoom-in",
        "zoom_in",
    )
    assert (motion.start, motion.end, stored.video.duration) == (5.0, 10.0, 10.0)
    assert three.video("clip_171").annotations.segments[0].label.concept == "static"
    assert stored.video.splits["default"] == "train"
    assert three.video("clip_171").video.splits["default"] == "val"


def test_a_clip_has_its_phase_in_all_frames(three):
    got = all_records(three, "clip_001")
    assert [shown(r) for r in got] == [25 * k for k in range(10)]
    assert {r.annotations.phase.native for r in got} == {"Dividing Ligament and Peritoneum"}
    assert got[0].annotations.derived == {"phase": "the phase of the clip"}


def test_a_clip_cut_before_the_motion_is_noted(tmp_path):
    write_task2(tmp_path / "raw", [(3, 1, 2)], frames=125)
    stored = prepared(AutoLaparo, tmp_path).video("clip_003")
    assert stored.annotations.notes == ("the file has 5.0 of 10 s; the motion is at its end",)
    assert stored.annotations.segments[0].start == 5.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (motion_text([(1, 7, 2)]), "line 2: there is no motion 7; known are 0 to 6"),
        (motion_text([(1, 1, 0)]), "line 2: there is no phase 0"),
        (motion_text([(1, 1, 2), (1, 2, 2)]), "line 3: clip 1 is given twice"),
        (motion_text([(0, 1, 2)]), "line 2: no clip 0"),
        ("Clip\tLabel\n1\t1\n", "line 1: the header is Clip, Label"),
        ("Clip\tLabel\tPhase\n", "no row below"),
    ],
)
def test_errors_in_the_motion_file_name_the_line(tmp_path, text, message):
    with pytest.raises(AnnotationFileError, match=rf"laparoscope_motion_label\.txt.*{message}"):
        read_motions(at(tmp_path, "laparoscope_motion_label.txt", text))


def test_all_seven_motions(tmp_path):
    found = read_motions(at(tmp_path, "m.txt", motion_text([(n + 1, n, 2) for n in range(7)])))
    natives = [found[n + 1].motion.native for n in range(7)]
    assert natives == ["Static", "Up", "Down", "Left", "Right", "Zoom-in", "Zoom-out"]


# ---- task 3 --------------------------------------------------------------------------------------


def test_images_lie_at_their_frames_of_the_clip(three):
    """Frames count from 1: 001 is at 0 s, 025 at 0.96 s."""
    got = all_records(three, "clip_001_images")
    assert [r.frame.time for r in got] == [0.0, 0.96, 1.96, 2.96, 3.96, 4.96]
    assert [shown(r) for r in got] == list(MASKED)
    video = three.video("clip_001_images").video
    assert video.canonical == three.video("clip_001").video.canonical == "autolaparo/clip_001"
    assert video.splits["default"] == "train"


def test_masks_are_instruments_and_tissues(three):
    first, second, third, *_ = all_records(three, "clip_001_images")
    assert [
        (i.label.concept, i.label.native, i.mask, i.box) for i in first.annotations.instruments
    ] == [
        ("ligasure", "LigaSure manipulator", 60, None),
        ("ligasure", "LigaSure shaft", 80, None),
    ]
    (uterus,) = first.annotations.tissues
    assert (uterus.label.concept, uterus.mask, uterus.box) == (
        "uterus",
        180,
        Box(0, 0.25, 0.5, 0.75),
    )
    assert first.annotations.derived == {
        "phase": "the phase of the clip",
        "tissues.box": "the box around the mask",
    }
    stored = mask(FIRST)[..., 0]
    assert (dense(first, "instrument_mask") == np.where(stored == 180, 0, stored)).all()
    assert (dense(first, "tissue_mask") == np.where(stored == 180, 180, 0)).all()
    assert [i.label.concept for i in second.annotations.instruments] == ["grasper"]
    assert second.annotations.tissues == ()
    # An empty mask says that nothing is there.
    assert (third.annotations.instruments, third.annotations.tissues) == ((), ())
    assert third.annotations.phase.native == "Dividing Ligament and Peritoneum"


@pytest.mark.parametrize("value", [v for v in VALUES if v])
def test_every_value_of_a_mask(tmp_path, value):
    write_task3(tmp_path / "raw", 9, {1: mask({value: (0, 0, 48, 64)})})
    (got,) = all_records(prepared(AutoLaparo, tmp_path), "clip_009_images")
    concepts = {
        20: "grasper",
        40: "grasper",
        60: "ligasure",
        80: "ligasure",
        100: "dissecting_and_grasping_forceps",
        120: "dissecting_and_grasping_forceps",
        140: "hook",
        160: "hook",
        180: "uterus",
    }
    found = got.annotations.tissues if value == 180 else got.annotations.instruments
    assert [(item.label.concept, item.mask) for item in found] == [(concepts[value], value)]
    assert got.annotations.phase is None  # task 2's file is not there


def bad_masks(frames=40):
    return {frame: mask({}) for frame in range(1, frames + 1)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (mask({30: (0, 0, 10, 10)}), "no class has the value 30"),
        (mask({20: (0, 0, 10, 10)})[:32], "the mask is 192x32, the image 192x64"),
        (mask({20: (0, 0, 10, 10)}) * np.array([1, 1, 2], np.uint8), "channels of the mask differ"),
        (b"torn", "not a readable mask"),
    ],
)
def test_a_wrong_mask_quarantines_its_image(tmp_path, wrong, message):
    write_task3(tmp_path / "raw", 9, bad_masks() | {2: wrong})
    store = prepared(AutoLaparo, tmp_path)
    (bad,) = store.quarantined()
    assert bad.where == f"{TASK3}/imgs/009002.jpg" and message in bad.reason
    assert store.video("clip_009_images").count == 39


def test_images_without_masks_and_masks_without_images(tmp_path):
    raw = write_task3(tmp_path / "raw", 9, {1: mask({}), 25: None})
    write_image(raw / TASK3 / "masks" / "009050.png", mask({}))
    store = prepared(AutoLaparo, tmp_path)
    assert store.video("clip_009_images").annotations.notes == (
        "1 of 2 images have no mask",
        "1 of 2 masks have no image",
    )
    assert all_records(store, "clip_009_images")[1].annotations.instruments is None


# ---- incomplete trees ----------------------------------------------------------------------------


def test_labels_without_media_are_reported(tmp_path):
    raw = write_task1(tmp_path / "raw", 1, [1] * 50)
    write_text(raw / TASK1 / "labels" / "label_02.txt", phase_text([1]))
    write_task3(raw, 7, {1: mask({})}, images=False)
    store = prepared(AutoLaparo, tmp_path)
    assert [(item.video, item.where) for item in store.quarantined()] == [
        ("02", "videos/02.mp4"),
        ("clip_007", "imgs/007*.jpg"),
    ]
    found = inspect(AutoLaparo, raw)
    assert found.videos == 1 and len(found.lost) == 2
    assert len(found.missing["test"]) == 7 + 73


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{TASK1}/labels/label_01.txt", "the labels/label_NN.txt of the videos 1 are missing"),
        (f"{TASK2}/laparoscope_motion_label.txt", "rows of laparoscope_motion_label.txt .* 1 are"),
        (f"{TASK3}/masks/001001.png", "the masks of the clips 1 are missing"),
    ],
)
def test_media_without_labels_are_an_error(tmp_path, path, message):
    raw = write_task1(tmp_path / "raw", 1, [1, 1])
    write_task2(raw, [(1, 5, 2)], frames=25)
    write_task3(raw, 1, {1: mask({})})
    (raw / path).unlink()
    with pytest.raises(LayoutError, match=message):
        prepared(AutoLaparo, tmp_path)


def test_another_folder_and_two_files_of_one_number(tmp_path):
    write_text(tmp_path / "other" / "readme.txt", "nothing")
    with pytest.raises(
        LayoutError, match=r"no video, no clip and no image(.*\n)+.*Task 1 Surgical workflow"
    ):
        prepared(AutoLaparo, tmp_path, manual_dir=tmp_path / "other")
    raw = write_task1(tmp_path / "raw", 1, [1, 1])
    shutil.copy(raw / TASK1 / "videos" / "01.mp4", raw / TASK1 / "videos" / "1.mp4")
    with pytest.raises(LayoutError, match="have the same number"):
        prepared(AutoLaparo, tmp_path)


def test_a_frame_zero_is_an_error(tmp_path):
    raw = write_task3(tmp_path / "raw", 9, {1: mask({})})
    write_image(raw / TASK3 / "imgs" / "009000.jpg", numbered_image(0))
    with pytest.raises(LayoutError, match=r"009000\.jpg is not the only file of a frame counted"):
        prepared(AutoLaparo, tmp_path)


# ---- facts ---------------------------------------------------------------------------------------


def test_the_values_are_those_of_the_ontology():
    natives = {kind: [] for kind in ("void", "instrument", "tissue")}
    for kind, native in VALUES.values():
        natives[kind].append(native)
    for kind, found in natives.items():
        assert found == [native for k, native in ontology.table("autolaparo") if k == kind]
    assert list(VALUES) == list(range(0, 200, 20))


def test_the_registry_finds_the_builder_and_the_records_give_the_tasks(three):
    assert sources.get("autolaparo") is AutoLaparo
    assert AutoLaparo.name == AutoLaparo.source == "autolaparo"
    assert given(three) >= promised("autolaparo")
