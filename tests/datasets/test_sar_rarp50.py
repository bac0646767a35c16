"""SAR-RARP50's reader on small trees in the released layout: actions, masks, every known quirk."""

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, read_number, write_image
from fixtures_robotic import (
    continuous_text,
    dense_map,
    discrete_text,
    frames_of,
    natives,
    pack,
    sar_mask,
    write_sar_video,
)
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.layout import File, LayoutError, Tree
from surgzoo.datasets.sar_rarp50.labels import (
    ACTIONS,
    MASK_VALUES,
    disagreements,
    read_continuous,
    read_discrete,
)
from surgzoo.datasets.sar_rarp50.sar_rarp50 import SarRarp50
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import ontology
from surgzoo.db.sources import sources


def pixels(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


def actions(records):
    return [natives(record.annotations.actions) for record in records]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sar")
    write_sar_video(folder / "raw" / "train2" / "video_01")
    write_sar_video(folder / "raw" / "train1" / "video_11_1")
    write_sar_video(folder / "raw" / "train1" / "video_11_2")
    write_sar_video(folder / "raw" / "test" / "video_41")
    return prepared(SarRarp50, folder)


def test_frames_have_the_scored_actions_and_their_masks(built):
    got = frames_of(built, "video_01")
    assert [pixels(record) for record in got] == [0, 60, 120]
    assert [record.frame.time for record in got] == [0.0, 1.0, 2.0]
    assert actions(got) == [
        ("Other",),
        ("Picking-up the needle",),
        ("Pulling the needle out of the tissue",),
    ]
    assert [natives(record.annotations.instruments) for record in got] == [
        ("Tool clasper", "Tool wrist", "Tool shaft"),
        ("Suturing needle", "Needle Holder"),
        (),
    ]
    assert [[i.mask for i in record.annotations.instruments] for record in got] == [
        [1, 2, 3],
        [4, 7],
        [],
    ]
    assert all(i.box is None for record in got for i in record.annotations.instruments)
    for record, values in zip(got, ((1, 2, 3), (7, 4), ()), strict=True):
        assert (dense_map(record, "instrument_mask") == sar_mask(*values)).all()
    assert got[0].annotations.instruments[0].label.concept == "any_instrument"
    assert got[1].annotations.instruments[1].label.concept == "needle_driver"
    assert built.quarantined() == ()


def test_segments_include_their_last_frame(built):
    annotations = built.video("video_01").annotations
    assert [(s.kind, s.label.native, s.start, s.end) for s in annotations.segments] == [
        ("action", "Other", 0.0, 50 / 60),
        ("action", "Picking-up the needle", 50 / 60, 101 / 60),
        ("action", "Pulling the needle out of the tissue", 101 / 60, 2.5),
    ]
    assert annotations.notes == ()


def test_the_video_says_what_it_is(built):
    videos = {stored.video.id: stored.video for stored in built.videos}
    assert list(videos) == ["video_01", "video_11_1", "video_11_2", "video_41"]
    assert {name: video.splits for name, video in videos.items()} == {
        "video_01": {"official": "train", "default": "train"},
        "video_11_1": {"official": "train", "default": "train"},
        "video_11_2": {"official": "train", "default": "train"},
        "video_41": {"official": "test", "default": "test"},
    }
    assert videos["video_11_1"].canonical == videos["video_11_2"].canonical == "sar_rarp50/video_11"
    video = videos["video_41"]
    assert (video.specialty, video.procedure) == ("urology", "prostatectomy")
    assert (video.height, video.width, video.fps) == (HEIGHT, WIDTH, 1.0)
    assert video.duration == pytest.approx(2.5)


def test_the_records_give_the_tasks_of_the_card(built):
    assert promised("sar_rarp50") <= given(built)


def test_ten_frames_a_second_are_the_rows_of_the_discrete_file(tmp_path):
    write_sar_video(tmp_path / "raw" / "video_01")
    got = frames_of(prepared(SarRarp50, tmp_path, config="fps10"), "video_01")
    assert [pixels(record) for record in got] == list(range(0, 150, 6))
    ids = [ACTIONS.index(name) for (name,) in actions(got)]
    # The rows of frames 48 and 96 have the action of frames 53 and 101.
    assert ids == [0] * 8 + [1] * 8 + [4] * 9
    masked = [i for i, record in enumerate(got) if record.annotations.instruments is not None]
    assert masked == [0, 10, 20]
    assert [i for i, record in enumerate(got) if record.dense] == masked


# ---- quirks --------------------------------------------------------------------------------------


def test_the_row_of_a_frame_has_the_action_of_the_fifth_frame_after_it(tmp_path):
    (tmp_path / "d").write_text(discrete_text())
    (tmp_path / "c").write_text(continuous_text())
    rows, spans = read_discrete(File.at(tmp_path / "d")), read_continuous(File.at(tmp_path / "c"))
    assert [rows.at(48).native, spans.at(48).native] == ["Picking-up the needle", "Other"]
    assert [rows.at(frame).native for frame in (42, 47)] == ["Other"] * 2
    assert rows.at(150) is None and spans.at(150) is None
    assert disagreements(rows, spans) == 0


def test_the_other_spelling_and_one_digit_names_are_read(tmp_path):
    folder = write_sar_video(tmp_path / "raw" / "video_2")
    (folder / "action_continuous.txt").rename(folder / "action_continues.txt")
    store = prepared(SarRarp50, tmp_path)
    assert store.videos[0].video.id == "video_02"
    assert len(store.videos[0].annotations.segments) == 3
    assert store.videos[0].annotations.notes == ()
    (folder / "action_continuous.txt").write_text(continuous_text())
    with pytest.raises(LayoutError, match="the same file by two names"):
        prepared(SarRarp50, tmp_path, overwrite=True)


def test_without_the_continuous_file_segments_are_runs_of_rows(tmp_path):
    write_sar_video(tmp_path / "raw" / "video_01", continuous="")
    store = prepared(SarRarp50, tmp_path)
    annotations = store.videos[0].annotations
    assert [(s.label.native, s.start, s.end) for s in annotations.segments] == [
        ("Other", 0.0, 0.8),
        ("Picking-up the needle", 0.8, 1.6),
        ("Pulling the needle out of the tissue", 1.6, 2.5),
    ]
    assert annotations.notes == (
        "no action_continuous.txt; segments are runs of action_discrete.txt",
    )


def test_a_gap_in_the_rows_ends_a_segment(tmp_path):
    rows = [row for row in discrete_text().splitlines(keepends=True) if row[:9] != "000000012"]
    (tmp_path / "d").write_text("".join(rows))
    spans = read_discrete(File.at(tmp_path / "d")).spans()
    assert [run[:2] for run in spans.runs[:2]] == [(0, 11), (18, 47)]
    assert spans.unlabelled == 6


def test_without_the_discrete_file_frames_have_the_actions_of_the_segments(tmp_path):
    write_sar_video(tmp_path / "raw" / "video_01", discrete="")
    store = prepared(SarRarp50, tmp_path, config="fps10")
    got = frames_of(store, "video_01")
    assert actions(got)[8] == ("Other",)  # frame 48: no row says otherwise
    assert actions(got)[9] == ("Picking-up the needle",)
    assert store.videos[0].annotations.notes == (
        "no action_discrete.txt; the actions of frames are those of action_continuous.txt",
    )


def test_masks_alone_and_actions_alone_are_noted(tmp_path):
    write_sar_video(tmp_path / "raw" / "video_01", discrete="", continuous="")
    write_sar_video(tmp_path / "raw" / "video_02", masks={})
    store = prepared(SarRarp50, tmp_path)
    masks, labels = store.videos
    assert masks.annotations.notes == ("no action labels",) and masks.annotations.segments == ()
    assert actions(frames_of(store, "video_01")) == [None] * 3
    assert labels.annotations.notes == ("no masks",)
    assert [r.annotations.instruments for r in frames_of(store, "video_02")] == [None] * 3


def test_a_video_without_any_label_is_an_error(tmp_path):
    write_sar_video(tmp_path / "raw" / "video_01", discrete="", continuous="", masks={})
    with pytest.raises(LayoutError, match=r"neither action_discrete\.txt .* in video_01"):
        prepared(SarRarp50, tmp_path)


def test_labels_without_video_say_what_is_missing(tmp_path):
    """As in the public mirrors of the action labels."""
    write_sar_video(tmp_path / "raw" / "video_1", media="none", masks={})
    with pytest.raises(ValueError, match=r"video_01: labels are there, neither video_left\.avi"):
        prepared(SarRarp50, tmp_path)
    tree = Tree.open(tmp_path / "raw", "sar_rarp50", SarRarp50.EXPECTED)
    (job,) = SarRarp50(data_dir=str(tmp_path / "unused")).jobs(tree)
    assert [s.end for s in job.annotations.segments] == [50 / 60, 101 / 60, 2.5]  # for inspection
    write_sar_video(tmp_path / "raw" / "video_41", frames=60 * 30)
    store = prepared(SarRarp50, tmp_path)
    assert [v.video.id for v in store.videos] == ["video_41"]
    assert [(item.where, item.reason) for item in store.quarantined()] == [
        ("video_01", "labels are there, neither video_left.avi nor rgb/ is")
    ]
    assert store.videos[0].annotations.notes == (
        "actions end at frame 149, the video at frame 1799",
    )
    assert actions(frames_of(store, "video_41"))[2:4] == [
        ("Pulling the needle out of the tissue",),
        None,
    ]


def test_the_frames_of_the_toolkit_serve_as_the_video(tmp_path):
    write_sar_video(tmp_path / "raw" / "train1" / "video_02", media="rgb")
    store = prepared(SarRarp50, tmp_path)
    got = frames_of(store, "video_02")
    assert [(pixels(record), record.frame.time) for record in got] == [(0, 0), (60, 1), (120, 2)]
    assert actions(got)[1] == ("Picking-up the needle",)
    assert [bool(record.dense) for record in got] == [True] * 3
    assert store.videos[0].annotations.notes == ()
    (tmp_path / "raw" / "train1" / "video_02" / "rgb" / "000000060.png").unlink()
    store = prepared(SarRarp50, tmp_path, overwrite=True)
    assert store.videos[0].annotations.notes == (
        "1 frames are missing in rgb/ at 1 fps",
        "1 masks are of frames that are not stored at 1 fps",
    )


@pytest.mark.parametrize("below", ["", "video_02"])
def test_zips_of_single_videos_are_read_in_place(tmp_path, below):
    raw = tmp_path / "raw" / "train1"
    for number, action in ((2, 1), (4, 6)):
        folder = write_sar_video(
            raw / f"video_{number:02d}",
            discrete="".join(f"{f:09d},{action}\n" for f in range(0, 150, 6)),
            continuous=f"0,149,{action}\n",
            masks={60: sar_mask(number)},
        )
        pack(folder, raw / f"video_{number:02d}.zip", below.replace("02", f"{number:02d}"))
    store = prepared(SarRarp50, tmp_path)
    assert [v.video.id for v in store.videos] == ["video_02", "video_04"]
    for video, action, value in (("video_02", 1, 2), ("video_04", 6, 4)):
        got = frames_of(store, video)
        assert actions(got) == [(ACTIONS[action],)] * 3
        assert natives(got[1].annotations.instruments) == (MASK_VALUES[value],)


def test_a_zip_within_a_zip_has_to_be_unpacked(tmp_path):
    folder = write_sar_video(tmp_path / "made" / "video_02")
    (tmp_path / "outer").mkdir()
    pack(folder, tmp_path / "outer" / "video_02.zip")
    (tmp_path / "raw").mkdir()
    pack(tmp_path / "outer", tmp_path / "raw" / "train1.zip")
    with pytest.raises(LayoutError, match=r"video_02\.zip is within another archive: unpack"):
        prepared(SarRarp50, tmp_path)


def test_one_video_in_two_folders_is_an_error(tmp_path):
    write_sar_video(tmp_path / "raw" / "train1" / "video_02", media="none")
    write_sar_video(tmp_path / "raw" / "copy" / "video_2", media="none")
    with pytest.raises(LayoutError, match=r"video_02/action.* are of the same video"):
        prepared(SarRarp50, tmp_path)


def test_another_rate_is_matched_by_frame(tmp_path):
    write_sar_video(tmp_path / "raw" / "video_01", fps=30)
    store = prepared(SarRarp50, tmp_path)
    got = frames_of(store, "video_01")
    assert [pixels(record) for record in got] == [0, 30, 60, 90, 120]
    assert [natives(r.annotations.instruments) is not None for r in got] == [1, 0, 1, 0, 1]
    assert actions(got)[2] == ("Picking-up the needle",)
    assert store.videos[0].annotations.segments[0].end == 50 / 30
    assert store.videos[0].annotations.notes == (
        "the file has 30.000 fps, not 60; matched by frame",
    )


def test_rows_that_disagree_with_the_segments_are_counted(tmp_path):
    discrete = discrete_text().replace("000000006,0", "000000006,5").replace("12,0", "12,5")
    write_sar_video(tmp_path / "raw" / "video_01", discrete=discrete)
    store = prepared(SarRarp50, tmp_path)
    assert store.videos[0].annotations.notes == (
        "2 of 25 rows of action_discrete.txt disagree with the segments",
    )


def test_a_gap_between_segments_is_noted(tmp_path):
    write_sar_video(
        tmp_path / "raw" / "video_01", continuous=continuous_text([(10, 49, 0), (60, 149, 1)])
    )
    notes = prepared(SarRarp50, tmp_path).videos[0].annotations.notes
    assert notes[0] == "20 frames between the segments have no action"


def test_a_mask_of_another_size_or_class_is_quarantined(tmp_path):
    masks = {f: sar_mask() for f in range(0, 6000, 60)}
    masks |= {60: np.zeros((4, 4), np.uint8), 120: sar_mask(10), 180: np.dstack([sar_mask(2)] * 3)}
    write_sar_video(
        tmp_path / "raw" / "video_01", frames=6000, masks=masks, continuous="0,5999,0\n"
    )
    store = prepared(SarRarp50, tmp_path)
    assert [item.reason for item in store.quarantined()] == [
        f"video_01/segmentation/000000060.png: the mask is 4x4, the image {WIDTH}x{HEIGHT}",
        "video_01/segmentation/000000120.png: no class has the value 10",
    ]
    got = frames_of(store, "video_01")
    assert len(got) == 98
    assert natives(got[1].annotations.instruments) == ("Tool wrist",)  # frame 180: three channels
    assert dense_map(got[1], "instrument_mask").shape == (HEIGHT, WIDTH)


def test_an_image_that_is_not_named_by_its_frame(tmp_path):
    folder = write_sar_video(tmp_path / "raw" / "video_01")
    write_image(folder / "segmentation" / "mask.png", sar_mask())
    with pytest.raises(LayoutError, match=r"mask\.png is not named by its frame"):
        prepared(SarRarp50, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("000000000,0\n000000006,8\n", "line 2: action 8; the files have 0 .Other. to 7"),
        ("000000000,0\n000000007,0\n", "line 2: frame 7 is not a multiple of 6"),
        ("000000006,0\n000000000,0\n", "line 2: frame 0 follows frame 6"),
        ("000000000,0,1\n", "line 1: 3 fields, not 2"),
        ("000000000,Other\n", "line 1: action is 'Other', not a number"),
        ("000000000,-1\n", "line 1: action is '-1'"),
    ],
)
def test_errors_in_the_discrete_file_name_file_and_line(tmp_path, text, message):
    (tmp_path / "action_discrete.txt").write_text(text)
    with pytest.raises(AnnotationFileError, match=f"action_discrete.txt.*{message}"):
        read_discrete(File.at(tmp_path / "action_discrete.txt"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "is empty"),
        ("0,5,8\n", "line 1: action 8"),
        ("0,5,0\n5,9,1\n", "line 2: begins at frame 5; the row before ends at 5"),
        ("9,5,0\n", "line 1: ends at frame 5, before it begins at 9"),
        ("0,5\n", "line 1: 2 fields, not 3"),
    ],
)
def test_errors_in_the_continuous_file_name_file_and_line(tmp_path, text, message):
    (tmp_path / "action_continuous.txt").write_text(text)
    with pytest.raises(AnnotationFileError, match=f"action_continuous.txt.*{message}"):
        read_continuous(File.at(tmp_path / "action_continuous.txt"))


def test_another_folder_shows_what_is_expected(tmp_path):
    write_image(tmp_path / "raw" / "videos" / "a.png", sar_mask())
    with pytest.raises(
        LayoutError, match=r"no folder video_NN\n(.*\n)*.*train1/video_NN/video_left"
    ):
        prepared(SarRarp50, tmp_path)
    with pytest.raises(ValueError, match=r"SAR_RARP50-evaluation.*--manual_dir"):
        prepare(SarRarp50, tmp_path)


# ---- facts ---------------------------------------------------------------------------------------


def test_the_ids_are_in_the_order_of_the_ontology():
    table = [native for kind, native in ontology.table("sar_rarp50") if kind == "action"]
    assert list(ACTIONS) == table
    masks = [native for kind, native in ontology.table("sar_rarp50") if kind == "instrument"]
    assert list(MASK_VALUES.values()) == masks


def test_the_registry_finds_the_builder():
    assert sources.get("sar_rarp50") is SarRarp50
