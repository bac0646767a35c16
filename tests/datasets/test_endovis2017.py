"""EndoVis 2017's reader on small trees in the released layout: crop, instances, types, quirks."""

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image
from fixtures_robotic import (
    dense_map,
    ev17_image,
    ev17_mask,
    frames_of,
    natives,
    pack,
    write_ev17_sequence,
)
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.endovis2017.endovis2017 import EndoVis2017
from surgzoo.datasets.endovis2017.labels import TYPES, instrument_of
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.db.ontology import UnmappedLabelError
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

LEFT = "ground_truth/Left_Prograsp_Forceps_labels"
MARYLAND = "ground_truth/Maryland_Bipolar_Forceps_labels"
OTHER = "ground_truth/Other_labels"
RIGHT = "ground_truth/Right_Prograsp_Forceps_labels"
TRAINING = "instrument_1_4_training"


def write_training(raw, number=1, frames=2, **changes):
    """Frame 0 with three instruments and another thing below one of them; then nothing."""
    empty = {k: ev17_mask() for k in range(1, frames)}
    masks = {
        LEFT: {0: ev17_mask((0, 0, 320, 512, 10), (0, 0, 320, 256, 30)), **empty},
        MARYLAND: {0: ev17_mask((960, 512, 320, 512, 20), channels=3), **empty},
        OTHER: {0: ev17_mask((960, 256, 320, 512, 40)), **empty},
        RIGHT: {0: ev17_mask((640, 0, 160, 128, 10)), **empty},
        **changes,
    }
    images = {k: ev17_image(k) for k in range(frames)}
    return write_ev17_sequence(raw / TRAINING / f"instrument_dataset_{number}", images, masks)


def write_test(raw, number, types, below="gt/TypeSegmentation"):
    write_ev17_sequence(
        raw / "instrument_1_4_testing" / f"instrument_dataset_{number}",
        {225: ev17_image(225), 226: ev17_image(226)},
        {},
    )
    labels = raw / "instrument_2017_test" / "instrument_2017_test"
    write_ev17_sequence(labels / f"instrument_dataset_{number}", {}, {below: types})


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ev17")
    write_training(folder / "raw")
    write_test(folder / "raw", 1, {225: ev17_mask((0, 0, 320, 512, 3), (640, 0, 64, 64, 7))})
    write_test(folder / "raw", 9, {}, below="gt/PartsSegmentation")
    return prepared(EndoVis2017, folder)


def test_the_picture_is_cut_out_of_its_black_frame(built):
    for stored in built.videos:
        assert (stored.video.height, stored.video.width) == (1024, 1280)
        for record in built.records(stored):
            image = simplejpeg.decode_jpeg(record.image)
            assert image.shape == (1024, 1280, 3)
            assert read_number(image) == record.frame.time * 2
            assert image[:, -1].min() > 20  # the frame's right border is not in it


def test_folders_are_instruments_with_masks_boxes_and_tracks(built):
    first, second = frames_of(built, "seq_1")
    found = first.annotations.instruments
    assert natives(found) == (
        "Prograsp Forceps",
        "Bipolar Forceps",
        "Other",
        "Prograsp Forceps",
    )
    assert [i.label.concept for i in found] == [
        "prograsp_forceps",
        "bipolar_forceps",
        "other_instrument",
        "prograsp_forceps",
    ]
    assert [i.box for i in found] == [
        Box(0, 0, 0.25, 0.5),
        Box(0.75, 0.5, 1, 1),
        None,  # may be several things
        Box(0.5, 0, 0.625, 0.125),
    ]
    assert [(i.mask, i.track) for i in found] == [(1, 1), (2, 2), (3, None), (4, 4)]
    assert first.annotations.derived == {"instruments.box": "the box around the mask"}
    mask = dense_map(first, "instrument_mask")
    assert mask.shape == (1024, 1280)
    assert (mask[:512, :320] == 1).all() and (mask[:128, 640:800] == 4).all()
    assert (mask[512:, 960:] == 2).all()  # over the other thing that reaches below it
    assert (mask[256:512, 960:] == 3).all() and np.count_nonzero(mask == 3) == 256 * 320
    assert second.annotations.instruments == ()
    assert not dense_map(second, "instrument_mask").any()
    assert built.quarantined() == ()


def test_test_sequences_have_types_without_boxes(built):
    first, second = frames_of(built, "test_seq_1")
    assert [record.frame.time for record in (first, second)] == [112.5, 113.0]
    assert natives(first.annotations.instruments) == ("Large Needle Driver", "Other")
    assert [(i.box, i.mask, i.track) for i in first.annotations.instruments] == [
        (None, 3, None),
        (None, 7, None),
    ]
    mask = dense_map(first, "instrument_mask")
    assert (mask[:512, :320] == 3).all() and (mask[:64, 640:704] == 7).all()
    assert second.annotations.instruments is None and second.dense == {}
    assert built.video("test_seq_1").annotations.notes == ("1 of 2 images have no type mask",)
    assert [r.annotations.instruments for r in frames_of(built, "seq_9")] == [None, None]
    assert built.video("seq_9").annotations.notes == ("2 of 2 images have no type mask",)


def test_the_videos_say_what_they_are(built):
    videos = {stored.video.id: stored.video for stored in built.videos}
    assert list(videos) == ["seq_1", "seq_9", "test_seq_1"]
    assert videos["seq_1"].splits == {
        "official": "train",
        "fold0": "val",
        "fold1": "train",
        "fold2": "train",
        "fold3": "train",
        "default": "train",
    }
    for name in ("test_seq_1", "seq_9"):
        assert videos[name].splits == {"official": "test", "default": "test"}
    assert videos["seq_1"].canonical == videos["test_seq_1"].canonical == "endovis2017/seq_1"
    assert videos["seq_9"].canonical == "endovis2017/seq_9"
    video = videos["seq_1"]
    assert (video.specialty, video.procedure) == ("training", "porcine_abdominal_surgery")
    assert (video.fps, video.duration) == (2.0, 1.0)


def test_the_records_give_the_tasks_of_the_card(built):
    assert promised("endovis2017") <= given(built, "fps2")


# ---- quirks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "native"),
    [
        ("Left_Prograsp_Forceps_labels", "Prograsp Forceps"),
        ("Prograsp_Forceps", "Prograsp Forceps"),
        ("Maryland_Bipolar_Forceps_labels", "Bipolar Forceps"),
        ("Left_Bipolar_Forceps", "Bipolar Forceps"),
        ("Large_Needle_Driver_Left_labels", "Large Needle Driver"),
        ("Right_Vessel_Sealer", "Vessel Sealer"),
        ("Left_Grasping_Retractor_labels", "Grasping Retractor"),
        ("Monopolar_Curved_Scissors_labels", "Monopolar Curved Scissors"),
        ("Other_labels", "Other"),
    ],
)
def test_names_of_folders_differ_from_sequence_to_sequence(folder, native):
    assert instrument_of(folder).native == native


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("Stapler_labels", "'Stapler_labels' of ground_truth names no instrument; known: Bipolar"),
        ("Vessel_Sealer_and_Other", "names Vessel Sealer and Other"),
    ],
)
def test_a_folder_of_no_known_instrument_stops_the_build(tmp_path, folder, message):
    write_training(tmp_path / "raw", **{f"ground_truth/{folder}": {0: ev17_mask()}})
    with pytest.raises(UnmappedLabelError, match=message):
        prepared(EndoVis2017, tmp_path)


def test_images_that_are_cut_already_stay_whole(tmp_path):
    mask = np.zeros((64, 192), np.uint8)
    mask[:32, :48] = 10
    write_ev17_sequence(
        tmp_path / "raw" / TRAINING / "instrument_dataset_7",
        {0: numbered_image(0)},
        {"ground_truth/Left_Bipolar_Forceps": {0: mask}},
    )
    store = prepared(EndoVis2017, tmp_path)
    assert (store.videos[0].video.height, store.videos[0].video.width) == (64, 192)
    (record,) = frames_of(store, "seq_7")
    assert record.annotations.instruments[0].box == Box(0, 0, 0.25, 0.5)


def test_types_may_be_stored_times_32(tmp_path):
    write_test(tmp_path / "raw", 2, {225: ev17_mask((0, 0, 320, 512, 6 * 32))}, "TypeSegmentation")
    record, _ = frames_of(prepared(EndoVis2017, tmp_path), "test_seq_2")
    assert natives(record.annotations.instruments) == ("Monopolar Curved Scissors",)
    assert (dense_map(record, "instrument_mask")[:512, :320] == 6).all()


def test_maps_made_for_looking_at_are_not_read_beside_the_types(tmp_path):
    """gt/ may hold TypeSegmentationRescaled too, of which no type is to be told for sure."""
    raw = tmp_path / "raw"
    write_test(raw, 2, {225: ev17_mask((0, 0, 320, 512, 6))})
    write_test(raw, 2, {225: ev17_mask((0, 0, 320, 512, 64))}, "gt/TypeSegmentationRescaled")
    record, _ = frames_of(prepared(EndoVis2017, tmp_path), "test_seq_2")
    assert natives(record.annotations.instruments) == ("Monopolar Curved Scissors",)


def one_bad_frame(tmp_path, **changes):
    """Where and why of the one of 30 frames that is quarantined."""
    small = np.zeros((64, 192), np.uint8)
    masks = {LEFT: dict.fromkeys(range(30), small), OTHER: dict.fromkeys(range(30), small)}
    for folder, frames in changes.items():
        masks[folder] = {k: m for k, m in (masks[folder] | frames).items() if m is not None}
    images = {k: numbered_image(k) for k in range(30)}
    write_ev17_sequence(tmp_path / "raw" / TRAINING / "instrument_dataset_2", images, masks)
    store = prepared(EndoVis2017, tmp_path)
    assert len(frames_of(store, "seq_2")) == 29
    (bad,) = store.quarantined()
    assert bad.where == f"{TRAINING}/instrument_dataset_2/left_frames/frame003.png"
    return bad.reason


def test_a_frame_that_lacks_a_mask_is_quarantined(tmp_path):
    assert "no mask in Other_labels" in one_bad_frame(tmp_path, **{OTHER: {3: None}})


def test_a_photograph_in_place_of_a_mask_is_quarantined(tmp_path):
    photograph = np.arange(64 * 192, dtype=np.uint8).reshape(64, 192)
    assert "more than 16 values" in one_bad_frame(tmp_path, **{LEFT: {3: photograph}})


def test_a_mask_of_another_size_is_quarantined(tmp_path):
    reason = one_bad_frame(tmp_path, **{LEFT: {3: np.zeros((8, 9), np.uint8)}})
    assert "the mask is 9x8, the image 192x64" in reason


@pytest.mark.parametrize("value", [8, 33])
def test_a_type_that_is_none_is_quarantined(tmp_path, value):
    raw = tmp_path / "raw"
    small = np.zeros((64, 192), np.uint8)
    folder = raw / "testing" / "instrument_dataset_3"
    masks = {k: small for k in range(30)} | {3: np.full((64, 192), value, np.uint8)}
    images = {k: numbered_image(k) for k in range(30)}
    write_ev17_sequence(folder, images, {"gt/TypeSegmentation": masks})
    store = prepared(EndoVis2017, tmp_path)
    assert [item.reason.partition(": ")[2] for item in store.quarantined()] == [
        f"no class has the value {value}"
    ]


def test_training_images_without_masks_are_an_error_and_masks_without_images_lost(tmp_path):
    raw = tmp_path / "raw"
    write_ev17_sequence(raw / TRAINING / "instrument_dataset_1", {}, {LEFT: {0: ev17_mask()}})
    with pytest.raises(ValueError, match="seq_1: masks are there, left_frames is not"):
        prepared(EndoVis2017, tmp_path)
    write_ev17_sequence(raw / TRAINING / "instrument_dataset_2", {0: numbered_image(0)}, {})
    with pytest.raises(LayoutError, match="ground_truth is missing of seq_2"):
        prepared(EndoVis2017, tmp_path)


def test_one_sequence_in_two_places_is_an_error(tmp_path):
    for folder in ("a", "b"):
        write_ev17_sequence(
            tmp_path / "raw" / folder / "instrument_dataset_1", {0: numbered_image(0)}, {}
        )
    with pytest.raises(LayoutError, match="are of the same frame"):
        prepared(EndoVis2017, tmp_path)


def test_zip_files_are_read_in_place(tmp_path):
    small = np.zeros((64, 192), np.uint8)
    small[:, :96] = 10
    write_ev17_sequence(
        tmp_path / "raw" / TRAINING / "instrument_dataset_1",
        {0: numbered_image(5)},
        {LEFT: {0: small}},
    )
    folder = tmp_path / "raw" / TRAINING
    pack(folder, tmp_path / "raw" / f"{TRAINING}.zip", TRAINING)
    (record,) = frames_of(prepared(EndoVis2017, tmp_path), "seq_1")
    assert read_number(simplejpeg.decode_jpeg(record.image)) == 5
    assert record.annotations.instruments[0].box == Box(0, 0, 0.5, 1)


def test_an_image_that_is_smaller_than_the_others_is_quarantined(tmp_path):
    raw = tmp_path / "raw"
    write_ev17_sequence(
        raw / "testing" / "instrument_dataset_9",
        {k: ev17_image(k) if k != 1 else numbered_image(1) for k in range(21)},
        {},
    )
    store = prepared(EndoVis2017, tmp_path)
    (bad,) = store.quarantined()
    assert bad.where.endswith("frame001.png")
    assert "ends within the part that is cut out" in bad.reason


def test_another_folder_shows_what_is_expected(tmp_path):
    write_image(tmp_path / "raw" / "videos" / "a.png", numbered_image(0))
    with pytest.raises(LayoutError, match=r"no folder instrument_dataset_N\n(.*\n)*.*left_frames/"):
        prepared(EndoVis2017, tmp_path)
    with pytest.raises(ValueError, match=r"endovissub2017.*--manual_dir"):
        prepare(EndoVis2017, tmp_path)


def test_the_types_are_in_the_order_of_their_ids():
    assert TYPES == (
        "Bipolar Forceps",
        "Prograsp Forceps",
        "Large Needle Driver",
        "Vessel Sealer",
        "Grasping Retractor",
        "Monopolar Curved Scissors",
        "Other",
    )


def test_the_registry_finds_the_builder():
    assert sources.get("endovis2017") is EndoVis2017
