"""CholecT50's reader on small trees in the released layout: vectors, boxes, sparse frames."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import (
    HEIGHT,
    NO_BOX,
    PHASES,
    WIDTH,
    categories,
    label_json,
    numbered_image,
    read_number,
    vector,
    write_cholect50,
)
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError
from surgzoo.datasets.cholect50.cholect50 import CholecT50
from surgzoo.datasets.cholect50.labels import check_mapping, read_labels
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db import splits as official
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

SIZE = (HEIGHT, WIDTH)
GRASP = 17  # grasper,retract,gallbladder
HOOK = 60  # hook,dissect,gallbladder
BOX = (0.25, 0.25, 0.25, 0.5)
OTHER_BOX = (0.5, 0.125, 0.25, 0.5)


def annotate(tmp_path, vectors, **changes):
    """The annotations that one frame with these vectors gets."""
    path = tmp_path / "VID01.json"
    path.write_text(json.dumps(label_json(1, {7: vectors}, **changes)))
    return read_labels(File.at(path)).annotate(7, SIZE)


def triplet_names(annotations):
    return [(t.instrument.native, t.verb.native, t.target.native) for t in annotations.triplets]


def instrument_names(annotations):
    return [instrument.label.native for instrument in annotations.instruments]


# ---- the full release: every second, no boxes ----------------------------------------------------


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cholect50")
    frames = {0: [vector(-1, 0)], 1: [vector(GRASP, 0)]}
    frames |= {2: [vector(GRASP, 1), vector(HOOK, 1)], 3: [vector(GRASP, 1), vector(GRASP, 1)]}
    black = {number: numbered_image(number) for number in frames} | {0: np.zeros((*SIZE, 3), "u1")}
    write_cholect50(folder / "raw", 1, frames, black)
    write_cholect50(folder / "raw", 92, {number: [vector(HOOK, 6)] for number in range(3)})
    write_cholect50(folder / "raw", 111, {number: [vector(-1, -1)] for number in range(2)})
    return prepared(CholecT50, folder, workers=2)


def test_every_frame_is_stored_with_its_second(full):
    assert [(v.video.id, v.first, v.count) for v in full.videos] == [
        ("VID01", 0, 4),
        ("VID92", 4, 3),
        ("VID111", 7, 2),
    ]
    for stored in full.videos:
        for k, record in enumerate(full.records(stored)):
            assert (record.frame.index, record.frame.time) == (k, float(k))
            assert read_number(simplejpeg.decode_jpeg(record.image)) == k
    assert full.quarantined() == ()


def test_the_video_says_what_it_is(full):
    video = full.video("VID01").video
    assert (video.canonical, video.specialty) == ("cholec80/video01", "hepatobiliary")
    assert (video.height, video.width, video.fps, video.duration) == (HEIGHT, WIDTH, 1.0, 4.0)
    assert video.splits["default"] == video.splits["rdv"] == "train"
    assert full.video("VID92").video.canonical == "camma/VID92"
    assert full.video("VID111").video.splits["challenge"] == "test"
    assert full.video("VID01").annotations.notes == ()


def test_triplets_phases_and_instruments_without_boxes(full):
    none, one, two, twice = (record.annotations for record in full.records(full.video("VID01")))
    assert (none.phase.concept, none.triplets, none.instruments) == ("preparation", (), ())
    assert triplet_names(one) == [("grasper", "retract", "gallbladder")]
    assert one.triplets[0].instrument_box is None and one.instruments[0].box is None
    assert instrument_names(two) == ["grasper", "hook"]
    assert two.phase.concept == "calot_triangle_dissection"
    assert two.phase.native == "carlot-triangle-dissection"
    # Without boxes two equal vectors cannot be told apart.
    assert triplet_names(twice) == [("grasper", "retract", "gallbladder")]
    assert instrument_names(twice) == ["grasper"]
    assert twice.derived == {"instruments": "instruments of the action triplets"}


def test_black_frames_are_flagged_out_of_body(full):
    flags = [record.annotations.flags for record in full.records(full.video("VID01"))]
    assert flags == [{"out_of_body": 1.0}, {}, {}, {}]
    derived = full.frame("VID01", 0).annotations.derived
    assert derived["flags.out_of_body"] == "the image is black"


def test_phase_segments(full):
    first, second = full.video("VID01").annotations.segments
    assert (first.label.concept, first.start, first.end) == ("preparation", 0.0, 2.0)
    assert (second.label.concept, second.start, second.end) == (
        "calot_triangle_dissection",
        2.0,
        4.0,
    )
    (last,) = full.video("VID92").annotations.segments
    assert last.label.concept == "gallbladder_retraction"
    assert last.label.native == "gallbladder-extraction"
    assert full.video("VID111").annotations.segments == ()


# ---- the challenge files: sparse frames, boxes ---------------------------------------------------


def test_sparse_frames_keep_their_seconds(tmp_path):
    annotated = {second: [vector(HOOK, 1, BOX)] for second in (6, 19, 32, 33, 80)}
    images = {second: numbered_image(second) for second in (6, 33, 40)}
    write_cholect50(tmp_path / "raw", 74, annotated, images)
    store = prepared(CholecT50, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [(r.frame.index, r.frame.time) for r in got] == [(0, 6.0), (1, 33.0), (2, 40.0)]
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [6, 33, 40]
    assert [r.annotations.triplets is None for r in got] == [False, False, True]
    assert got[2].annotations.phase is None and got[2].annotations.instruments is None
    assert store.quarantined() == ()
    annotations = store.videos[0].annotations
    assert annotations.notes == (
        "3 of 5 annotated frames have no image",
        "1 of 3 images have no annotation",
        "sparse labels: phase segments bridge gaps of up to 30 s",
    )
    assert [(s.start, s.end) for s in annotations.segments] == [(6.0, 34.0), (80.0, 81.0)]
    assert store.videos[0].video.duration == 81.0


def test_boxes_are_fractions_from_the_top_left(tmp_path):
    got = annotate(tmp_path, [vector(HOOK, 3, BOX)])
    assert got.triplets[0].instrument_box == Box(0.25, 0.25, 0.5, 0.75)
    assert got.instruments[0].box == Box(0.25, 0.25, 0.5, 0.75)
    assert got.triplets[0].target_box is None


def test_boxes_in_pixels_are_tolerated(tmp_path):
    pixels = (0.25 * WIDTH, 0.25 * HEIGHT, 0.25 * WIDTH, 0.5 * HEIGHT)
    got = annotate(tmp_path, [vector(HOOK, 3, pixels)])
    assert got.instruments[0].box == Box(0.25, 0.25, 0.5, 0.75)


def test_target_boxes_are_read(tmp_path):
    one = vector(HOOK, 3, BOX)
    one[10:14] = OTHER_BOX
    assert annotate(tmp_path, [one]).triplets[0].target_box == Box(0.5, 0.125, 0.75, 0.625)


def test_a_slight_overshoot_is_cut_and_a_large_one_is_not(tmp_path):
    got = annotate(tmp_path, [vector(HOOK, 3, (0.75, 0.5, 0.2615, 0.25))])
    assert got.instruments[0].box == Box(0.75, 0.5, 1.0, 0.75)
    for bad in ((0.75, 0.5, 0.35, 0.25), (0.5, 0.5, 0.0, 0.1), (100.0, 10.0, 120.0, 20.0)):
        with pytest.raises(FrameError, match="box"):
            annotate(tmp_path, [vector(HOOK, 3, bad)])


def test_one_triplet_twice_with_two_boxes_is_two_instances(tmp_path):
    got = annotate(tmp_path, [vector(GRASP, 3, BOX), vector(GRASP, 3, OTHER_BOX)])
    assert len(got.triplets) == 2
    assert [i.box.x1 for i in got.instruments] == [0.25, 0.5]


def test_one_instrument_in_two_triplets_is_one_instrument(tmp_path):
    got = annotate(tmp_path, [vector(60, 3, BOX), vector(59, 3, BOX)])
    assert len(got.triplets) == 2 and instrument_names(got) == ["hook"]


def test_a_class_without_box_beside_its_boxed_instance_adds_nothing(tmp_path):
    got = annotate(tmp_path, [vector(HOOK, 3, BOX), vector(59, 3), vector(GRASP, 3)])
    assert instrument_names(got) == ["hook", "grasper"]
    assert [i.box is None for i in got.instruments] == [False, True]


# ---- -1 ------------------------------------------------------------------------------------------


def test_no_triplet_but_a_phase(tmp_path):
    got = annotate(tmp_path, [vector(-1, 5)])
    assert (got.triplets, got.instruments) == ((), ())
    assert got.phase.concept == "cleaning_and_coagulation"


def test_an_instrument_without_triplet_is_still_in_view(tmp_path):
    got = annotate(tmp_path, [vector(-1, 5, BOX, instrument=5)])
    assert got.triplets == () and instrument_names(got) == ["irrigator"]
    assert got.instruments[0].box is not None


def test_components_of_minus_one_follow_from_the_triplet(tmp_path):
    got = annotate(tmp_path, [vector(HOOK, 5, instrument=-1, verb=-1, target=-1)])
    assert triplet_names(got) == [("hook", "dissect", "gallbladder")]
    assert instrument_names(got) == ["hook"]


def test_a_component_that_contradicts_its_triplet_is_an_error(tmp_path):
    with pytest.raises(FrameError, match="hook,dissect,gallbladder with component grasper"):
        annotate(tmp_path, [vector(HOOK, 5, instrument=0)])


def test_no_phase_and_two_phases(tmp_path):
    assert annotate(tmp_path, [vector(HOOK, -1)]).phase is None
    assert annotate(tmp_path, [vector(HOOK, -1), vector(GRASP, 2)]).phase.native == PHASES[2]
    with pytest.raises(FrameError, match="two phases in one frame: clipping"):
        annotate(tmp_path, [vector(HOOK, 3), vector(GRASP, 2)])


def test_vectors_that_lack_a_triplet_are_counted(tmp_path):
    frames = {0: [vector(-1, 5, instrument=5)], 1: [vector(HOOK, 5)]}
    write_cholect50(tmp_path / "raw", 1, frames)
    store = prepared(CholecT50, tmp_path)
    assert store.videos[0].annotations.notes == ("1 of 2 vectors have components but no triplet",)


def test_bad_frames_are_quarantined_and_the_clock_goes_on(tmp_path):
    frames = {second: [vector(GRASP, 0)] for second in range(60)}
    frames[2] = [vector(HOOK, 0, instrument=0)]
    images = {second: numbered_image(second) for second in frames} | {4: b"\x89PNG torn"}
    write_cholect50(tmp_path / "raw", 1, frames, images)
    store = prepared(CholecT50, tmp_path)
    got = [(r.frame.index, r.frame.time) for r in store.records(store.videos[0])]
    assert got[:4] == [(0, 0.0), (1, 1.0), (2, 3.0), (3, 5.0)] and len(got) == 58
    labels, image = store.quarantined()
    assert labels.where == "videos/VID01/000002.png"
    assert "hook,dissect,gallbladder with component grasper" in labels.reason
    assert image.where == "videos/VID01/000004.png"
    assert image.reason == "not a readable image"


# ---- the files -----------------------------------------------------------------------------------


def test_ids_are_read_through_the_files_own_categories(tmp_path):
    names = categories()
    names["phase"]["0"], names["phase"]["1"] = names["phase"]["1"], names["phase"]["0"]
    got = annotate(tmp_path, [vector(-1, 0)], categories=names)
    assert got.phase.concept == "calot_triangle_dissection"


def test_an_unknown_category_names_file_and_place(tmp_path):
    names = categories()
    names["phase"]["3"] = "lunch"
    path = tmp_path / "VID01.json"
    path.write_text(json.dumps(label_json(1, {}, categories=names), indent=1))
    with pytest.raises(ontology.UnmappedLabelError) as caught:
        read_labels(File.at(path))
    assert "VID01.json (categories.phase.3)" in str(caught.value)
    assert "'lunch'" in str(caught.value) and "cholect50.tsv" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fps": 25}, "fps: it is 25"),
        ({"annotations": {"7": [[0] * 14]}}, "annotations.7.0.: 14 numbers, not 15"),
        ({"annotations": {"seven": []}}, "key 'seven'"),
        ({"categories": {"phase": {}}}, "categories: the key 'instrument' is missing"),
    ],
)
def test_a_wrong_label_file_is_named(tmp_path, change, message):
    path = tmp_path / "VID01.json"
    path.write_text(json.dumps(label_json(1, {}) | change))
    with pytest.raises(AnnotationFileError, match=rf"VID01\.json.*{message}"):
        read_labels(File.at(path))


def test_torn_json_names_the_line_and_a_missing_key_is_named(tmp_path):
    path = tmp_path / "VID01.json"
    path.write_text('{"video": 1,\n "fps": }')
    with pytest.raises(AnnotationFileError, match=r"VID01\.json, line 2"):
        read_labels(File.at(path))
    path.write_text('{"video": 1, "fps": 1}')
    with pytest.raises(
        AnnotationFileError, match="the key 'categories' is missing; it has video, fps"
    ):
        read_labels(File.at(path))


def test_a_file_of_another_video_is_an_error(tmp_path):
    write_cholect50(tmp_path / "raw", 1, {0: [vector(-1, 0)]}, video=2)
    with pytest.raises(AnnotationFileError, match=r"VID01\.json: says that it is of video 2"):
        prepared(CholecT50, tmp_path)


def mapping_rows():
    names = {kind: list(names.values()) for kind, names in categories().items()}
    rows = []
    for number, native in enumerate(names["triplet"]):
        i, v, t = (
            names[kind].index(part)
            for kind, part in zip(("instrument", "verb", "target"), native.split(","), strict=True)
        )
        rows.append(f"{number},{i},{v},{t},{10 * i + v},{15 * i + t}")
    return rows


def test_the_mapping_file_is_compared_when_it_is_there(tmp_path):
    path = tmp_path / "label_mapping.txt"
    rows = mapping_rows()
    assert rows[0] == "0,0,2,1,2,1"  # as the release begins
    path.write_text("\n".join(["# IVT, I, V, T, IV, IT", *rows, ""]))
    check_mapping(File.at(path))
    path.write_text("\n".join([*rows[:5], rows[6], rows[5], *rows[7:]]))
    with pytest.raises(AnnotationFileError, match=r"label_mapping\.txt, line 6: 6,.* triplet 5 "):
        check_mapping(File.at(path))
    path.write_text("\n".join(rows[:99]))
    with pytest.raises(AnnotationFileError, match="99 rows, not 100"):
        check_mapping(File.at(path))


def test_a_wrong_mapping_file_stops_the_build(tmp_path):
    write_cholect50(tmp_path / "raw", 1, {0: [vector(-1, 0)]})
    (tmp_path / "raw" / "label_mapping.txt").write_text("0,1,2,3,4,5\n")
    with pytest.raises(AnnotationFileError, match="line 1"):
        prepared(CholecT50, tmp_path)


def test_missing_parts_are_reported(tmp_path):
    raw = tmp_path / "raw"
    write_cholect50(raw, 1, {second: [vector(HOOK, 3)] for second in range(30)})
    write_cholect50(raw, 2, {0: [vector(HOOK, 3)]}, images={})
    store = prepared(CholecT50, tmp_path)
    assert [v.video.id for v in store.videos] == ["VID01"]
    (lost,) = store.quarantined()
    assert (lost.video, lost.where, lost.absent) == ("VID02", "videos/VID02", True)
    assert lost.reason == "labels are there, the frames are not"
    (raw / "labels" / "VID01.json").unlink()
    with pytest.raises(LayoutError, match=r"missing: labels/VID01\.json"):
        prepared(CholecT50, tmp_path, overwrite=True)


def test_another_folder_and_odd_images(tmp_path):
    (tmp_path / "raw" / "data").mkdir(parents=True)
    with pytest.raises(LayoutError, match="is empty"):
        prepared(CholecT50, tmp_path)
    write_cholect50(tmp_path / "raw", 1, {0: [vector(-1, 0)]})
    folder = tmp_path / "raw" / "videos" / "VID01"
    (folder / "._000000.png").write_bytes(b"")
    (folder / "frame.png").write_bytes(b"")
    with pytest.raises(LayoutError, match=r"videos/VID01/frame\.png"):
        prepared(CholecT50, tmp_path)


# ---- facts ---------------------------------------------------------------------------------------


def test_every_scheme_splits_the_fifty_videos():
    fifty = {number for fold in official.folds("cholect50", "crossval") for number in fold}
    assert len(fifty) == 50
    sizes = {"rdv": (35, 5, 10), "challenge": (40, 5, 5)}
    for scheme, parts in official.schemes("cholect50").items():
        numbers = [number for part in ("train", "val", "test") for number in parts[part]]
        assert sorted(numbers) == sorted(fifty), scheme
        counts = tuple(len(parts[part]) for part in ("train", "val", "test"))
        assert counts == sizes.get(scheme, (35, 5, 10))
    assert official.official("cholect50", "67") == {}


def test_cross_validation_holds_out_the_last_five_of_the_other_folds():
    schemes = official.schemes("cholect50")
    assert schemes["crossval1"]["test"] == official.folds("cholect50", "crossval")[0]
    assert schemes["crossval1"]["val"] == ("1", "56", "4", "13", "92")
    assert schemes["crossval5"]["val"] == ("75", "22", "49", "12", "110")
    assert official.official("cholect50", "111")["crossval1"] == "test"
    assert official.official("cholect50", "92")["crossval1"] == "val"


def test_the_registry_finds_the_builder():
    assert sources.get("cholect50") is CholecT50
    assert CholecT50.name == CholecT50.source == "cholect50"


def test_the_fixture_writes_what_the_format_says():
    assert vector(HOOK, 3, BOX) == [60, 2, 1.0, *BOX, 2, 0, -1, *NO_BOX, 3]
