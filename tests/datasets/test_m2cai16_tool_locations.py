"""m2cai16-tool-locations' reader on small trees in the released layout."""

import pytest
import simplejpeg
from fixtures_camma import (
    SIZE,
    conversations,
    frames,
    natives,
    voc_xml,
    write_voc,
)
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_image, write_text
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.m2cai16_tool_locations.labels import annotate, read_names
from surgzoo.datasets.m2cai16_tool_locations.m2cai16_tool_locations import M2cai16ToolLocations
from surgzoo.db import ontology
from surgzoo.db.identity import LeakageError, check_leakage
from surgzoo.db.schema import Box
from surgzoo.db.source_cards import card_of
from surgzoo.db.sources import sources


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m2cai16_tool_locations")
    raw = folder / "m2cai16-tool-locations"
    write_voc(raw, "v01_002075", [("Grasper", 1, 1, 96, 32), ("hook", 97, 33, 192, 64)])
    write_voc(raw, "v01_002100", [])
    write_voc(raw, "v01_002125", None)
    write_voc(raw, "v01_002075_flip", [("Grasper", 97, 1, 192, 32)], numbered_image(7))
    write_voc(raw, "v11_000025", [("SpecimenBag", 1, 1, 192, 64)])
    write_text(raw / "Annotations/v11_000050.xml", voc_xml("v11_000050", []))
    lists = {"train": "v01_002075\nv01_002075_flip\nv01_002125\n", "test": "v01_002100\r\n"}
    for split, text in lists.items():
        write_text(raw / "ImageSets/Main" / f"{split}.txt", text)
    return prepared(M2cai16ToolLocations, folder, manual_dir=raw)


def test_frames_are_counted_in_the_25_fps_video(store):
    assert {v.video.id: list(frames(store, v.video.id)) for v in store.videos} == {
        "v01_train": [83.0, 85.0],
        "v01_test": [84.0],
        "v11": [1.0],
    }
    for stored in store.videos:
        for record in store.records(stored):
            assert read_number(simplejpeg.decode_jpeg(record.image)) == record.frame.time
    assert store.quarantined() == ()


def test_the_split_is_by_frame_and_leaks_by_operation(store):
    train, test, other = (stored.video for stored in store.videos)
    assert train.splits == {"official": "train", "default": "train"}
    assert test.splits["default"] == "test" and other.splits == {}
    assert train.canonical == test.canonical == "cholec80/video67"
    assert other.canonical == "cholec80/video61"
    assert (train.height, train.width, train.duration) == (HEIGHT, WIDTH, 86.0)
    with pytest.raises(LeakageError, match="cholec80/video67"):
        check_leakage([train], [test])


def test_boxes_count_from_one_and_include_their_last_pixel(store):
    grasper, hook = frames(store, "v01_train")[83.0].annotations.instruments
    assert (grasper.label.native, grasper.box) == ("Grasper", Box(0.0, 0.0, 0.5, 0.5))
    # Names are read in any case.
    assert (hook.label.native, hook.box) == ("Hook", Box(0.5, 0.5, 1.0, 1.0))
    (bag,) = frames(store, "v11")[1.0].annotations.instruments
    assert (bag.label.concept, bag.box) == ("specimen_bag", Box(0.0, 0.0, 1.0, 1.0))


def test_annotated_and_empty_is_not_the_same_as_not_annotated(store):
    assert frames(store, "v01_test")[84.0].annotations.instruments == ()
    assert frames(store, "v01_train")[85.0].annotations.instruments is None


def test_mirrored_copies_and_missing_images_are_counted(store):
    assert store.video("v01_train").annotations.notes == (
        "1 of 2 images have no label file",
        "1 mirrored copies are left out",
    )
    assert store.video("v11").annotations.notes == ("1 of 2 label files of v11 have no image",)


def read(tmp_path, text, size=SIZE):
    path = tmp_path / "v01_000025.xml"
    path.write_text(text)
    return annotate(File.at(path), size)


def test_a_box_from_zero_is_cut_at_the_border(tmp_path):
    got = read(tmp_path, voc_xml("v01_000025", [("Clipper", 0, 0, 96, 32)]))
    assert got.instruments[0].box == Box(0.0, 0.0, 0.5, 0.5)


def test_a_size_of_zero_is_no_size(tmp_path):
    got = read(tmp_path, voc_xml("v01_000025", [("Clipper", 1, 1, 96, 32)], (0, 0)))
    assert natives(got.instruments) == ["Clipper"]


GOOD = ("Hook", 1, 1, 9, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (voc_xml("v01_000050", [GOOD]), r"is of the image v01_000050\.jpg"),
        (voc_xml("v01_000025", [GOOD], (480, 854)), "height 480 where the image has 64"),
        (voc_xml("v01_000025", [("Hook", 9, 1, 5, 9)]), "Hook: box .*empty or inverted"),
        (voc_xml("v01_000025", [("Hook", 1, 1, 400, 9)]), "Hook: box"),
        (voc_xml("v01_000025", [("Hook", "x", 1, 5, 9)]), "xmin is 'x', not a number"),
        (voc_xml("v01_000025", [GOOD]).replace("ymax", "y2"), "an object has no ymax"),
        (voc_xml("v01_000025", [GOOD]).replace("</object>", ""), "is not whole XML"),
        (voc_xml("v01_000025", [GOOD]).replace("annotation>", "note>"), "begins with <note>"),
        ("", "is not whole XML"),
    ],
)
def test_a_wrong_label_file_costs_its_frame(tmp_path, text, message):
    with pytest.raises(FrameError, match=rf"v01_000025\.xml.*{message}"):
        read(tmp_path, text)


def test_an_unknown_tool_names_file_and_table(tmp_path):
    with pytest.raises(ontology.UnmappedLabelError, match=r"v01_000025\.xml.*'Stapler'"):
        read(tmp_path, voc_xml("v01_000025", [("Stapler", 1, 1, 9, 9)]))


def test_bad_frames_are_quarantined(tmp_path):
    for number in range(40):
        write_voc(tmp_path / "raw", f"v02_{25 * number:06d}", [GOOD])
    write_text(tmp_path / "raw/Annotations/v02_000025.xml", "<annotation>")
    (item,) = prepared(M2cai16ToolLocations, tmp_path).quarantined()
    assert item.where == "JPEGImages/v02_000025.jpg" and "not whole XML" in item.reason


def test_lists_are_read_strictly(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("V01_000025.jpg\n\nv01_000050\n")
    assert read_names(File.at(path)) == ("v01_000025", "v01_000050")
    path.write_text("v01_000025\nv01_000050 1\n")
    with pytest.raises(AnnotationFileError, match=r"train\.txt, line 2: 'v01_000050 1'"):
        read_names(File.at(path))
    write_voc(tmp_path / "raw", "v01_000025", [])
    for split in ("train", "val"):
        write_text(tmp_path / f"raw/ImageSets/Main/{split}.txt", "v01_000025\n")
    with pytest.raises(AnnotationFileError, match=r"val\.txt: v01_000025 is in train\.txt too"):
        prepared(M2cai16ToolLocations, tmp_path)


def test_wrong_trees_are_explained(tmp_path):
    raw = tmp_path / "raw"
    write_text(raw / "tool_video_01.txt", "")
    with pytest.raises(LayoutError, match="there is no JPEGImages") as caught:
        prepared(M2cai16ToolLocations, tmp_path)
    assert "Annotations/vNN_FFFFFF.xml" in str(caught.value)
    assert "tool_video_01.txt" in str(caught.value)
    write_voc(raw, "v01_000025", None)
    with pytest.raises(LayoutError, match="there is no Annotations"):
        prepared(M2cai16ToolLocations, tmp_path)
    write_voc(raw, "v01_000025", [])
    write_image(raw / "JPEGImages/v1_25.jpg", numbered_image(1))
    with pytest.raises(LayoutError, match="are of the same frame"):
        prepared(M2cai16ToolLocations, tmp_path)
    (raw / "JPEGImages/v1_25.jpg").unlink()
    (raw / "JPEGImages/v01_000025.jpg").unlink()
    with pytest.raises(LayoutError, match="there is no JPEGImages/vNN_FFFFFF"):
        prepared(M2cai16ToolLocations, tmp_path)


def test_the_records_give_the_tasks_of_the_card(store):
    assert sources.get("m2cai16_tool_locations") is M2cai16ToolLocations
    found = {task: conversations(store, task) for task in card_of(M2cai16ToolLocations).tasks}
    assert found["instrument_recognition"][0].answer == ["grasper", "hook"]
    assert found["instrument_localization"][0].answer == [["grasper", [0.0, 0.0, 0.5, 0.5]]]
