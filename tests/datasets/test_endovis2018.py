"""EndoVis 2018's reader on small trees in the released layout: colours, repairs, quirks."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_image, write_text
from fixtures_robotic import (
    EV18_LABELS,
    dense_map,
    ev18_mask,
    frames_of,
    natives,
    pack,
    write_color,
    write_ev18_sequence,
    write_gray,
)
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.endovis2018.endovis2018 import EndoVis2018
from surgzoo.datasets.endovis2018.labels import PALETTE, read_classes
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

RELEASE = "miccai_challenge_2018_release_1"
TEST_LABELS = {"classes": [dict(c, active=True, color=[*c["color"], 128]) for c in EV18_LABELS]}


def write_release(raw, name=RELEASE, labels=EV18_LABELS):
    write_text(raw / name / "labels.json", json.dumps(labels))
    return raw / name


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ev18")
    release = write_release(folder / "raw")
    scene = ev18_mask("instrument-shaft", "instrument-clasper", "kidney-parenchyma")
    other = ev18_mask("thread", "intestine", alpha=True)
    write_ev18_sequence(release / "seq_2", {0: scene, 1: other, 2: ev18_mask()})
    # The test's download wraps its sequences once more, and a label image is missing.
    tests = write_release(folder / "raw", "test_data/test_data", TEST_LABELS)
    write_ev18_sequence(tests / "seq_2-20200101-001" / "seq_2", {0: scene, 1: None})
    # As unpacked on other systems: whole shadow trees.
    write_text(folder / "raw/__MACOSX" / RELEASE / "seq_2/left_frames/._frame000.png", "x")
    write_text(folder / "raw" / RELEASE / "seq_2/labels/._frame000.png", "x")
    return prepared(EndoVis2018, folder)


def test_colours_are_instruments_things_and_tissues(built):
    first, second, third = frames_of(built, "seq_2")
    for number, record in enumerate((first, second, third)):
        assert read_number(simplejpeg.decode_jpeg(record.image)) == number
        assert record.frame.time == number / 2
    assert natives(first.annotations.instruments) == ("instrument-shaft", "instrument-clasper")
    assert {i.label.concept for i in first.annotations.instruments} == {"any_instrument"}
    assert [(i.mask, i.box) for i in first.annotations.instruments] == [(1, None), (2, None)]
    assert natives(first.annotations.tissues) == ("background-tissue", "kidney-parenchyma")
    assert [(t.mask, t.box) for t in first.annotations.tissues] == [
        (1, Box(0.75, 0, 1, 1)),
        (2, Box(0.5, 0, 0.75, 1)),
    ]
    assert first.annotations.derived == {"tissues.box": "the box around the mask"}
    assert natives(second.annotations.instruments) == ("thread",)
    assert natives(second.annotations.tissues) == ("background-tissue", "intestine")
    assert second.annotations.tissues[1].label.concept == "small_intestine"
    assert third.annotations.instruments == ()
    assert natives(third.annotations.tissues) == ("background-tissue",)
    assert built.quarantined() == ()


def test_the_two_maps_hold_each_its_own_kind(built):
    first, second, _ = frames_of(built, "seq_2")
    columns = [dense_map(first, f"{kind}_mask")[0, 24::48] for kind in ("instrument", "tissue")]
    assert [list(row) for row in columns] == [[1, 2, 0, 0], [0, 0, 2, 1]]
    thread, intestine = second.annotations.instruments[0], second.annotations.tissues[1]
    assert list(dense_map(second, "instrument_mask")[0, 24::48]) == [thread.mask, 0, 0, 0]
    assert list(dense_map(second, "tissue_mask")[0, 24::48]) == [0, intestine.mask, 1, 1]


def test_the_sequences_of_the_test_are_others_and_may_lack_a_label(built):
    videos = {stored.video.id: stored.video for stored in built.videos}
    assert list(videos) == ["seq_2", "test_seq_2"]
    assert videos["seq_2"].splits == {"official": "train", "default": "train"}
    assert videos["test_seq_2"].splits == {"official": "test", "default": "test"}
    assert videos["seq_2"].canonical == "endovis2018/seq_2"
    assert videos["test_seq_2"].canonical == "endovis2018/test_seq_2"
    video = videos["seq_2"]
    assert (video.specialty, video.procedure, video.fps) == ("urology", "nephrectomy", 2.0)
    assert (video.height, video.width, video.duration) == (HEIGHT, WIDTH, 1.5)
    first, second = frames_of(built, "test_seq_2")
    assert natives(first.annotations.instruments) == ("instrument-shaft", "instrument-clasper")
    assert second.annotations.instruments is None and second.annotations.tissues is None
    assert second.dense == {}
    assert built.video("test_seq_2").annotations.notes == ("1 of 2 images have no label image",)
    assert built.video("seq_2").annotations.notes == ()


def test_the_records_give_the_tasks_of_the_card(built):
    assert promised("endovis2018") <= given(built, "fps2")


# ---- quirks --------------------------------------------------------------------------------------


def write_seq_1(raw):
    write_ev18_sequence(
        write_release(raw) / "seq_1",
        {k: ev18_mask("thread") if k in (42, 43, 44, 73) else ev18_mask() for k in range(149)},
    )


@pytest.mark.parametrize("below", ["repairs", "", "repairs/repairs"])
def test_repaired_label_images_replace_the_wrong_ones(tmp_path, below):
    write_seq_1(tmp_path / "raw")
    folder = tmp_path / "made"
    for number in (42, 43, 44, 73):
        write_color(folder / f"seq_1_frame{number:03d}.png", ev18_mask("instrument-shaft"))
    pack(folder, tmp_path / "raw" / "repairs.zip", below)
    # Another download with names of this form is no repair.
    write_color(tmp_path / "raw" / "annotations" / "seq_1_frame000.png", ev18_mask("thread"))
    store = prepared(EndoVis2018, tmp_path)
    got = frames_of(store, "seq_1")
    assert len(got) == 149 and store.quarantined() == ()
    shafts = [i for i, r in enumerate(got) if natives(r.annotations.instruments)]
    assert shafts == [42, 43, 44, 73]
    assert all(natives(got[i].annotations.instruments) == ("instrument-shaft",) for i in shafts)
    assert store.videos[0].annotations.notes == ("4 label images are repaired ones",)


def test_without_the_repairs_those_frames_are_quarantined(tmp_path):
    write_seq_1(tmp_path / "raw")
    store = prepared(EndoVis2018, tmp_path)
    assert [item.where[-12:-4] for item in store.quarantined()] == [
        "frame042",
        "frame043",
        "frame044",
        "frame073",
    ]
    assert all("repairs.zip is not there" in item.reason for item in store.quarantined())
    assert len(frames_of(store, "seq_1")) == 145
    assert store.videos[0].annotations.notes == (
        "4 label images are known to be wrong; get repairs.zip",
    )


def test_three_label_images_of_another_sequence_are_wrong_too(tmp_path):
    folder = write_release(tmp_path / "raw") / "seq_4"
    write_ev18_sequence(folder, {k: ev18_mask() for k in range(149)})
    store = prepared(EndoVis2018, tmp_path)
    assert [int(item.where[-7:-4]) for item in store.quarantined()] == [135, 137, 138]


def classes_of(tmp_path, *lists):
    files = []
    for place, value in enumerate(lists):
        path = tmp_path / f"{place}" / "labels.json"
        write_text(path, value if isinstance(value, str) else json.dumps(value))
        files.append(File.at(path))
    return read_classes(files).colors


def test_lists_are_joined_and_both_forms_are_read(tmp_path):
    got = classes_of(tmp_path, EV18_LABELS[:2], {"classes": TEST_LABELS["classes"][2:]})
    assert got[124, 155, 5] == "intestine"
    assert got[0, 255, 255] == "instrument-clasper"
    assert got[12, 255, 141] == "ultrasound-probe"  # in no list: the published colour


def test_names_go_before_ids_and_before_the_published_colours(tmp_path):
    swapped = [
        {"name": "thread", "color": [0, 255, 0], "classid": 1},
        {"name": "instrument-shaft", "color": [187, 155, 25], "classid": 6},
    ]
    got = classes_of(tmp_path, swapped)
    assert (got[0, 255, 0], got[187, 155, 25]) == ("thread", "instrument-shaft")


def test_one_class_by_two_spellings_is_no_contradiction(tmp_path):
    other = [{"name": "small-intestine", "color": [124, 155, 5], "classid": 10}]
    assert classes_of(tmp_path, EV18_LABELS, other)[124, 155, 5] == "intestine"


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (
            [{"name": "instrument-wrist", "color": [0, 255, 0]}],
            AnnotationFileError,
            r"\[0\]: \(0, 255, 0\) is 'instrument-wrist' here and 'instrument-shaft' in .*0/labels",
        ),
        (
            [{"name": "liver", "color": [1, 2, 3]}],
            ontology.UnmappedLabelError,
            r"\[0\]: endovis2018 has no class 'liver'.*endovis2018\.tsv",
        ),
        ([{"name": "thread", "color": [1, 2]}], AnnotationFileError, "not a colour: 3 or 4 num"),
        ([{"name": "thread", "color": [1, 2, 300]}], AnnotationFileError, "not a colour"),
        ([{"color": [1, 2, 3]}], AnnotationFileError, "the key 'name' is missing"),
        ({"labels": []}, AnnotationFileError, "the key 'classes' is missing; it has labels"),
        ("[{", AnnotationFileError, "line 1"),
    ],
)
def test_errors_in_a_list_name_file_and_place(tmp_path, value, error, message):
    with pytest.raises(error, match=rf"1/labels\.json.*{message}"):
        classes_of(tmp_path, EV18_LABELS, value)


def test_without_a_list_classes_are_those_of_the_published_colours(tmp_path):
    write_ev18_sequence(tmp_path / "raw" / "seq_5", {0: ev18_mask("intestine")})
    store = prepared(EndoVis2018, tmp_path)
    (record,) = frames_of(store, "seq_5")
    assert natives(record.annotations.tissues) == ("background-tissue", "small-intestine")
    assert store.videos[0].annotations.notes == (
        "no labels.json; classes by the published colours",
    )


def test_bad_label_images_are_quarantined(tmp_path):
    folder = write_ev18_sequence(
        write_release(tmp_path / "raw") / "seq_3",
        {k: None if k == 3 else ev18_mask("thread") for k in range(100)},
    )
    strange = ev18_mask("thread")
    strange[0, 0] = (1, 2, 3)
    write_color(folder / "labels" / "frame000.png", strange)
    write_color(folder / "labels" / "frame001.png", ev18_mask()[:8])
    write_gray(folder / "labels" / "frame002.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    store = prepared(EndoVis2018, tmp_path)
    assert [item.reason.rpartition(": ")[2] for item in store.quarantined()] == [
        "no class has the colour (1, 2, 3)",
        f"the mask is {WIDTH}x8, the image {WIDTH}x{HEIGHT}",
        "has one channel; the labels are RGB colours",
        "there is no label image",
    ]
    assert len(frames_of(store, "seq_3")) == 96


def test_zip_files_are_read_in_place(tmp_path):
    release = write_release(tmp_path / "raw")
    write_ev18_sequence(release / "seq_3", {0: ev18_mask("thread")})
    pack(release, tmp_path / "raw" / f"{RELEASE}.zip", RELEASE)
    (record,) = frames_of(prepared(EndoVis2018, tmp_path), "seq_3")
    assert natives(record.annotations.instruments) == ("thread",)


def test_incomplete_trees(tmp_path):
    raw = tmp_path / "raw"
    write_color(raw / "seq_3" / "labels" / "frame000.png", ev18_mask())
    with pytest.raises(ValueError, match="seq_3: labels are there, left_frames is not"):
        prepared(EndoVis2018, tmp_path)
    write_ev18_sequence(raw / "seq_4", {0: None})
    with pytest.raises(LayoutError, match="the folder labels is missing of seq_4"):
        prepared(EndoVis2018, tmp_path)
    write_ev18_sequence(raw / "copy" / "seq_4", {0: None})
    with pytest.raises(LayoutError, match="are of the same frame"):
        prepared(EndoVis2018, tmp_path)


def test_another_folder_shows_what_is_expected(tmp_path):
    write_image(tmp_path / "raw" / "videos" / "a.png", numbered_image(0))
    with pytest.raises(LayoutError, match=r"no folder seq_N\n(.*\n)*.*release_1/seq_N/left_frames"):
        prepared(EndoVis2018, tmp_path)
    with pytest.raises(ValueError, match=r"endovissub2018.*--manual_dir"):
        prepare(EndoVis2018, tmp_path)


def test_the_published_classes_are_those_of_the_ontology():
    table = [n for k, n in ontology.table("endovis2018") if k in ("instrument", "tissue")]
    assert list(PALETTE.values()) == [name for name in table if name != "intestine"]


def test_the_registry_finds_the_builder():
    assert sources.get("endovis2018") is EndoVis2018
