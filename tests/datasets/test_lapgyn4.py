"""LapGyn4: a folder a class, cases in file names, single images that are no course of events."""

import zipfile

import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image, write_text
from prepared_sources import asked, frames, prepared

from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.lapgyn4.lapgyn4 import LapGyn4
from surgzoo.datasets.layout import LayoutError
from surgzoo.db import ontology
from surgzoo.db.sources import sources


def write(folder, *paths):
    """Images that show their place in the arguments."""
    for number, path in enumerate(paths):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(simplejpeg.encode_jpeg(numbered_image(number), quality=90))
    return folder


def qa(annotations):
    return [(q.kind, q.text, q.answer) for q in annotations.questions or ()]


ACTION = "Which surgical action does the image show?"
COUNT = "How many instruments are in view?"


def test_images_of_a_case_in_their_order(tmp_path):
    write(
        tmp_path / "raw/LapGyn4_v1.2",
        "Surgical_Actions/Suturing/c_4_v_55_f_2203.jpg",
        "Surgical_Actions/Suturing/c_4_v_55_f_803.jpg",
        "Surgical_Actions/Cutting_HF/c_4_v_7_f_9000.jpg",
        "Surgical_Actions/Injection/c_12_v_1_f_1.jpg",
    )
    store = prepared(LapGyn4, tmp_path)
    assert [stored.video.id for stored in store.videos] == [
        "surgical_actions_case_004",
        "surgical_actions_case_012",
    ]
    got = frames(store, "surgical_actions_case_004")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [2, 1, 0]
    assert [r.frame.time for r in got] == [0.0, 1.0, 2.0]
    assert [qa(r.annotations) for r in got] == [
        [("action", ACTION, "high frequency cutting")],
        [("action", ACTION, "suturing")],
        [("action", ACTION, "suturing")],
    ]
    one = got[0].annotations
    assert one.derived == {"questions": "the folder of the image, put as a question"}
    assert (one.actions, one.tissues, one.instruments) == (None, None, None)
    video = store.videos[0].video
    assert (video.canonical, video.splits) == ("lapgyn4/case_004", {})
    assert (video.specialty, video.procedure) == ("gynecology", "gynecologic_laparoscopy")


def test_the_other_sets(tmp_path):
    write(
        tmp_path / "raw",
        "Actions_on_Anatomy/Suturing_Ovary/c_4_v_55_f_1.jpg",
        "Actions_on_Anatomy/Suturing_Other/c_4_v_55_f_2.jpg",
        "Anatomical_Structures/Oviduct/c_4_v_1_f_2.jpg",
        "Instrument_Count/3/31.jpg",
        "Instrument_Count/3/7.jpg",
        "Instrument_Count/0/8.jpg",
    )
    store = prepared(LapGyn4, tmp_path)
    ovary, other = (r.annotations for r in frames(store, "actions_on_anatomy_case_004"))
    assert [t.label.concept for t in ovary.tissues] == ["ovary"] and other.tissues is None
    assert qa(ovary) == qa(other) == [("action", ACTION, "suturing")]
    (oviduct,) = frames(store, "anatomical_structures_case_004")
    assert [(t.label.concept, t.box) for t in oviduct.annotations.tissues] == [("oviduct", None)]
    assert "others may be in view" in oviduct.annotations.derived["tissues"]
    assert oviduct.annotations.questions is None
    three = frames(store, "instrument_count_3")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in three] == [4, 3]
    assert [qa(r.annotations) for r in three] == [[("count", COUNT, "three")]] * 2
    (none,) = frames(store, "instrument_count_0")
    assert qa(none.annotations) == [("count", COUNT, "zero")]
    # A case is one operation in all sets; images without a case are of none.
    assert {stored.video.canonical for stored in store.videos} == {
        "lapgyn4/case_004",
        "lapgyn4/instrument_count_0",
        "lapgyn4/instrument_count_3",
    }


@pytest.mark.parametrize("kind", ["action", "tissue", "answer"])
def test_every_class_is_read(tmp_path, kind):
    sets = {"action": "Surgical_Actions", "tissue": "Anatomical_Structures"}
    natives = [native for k, native in ontology.table("lapgyn4") if k == kind]
    plain = [n for n in natives if not n.startswith("Suturing_")]
    folder = sets.get(kind, "Instrument_Count")
    write(
        tmp_path / "raw", *(f"{folder}/{n.lower()}/c_1_v_1_f_{k}.jpg" for k, n in enumerate(plain))
    )
    (stored,) = (store := prepared(LapGyn4, tmp_path)).videos
    got = [r.annotations for r in store.records(stored)]
    concepts = [ontology.table("lapgyn4")[kind, native] for native in plain]
    if kind == "tissue":
        assert [a.tissues[0].label.concept for a in got] == concepts
    else:
        assert [a.questions[0].answer for a in got] == [ontology.name(kind, c) for c in concepts]


def test_an_image_in_two_folders(tmp_path):
    paths = [f"Surgical_Actions/Suturing/c_1_v_1_f_{k}.jpg" for k in range(60)]
    write(tmp_path / "raw", *paths, "Surgical_Actions/Injection/c_1_v_1_f_3.jpg")
    store = prepared(LapGyn4, tmp_path)
    lines = store.quarantined()
    assert {line.reason for line in lines} == {"the image is in the folders Injection and Suturing"}
    assert (len(lines), store.videos[0].count) == (2, 59)


def test_the_archive_is_read_in_place(tmp_path):
    write(tmp_path / "loose", "LapGyn4_v1.2/Instrument_Count/2/31.jpg")
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw/LapGyn4_v1.2.zip", "w") as archive:
        path = tmp_path / "loose/LapGyn4_v1.2/Instrument_Count/2/31.jpg"
        archive.write(path, "LapGyn4_v1.2/Instrument_Count/2/31.jpg")
        archive.write(path, "__MACOSX/LapGyn4_v1.2/Instrument_Count/2/._31.jpg")
    store = prepared(LapGyn4, tmp_path)
    assert [(s.video.id, s.count) for s in store.videos] == [("instrument_count_2", 1)]
    found = inspect(LapGyn4, tmp_path / "raw")
    assert (found.videos, found.frames) == (1, 1)


def test_a_wrong_folder(tmp_path):
    write_text(tmp_path / "raw/pictures/readme.txt", "x")
    with pytest.raises(LayoutError, match=r"no images(.|\n)*Surgical_Actions(.|\n)*pictures/"):
        prepared(LapGyn4, tmp_path)
    write(tmp_path / "two/raw", "Surgical_Actions/Lunch/c_1_v_1_f_1.jpg")
    with pytest.raises(ontology.UnmappedLabelError, match=r"Lunch/c_1_v_1_f_1\.jpg: 'Lunch' is no"):
        prepared(LapGyn4, tmp_path / "two")
    # A folder of another set is none of this one.
    write(tmp_path / "three/raw", "Anatomical_Structures/Suturing/c_1_v_1_f_1.jpg")
    with pytest.raises(ontology.UnmappedLabelError, match="no class of Anatomical_Structures"):
        prepared(LapGyn4, tmp_path / "three")


def test_a_torn_image(tmp_path):
    write(tmp_path / "raw", *(f"Instrument_Count/1/{k}.jpg" for k in range(30)))
    write_image(tmp_path / "raw/Instrument_Count/1/3.jpg", b"\xff\xd8\xff")
    (line,) = prepared(LapGyn4, tmp_path).quarantined()
    assert (line.where, line.reason) == (
        "Instrument_Count/1/3.jpg",
        "the JPEG file ends early",
    )


def test_the_tasks_of_the_card(tmp_path):
    write(
        tmp_path / "raw",
        "Actions_on_Anatomy/Suturing_Ovary/c_4_v_55_f_1.jpg",
        *(
            f"Surgical_Actions/{n}/c_4_v_5_f_{k}.jpg"
            for k, n in enumerate(("Injection", "Suturing"))
        ),
    )
    found = asked(prepared(LapGyn4, tmp_path))
    # No task on time: the second image does not follow from the first.
    assert set(found) == set(sources.entry("lapgyn4").card.details["tasks"])
    assert [c.answer["text"] for c in found["visual_question_answering"]] == [
        "suturing",
        "injection",
        "suturing",
    ]
    assert sources.get("lapgyn4") is LapGyn4
