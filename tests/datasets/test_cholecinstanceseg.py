"""CholecInstanceSeg's reader on small trees in the released layout."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_camma import (
    SIZE,
    class_mask,
    contour,
    conversations,
    frames,
    values,
    write_instances,
)
from fixtures_cholec import HEIGHT, WIDTH, read_number, write_text
from prepared_sources import prepared

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.cholecinstanceseg.cholecinstanceseg import CholecInstanceSeg
from surgzoo.datasets.cholecinstanceseg.labels import annotate
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.source_cards import card_of
from surgzoo.db.sources import sources


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cholecinstanceseg") / "raw"
    sequence = folder, "val", "VID03_t80_sparse"
    two = [
        contour("grasper", 1, 144, 32, 24, 16),
        contour("hook", 1, 96, 0, 24, 32),
        contour("grasper", 2, 0, 0, 24, 16),
        # The second piece of the first grasper.
        contour("grasper", 1, 168, 48, 24, 16),
    ]
    write_instances(*sequence, "t80_VID03_000030", two)
    write_instances(*sequence, "t80_VID03_000000", [], imageHeight=None, imageWidth=None)
    write_instances(*sequence, "t80_VID03_000060", None)
    alone = [contour("snare", None, 0, 0, 48, 32)]
    write_instances(folder, "train", "VID12_t50_full", "t50_VID12_000630", alone)
    for number in (15750, 15751):
        write_instances(folder, "train", "VID12_seg8k", f"seg8k_video12_{number:06d}", alone)
    return folder


@pytest.fixture(scope="module")
def store(raw, tmp_path_factory):
    return prepared(
        CholecInstanceSeg, tmp_path_factory.mktemp("fps25"), manual_dir=raw, config="fps25"
    )


def test_numbers_are_seconds_or_25_fps_frames(store):
    assert {v.video.id: list(frames(store, v.video.id)) for v in store.videos} == {
        "VID03_t80_sparse": [0.0, 30.0, 60.0],
        "VID12_seg8k": [630.0, 630.04],
        "VID12_t50_full": [630.0],
    }
    pixels = [simplejpeg.decode_jpeg(r.image) for r in store.records(store.videos[0])]
    assert [read_number(image) for image in pixels] == [0, 30, 60]
    assert store.quarantined() == ()


def test_fps1_leaves_out_what_lies_between_seconds(raw, tmp_path):
    store = prepared(CholecInstanceSeg, tmp_path, manual_dir=raw)
    assert list(frames(store, "VID12_seg8k")) == [630.0]
    assert list(frames(store, "VID03_t80_sparse")) == [0.0, 30.0, 60.0]
    assert store.video("VID12_seg8k").video.fps == 1.0


def test_the_video_says_what_it_is(store):
    video = store.video("VID03_t80_sparse").video
    assert video.canonical == "cholec80/video03"
    assert video.splits == {"official": "val", "default": "val"}
    assert (video.height, video.width, video.duration) == (HEIGHT, WIDTH, 61.0)
    assert video.fps == pytest.approx(1 / 30)
    assert store.video("VID03_t80_sparse").annotations.notes == (
        "1 of 3 images have no label file",
    )
    one, other = store.video("VID12_seg8k").video, store.video("VID12_t50_full").video
    assert one.canonical == other.canonical == "cholec80/video12"
    assert (one.fps, other.fps) == (25.0, 1.0)


def test_contours_of_one_group_are_one_instance(store):
    record = frames(store, "VID03_t80_sparse")[30.0]
    assert [(i.label.native, i.box, i.track) for i in record.annotations.instruments] == [
        ("grasper", Box(0.75, 0.5, 1.0, 1.0), None),
        ("hook", Box(0.5, 0.0, 0.625, 0.5), None),
        ("grasper", Box(0.0, 0.0, 0.125, 0.25), None),
    ]
    assert record.annotations.derived == {"instruments.box": masks.BOX_OF_MASK}


def test_values_of_the_mask_tell_instances_apart(store):
    """Of two graspers the left one has id 1 + 8; the only hook has its id 2."""
    record = frames(store, "VID03_t80_sparse")[30.0]
    assert [i.mask for i in record.annotations.instruments] == [17, 2, 9]
    expected = class_mask(v9=(0, 0, 24, 16), v2=(96, 0, 24, 32), v17=(144, 32, 24, 16))
    expected[48:, 168:] = 17
    assert np.array_equal(values(record.dense["instrument_mask"]), expected)
    snare = frames(store, "VID12_t50_full")[630.0]
    assert np.array_equal(values(snare.dense["instrument_mask"]), class_mask(v7=(0, 0, 48, 32)))


def test_annotated_and_empty_is_not_the_same_as_not_annotated(store):
    got = frames(store, "VID03_t80_sparse")
    assert got[0.0].annotations.instruments == ()
    assert not values(got[0.0].dense["instrument_mask"]).any()
    assert got[60.0].annotations.instruments is None and got[60.0].dense == {}


def read(tmp_path, shapes, **changes):
    path = tmp_path / "t80_VID03_000000.json"
    path.write_text(json.dumps({"shapes": shapes, **changes}))
    return annotate(File.at(path), SIZE)


def test_contours_without_a_group_are_instances(tmp_path):
    shapes = [contour("hook", None, 0, 0, 9, 9), contour("hook", None, 50, 0, 9, 9)]
    assert [i.mask for i in read(tmp_path, shapes)[0].instruments] == [10, 18]


def test_the_later_outline_lies_on_top(tmp_path):
    under, top = contour("hook", 1, 10, 10, 5, 5), contour("grasper", 1, 0, 0, 40, 40)
    got, dense = read(tmp_path, [top, under])
    assert values(dense["instrument_mask"])[12, 12] == 2
    got, dense = read(tmp_path, [under, top])
    assert [(i.label.native, i.mask) for i in got.instruments] == [("hook", 0), ("grasper", 1)]
    assert got.instruments[0].box is not None


def test_specks_beside_a_polygon_are_left_out(tmp_path):
    speck = contour("hook", 1, 0, 0, 9, 9) | {"points": [[190, 60], [191, 60]]}
    (hook,) = read(tmp_path, [contour("hook", 1, 0, 0, 96, 32), speck])[0].instruments
    assert hook.box == Box(0, 0, 0.5, 0.5)
    with pytest.raises(FrameError, match="a polygon of 2 points"):
        read(tmp_path, [speck])


@pytest.mark.parametrize(
    ("shapes", "changes", "message"),
    [
        ([], {"imageHeight": 480}, "imageHeight: 480 where the image has 64"),
        ([{"points": [[1, 2]] * 3}], {}, "the key 'label' is missing"),
        ([contour("hook", 1, 0, 0, 9, 9) | {"shape_type": "circle"}], {}, "a circle where"),
        ([contour("hook", 1, 0, 0, 9, 9) | {"points": [[1, 2, 3]]}], {}, "3 numbers, not 2"),
        ([contour("hook", 1, 0, 0, 9, 9) | {"group_id": 1.5}], {}, "not a whole number"),
        ([contour("hook", 1, 500, 0, 9, 9)], {}, "the hook lies outside of the image"),
        ([contour("hook", n, n, 0, 9, 9) for n in range(40)], {}, "40 instruments in one frame"),
    ],
)
def test_a_wrong_label_file_costs_its_frame(tmp_path, shapes, changes, message):
    with pytest.raises(FrameError, match=message):
        read(tmp_path, shapes, **changes)


def test_an_unknown_class_names_file_and_table(tmp_path):
    with pytest.raises(ontology.UnmappedLabelError, match=r"000000\.json.*'stapler'"):
        read(tmp_path, [contour("stapler", 1, 0, 0, 9, 9)])


def test_images_and_annotations_may_lie_in_two_trees(raw, tmp_path):
    for part in ("ann_dir", "img_dir"):
        for path in raw.glob(f"*/*/{part}/*"):
            target = tmp_path / "raw" / f"release_{part}" / path.relative_to(raw)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    store = prepared(CholecInstanceSeg, tmp_path)
    assert len(frames(store, "VID03_t80_sparse")[30.0].annotations.instruments) == 3


def test_damaged_files_are_quarantined_and_lost_sequences_too(tmp_path):
    raw = tmp_path / "raw"
    for second in range(60):
        write_instances(raw, "train", "VID12_t50_full", f"t50_VID12_{second:06d}", [])
    write_text(raw / "train/VID12_t50_full/ann_dir/t50_VID12_000003.json", '{"shapes": [')
    write_text(raw / "train/VID12_seg8k/ann_dir/seg8k_video12_000025.json", '{"shapes": []}')
    write_text(raw / "train/VID12_t50_full/ann_dir/t50_VID12_000100.json", '{"shapes": []}')
    store = prepared(CholecInstanceSeg, tmp_path)
    lost, frame = store.quarantined()
    assert lost.video == "VID12_seg8k" and "syn64826192" in lost.reason
    assert frame.where.endswith("t50_VID12_000003.png") and "line 1" in frame.reason
    assert store.videos[0].annotations.notes == ("1 of 61 label files have no image",)


@pytest.mark.parametrize(
    ("split", "sequence", "name", "message"),
    [
        (
            "train",
            "VID03_t80_sparse",
            "t80_VID03_000000",
            "in train, but its official split is val",
        ),
        ("train", "VID99_t50_full", "t50_VID99_000000", "VID99_t50_full is none of the released"),
        ("val", "VID03_t80_sparse", "t80_VID04_000000", "is of another sequence than its folder"),
        ("val", "VID03_t80_sparse", "t50_VID03_000000", "is of another sequence than its folder"),
    ],
)
def test_files_in_the_wrong_place_are_errors(tmp_path, split, sequence, name, message):
    write_instances(tmp_path / "raw", split, sequence, name, [])
    with pytest.raises(LayoutError, match=message):
        prepared(CholecInstanceSeg, tmp_path)


def test_missing_images_are_explained(tmp_path):
    write_text(tmp_path / "raw/readme.txt", "")
    with pytest.raises(LayoutError, match="there is no VIDNN_PART/ann_dir") as caught:
        prepared(CholecInstanceSeg, tmp_path)
    assert "PART is seg8k" in str(caught.value) and "readme.txt" in str(caught.value)
    write_text(tmp_path / "raw/val/VID03_t80_sparse/ann_dir/t80_VID03_000000.json", "{}")
    with pytest.raises(LayoutError, match=r"no image in VIDNN_PART/img_dir: .*syn64826192"):
        prepared(CholecInstanceSeg, tmp_path)


def test_the_records_give_the_tasks_of_the_card(store):
    assert sources.get("cholecinstanceseg") is CholecInstanceSeg
    found = {task: conversations(store, task) for task in card_of(CholecInstanceSeg).tasks}
    assert all(found.values()), {task: len(items) for task, items in found.items()}
    assert found["instrument_recognition"][1].answer == ["grasper", "hook"]
    graspers = next(c for c in found["instrument_localization"] if c.options == ("grasper",))
    assert graspers.answer == [["grasper", [0, 0, 0.125, 0.25]], ["grasper", [0.75, 0.5, 1, 1]]]
    both = next(c for c in found["instrument_segmentation"] if c.options == ("grasper",))
    assert both.answer["values"] == [9, 17]


def test_ids_are_in_the_order_of_the_release():
    kinds = [native for kind, native in ontology.table("cholecinstanceseg") if kind == "instrument"]
    assert kinds == [
        "grasper",
        "hook",
        "irrigator",
        "clipper",
        "bipolar",
        "scissors",
        "snare",
    ]
