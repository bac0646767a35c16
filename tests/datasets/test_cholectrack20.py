"""CholecTrack20's reader on small trees in the released layout."""

import json

import pytest
import simplejpeg
from fixtures_camma import (
    SIZE,
    conversations,
    frames,
    natives,
    track_json,
    track_record,
    write_cholectrack20,
)
from fixtures_cholec import (
    HEIGHT,
    WIDTH,
    numbered_image,
    read_number,
    write_image,
    write_text,
    write_video,
)
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError
from surgzoo.datasets.cholectrack20.cholectrack20 import MIXED_UP_NOTE, CholecTrack20
from surgzoo.datasets.cholectrack20.labels import read_labels
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.source_cards import card_of
from surgzoo.db.sources import sources

QUARTER = (0.25, 0.25, 0.25, 0.5)
GRASP, HOOK = 17, 60  # grasper,retract,gallbladder; hook,dissect,gallbladder
GRASPER = track_record(
    0, QUARTER, 1, operator=1, intraoperative_track=4, triplet=GRASP, verb=1, target=0
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cholectrack20")
    raw = folder / "raw"
    hook = track_record(
        2, (0.5, 0.125, 0.25, 0.5), 1, operator=3, triplet=HOOK, smoke=1, occluded=-1
    )
    labelled = {1: [GRASPER], 26: [GRASPER, hook], 51: [], 1501: [track_record(5, QUARTER, 5)]}
    images = {n: numbered_image(n) for n in (1, 26, 51, 76, 1501)}
    write_cholectrack20(raw, "Training", 96, labelled, images)
    write_cholectrack20(raw, "Validation", 110, {n: [track_record(6, QUARTER)] for n in (1, 26)})
    # The test split of the release has videos and no frames.
    seen = {n: [track_record(2, QUARTER, 3)] for n in (1, 51, 60)}
    write_cholectrack20(raw, "Testing", 1, seen, images={})
    write_video(raw / "Testing/VID01/VID01.mp4", 76)
    return prepared(CholecTrack20, folder)


def annotate(tmp_path, records, size=SIZE, **changes):
    """The annotations that frame 7 gets."""
    path = tmp_path / "VID06.json"
    path.write_text(json.dumps(track_json(6, {7: records}, **changes)))
    return read_labels(File.at(path)).annotate(7, size)


def test_frames_are_counted_from_one_at_25_fps(store):
    got = frames(store, "VID96")
    assert list(got) == [0.0, 1.0, 2.0, 3.0, 60.0]
    for time, record in got.items():
        assert read_number(simplejpeg.decode_jpeg(record.image)) == 25 * time + 1
    assert store.quarantined() == ()


def test_a_test_video_is_decoded_at_full_seconds(store):
    """Frame n of the labels is frame n - 1 of the file."""
    got = frames(store, "VID01")
    assert list(got) == [0.0, 1.0, 2.0, 3.0]
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got.values()] == [0, 25, 50, 75]
    assert [r.annotations.instruments is not None for r in got.values()] == [
        True,
        False,
        True,
        False,
    ]
    assert store.video("VID01").annotations.notes == (
        "1 of 3 annotated frames are at no full second",
    )


def test_the_video_says_what_it_is(store):
    video = store.video("VID96").video
    assert (video.canonical, video.procedure) == ("camma/VID96", "cholecystectomy")
    assert (video.height, video.width, video.duration) == (HEIGHT, WIDTH, 61.0)
    assert video.splits == {"official": "train", "default": "train"}
    assert store.video("VID01").video.canonical == "cholec80/video01"
    assert store.video("VID01").video.splits["default"] == "test"
    assert store.video("VID110").video.splits["default"] == "val"
    assert store.video("VID96").annotations.notes == ("1 of 5 images have no annotation",)


def test_instruments_with_box_operator_and_track(store):
    grasper, hook = frames(store, "VID96")[1.0].annotations.instruments
    assert (grasper.label.concept, grasper.box) == ("grasper", Box(0.25, 0.25, 0.5, 0.75))
    assert (grasper.operator, grasper.track) == ("main_surgeon_left_hand", 4)
    assert (hook.label.concept, hook.box) == ("hook", Box(0.5, 0.125, 0.75, 0.625))
    assert (hook.operator, hook.track) == ("main_surgeon_right_hand", None)
    assert natives(frames(store, "VID110")[0.0].annotations.instruments) == ["specimen-bag"]


def test_annotated_and_empty_is_not_the_same_as_not_annotated(store):
    got = frames(store, "VID96")
    assert (got[2.0].annotations.instruments, got[2.0].annotations.triplets) == ((), ())
    assert (got[3.0].annotations.instruments, got[3.0].annotations.phase) == (None, None)


def test_triplets_where_they_were_annotated(store):
    triplets = frames(store, "VID96")[1.0].annotations.triplets
    assert [(t.instrument.native, t.verb.native, t.target.native) for t in triplets] == [
        ("grasper", "retract", "gallbladder"),
        ("hook", "dissect", "gallbladder"),
    ]
    assert triplets[0].instrument_box == Box(0.25, 0.25, 0.5, 0.75)
    # One instrument without its triplet makes the list incomplete; a video without any has none.
    assert frames(store, "VID96")[60.0].annotations.triplets is None
    assert frames(store, "VID110")[0.0].annotations.triplets is None


def test_phases_and_their_segments(store):
    assert frames(store, "VID96")[0.0].annotations.phase.native == "calotTriangleDissection"
    segments = store.video("VID96").annotations.segments
    assert [(s.label.concept, s.start, s.end) for s in segments] == [
        ("calot_triangle_dissection", 0.0, 2.0),
        ("cleaning_and_coagulation", 60.0, 61.0),
    ]


def test_flags_of_any_instrument(store):
    flags = frames(store, "VID96")[1.0].annotations.flags
    assert flags["smoke"] == 1.0 and flags["stained_lens"] == 0.0
    # -1 is no label: the grasper's 0 is what is known.
    assert flags["occluded"] == 0.0
    assert "flags.smoke" in frames(store, "VID96")[1.0].annotations.derived


def test_minus_one_and_minus_two_are_no_labels(tmp_path):
    got = annotate(tmp_path, [track_record(0, (-1, -1, -1, -1), -1, **{"bleeding": -1})])
    assert (got.instruments[0].box, got.instruments[0].operator, got.phase) == (None, None, None)
    assert got.triplets is None and "bleeding" not in got.flags
    got = annotate(tmp_path, [GRASPER, track_record(6, QUARTER, 1, triplet=-2, verb=1, target=0)])
    assert got.triplets is None and len(got.instruments) == 2
    assert annotate(tmp_path, [track_record(-1, QUARTER)]).instruments is None
    assert (
        annotate(tmp_path, [track_record(0, QUARTER, operator=0)]).instruments[0].operator is None
    )


def test_the_readmes_names_and_pixels_are_read_too(tmp_path):
    record = track_record(0, (0, 0, 0, 0))
    for old, new in (
        ("instrument", "category"),
        ("intraoperative_track", "intraoperative_track_id"),
    ):
        record[new] = record.pop(old)
    record |= {"tool_bbox": [48.0, 16.0, 96.0, 32.0], "category": 3, "intraoperative_track_id": 7}
    (got,) = annotate(tmp_path, [record]).instruments
    assert (got.label.native, got.track) == ("scissors", 7)
    assert got.box == Box(0.25, 0.25, 0.75, 0.75)
    # As the README has it: the frames at the top of the file, no categories.
    path = tmp_path / "VID06.json"
    path.write_text(json.dumps({"7": [record | {"operator": 2}]}))
    (got,) = read_labels(File.at(path)).annotate(7, SIZE).instruments
    assert (got.label.native, got.operator) == ("scissors", "assistant_right_hand")


def test_boxes_that_cross_the_border_are_cut(tmp_path):
    (got,) = annotate(tmp_path, [track_record(0, (-0.25, 0.75, 0.5, 0.5))]).instruments
    assert got.box == Box(0.0, 0.75, 0.25, 1.0)
    with pytest.raises(FrameError, match="box"):
        annotate(tmp_path, [track_record(0, (1.1, 0.5, 0.2, 0.2))])


def test_ids_are_read_through_the_files_own_categories(tmp_path):
    tools = {str(n): name for n, name in enumerate(("hook", "grasper"))}
    operators = {"0": "null", "1": "main-surgeon-right-hand"}
    got = annotate(
        tmp_path,
        [track_record(0, QUARTER, operator=1)],
        categories={"tools": tools, "operators": operators},
    )
    assert natives(got.instruments) == ["hook"]
    assert got.instruments[0].operator == "main_surgeon_right_hand"
    with pytest.raises(ontology.UnmappedLabelError, match=r"VID06\.json \(categories\).*'spoon'"):
        annotate(tmp_path, [], categories={"tools": {"0": "spoon"}})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (track_record(9, QUARTER), "there is no instrument 9"),
        (track_record(0, QUARTER, operator=5), "there is no operator 5"),
        (
            track_record(0, QUARTER, triplet=HOOK),
            "triplet hook,dissect,gallbladder of the instrument",
        ),
        (track_record(2, QUARTER, triplet=HOOK, verb=0), "of the verb grasp"),
        (track_record(0, (0.5, 0.5, 0, 0.2)), "empty or inverted"),
    ],
)
def test_a_record_that_contradicts_itself_is_an_error(tmp_path, record, message):
    with pytest.raises(FrameError, match=message):
        annotate(tmp_path, [record])


def test_two_phases_in_one_frame_are_an_error(tmp_path):
    with pytest.raises(FrameError, match="two phases in one frame: calot"):
        annotate(tmp_path, [track_record(0, QUARTER, 1), track_record(0, QUARTER, 2)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": {"0": []}}, "the key '0' is not a frame number from 1 on"),
        ({"annotations": {"frame": []}}, "the key 'frame' is not a frame number"),
        ({"annotations": {"7": [], "07": []}}, "frame 7 is given twice"),
        ({"annotations": {"7": [{"instrument": 1}]}}, "needs instrument and tool_bbox"),
        ({"annotations": {"7": [track_record(0, (1, 2, 3))]}}, "3 numbers, not 4"),
        ({"annotations": {"7": [track_record(0, QUARTER, smoke=2)]}}, "2 is not 0, 1 or -1"),
        ({"annotations": {}}, "annotates no frame"),
        ({"video": {"name": "patient"}}, "'patient' is not VIDNN"),
        ({"categories": {"tools": [{"id": 0, "name": "hook"}] * 2}}, "the id 0 is given twice"),
    ],
)
def test_a_wrong_label_file_is_named(tmp_path, change, message):
    path = tmp_path / "VID06.json"
    path.write_text(json.dumps(track_json(6, {7: []}) | change))
    with pytest.raises(AnnotationFileError, match=rf"VID06\.json.*{message}"):
        read_labels(File.at(path))


@pytest.mark.parametrize(("number", "split"), [(30, "Validation"), (31, "Training")])
def test_the_label_files_of_two_videos_are_of_other_videos(tmp_path, number, split):
    annotations = {n: [track_record(0, QUARTER)] for n in (1, 26)}
    images = {n: numbered_image(n) for n in (1, 51)}
    raw = write_cholectrack20(tmp_path / "raw", split, number, annotations, images)
    store = prepared(CholecTrack20, tmp_path)
    (stored,) = store.videos
    assert stored.annotations.notes == (MIXED_UP_NOTE,) and stored.annotations.segments == ()
    assert [r.annotations.instruments for r in store.records(stored)] == [None, None]
    # A corrected release, in which every annotated frame has its image, is read.
    write_cholectrack20(raw, split, number, annotations)
    store = prepared(CholecTrack20, tmp_path, overwrite=True)
    assert natives(frames(store, f"VID{number}")[0.0].annotations.instruments) == ["grasper"]


def test_another_video_that_lacks_images_keeps_its_labels(tmp_path):
    annotations = {n: [track_record(0, QUARTER)] for n in (1, 26)}
    write_cholectrack20(tmp_path / "raw", "Training", 2, annotations, {1: numbered_image(1)})
    store = prepared(CholecTrack20, tmp_path)
    assert store.videos[0].annotations.notes == ("1 of 2 annotated frames have no image",)
    assert len(frames(store, "VID02")[0.0].annotations.instruments) == 1


def test_bad_frames_and_lost_videos_are_quarantined(tmp_path):
    annotations = {1 + 25 * n: [track_record(0, QUARTER)] for n in range(60)}
    annotations[26] = [track_record(0, QUARTER, triplet=HOOK)]
    raw = write_cholectrack20(tmp_path / "raw", "Training", 2, annotations)
    write_cholectrack20(raw, "Training", 4, {1: []}, images={})
    frame, video = prepared(CholecTrack20, tmp_path).quarantined()
    assert frame.where == "Training/VID02/Frames/000026.png"
    assert "of the instrument grasper" in frame.reason
    assert (video.video, video.where) == ("VID04", "Training/VID04")


def test_wrong_trees_are_explained(tmp_path):
    raw = tmp_path / "raw"
    write_text(raw / "train/VID02/VID02.json", "{}")
    with pytest.raises(LayoutError, match="there is no Training") as caught:
        prepared(CholecTrack20, tmp_path)
    assert "VIDNN/Frames/000001.png" in str(caught.value) and "train/" in str(caught.value)
    write_cholectrack20(raw, "Testing", 2, {1: []})
    with pytest.raises(LayoutError, match="video 2 is in the test folder"):
        prepared(CholecTrack20, tmp_path)
    write_image(raw / "Training/VID02/Frames/000001.png", numbered_image(1))
    with pytest.raises(LayoutError, match=r"video 2 is in (?:train and in test|test and in train)"):
        prepared(CholecTrack20, tmp_path)


def test_missing_and_foreign_label_files_are_errors(tmp_path):
    raw = tmp_path / "raw"
    write_cholectrack20(raw, "Training", 2, {1: []}, video={"name": "VID04"})
    with pytest.raises(AnnotationFileError, match="says that it is of video 4"):
        prepared(CholecTrack20, tmp_path)
    (raw / "Training/VID02/vid02.json").unlink()
    with pytest.raises(LayoutError, match=r"VID02\.json is missing"):
        prepared(CholecTrack20, tmp_path)
    write_cholectrack20(raw, "Training", 2, {1: []}, {0: numbered_image(0)})
    with pytest.raises(LayoutError, match=r"000000\.png is not the only image of a frame from 1"):
        prepared(CholecTrack20, tmp_path)


def test_the_records_give_the_tasks_of_the_card(store):
    assert sources.get("cholectrack20") is CholecTrack20
    found = {task: conversations(store, task) for task in card_of(CholecTrack20).tasks}
    assert all(found.values()), {task: len(items) for task, items in found.items()}
    assert found["triplet_recognition"][1].answer == [
        ["grasper", "retract", "gallbladder"],
        ["hook", "dissect", "gallbladder"],
    ]
