"""JIGSAWS's reader on small trees in the released layout: gestures, skill, every known quirk."""

import zipfile

import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, read_number, write_text
from fixtures_jigsaws import ITEMS, ROWS, meta_line, transcription, write_meta, write_trial
from given_tasks import given, promised
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.jigsaws.jigsaws import Jigsaws, splits_of
from surgzoo.datasets.jigsaws.labels import read_meta, read_transcription
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db.sources import sources


def gestures(tmp_path, text):
    path = tmp_path / "Suturing_B001.txt"
    path.write_bytes(text.encode())
    return read_transcription(File.at(path))


def meta(tmp_path, text, task="Suturing"):
    path = tmp_path / f"meta_file_{task}.txt"
    path.write_bytes(text.encode())
    return read_meta(File.at(path), task)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jigsaws")
    write_trial(folder / "raw")
    write_trial(folder / "raw", "Knot_Tying_I005", text=transcription([(1, 20, "G12")]))
    write_meta(folder / "raw", "Suturing", [meta_line("Suturing_B001")])
    write_meta(folder / "raw", "Knot_Tying", [meta_line("Knot_Tying_I005", "E", (5,) * 6)])
    return prepared(Jigsaws, folder, config="fps5", workers=2)


def test_both_cameras_of_each_trial_are_stored(both):
    assert [(v.video.id, v.count) for v in both.videos] == [
        ("Knot_Tying_I005_capture1", 16),
        ("Knot_Tying_I005_capture2", 16),
        ("Suturing_B001_capture1", 16),
        ("Suturing_B001_capture2", 16),
    ]
    for stored in both.videos:
        for k, record in enumerate(both.records(stored)):
            assert record.frame.time == k / 5
            assert read_number(simplejpeg.decode_jpeg(record.image)) == 6 * k
    assert both.quarantined() == ()


def test_the_video_says_what_it_is(both):
    video = both.video("Suturing_B001_capture2").video
    assert (video.canonical, video.specialty) == ("jigsaws/suturing_b001", "training")
    assert (video.procedure, video.fps) == ("bench_suturing", 5.0)
    assert (video.height, video.width) == (HEIGHT, WIDTH)
    assert video.duration == pytest.approx(91 / 30)
    other = both.video("Suturing_B001_capture1").video
    assert other.canonical == video.canonical
    assert both.video("Knot_Tying_I005_capture1").video.procedure == "bench_knot_tying"


def test_gestures_as_segments(both):
    found = both.video("Suturing_B001_capture1").annotations.segments
    assert [(s.kind, s.label.native, s.start, s.end) for s in found] == [
        ("gesture", "G1", 9 / 30, 30 / 30),
        ("gesture", "G2", 30 / 30, 60 / 30),
        ("gesture", "G3", 60 / 30, 72 / 30),
        ("action", "G1", 9 / 30, 30 / 30),
        ("action", "G2", 30 / 30, 60 / 30),
        ("action", "G3", 60 / 30, 72 / 30),
    ]
    assert [s.label.concept for s in found[::3]] == [
        "reaching_for_needle_with_right_hand",
        "needle_reaching",
    ]


def test_gestures_of_frames_are_actions(both):
    """Frame k / 5 s is frame 6 k + 1 of the file; outside of all rows nothing is labelled."""
    found = [r.annotations.actions for r in both.records(both.video("Suturing_B001_capture1"))]
    natives = [None if a is None else a[0].native for a in found]
    assert natives == [None] * 2 + ["G1"] * 3 + ["G2"] * 5 + ["G3"] * 2 + [None] * 4
    assert found[2][0].concept == "needle_reaching"


def test_frames_count_from_one_and_the_last_is_included(tmp_path):
    found = gestures(tmp_path, transcription(ROWS))
    assert [found.at(n) and found.at(n).native for n in (8, 9, 29, 30, 59, 60, 71, 72)] == [
        None,
        "G1",
        "G1",
        "G2",
        "G2",
        "G3",
        "G3",
        None,
    ]


def test_skill(both):
    found = both.video("Suturing_B001_capture1").annotations.skills
    assert [(s.scale, s.value, s.lowest, s.highest) for s in found] == [
        ("self_declared_experience", 0, 0, 2),
        ("global_rating_score", sum(ITEMS), 6, 30),
        ("respect_for_tissue", 2, 1, 5),
        ("suture_and_needle_handling", 3, 1, 5),
        ("time_and_motion", 1, 1, 5),
        ("flow_of_operation", 4, 1, 5),
        ("overall_performance", 5, 1, 5),
        ("quality_of_final_product", 3, 1, 5),
    ]
    expert = both.video("Knot_Tying_I005_capture2").annotations.skills
    assert (expert[0].value, expert[1].value) == (2, 30)


def test_one_frame_a_second(tmp_path):
    write_trial(tmp_path / "raw", cameras=(1,))
    store = prepared(Jigsaws, tmp_path, config="fps1")
    got = list(store.records(store.videos[0]))
    assert [r.frame.time for r in got] == [0.0, 1.0, 2.0, 3.0]
    assert [r.annotations.actions and r.annotations.actions[0].native for r in got] == [
        None,
        "G2",
        "G3",
        None,
    ]


# ---- what is missing -----------------------------------------------------------------------------


def test_trials_without_gestures_or_ratings(tmp_path):
    """Suturing_H002 has an empty transcription and no rating."""
    raw = write_trial(tmp_path / "raw", "Suturing_H002", text="", cameras=(1,))
    write_trial(raw, "Suturing_B001", cameras=(2,))
    (raw / "Suturing" / "transcriptions" / "Suturing_B001.txt").unlink()
    write_meta(raw, "Suturing", [meta_line("Suturing_B001")])
    store = prepared(Jigsaws, tmp_path, config="fps5")
    empty = store.video("Suturing_H002_capture1").annotations
    assert (empty.segments, empty.skills) == ((), ())
    assert empty.notes == (
        "no gestures: the transcription is empty",
        "not rated: the meta file does not name the trial",
    )
    missing = store.video("Suturing_B001_capture2").annotations
    assert missing.notes == ("no gestures: the transcription is missing",)
    assert len(missing.skills) == 8
    got = store.records(store.video("Suturing_H002_capture1"))
    assert all(record.annotations.actions is None for record in got)


def test_labels_without_videos_are_quarantined(tmp_path):
    raw = write_trial(tmp_path / "raw", frames=300)
    write_text(raw / "Suturing" / "transcriptions" / "Suturing_C001.txt", transcription())
    write_meta(raw, "Suturing", [meta_line("Suturing_D001")])
    store = prepared(Jigsaws, tmp_path, config="fps5")
    assert [item.video for item in store.quarantined()] == [
        "Suturing_C001_capture1",
        "Suturing_D001_capture1",
    ]
    assert store.quarantined()[0].where == "Suturing/video/Suturing_C001_capture1.avi"


def test_gestures_behind_the_end_and_of_another_task_are_noted(tmp_path):
    rows = [(1, 30, "G1"), (31, 120, "G12")]
    write_trial(tmp_path / "raw", text=transcription(rows), cameras=(1,))
    store = prepared(Jigsaws, tmp_path, config="fps5")
    assert store.videos[0].annotations.notes == (
        "G12: no gesture of Suturing by the paper",
        "gestures end at frame 120, the video at 91",
        "not rated: the meta file does not name the trial",
    )


def test_a_broken_video_is_quarantined(tmp_path):
    raw = write_trial(tmp_path / "raw", frames=300)
    path = raw / "Suturing" / "video" / "Suturing_B001_capture2.avi"
    path.write_bytes(b"no video")
    store = prepared(Jigsaws, tmp_path, config="fps5")
    assert [v.video.id for v in store.videos] == ["Suturing_B001_capture1"]
    assert store.quarantined()[0].where == "Suturing/video/Suturing_B001_capture2.avi"


def test_zip_files_are_read_in_place(tmp_path):
    raw = write_trial(tmp_path / "unpacked", cameras=(1,))
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(tmp_path / "raw" / "Suturing.zip", "w") as archive:
        for path in sorted(p for p in raw.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(raw))
            archive.writestr(f"__MACOSX/{path.relative_to(raw)}", b"litter")
    store = prepared(Jigsaws, tmp_path, config="fps5")
    assert [(v.video.id, v.count) for v in store.videos] == [("Suturing_B001_capture1", 16)]


def test_another_folder_and_a_trial_given_twice(tmp_path):
    write_text(tmp_path / "other" / "readme.txt", "nothing")
    with pytest.raises(
        LayoutError, match=r"no video and no transcription(.*\n)+.*Suturing/video/Suturing_B001"
    ):
        prepared(Jigsaws, tmp_path, manual_dir=tmp_path / "other", config="fps5")
    raw = write_trial(tmp_path / "raw", cameras=(1,))
    write_trial(raw / "copy", cameras=())
    with pytest.raises(LayoutError, match="are of the same trial"):
        prepared(Jigsaws, tmp_path, config="fps5")
    (raw / "copy" / "Suturing" / "transcriptions" / "Suturing_B001.txt").unlink()
    write_trial(raw / "copy", cameras=(1,), text="")
    (raw / "copy" / "Suturing" / "transcriptions" / "Suturing_B001.txt").unlink()
    with pytest.raises(LayoutError, match="are the same video"):
        prepared(Jigsaws, tmp_path, config="fps5")


# ---- label files ---------------------------------------------------------------------------------


def test_crlf_and_blanks_are_tolerated(tmp_path):
    assert gestures(tmp_path, transcription(newline="\r\n") + "\r\n") == gestures(
        tmp_path, transcription()
    )


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1 20 G1\n20 30 G2\n", AnnotationFileError, "line 2: frame 20 is in the row before"),
        ("0 20 G1\n", AnnotationFileError, "line 1: frames 0 to 20"),
        ("21 20 G1\n", AnnotationFileError, "line 1: frames 21 to 20"),
        ("1 20\n", AnnotationFileError, "line 1: 2 fields, not 3"),
        ("1 x G1\n", AnnotationFileError, "line 1: end is 'x'"),
        ("1 20 G16\n", ontology.UnmappedLabelError, "line 1: .*'G16'.*"),
    ],
)
def test_errors_in_a_transcription_name_the_line(tmp_path, text, error, message):
    with pytest.raises(error, match=rf"Suturing_B001\.txt, {message}"):
        gestures(tmp_path, text)


def test_the_meta_file_has_double_tabs_crlf_and_a_blank_last_line(tmp_path):
    lines = [meta_line("Suturing_B001"), meta_line("Suturing_B002", "I")]
    text = "\r\n".join([*lines, "", ""])
    assert "\t\t" in text and text.endswith("\r\n\r\n")
    found = meta(tmp_path, text)
    assert list(found) == ["Suturing_B001", "Suturing_B002"]
    assert found == meta(tmp_path, text.replace("\t\t", "\t").replace("\r\n", "\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (meta_line("Suturing_B001", total=19), "the sum is 19, the items .* make 18"),
        (meta_line("Suturing_B001", "X"), "experience 'X'"),
        (meta_line("Suturing_B001", items=(6, 3, 1, 4, 5, 3)), "not all from 1 to 5"),
        (meta_line("Suturing_B001", items=(2, 3, 1, 4, 5)), "8 fields, not 9"),
        (meta_line("Suturing_B001").replace("\t2", "\t2.5", 1), "not all whole numbers|the sum"),
        (meta_line("Knot_Tying_B001"), "is no trial of Suturing"),
        (meta_line("Suturing_B001") + "\n" + meta_line("Suturing_B001"), "given twice"),
        ("", "has no row"),
    ],
)
def test_errors_in_a_meta_file_name_the_line(tmp_path, line, message):
    with pytest.raises(AnnotationFileError, match=rf"meta_file_Suturing\.txt.*{message}"):
        meta(tmp_path, line)


# ---- facts ---------------------------------------------------------------------------------------


def test_the_two_protocols(both):
    """Leave one user out (8 folds), leave one supertrial out (5 folds)."""
    found = both.video("Suturing_B001_capture1").video.splits
    assert found == splits_of("Suturing_B001") and len(found) == 8 + 5 + 1
    assert {name for name, part in found.items() if part == "test"} == {
        "louo_b",
        "loso_1",
        "default",
    }
    other = both.video("Knot_Tying_I005_capture1").video.splits
    assert {name for name, part in other.items() if part == "test"} == {"louo_i", "loso_5"}


def test_the_registry_finds_the_builder_and_the_records_give_the_tasks(both):
    assert sources.get("jigsaws") is Jigsaws
    assert Jigsaws.name == Jigsaws.source == "jigsaws"
    assert given(both, "fps5") >= promised("jigsaws")
