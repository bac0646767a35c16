"""PSI-AVA's reader on small trees in the released layout: every label kind, every known quirk."""

import json
import re
import zipfile

import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image, write_text
from fixtures_prostatectomy import (
    FORCEPS,
    KEYS,
    SCISSORS,
    coco,
    csv_rows,
    extended_rows,
    tool,
    write_psi_ava,
)
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.inspection import inspect, text
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.psi_ava import labels
from surgzoo.datasets.psi_ava.psi_ava import PsiAva
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources


def annotations(store, case="CASE001"):
    return [record.annotations for record in store.records(store.video(case))]


def natives(found):
    return found if found is None else tuple(item.native for item in found)


def read(tmp_path, value):
    path = tmp_path / "train_coco_anns_v3_35s.json"
    path.write_text(json.dumps(value, indent=1))
    return labels.read_coco(File.at(path))


def rows(tmp_path, value):
    path = tmp_path / "train.csv"
    path.write_text(value)
    return labels.read_rows(File.at(path))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("psi_ava")
    write_psi_ava(folder / "raw", ("CASE001", "CASE014"))
    return prepared(PsiAva, folder, workers=2)


def test_every_frame_is_stored_with_its_second(two):
    assert [(v.video.id, v.first, v.count) for v in two.videos] == [
        ("CASE001", 0, 6),
        ("CASE014", 6, 6),
    ]
    for stored in two.videos:
        for second, record in enumerate(two.records(stored)):
            assert record.frame.time == float(second)
            assert read_number(simplejpeg.decode_jpeg(record.image)) == second
    assert two.quarantined() == ()


def test_the_video_says_what_it_is(two):
    video = two.video("CASE001").video
    assert (video.canonical, video.specialty) == ("grasp/CASE001", "urology")
    assert (video.procedure, video.duration) == ("prostatectomy", 6.0)
    assert video.splits == {"fold1": "train", "fold2": "val", "default": "train"}
    assert two.video("CASE001").annotations.notes == ()


def test_phase_and_step_of_every_second(two):
    found = annotations(two)
    assert [a.phase.native for a in found] == ["Idle", *["LPIL"] * 2, *["RPIL"] * 3]
    assert [a.step.native for a in found] == ["Idle", *["Cut"] * 2, *["Suction"] * 3]
    assert found[1].phase.concept == "left_pelvic_isolated_lymphadenectomy"
    assert found[1].step.concept == "cut_suture_or_tissue"


def test_segments(two):
    assert [
        (s.kind, s.label.native, s.start, s.end) for s in two.video("CASE001").annotations.segments
    ] == [
        ("phase", "Idle", 0.0, 1.0),
        ("phase", "LPIL", 1.0, 3.0),
        ("phase", "RPIL", 3.0, 6.0),
        ("step", "Idle", 0.0, 1.0),
        ("step", "Cut", 1.0, 3.0),
        ("step", "Suction", 3.0, 6.0),
    ]


def test_instruments_boxes_and_actions_of_key_frames(two):
    found = annotations(two)
    one = found[1]
    assert [i.label.concept for i in one.instruments] == [
        "monopolar_curved_scissors",
        "bipolar_forceps",
    ]
    # Pixels of the 1280 x 800 that the file states, not of the stored image.
    assert one.instruments[0].box == Box(0.5, 0.25, 0.75, 0.75)
    assert one.instruments[1].box == Box(0.0, 0.1, 0.1, 0.3)
    assert natives(one.actions) == ("Cut", "Push", "Hold")
    assert natives(found[4].actions) == ("Hold",)
    # A key frame without annotation shows none; a frame that is no key frame is not annotated.
    assert (found[2].instruments, found[2].actions) == ((), ())
    assert [found[n].instruments for n in (0, 3, 5)] == [None] * 3
    assert [found[n].actions for n in (0, 3, 5)] == [None] * 3


def test_zeros_of_the_extended_rows_are_no_labels(tmp_path):
    found = rows(tmp_path, extended_rows("CASE001", [("LPIL", "Cut")]))
    one = found["CASE001", 0].annotations
    assert (one.instruments, one.actions) == (None, None)
    assert (one.phase.native, one.step.native) == ("LPIL", "Cut")


# ---- the two forms of the labels -----------------------------------------------------------------


def test_the_last_columns_of_a_row_are_step_and_phase(tmp_path):
    """18 is a step and no phase: the other order could not even be read."""
    found = rows(tmp_path, "CASE001,3,1,0.5,0.25,0.75,0.75,4,10,-1,4,18,1\n")["CASE001", 3]
    assert (found.annotations.step.native, found.annotations.phase.native) == ("Cut", "LPIL")
    with pytest.raises(AnnotationFileError, match=r"train\.csv, line 1: there is no phase 18"):
        rows(tmp_path, "CASE001,3,1,0.5,0.25,0.75,0.75,4,10,-1,4,1,18\n")


def test_rows_say_what_the_json_says(tmp_path):
    frames = {"CASE001": KEYS}
    from_rows = rows(tmp_path, csv_rows(frames))
    from_json = read(tmp_path, coco(frames))
    assert from_rows.keys() == from_json.keys() - {("CASE001", 2)}
    for key, found in from_rows.items():
        assert found.annotations == from_json[key].annotations
    merged = dict(from_json)
    labels.merged(merged, from_rows, File.at("train.csv"))
    assert not any(frame.problem for frame in merged.values())


def test_rows_alone_are_enough(tmp_path):
    write_psi_ava(tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("*.json"):
        path.unlink()
    found = annotations(prepared(PsiAva, tmp_path))
    assert found[1].instruments[0].box == Box(0.5, 0.25, 0.75, 0.75)
    assert found[2].instruments is None  # rows cannot say that nothing is there


def test_forms_that_contradict_each_other_quarantine_the_frame(tmp_path):
    raw = write_psi_ava(tmp_path / "raw", images=6)
    for second in range(6, 60):
        write_image(raw / "keyframes" / "CASE001" / f"{second:05d}.jpg", numbered_image(second))
    path = raw / "psi-ava" / "fold1" / "annotations" / "train.csv"
    path.write_text(path.read_text().replace("CASE001,4,3,0.0", "CASE001,4,3,0.05"))
    store = prepared(PsiAva, tmp_path)
    (bad,) = store.quarantined()
    assert bad.where == "keyframes/CASE001/00004.jpg"
    assert "instruments are not those of another label file" in bad.reason
    assert [r.frame.time for r in store.records(store.video("CASE001"))][:5] == [0, 1, 2, 3, 5]


def test_without_the_extended_rows_there_are_no_segments(tmp_path):
    write_psi_ava(tmp_path / "raw", extended=False)
    store = prepared(PsiAva, tmp_path)
    assert [natives((a.phase,)) if a.phase else None for a in annotations(store)] == [
        None,
        ("LPIL",),
        None,
        None,
        ("RPIL",),
        None,
    ]
    assert store.video("CASE001").annotations.segments == ()
    assert store.video("CASE001").annotations.notes == (
        "phase and step in key frames only: psi-ava_extended is not there",
    )


def test_minus_one_is_no_label(tmp_path):
    found = rows(tmp_path, "CASE001,3,1,0.5,0.25,0.75,0.75,-1,-1,-1,4,-1,-1\n")["CASE001", 3]
    assert (found.annotations.phase, found.annotations.step) == (None, None)
    assert found.annotations.actions is None and len(found.annotations.instruments) == 1
    value = coco({"CASE001": {1: KEYS[1]}})
    value["annotations"][0] |= {"phase": -1, "actions": [-1]}
    value["annotations"][1] |= {"phase": -1}
    one = read(tmp_path, value)["CASE001", 1].annotations
    assert (one.phase, one.actions, one.step.native) == (None, None, "Cut")


def test_ids_are_read_through_the_files_own_categories(tmp_path):
    value = coco({"CASE001": {1: KEYS[1]}})
    for key, other in (("phase_categories", 2), ("action_categories", 9), ("categories", 6)):
        table = value[key]
        table[1]["name"], table[other]["name"] = table[other]["name"], table[1]["name"]
    value["annotations"][1]["category_id"] = 2
    one = read(tmp_path, value)["CASE001", 1].annotations
    assert one.phase.native == "RPIL"
    assert [i.label.native for i in one.instruments][1] == "Laparoscopic Grasper"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 8}, r"annotations\[0\].category_id: there is no instrument 8"),
        ({"phase": 11}, "there is no phase 11"),
        ({"actions": [17]}, "there is no action 17"),
        ({"bbox": [640, 200, 900, 400]}, r"annotations\[0\]: box .* reaches more than"),
        ({"bbox": [640, 200, 0, 400]}, r"annotations\[0\]: box .* empty"),
        ({"phase": 2}, "two phases in one frame: LPIL, RPIL"),
        ({"id": 2}, "an annotation is given twice"),
    ],
)
def test_wrong_labels_of_one_frame_are_its_problem(tmp_path, change, message):
    value = coco({"CASE001": KEYS})
    value["annotations"][0] |= change
    found = read(tmp_path, value)
    assert re.search(message, found["CASE001", 1].problem)
    assert "train_coco_anns_v3_35s.json" in found["CASE001", 1].problem
    assert not found["CASE001", 4].problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 9}, r"annotations\[0\]: there is no image 9"),
        ({"image_name": "CASE001/00004.jpg"}, "image 1 is CASE001/1, not CASE001/00004.jpg"),
    ],
)
def test_annotations_of_another_image_are_an_error(tmp_path, change, message):
    value = coco({"CASE001": KEYS})
    value["annotations"][0] |= change
    with pytest.raises(AnnotationFileError, match=message):
        read(tmp_path, value)


def test_an_unknown_category_names_the_table_to_edit(tmp_path):
    value = coco({"CASE001": KEYS})
    value["step_categories"][3]["name"] = "Lunch"
    with pytest.raises(ontology.UnmappedLabelError, match=r"step_categories\[3\].*'Lunch'"):
        read(tmp_path, value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("CASE001,3,1,0.5,0.25,0.75,0.75,4,10,-1,4,18\n", "12 fields, not 13"),
        ("CASE1,3,1,0.5,0.25,0.75,0.75,4,10,-1,4,18,1\n", "is no second of a case"),
        ("CASE001,3,1,0.5,0.25,0.5,0.75,4,10,-1,4,18,1\n", "empty"),
        ("CASE001,3,1,0.5,0.25,1.75,0.75,4,10,-1,4,18,1\n", "reaches more than"),
        ("CASE001,3,1,0,0,0,0,4,-1,-1,4,18,1\n", "without a box"),
        ("CASE001,3,1,0.5,0.25,0.75,0.75,4,10,-1,0,18,1\n", "there is no instrument 0"),
        ("CASE001,3,1,0.5,0.25,0.75,x,4,10,-1,4,18,1\n", "y2 is 'x', not a number"),
    ],
)
def test_errors_in_rows_name_file_and_line(tmp_path, row, message):
    with pytest.raises(AnnotationFileError, match=rf"train\.csv, line 1: .*{message}"):
        rows(tmp_path, row)


# ---- id lists and frame lists --------------------------------------------------------------------


def test_the_id_lists_are_compared(tmp_path):
    raw = write_psi_ava(tmp_path / "raw")
    path = raw / "psi-ava" / "fold1" / "annotations" / "surgery_ACTIONS_list.pbtxt"
    path.write_text(path.read_text().replace('"Cut"', '"Bite"'))
    with pytest.raises(AnnotationFileError, match=r"ACTIONS_list.*action 4 is 'Bite', not 'Cut'"):
        prepared(PsiAva, tmp_path)
    path.write_text("label {}\n")
    with pytest.raises(AnnotationFileError, match="is no label entry"):
        prepared(PsiAva, tmp_path)
    write_psi_ava(raw)
    path = path.with_name("surgery_STEPS_list.pbtxt")
    path.write_text(path.read_text().replace("label_id: 20", "label_id: 21"))
    with pytest.raises(AnnotationFileError, match=r"the ids are \[0, 1, 2\] .. 21, not 0 to 20"):
        prepared(PsiAva, tmp_path)


def test_listed_frames_that_are_not_there_are_noted(tmp_path):
    write_psi_ava(tmp_path / "raw", images=4)
    store = prepared(PsiAva, tmp_path)
    assert store.video("CASE001").count == 4
    assert store.video("CASE001").video.duration == 6.0
    assert store.video("CASE001").annotations.notes == (
        "2 of 6 listed frames have no image",
        "1 of 3 key frames have no image",
    )


def test_a_wrong_frame_list_is_an_error(tmp_path):
    raw = write_psi_ava(tmp_path / "raw")
    path = raw / "psi-ava" / "fold1" / "frame_lists" / "train.csv"
    path.write_text(path.read_text().replace("CASE001 1 3 ", "CASE001 1 2 "))
    with pytest.raises(AnnotationFileError, match=r"train\.csv, line 4: .* is not frame 2"):
        prepared(PsiAva, tmp_path)


# ---- incomplete trees ----------------------------------------------------------------------------


def test_labels_without_frames_say_so(tmp_path):
    raw = write_psi_ava(tmp_path / "raw", images=None)
    with pytest.raises(
        ValueError, match=r"labels of 6 frames are there \(3 with instruments\), the frames are not"
    ):
        prepared(PsiAva, tmp_path)
    found = text(inspect(PsiAva, raw))
    assert "keyframes/CASE001 is missing" in found and "videos       0 of 8 published" in found


def test_one_case_without_frames_is_quarantined(tmp_path):
    raw = write_psi_ava(tmp_path / "raw", ("CASE001", "CASE014"))
    for path in (raw / "keyframes" / "CASE014").iterdir():
        path.unlink()
    for second in range(6, 40):
        write_image(raw / "keyframes" / "CASE001" / f"{second:05d}.jpg", numbered_image(second))
    store = prepared(PsiAva, tmp_path)
    assert [v.video.id for v in store.videos] == ["CASE001"]
    assert store.quarantined()[0].where == "keyframes/CASE014"
    assert "34 images have no label" in store.video("CASE001").annotations.notes


def test_frames_without_labels_and_another_folder(tmp_path):
    raw = write_psi_ava(tmp_path / "raw")
    write_image(raw / "keyframes" / "CASE009" / "00000.jpg", numbered_image(0))
    with pytest.raises(LayoutError, match="no label file mentions CASE009"):
        prepared(PsiAva, tmp_path)
    write_text(tmp_path / "other" / "readme.txt", "nothing")
    with pytest.raises(LayoutError, match=r"no label file(.*\n)+.*keyframes/CASE001/00000\.jpg"):
        prepared(PsiAva, tmp_path, manual_dir=tmp_path / "other")


def test_a_frame_given_twice_is_an_error(tmp_path):
    raw = write_psi_ava(tmp_path / "raw")
    write_image(raw / "keyframes" / "CASE001" / "00001.png", numbered_image(1))
    with pytest.raises(LayoutError, match="are the same frame"):
        prepared(PsiAva, tmp_path)


def test_the_repository_as_it_is_and_zipped_frames(tmp_path):
    raw = write_psi_ava(tmp_path / "raw")
    with zipfile.ZipFile(tmp_path / "raw" / "PSIAVA.zip", "w") as archive:
        for path in sorted((raw / "keyframes").rglob("*.jpg")):
            archive.write(path, f"outputs/PSIAVA/keyframes/CASE001/{path.name}")
            path.unlink()
    assert prepared(PsiAva, tmp_path).video("CASE001").count == 6


# ---- facts ---------------------------------------------------------------------------------------


def test_the_registry_finds_the_builder_and_the_records_give_the_tasks(two):
    assert sources.get("psi_ava") is PsiAva
    assert PsiAva.name == PsiAva.source == "psi_ava"
    assert given(two) >= promised("psi_ava")


def test_the_fixture_writes_what_the_format_says():
    assert csv_rows({"CASE001": {1: KEYS[1]}}).splitlines() == [
        "CASE001,1,1,0.5,0.25,0.75,0.75,4,10,-1,4,18,1",
        "CASE001,1,2,0.0,0.1,0.1,0.3,6,-1,-1,1,18,1",
    ]
    assert (SCISSORS["box"], FORCEPS) == (
        (640.0, 200.0, 320.0, 400.0),
        tool("Bipolar Forceps", (0.0, 80.0, 128.0, 160.0), ("Hold",)),
    )
