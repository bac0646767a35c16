"""Cataract-1K: phases by the second, names in several spellings, outlines in two formats."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import read_number, write_image, write_text, write_video
from fuzzing import fuzz
from prepared_sources import asked, frames, mask, prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cataract1k.cataract1k import Cataract1K
from surgzoo.datasets.cataract1k.labels import read_coco, read_phases
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

COLUMNS = "caseId,comment,frame,endFrame,sec,endSec"
# Frames at 60 a second beside the seconds; the released video has 25.
PHASES = [("Incision", 30, 90, 0.5, 1.5), ("Viscoelastic_Suction", 120, 210, 2, 3.5)]
HEIGHT, WIDTH = 40, 80


def table(rows, case=5013, columns=COLUMNS):
    lines = [columns, *(",".join(map(str, (case, *row))) for row in rows)]
    return "\n".join(lines) + "\n"


def write_phases(folder, case=5013, text=None, seconds=4, name="annotations_phases", fps=None):
    part = folder / "Phase_recognition_dataset"
    place = part / f"annotations/case_{case}"
    write_text(place / f"case_{case}_{name}.csv", text or table(PHASES, case))
    if fps:
        header = "caseId,name,width,height,fps"
        write_text(place / f"case_{case}_video.csv", f"{header}\n{case},x,1024,768,{fps}\n")
    if seconds:
        write_video(part / f"videos/case_{case}.mp4", 25 * seconds + 1)
    return folder


def square(x, y, side):
    """A polygon over the pixels x .. x + side, y .. y + side."""
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def thing(title, exterior, interior=()):
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": title, "geometryType": "polygon", "points": points}


EYE = (
    thing("Gauge", square(10, 10, 9)),
    thing("lense", square(32, 12, 3)),
    thing("pupil", square(30, 10, 9)),
    thing("cornea", square(20, 0, 29)),
    thing("Slit Knife", square(15, 10, 9), [square(20, 12, 1)]),
)


def supervisely(things=EYE, size=(HEIGHT, WIDTH)):
    return {"size": {"height": size[0], "width": size[1]}, "objects": list(things)}


def write_image_of(folder, number, case=5013, part="img"):
    place = folder / f"Segmentation_dataset/case_{case}/{part}"
    write_image(
        place / f"case{case}_{number:02d}.png", np.full((HEIGHT, WIDTH, 3), 9 * number, np.uint8)
    )


def write_outlines(folder, number=1, data=None, case=5013):
    write_image_of(folder, number, case)
    path = folder / f"Segmentation_dataset/case_{case}/ann/case{case}_{number:02d}.png.json"
    write_text(path, json.dumps(data or supervisely(), indent=0))
    return folder


TITLES = ("Lens", "Phacoemulsification Tip", "cornea1", "pupil1", "Cornea")


def coco(objects, images=("case5013_01.png",), size=(HEIGHT, WIDTH)):
    """objects: (image, title, segmentation)."""
    return {
        "images": [
            {"id": i + 1, "file_name": name, "height": size[0], "width": size[1]}
            for i, name in enumerate(images)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(TITLES)],
        "annotations": [
            {"id": k, "image_id": image + 1, "category_id": TITLES.index(title), "segmentation": s}
            for k, (image, title, s) in enumerate(objects)
        ],
    }


def write_coco(folder, data, numbers=(1,), case=5013, part="img"):
    for number in numbers:
        write_image_of(folder, number, case, part)
    place = folder / f"Segmentation_dataset/case_{case}/annotations/instances.json"
    write_text(place, json.dumps(data, indent=0))
    return folder


def flat(x, y, side):
    return [value for point in square(x, y, side) for value in point]


# ---- phases --------------------------------------------------------------------------------------


def test_phases_by_the_second(tmp_path):
    write_phases(tmp_path / "raw", fps=60)
    store = prepared(Cataract1K, tmp_path)
    got = frames(store, "case_5013")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [0, 25, 50, 75, 100]
    phases = [r.annotations.phase and r.annotations.phase.concept for r in got]
    # Time that no row covers is idle, and has no phase.
    suction = "viscoelastic_aspiration"
    assert phases == [None, "corneal_incision_creation", suction, suction, None]
    assert all(r.annotations.instruments is None and not r.dense for r in got)
    stored = store.video("case_5013")
    assert [(s.kind, s.start, s.end) for s in stored.annotations.segments] == [
        ("phase", 0.5, 1.5),
        ("phase", 2.0, 3.5),
    ]
    video = stored.video
    assert (video.specialty, video.procedure) == ("ophthalmology", "cataract_surgery")
    assert (video.canonical, video.licence) == ("cataract1k/case_5013", "CC BY 4.0")
    assert video.splits == {}


def test_both_names_of_a_phase_table_and_frames_without_seconds(tmp_path):
    rows = [("Incision", 0, 60), ("Capsule Pulishing", 60, 240)]
    text = table(rows, columns="caseId,comment,frame,endFrame")
    write_phases(tmp_path / "raw", text=text, name="annotations", fps=60)
    write_phases(tmp_path / "raw", 5014, table(rows, 5014, "caseId,comment,frame,endFrame"))
    store = prepared(Cataract1K, tmp_path)
    # At the rate of the table where there is one, else at that of the file: 25.
    found = [
        [(s.label.concept, s.start, s.end) for s in stored.annotations.segments]
        for stored in store.videos
    ]
    polishing = "capsule_polishing"
    assert found[0] == [("corneal_incision_creation", 0, 1), (polishing, 1, 4)]
    assert found[1] == [("corneal_incision_creation", 0, 2.4), (polishing, 2.4, 9.6)]
    assert store.videos[1].annotations.notes == ("phases end at 9.6 s, the video at 4.0 s",)


# As the tables of the release spell them, and as the README does.
SPELLED = {
    "Incision": "corneal_incision_creation",
    "Viscoelastic": "viscoelastic_injection",
    "Capsulorhexis": "capsulorhexis",
    "Hydrodissection": "hydrodissection",
    "hydro-dissection": "hydrodissection",
    "Phacoemulsification": "phacoemulsification",
    "Irrigation/Aspiration": "lens_irrigation_and_aspiration",
    "irrigation-aspiration": "lens_irrigation_and_aspiration",
    "Capsule Pulishing": "capsule_polishing",
    "capsule polishing": "capsule_polishing",
    "Lens Implantation": "intraocular_lens_implantation",
    "Lens positioning": "lens_positioning",
    "Viscoelastic_Suction": "viscoelastic_aspiration",
    "viscoelastic-suction": "viscoelastic_aspiration",
    "Anterior_Chamber Flushing": "anterior_chamber_flushing",
    "Tonifying/Antibiotics": "tonifying_and_antibiotics",
}


def test_every_spelling_of_a_phase(tmp_path):
    path = tmp_path / "case_7_annotations_phases.csv"
    rows = [(name, 0, 0, k, k + 1) for k, name in enumerate(SPELLED)]
    write_text(path, "\ufeff" + table(rows, 7).replace("\n", "\r\n"))
    segments, notes = read_phases(File.at(path), 7, None)
    assert [s.label.concept for s in segments] == list(SPELLED.values()) and notes == ()
    assert {s.label.concept for s in segments} == set(ontology.ids("cataract1k", "phase"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("Lunch", 0, 0, 1, 2)], r"line 2: .*Lunch"),
        ([("Incision", 0, 0, 2, 1)], r"line 2: runs from 2 to 1 s"),
        ([("Incision", 0, 0, -1, 1)], r"line 2: runs from -1 to 1 s"),
        ([("Incision", 0, 60, "", "")], r"line 2: has no seconds"),
        ([("Incision", 0, 0, 1, 1)], "no phase below the header"),
        ([], "no phase below the header"),
    ],
)
def test_phase_tables_that_are_wrong(tmp_path, rows, message):
    path = tmp_path / "case_7_annotations_phases.csv"
    write_text(path, table(rows, 7))
    wrong = AnnotationFileError, ontology.UnmappedLabelError
    with pytest.raises(wrong, match=rf"case_7_annotations_phases\.csv.*{message}"):
        read_phases(File.at(path), 7, None)


def test_a_phase_of_no_length_and_a_table_of_another_case(tmp_path):
    path = tmp_path / "case_7_annotations_phases.csv"
    write_text(path, table([("Incision", 0, 0, 1, 1), ("Incision", 0, 0, 3, 4)], 7))
    segments, notes = read_phases(File.at(path), 7, None)
    assert len(segments) == 1 and notes == ("1 phases of no length are left out",)
    with pytest.raises(AnnotationFileError, match="line 2: is of case 7, not 8"):
        read_phases(File.at(path), 8, None)


def test_two_phases_at_one_moment_are_none(tmp_path):
    rows = [("Incision", 0, 0, 0, 2.5), ("Viscoelastic", 0, 0, 1.5, 4)]
    write_phases(tmp_path / "raw", text=table(rows))
    got = frames(prepared(Cataract1K, tmp_path), "case_5013")
    phases = [r.annotations.phase and r.annotations.phase.native for r in got]
    assert phases == ["incision", "incision", None, "viscoelastic", None]


@pytest.mark.parametrize("row", ["", "5013,x,1024,768\n", "5013,x,1024,768,0\n"])
def test_a_video_table_without_a_rate(tmp_path, row):
    write_phases(tmp_path / "raw", fps=60)
    place = tmp_path / "raw/Phase_recognition_dataset/annotations/case_5013/case_5013_video.csv"
    header = "caseId,name,width,height,fps" if row.count(",") != 3 else "caseId,name,width,height"
    write_text(place, f"{header}\n{row}")
    with pytest.raises(AnnotationFileError, match=r"case_5013_video\.csv.*frame rate"):
        prepared(Cataract1K, tmp_path)


# ---- outlines ------------------------------------------------------------------------------------


def test_outlines_of_supervisely(tmp_path):
    write_outlines(tmp_path / "raw", 1)
    write_outlines(tmp_path / "raw", 3, supervisely([]))
    write_image_of(tmp_path / "raw", 4)
    store = prepared(Cataract1K, tmp_path)
    first, empty, bare = frames(store, "case_5013_images")
    tissue, tools = mask(first, "tissue_mask"), mask(first, "instrument_mask")
    # Drawn as cornea, pupil, lens, whatever their order in the file.
    assert (tissue[5, 25], tissue[11, 31], tissue[13, 33], tissue[5, 5]) == (1, 2, 3, 0)
    # The later instrument is on top, but for its hole.
    assert (tools[15, 12], tools[15, 17], tools[15, 24], tools[12, 20]) == (1, 2, 2, 0)
    found = [(t.label.native, t.label.concept, t.mask) for t in first.annotations.tissues]
    assert found == [("cornea", "cornea", 1), ("pupil", "pupil", 2), ("lense", "lens", 3)]
    assert [(i.label.concept, i.mask) for i in first.annotations.instruments] == [
        ("gauge", 1),
        ("slit_knife", 2),
    ]
    # Boxes are around the outlines: of the gauge with the part under the knife.
    assert first.annotations.instruments[0].box == Box(10 / 80, 10 / 40, 20 / 80, 20 / 40)
    assert first.annotations.tissues[0].box == Box(20 / 80, 0, 50 / 80, 30 / 40)
    assert first.annotations.derived["instruments.box"] == "the box around the mask"
    assert empty.annotations.instruments == () == empty.annotations.tissues
    assert bare.annotations.instruments is None and not bare.dense
    assert [r.frame.time for r in (first, empty, bare)] == [0.0, 10.0, 15.0]
    stored = store.video("case_5013_images")
    assert stored.video.canonical == "cataract1k/case_5013"
    assert stored.annotations.notes[1:] == ("1 of 3 images have no outlines",)
    assert first.annotations.phase is None


def test_outlines_of_coco(tmp_path):
    objects = [
        (0, "cornea1", [flat(20, 0, 29)]),
        (0, "Cornea", [flat(50, 0, 4)]),
        (0, "Lens", [flat(30, 10, 4), flat(40, 10, 4)]),
        # Column by column: 40 * 2 + 3 pixels without, 2 with.
        (0, "Phacoemulsification Tip", {"counts": [83, 2, 3115], "size": [HEIGHT, WIDTH]}),
    ]
    names = "case5013_01.png", "images/case5013_02.png"
    write_coco(tmp_path / "raw", coco(objects, names), (1, 2), part="images")
    first, empty = frames(prepared(Cataract1K, tmp_path), "case_5013_images")
    assert [(t.label.native, t.mask) for t in first.annotations.tissues] == [
        ("cornea", 1),
        ("lense", 3),
    ]
    assert first.annotations.tissues[0].box == Box(20 / 80, 0, 55 / 80, 30 / 40)
    tissue, tools = mask(first, "tissue_mask"), mask(first, "instrument_mask")
    assert (tissue[12, 32], tissue[12, 42], tissue[12, 37]) == (3, 3, 1)
    assert np.argwhere(tools).tolist() == [[3, 2], [4, 2]]
    assert first.annotations.instruments[0].label.concept == "phacoemulsifier_handpiece"
    assert empty.annotations.tissues == ()


def test_supervisely_wins_over_coco(tmp_path):
    names = "case5013_01.png", "case5013_02.png"
    write_coco(tmp_path / "raw", coco([(1, "Lens", [flat(1, 1, 5)])], names), (1, 2))
    write_outlines(tmp_path / "raw", 1)
    first, second = frames(prepared(Cataract1K, tmp_path), "case_5013_images")
    assert len(first.annotations.tissues) == 3
    assert [t.label.concept for t in second.annotations.tissues] == ["lens"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (supervisely(size=(20, 80)), "the outlines are of an image of 80x20, this one has 80x40"),
        (supervisely([thing("pupil", [[1, 1], [2, 2]])]), "2 points encloses nothing"),
        (supervisely([thing("pupil", square(100, 60, 9))]), "holds no pixel of the image"),
        (supervisely([thing("pupil", square(1e30, 0, 9))]), "lies far outside of the image"),
    ],
)
def test_outlines_that_contradict_the_image(tmp_path, data, reason):
    write_outlines(tmp_path / "raw", 1)
    write_outlines(tmp_path / "raw", 2, data)
    with pytest.raises(ValueError, match=reason):
        prepared(Cataract1K, tmp_path)


def test_outline_files_that_are_wrong(tmp_path):
    write_outlines(tmp_path / "raw", 1, supervisely([thing("Eyelash", square(1, 1, 3))]))
    where = r"ann/case5013_01\.png\.json, objects\[0\]\.classTitle: .*Eyelash"
    with pytest.raises(ontology.UnmappedLabelError, match=where):
        prepared(Cataract1K, tmp_path)
    broken = supervisely([{"classTitle": "pupil", "bitmap": {"data": "x"}}])
    write_outlines(tmp_path / "raw", 1, broken)
    with pytest.raises(AnnotationFileError, match=r"objects\[0\]: the key 'points' is missing"):
        prepared(Cataract1K, tmp_path)
    for change, message in (
        ({"images": []}, "there is no image 1"),
        ({"categories": []}, "there is no category 0"),
        ({"images": coco([])["images"] * 2}, "given twice"),
        ({"images": coco([], ["case5014_01.png"])["images"]}, "no image of case 5013"),
    ):
        data = coco([(0, "Lens", [flat(1, 1, 5)])]) | change
        write_coco(tmp_path / "coco/raw", data)
        with pytest.raises(AnnotationFileError, match=rf"instances\.json.*{message}"):
            prepared(Cataract1K, tmp_path / "coco")
    path = tmp_path / "instances.json"
    write_text(path, json.dumps(coco([(0, "Lens", [[1, 2, 3]])])))
    with pytest.raises(AnnotationFileError, match="3 numbers are no"):
        read_coco(File.at(path))


# ---- the whole -----------------------------------------------------------------------------------


def test_what_is_missing(tmp_path):
    write_phases(tmp_path / "raw", 5013, seconds=60)
    write_phases(tmp_path / "raw", 5014, seconds=0)
    write_outlines(tmp_path / "raw", 1, case=5015)
    for path in (tmp_path / "raw").rglob("case5015*.png"):
        path.unlink()
    store = prepared(Cataract1K, tmp_path)
    assert [(q.where, q.reason) for q in store.quarantined()] == [
        ("case_5014.mp4", "phases are there, the video is not"),
        ("img/case5015_*.png", "outlines are there, images are not"),
    ]
    found = inspect(Cataract1K, tmp_path / "raw")
    assert (found.videos, found.segments["phase"]) == (1, (4, 5.0))
    write_image_of(tmp_path / "raw", 1, 5099)
    with pytest.raises(LayoutError, match="outlines of the images of case_5099 are missing"):
        prepared(Cataract1K, tmp_path, overwrite=True)


def test_a_wrong_folder(tmp_path):
    write_text(tmp_path / "raw/notes/readme.txt", "x")
    shown = r"no phase tables(.|\n)*Phase_recognition_dataset/videos(.|\n)*notes/"
    with pytest.raises(LayoutError, match=shown):
        prepared(Cataract1K, tmp_path)
    write_phases(tmp_path / "two")
    write_phases(tmp_path / "two/copy")
    with pytest.raises(LayoutError, match="are of the same case"):
        prepare(Cataract1K, tmp_path / "out", manual_dir=tmp_path / "two")


def test_the_tasks_of_the_card(tmp_path):
    write_outlines(write_phases(tmp_path / "raw"), 1)
    found = asked(prepared(Cataract1K, tmp_path))
    assert set(found) == set(sources.entry("cataract1k").card.details["tasks"])
    assert found["phase_recognition"][0].answer == "corneal incision creation"
    assert found["instrument_recognition"][0].answer == ["slit knife", "gauge"]
    assert sources.get("cataract1k") is Cataract1K


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["phases", "video", "supervisely", "coco"])
def test_damaged_label_files(tmp_path, kind):
    if kind == "phases":
        write_phases(tmp_path, seconds=1)
        path = "Phase_recognition_dataset/annotations/case_5013/case_5013_annotations_phases.csv"
    elif kind == "video":
        text = table([("Incision", 0, 60)], columns="caseId,comment,frame,endFrame")
        write_phases(tmp_path, text=text, seconds=1, fps=60)
        path = "Phase_recognition_dataset/annotations/case_5013/case_5013_video.csv"
    elif kind == "supervisely":
        write_outlines(tmp_path)
        path = "Segmentation_dataset/case_5013/ann/case5013_01.png.json"
    else:
        write_coco(tmp_path, coco([(0, "Lens", [flat(1, 1, 5)]), (0, "cornea1", [flat(9, 1, 5)])]))
        path = "Segmentation_dataset/case_5013/annotations/instances.json"
    fuzz(Cataract1K, tmp_path, path, ordered=kind != "phases")
