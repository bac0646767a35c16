"""Endoscapes2023's reader on small trees in the released layout: scores, boxes, masks, quirks."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_camma import (
    SIZE,
    class_mask,
    coco_text,
    conversations,
    endoscapes_box,
    endoscapes_image,
    frames,
    natives,
    values,
    write_endoscapes,
    write_endoscapes_image,
    write_mask,
)
from fixtures_cholec import HEIGHT, WIDTH, read_number, write_image, write_text
from prepared_sources import prepared

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.endoscapes.endoscapes import Endoscapes
from surgzoo.datasets.endoscapes.labels import read_coco, read_numbers
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology, splits
from surgzoo.db.schema import Box
from surgzoo.db.source_cards import card_of
from surgzoo.db.sources import sources


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("endoscapes")
    return prepared(Endoscapes, folder, manual_dir=write_endoscapes(folder / "endoscapes"))


def one_frame(tmp_path, image, annotations=None, mask=None, name="annotation_coco.json"):
    """The stored record of frame 0 of video 1, whose only label file is `name`."""
    write_endoscapes_image(tmp_path / "raw", "train", 1, 0)
    write_text(tmp_path / "raw/train" / name, coco_text([image], annotations))
    if mask is not None:
        write_mask(tmp_path / "raw/semseg/1_0.png", mask)
    return frames(prepared(Endoscapes, tmp_path), "1")[0.0]


def test_frames_are_timed_by_the_25_fps_index(store):
    assert list(frames(store, "1")) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert list(frames(store, "165")) == [236.0]
    for time, record in frames(store, "1").items():
        if time < 4:  # the last one is black
            assert read_number(simplejpeg.decode_jpeg(record.image)) == time
    assert store.quarantined() == ()


def test_the_video_says_what_it_is(store):
    video = store.video("1").video
    assert (video.canonical, video.specialty) == ("cholec80/video67", "hepatobiliary")
    assert (video.height, video.width, video.fps, video.duration) == (HEIGHT, WIDTH, 1.0, 5.0)
    assert video.splits == {"official": "train", "default": "train"}
    assert store.video("165").video.splits["default"] == "test"
    assert store.video("165").video.canonical == "endoscapes/165"


def test_criteria_are_means_of_three_votes(store):
    criteria = frames(store, "1")[0.0].annotations.criteria
    assert natives(criteria) == ["C1", "C2", "C3"]
    assert [c.score for c in criteria] == pytest.approx([1, 2 / 3, 1 / 3])
    assert [c.met for c in criteria] == [True, True, False]
    rounded = frames(store, "165")[236.0].annotations.criteria
    assert [c.met for c in rounded] == [False, False, True]


def test_a_repeated_rating_is_no_rating(store):
    """Where is_ds_keyframe is false, ds is that of the last rated frame."""
    carried = frames(store, "1")[1.0].annotations
    assert (carried.criteria, carried.instruments, carried.tissues) == (None, None, None)


def test_boxes_are_pixels_from_the_top_left(store):
    got = frames(store, "1")[0.0].annotations
    assert [(t.label.native, t.box, t.mask) for t in got.tissues] == [
        ("gallbladder", Box(0.25, 0.25, 0.75, 0.75), 5),
        ("cystic_duct", Box(0, 0, 0.125, 0.25), 4),
    ]
    assert [(i.label.concept, i.box, i.mask) for i in got.instruments] == [
        ("any_instrument", Box(0.75, 0.5, 1.0, 1.0), 6),
        ("any_instrument", Box(0.5, 0.0, 0.75, 0.25), 6),
    ]


def test_annotated_and_empty_is_not_the_same_as_not_annotated(store):
    assert frames(store, "1")[2.0].annotations.instruments == ()
    assert frames(store, "1")[2.0].annotations.tissues == ()
    assert frames(store, "165")[236.0].annotations.instruments == ()
    assert frames(store, "1")[4.0].annotations.instruments is None


def test_masks_by_kind_without_the_ignored_pixels(store):
    record = frames(store, "1")[0.0]
    tissue = values(record.dense["tissue_mask"])
    assert np.array_equal(tissue, class_mask(v5=(48, 16, 96, 32), v4=(0, 0, 24, 16)))
    tools = values(record.dense["instrument_mask"])
    assert np.array_equal(tools, class_mask(v6=(144, 32, 48, 32)) + class_mask(v6=(96, 0, 48, 16)))
    assert frames(store, "1")[2.0].dense == {}


def test_a_mask_alone_gives_tissues_their_boxes_and_tools_none(store):
    got = frames(store, "1")[3.0].annotations
    assert [(t.label.native, t.box, t.mask) for t in got.tissues] == [
        ("cystic_plate", Box(0, 0.5, 0.5, 0.75), 1)
    ]
    # One value for all tools: a box around it may be around two of them.
    assert [(i.label.native, i.box, i.mask) for i in got.instruments] == [("tool", None, 6)]
    assert got.derived == {"tissues.box": masks.BOX_OF_MASK}
    assert got.criteria is None


def test_black_frames_are_flagged(store):
    assert frames(store, "1")[4.0].annotations.flags == {"out_of_body": 1.0}


def test_labels_without_image_are_counted_and_the_copy_in_train_seg_is_not_read(store):
    assert store.video("1").annotations.notes == ("1 of 5 annotated frames have no image",)
    assert read_number(simplejpeg.decode_jpeg(frames(store, "1")[0.0].image)) == 0


def test_outlines_tell_tools_apart(tmp_path):
    square = [0, 0, 9, 0, 9, 9, 0, 9]
    runs = {"size": list(SIZE), "counts": [HEIGHT * 100, 5, HEIGHT * (WIDTH - 100) - 5]}
    record = one_frame(
        tmp_path,
        endoscapes_image(1, 0, 1),
        [
            endoscapes_box(1, "tool", (0, 0, 10, 10), segmentation=[square]),
            endoscapes_box(1, "tool", (100, 0, 1, 5), segmentation=runs),
        ],
        class_mask(v6=(0, 0, 10, 10)),
    )
    expected = class_mask(v1=(0, 0, 10, 10), v2=(100, 0, 1, 5))
    assert np.array_equal(values(record.dense["instrument_mask"]), expected)
    assert [i.mask for i in record.annotations.instruments] == [1, 2]


def test_a_file_without_annotations_says_nothing_about_boxes(tmp_path):
    """A published excerpt has the images of the CVS file alone, flagged as if they had boxes."""
    record = one_frame(
        tmp_path, endoscapes_image(1, 0, 1), name="annotation_ds_coco.IMAGES_ONLY.json"
    )
    assert record.annotations.instruments is None and record.annotations.tissues is None
    assert len(record.annotations.criteria) == 3


def test_categories_are_read_by_name(tmp_path):
    text = coco_text([endoscapes_image(1, 0, 1)], [endoscapes_box(1, "tool", (0, 0, 96, 32))])
    data = json.loads(text)
    data["categories"] = [{"id": 6, "name": "gallbladder"}, {"id": 5, "name": "tool"}]
    (image,) = read_coco([written(tmp_path, json.dumps(data))]).values()
    assert [thing.native for thing in image.things] == ["gallbladder"]
    data["categories"][1]["id"] = 6
    with pytest.raises(AnnotationFileError, match=r"categories.1.: the id 6 is given twice"):
        read_coco([written(tmp_path, json.dumps(data))])


def written(tmp_path, text):
    path = tmp_path / "annotation_coco.json"
    path.write_text(text)
    return File.at(path)


@pytest.mark.parametrize(
    ("image", "box", "message"),
    [
        ({"ds": [0.0, 0.5, 0.0]}, {}, r"ds: 0\.5 is no mean of 3 votes"),
        ({"ds": [0.0, 0.0]}, {}, "ds: 2 numbers, not 3"),
        ({"ds": [4 / 3, 0.0, 0.0]}, {}, "is no mean of 3 votes"),
        ({"file_name": "frame.jpg"}, {}, r"'frame\.jpg' is not VIDEO_FRAME\.jpg"),
        ({"video_id": 2}, {}, r"2 for the image 1_0\.jpg"),
        ({"is_ds_keyframe": 1}, {}, "is not true or false"),
        ({"height": 0}, {}, "an image of 192x0"),
        ({}, {"image_id": 7}, "no image has the id 7"),
        ({}, {"category_id": 9}, "no category has the id 9"),
        ({}, {"bbox": [1, 2, 3]}, "3 numbers, not 4"),
        ({}, {"segmentation": [[1, 2, 3]]}, "3 numbers are no polygon"),
        ({}, {"segmentation": {"size": [1, 2, 3], "counts": [6]}}, "size: 3 numbers, not 2"),
    ],
)
def test_a_wrong_label_file_is_named(tmp_path, image, box, message):
    text = coco_text(
        [endoscapes_image(1, 0, 1, **image)], [endoscapes_box(1, "tool", (0, 0, 9, 9), **box)]
    )
    with pytest.raises(AnnotationFileError, match=rf"annotation_coco\.json.*{message}"):
        read_coco([written(tmp_path, text)])


def test_two_ratings_of_one_frame_are_an_error(tmp_path):
    first = written(tmp_path, coco_text([endoscapes_image(1, 0, 1)]))
    other = tmp_path / "annotation_ds_coco.json"
    other.write_text(coco_text([endoscapes_image(1, 0, 1, ds=[1.0, 0.0, 0.0])]))
    with pytest.raises(AnnotationFileError, match=r"annotation_ds_coco\.json: rates a frame"):
        read_coco([first, File.at(other)])


def test_an_unknown_category_names_file_and_table(tmp_path):
    text = coco_text([], []).replace("gallbladder", "spleen")
    with pytest.raises(ontology.UnmappedLabelError, match=r"annotation_coco.*endoscapes\.tsv"):
        read_coco([written(tmp_path, text)])


def test_lists_of_videos_hold_floats_and_are_compared(tmp_path):
    path = tmp_path / "val_vids.txt"
    path.write_text("1.210000000000000000e+02\n122\n")
    assert read_numbers(File.at(path)) == (121, 122)
    for wrong in ("12.5", "-1", "1e999", "nan", "x"):
        path.write_text(f"121\n{wrong}\n")
        with pytest.raises(AnnotationFileError, match=rf"val_vids\.txt, line 2: '{wrong}'"):
            read_numbers(File.at(path))
    raw = write_endoscapes(tmp_path / "raw")
    (raw / "val_vids.txt").write_text("1.0e+00\n")
    with pytest.raises(AnnotationFileError, match="video 1 is not in the official split 'val'"):
        prepared(Endoscapes, tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        # Lacks frames of its own; its boxes and ratings are carried over.
        "train/annotation_coco_vid.json",
        # Parts of the training set, for training on less.
        "12_5/train_0/annotation_coco.json",
        "25/train_2/annotation_ds_coco.json",
    ],
)
def test_files_that_repeat_labels_are_not_read(tmp_path, path):
    raw = write_endoscapes(tmp_path / "raw")
    # Said of a frame that no other file rates or boxes.
    image = endoscapes_image(1, 75, 10075, ds=[1.0, 1.0, 1.0])
    write_text(raw / path, coco_text([image], [endoscapes_box(10075, "tool", (0, 0, 10, 10))]))
    found = frames(prepared(Endoscapes, tmp_path), "1")[3.0].annotations
    assert found.criteria is None
    assert [i.box for i in found.instruments] == [None]  # of the class mask


def test_bad_masks_and_boxes_are_quarantined(tmp_path):
    raw = write_endoscapes(tmp_path / "raw")
    for frame in range(1000, 1000 + 25 * 60, 25):
        write_endoscapes_image(raw, "train", 1, frame)
    write_mask(raw / "semseg/1_50.png", class_mask(v9=(0, 0, 5, 5)))
    write_image(raw / "semseg/1_75.png", np.zeros((5, 5, 3), np.uint8))
    write_text(
        raw / "test/annotation_coco.json",
        coco_text(
            [endoscapes_image(165, 5900, 1, ds=[0.0, 0.33, 0.67])],
            [endoscapes_box(1, "tool", (150, 0, 96, 9))],
        ),
    )
    store = prepared(Endoscapes, tmp_path)
    reasons = {item.where: item.reason for item in store.quarantined()}
    assert "no class has the value 9" in reasons["train/1_50.jpg"]
    assert "the mask is 5x5" in reasons["train/1_75.jpg"]
    assert "tool: box" in reasons["test/165_5900.jpg"]


def test_a_folder_against_the_official_split_is_an_error(tmp_path):
    write_endoscapes_image(tmp_path / "raw", "val", 1, 0)
    with pytest.raises(LayoutError, match="video 1 is in val, which is not its official split"):
        prepared(Endoscapes, tmp_path)
    write_endoscapes_image(tmp_path / "raw", "train", 1, 0)
    with pytest.raises(LayoutError, match="video 1 is in train and in val"):
        prepared(Endoscapes, tmp_path)


def test_a_wrong_folder_shows_what_is_expected(tmp_path):
    write_text(tmp_path / "raw/notes.txt", "")
    with pytest.raises(LayoutError, match="there is no train") as caught:
        prepared(Endoscapes, tmp_path)
    assert "annotation_ds_coco.json" in str(caught.value) and "notes.txt" in str(caught.value)
    write_endoscapes_image(tmp_path / "raw", "train", 1, 0)
    with pytest.raises(LayoutError, match=r"train/annotation_ds_coco\.json is missing"):
        prepared(Endoscapes, tmp_path)


def test_the_records_give_the_tasks_of_the_card(store):
    assert sources.get("endoscapes") is Endoscapes
    found = {task: conversations(store, task) for task in card_of(Endoscapes).tasks}
    assert all(found.values()), {task: len(items) for task, items in found.items()}
    safety = found["safety_assessment"][0]
    assert safety.answer == [
        ["two structures", True],
        ["hepatocystic triangle", True],
        ["cystic plate", False],
    ]
    assert found["tissue_recognition"][0].answer == ["cystic duct", "gallbladder"]


def test_the_folder_is_inspected_by_the_same_reader(store, tmp_path):
    raw = write_endoscapes(tmp_path / "endoscapes")
    found = inspect(Endoscapes, raw, data_dir=tmp_path)
    assert (found.videos, found.frames) == (len(store.videos), len(store))
    assert found.sampled["tissue_mask"] == 1 and found.sampled["tissues with a box"] == 1
    assert found.notes == {"1 of 5 annotated frames have no image": ("1",)}


def test_every_video_has_an_official_split():
    parts = splits.schemes("endoscapes")["official"]
    assert [len(parts[part]) for part in ("train", "val", "test")] == [120, 41, 40]
