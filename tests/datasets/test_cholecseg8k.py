"""CholecSeg8k's reader on small trees in the released layout."""

import numpy as np
import pytest
import simplejpeg
from fixtures_camma import (
    SIZE,
    class_mask,
    conversations,
    frames,
    natives,
    seg8k_path,
    values,
    write_mask,
    write_seg8k,
)
from fixtures_cholec import HEIGHT, WIDTH, read_number, write_image, write_text
from prepared_sources import prepared

from surgzoo.datasets import masks
from surgzoo.datasets.cholecseg8k.cholecseg8k import CholecSeg8k
from surgzoo.datasets.cholecseg8k.labels import CLASSES, annotate
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.source_cards import card_of
from surgzoo.db.sources import sources

LEFT, RIGHT = (0, 0, 96, 64), (96, 32, 96, 32)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cholecseg8k") / "CholecSeg8k"
    scene = class_mask(v21=LEFT, v31=RIGHT, v50=(96, 0, 96, 32))
    for frame in range(80, 104):
        write_seg8k(folder, 1, frame, scene, clip=80)
    write_seg8k(folder, 1, 1000, class_mask(v22=LEFT, v32=RIGHT), clip=1000)
    write_seg8k(folder, 55, 25, class_mask(v5=LEFT), clip=25)
    # Sparse strokes that would be taken for a mask of another class.
    write_mask(seg8k_path(folder, 1, 100, "_mask", 80), class_mask(v24=LEFT))
    return folder


@pytest.fixture(scope="module")
def store(raw, tmp_path_factory):
    return prepared(CholecSeg8k, tmp_path_factory.mktemp("fps25"), manual_dir=raw, config="fps25")


def test_frames_are_counted_in_the_25_fps_video(store):
    got = frames(store, "video01")
    assert list(got) == [*(frame / 25 for frame in range(80, 104)), 40.0]
    for time, record in got.items():
        assert read_number(simplejpeg.decode_jpeg(record.image)) == round(25 * time)
    assert store.quarantined() == ()


def test_fps1_keeps_full_seconds(raw, tmp_path):
    store = prepared(CholecSeg8k, tmp_path, manual_dir=raw)
    assert store.config == "fps1"
    assert {v.video.id: list(frames(store, v.video.id)) for v in store.videos} == {
        "video01": [4.0, 40.0],
        "video55": [1.0],
    }
    assert store.video("video01").video.fps == 1.0


def test_the_video_says_what_it_is(store):
    video = store.video("video01").video
    assert (video.canonical, video.splits) == ("cholec80/video01", {})
    assert (video.height, video.width, video.fps) == (HEIGHT, WIDTH, 25.0)
    assert video.duration == 1001 / 25
    assert store.video("video55").video.canonical == "cholec80/video55"


def test_watershed_values_become_tissues_and_instruments(store):
    record = frames(store, "video01")[4.0]
    assert [(t.label.native, t.label.concept, t.box) for t in record.annotations.tissues] == [
        ("Liver", "liver", Box(0.0, 0.0, 0.5, 1.0))
    ]
    # All graspers are one value, so a box would be around all of them.
    assert [(i.label.concept, i.box) for i in record.annotations.instruments] == [("grasper", None)]
    assert record.annotations.derived == {"tissues.box": masks.BOX_OF_MASK}
    ids = {name: number for number, name in enumerate(CLASSES)}
    tissue = record.annotations.tissues[0].mask
    assert tissue == ids["Liver"] == 2
    assert np.array_equal(values(record.dense["tissue_mask"]), class_mask(v2=LEFT))
    assert np.array_equal(values(record.dense["instrument_mask"]), class_mask(v5=RIGHT))


def test_the_hook_is_cholec80s_and_a_ligament_is_a_tissue(store):
    hook = frames(store, "video01")[40.0].annotations
    assert [i.label.concept for i in hook.instruments] == ["hook"]
    assert natives(hook.tissues) == ["Gallbladder"]
    ligament = frames(store, "video55")[1.0].annotations
    assert natives(ligament.tissues) == ["Liver Ligament"] and ligament.instruments == ()


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_has_its_value_and_its_colour(tmp_path, name):
    """The colour mask is read where there is no watershed mask, and says the same."""
    value, color = CLASSES[name]
    write_mask(tmp_path / "watershed.png", np.full(SIZE, value, np.uint8))
    write_image(tmp_path / "color.png", np.full((*SIZE, 3), color, np.uint8))
    one = annotate(File.at(tmp_path / "watershed.png"), None, SIZE)
    other = annotate(None, File.at(tmp_path / "color.png"), SIZE)
    assert one == other
    found = natives([*one[0].tissues, *one[0].instruments])
    assert found == ([] if ("void", name) in ontology.table("cholecseg8k") else [name])


def test_values_and_colours_are_all_different():
    assert len({value for value, _ in CLASSES.values()}) == 13
    assert len({color for _, color in CLASSES.values()}) == 13


@pytest.mark.parametrize("value", [0, 35, 36, 255])
def test_pixels_without_class_are_unlabelled(tmp_path, value):
    mask = np.full(SIZE, value, np.uint8)
    mask[:, :96] = 21
    write_mask(tmp_path / "watershed.png", mask)
    got, dense = annotate(File.at(tmp_path / "watershed.png"), None, SIZE)
    assert natives(got.tissues) == ["Liver"] and got.instruments == ()
    assert np.array_equal(values(dense["tissue_mask"]), class_mask(v2=LEFT))


@pytest.mark.parametrize("value", [0, 255])
def test_lines_between_colours_are_unlabelled(tmp_path, value):
    mask = np.full((*SIZE, 3), value, np.uint8)
    mask[:, :96] = CLASSES["Liver"][1]
    write_image(tmp_path / "color.png", mask)
    _, dense = annotate(None, File.at(tmp_path / "color.png"), SIZE)
    assert np.array_equal(values(dense["tissue_mask"]), class_mask(v2=LEFT))


def test_bad_masks_are_quarantined(tmp_path):
    for frame in range(0, 25 * 80, 25):
        write_seg8k(tmp_path / "raw", 1, frame, class_mask(v21=LEFT))
    write_seg8k(tmp_path / "raw", 1, 0, class_mask(v99=LEFT))
    write_mask(seg8k_path(tmp_path / "raw", 1, 25, "_watershed_mask"), np.zeros((5, 5), np.uint8))
    uneven = np.zeros((*SIZE, 3), np.uint8)
    uneven[..., 0] = 21
    write_image(seg8k_path(tmp_path / "raw", 1, 50, "_watershed_mask"), uneven)
    reasons = [item.reason for item in prepared(CholecSeg8k, tmp_path).quarantined()]
    assert "no class has the value 99" in reasons[0]
    assert "the mask is 5x5" in reasons[1]
    assert "channels of the mask differ" in reasons[2]


def test_an_unknown_colour_is_quarantined(tmp_path):
    for frame in range(0, 25 * 30, 25):
        write_seg8k(tmp_path / "raw", 1, frame)
    strange = np.full((*SIZE, 3), (1, 2, 3), np.uint8)
    write_image(seg8k_path(tmp_path / "raw", 1, 0, "_color_mask"), strange)
    store = prepared(CholecSeg8k, tmp_path)
    (item,) = store.quarantined()
    assert "no class has the colour (1, 2, 3)" in item.reason
    assert store.videos[0].annotations.notes == ("29 of 30 images have no mask",)
    assert frames(store, "video01")[1.0].annotations.tissues is None


def test_strokes_alone_are_no_mask(tmp_path):
    raw = write_seg8k(tmp_path / "raw", 1, 0)
    write_mask(seg8k_path(raw, 1, 0, "_mask"), class_mask(v21=LEFT))
    store = prepared(CholecSeg8k, tmp_path)
    record = frames(store, "video01")[0.0]
    assert record.annotations.tissues is None and record.dense == {}
    assert store.videos[0].annotations.notes == ("1 of 1 images have no mask",)


def test_missing_and_doubled_images_are_noted(tmp_path):
    raw = write_seg8k(tmp_path / "raw", 1, 0, class_mask(v21=LEFT))
    write_seg8k(raw, 1, 0, class_mask(v22=LEFT), clip=80)
    write_mask(seg8k_path(raw, 1, 25, "_watershed_mask"), class_mask(v21=LEFT))
    store = prepared(CholecSeg8k, tmp_path)
    assert store.videos[0].annotations.notes == (
        "1 of 2 masks have no image",
        "1 frames are in two clips and stored once",
    )
    assert natives(frames(store, "video01")[0.0].annotations.tissues) == ["Liver"]


def test_a_video_of_masks_alone_is_reported(tmp_path):
    raw = tmp_path / "raw"
    for frame in range(0, 25 * 30, 25):
        write_seg8k(raw, 1, frame)
    write_mask(seg8k_path(raw, 9, 0, "_watershed_mask"), class_mask(v21=LEFT))
    (item,) = prepared(CholecSeg8k, tmp_path).quarantined()
    assert (item.video, item.reason) == ("video09", "masks are there, the frames are not")


def test_wrong_trees_are_explained(tmp_path):
    write_text(tmp_path / "raw/readme.txt", "")
    with pytest.raises(LayoutError, match="there is no videoNN/videoNN_XXXXX") as caught:
        prepared(CholecSeg8k, tmp_path)
    assert "frame_N_endo_watershed_mask.png" in str(caught.value)
    assert "readme.txt" in str(caught.value)
    write_mask(seg8k_path(tmp_path / "raw", 1, 0, "_watershed_mask"), class_mask(v21=LEFT))
    with pytest.raises(LayoutError, match=r"there is no frame_N_endo\.png"):
        prepared(CholecSeg8k, tmp_path)
    write_image(tmp_path / "raw/video01/video09_00000/frame_0_endo.png", np.zeros((8, 8, 3), "u1"))
    with pytest.raises(LayoutError, match="is of another video than its folder"):
        prepared(CholecSeg8k, tmp_path)


def test_the_records_give_the_tasks_of_the_card(store):
    assert sources.get("cholecseg8k") is CholecSeg8k
    found = {task: conversations(store, task) for task in card_of(CholecSeg8k).tasks}
    assert all(found.values()), {task: len(items) for task, items in found.items()}
    assert conversations(store, "instrument_localization") != []  # frames without any instrument
    assert all(c.answer == [] for c in conversations(store, "instrument_localization"))
