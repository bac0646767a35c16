"""Cholec80's reader on small trees in the released layout: alignment, labels, every known quirk."""

import pytest
import simplejpeg
from fixtures_cholec import (
    HEIGHT,
    TOOL_HEADER,
    TOOLS,
    WIDTH,
    phase_text,
    read_number,
    tool_text,
    tools_of,
    write_cholec80,
)
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholec80.cholec80 import Cholec80
from surgzoo.datasets.cholec80.labels import read_phases, read_tools
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import ontology
from surgzoo.db import splits as official
from surgzoo.db.sources import sources


def pixels(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


def tool_names(record):
    found = record.annotations.instruments
    return found if found is None else tuple(tool.label.native for tool in found)


def expected_tools(second):
    return tuple(name for name, value in zip(TOOLS, tools_of(second), strict=True) if value)


def all_records(store, video="video01"):
    return list(store.records(store.video(video)))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three videos with different key-frame distances, prepared by two workers."""
    folder = tmp_path_factory.mktemp("cholec80")
    for number, seconds, gop in ((1, 6, 250), (40, 4, 12), (80, 5, 25)):
        write_cholec80(folder / "raw", number, seconds=seconds, gop=gop)
    return prepared(Cholec80, folder, workers=2)


def test_frame_k_shows_frame_25_k_with_its_labels(three):
    assert [(v.video.id, v.first, v.count) for v in three.videos] == [
        ("video01", 0, 7),
        ("video40", 7, 5),
        ("video80", 12, 6),
    ]
    for stored in three.videos:
        for k, record in enumerate(three.records(stored)):
            assert pixels(record) == 25 * k
            assert (record.frame.index, record.frame.time) == (k, float(k))
            phase = record.annotations.phase
            assert phase.concept == ("preparation" if k < 2 else "calot_triangle_dissection")
            assert tool_names(record) == expected_tools(k)
    assert three.quarantined() == ()


def test_the_video_says_what_it_is(three):
    video = three.video("video40").video
    assert (video.canonical, video.source) == ("cholec80/video40", "cholec80")
    assert (video.specialty, video.procedure) == ("hepatobiliary", "cholecystectomy")
    assert (video.height, video.width, video.fps) == (HEIGHT, WIDTH, 1.0)
    assert video.duration == pytest.approx(101 / 25)
    assert video.splits == {
        "40_40": "train",
        "camma_40_8_32": "train",
        "32_8_40": "val",
        "default": "val",
    }
    assert ("specialty", video.specialty) in ontology.concepts()
    assert ("procedure", video.procedure) in ontology.concepts()


def test_phases_are_segments_too(three):
    first, second = three.video("video01").annotations.segments
    assert (first.kind, first.label.native, first.start, first.end) == (
        "phase",
        "Preparation",
        0.0,
        2.0,
    )
    assert (second.start, second.end) == (2.0, 151 / 25)
    assert three.video("video01").annotations.notes == ()


def test_a_denser_config_has_phases_everywhere_and_tools_each_second(tmp_path):
    write_cholec80(tmp_path / "raw", seconds=3)
    got = all_records(prepared(Cholec80, tmp_path, config="fps5"))
    assert [pixels(record) for record in got] == list(range(0, 76, 5))
    assert [record.frame.time for record in got[:3]] == [0.0, 0.2, 0.4]
    for k, record in enumerate(got):
        assert record.annotations.phase.native == (
            "Preparation" if k < 10 else "CalotTriangleDissection"
        )
        assert tool_names(record) == (None if k % 5 else expected_tools(k // 5))


def test_the_png_packing_counts_from_one(tmp_path):
    write_cholec80(tmp_path / "raw", seconds=4, packing="png")
    store = prepared(Cholec80, tmp_path)
    got = all_records(store)
    assert len(got) == 5
    for k, record in enumerate(got):
        assert pixels(record) == 25 * k  # file number k + 1
        assert record.frame.time == float(k)
        assert tool_names(record) == expected_tools(k)
    assert got[2].annotations.phase.native == "CalotTriangleDissection"
    assert store.video("video01").annotations.notes == ()


def test_a_torn_and_a_missing_png_leave_the_clock_alone(tmp_path):
    write_cholec80(tmp_path / "raw", number=2, seconds=6)
    write_cholec80(tmp_path / "raw", seconds=40, packing="png")
    folder = tmp_path / "raw" / "frames" / "video01"
    (folder / "video01_000003.png").write_bytes(b"torn")
    (folder / "video01_000005.png").unlink()
    store = prepared(Cholec80, tmp_path)
    got = all_records(store)
    assert [record.frame.time for record in got[:5]] == [0.0, 1.0, 3.0, 5.0, 6.0]
    assert [record.frame.index for record in got[:5]] == [0, 1, 2, 3, 4]
    assert [pixels(record) for record in got[:5]] == [0, 25, 75, 125, 150]
    (bad,) = store.quarantined()
    assert bad.where == "frames/video01/video01_000003.png"
    assert store.video("video01").annotations.notes == ("1 frames are missing among the first 41",)


def test_the_png_packing_has_no_other_fps(tmp_path):
    write_cholec80(tmp_path / "raw", seconds=2, packing="png")
    with pytest.raises(LayoutError, match=r"frames at 1 fps; 5 fps can be had from videos/video01"):
        prepared(Cholec80, tmp_path, config="fps5")


# ---- quirks of the label files -------------------------------------------------------------------


def test_missing_tool_rows_at_the_end_are_not_annotated_rather_than_none(tmp_path):
    tools = tool_text([tools_of(0), (0,) * 7, tools_of(2)])
    write_cholec80(tmp_path / "raw", seconds=5, tools=tools)
    store = prepared(Cholec80, tmp_path)
    assert [tool_names(record) for record in all_records(store)] == [
        ("Grasper",),
        (),
        ("Grasper", "Bipolar"),
        None,
        None,
        None,
    ]
    assert store.video("video01").annotations.notes == (
        "tools end at frame 50, the video at frame 125",
    )


def test_a_phase_file_that_ends_early_leaves_the_rest_without_phase(tmp_path):
    write_cholec80(tmp_path / "raw", seconds=5, phases=phase_text([("Preparation", 60)]))
    store = prepared(Cholec80, tmp_path)
    phases = [record.annotations.phase for record in all_records(store)]
    assert [phase and phase.native for phase in phases] == ["Preparation"] * 3 + [None] * 3
    (segment,) = store.video("video01").annotations.segments
    assert segment.end == 2.4
    assert store.video("video01").annotations.notes == (
        "phases end at frame 59, the video at frame 125",
    )


def test_bom_crlf_and_trailing_blank_lines_are_tolerated(tmp_path):
    phases = "\ufeff" + phase_text([("Preparation", 50), ("ClippingCutting", 25)], "\r\n") + "\r\n"
    tools = "\ufeff" + tool_text([tools_of(s) for s in range(3)], newline="\r\n") + "\r\n\r\n"
    write_cholec80(tmp_path, phases=phases, tools=tools, packing="png", seconds=1)
    got = read_phases(File.at(tmp_path / "phase_annotations" / "video01-phase.txt"))
    assert got.rows == 75 and got.at(50).concept == "clipping_and_cutting"
    tools = read_tools(File.at(tmp_path / "tool_annotations" / "video01-tool.txt"))
    assert len(tools.present) == 3
    assert [tool.label.concept for tool in tools.at(50)] == ["grasper", "bipolar"]


def test_phases_are_read_by_name(tmp_path):
    path = tmp_path / "video01-phase.txt"
    path.write_text(phase_text([("GallbladderRetraction", 2), ("CleaningCoagulation", 1)]))
    got = read_phases(File.at(path))
    assert [got.at(row).concept for row in range(3)] == [
        "gallbladder_retraction",
        "gallbladder_retraction",
        "cleaning_and_coagulation",
    ]
    assert got.at(3) is None and got.at(-1) is None


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            phase_text([("Preparation", 3), ("Lunch", 1)]),
            ontology.UnmappedLabelError,
            "line 5.*Lunch",
        ),
        ("Frame\tPhase\n0\t1\n", ontology.UnmappedLabelError, "line 2.*phase '1'"),
        ("Frame Phase\n0 Preparation\n", AnnotationFileError, "line 1: the header"),
        ("Frame\tPhase\n0\tPreparation\n2\tPreparation\n", AnnotationFileError, "line 3.*1 should"),
        ("Frame\tPhase\n0\tPreparation\tX\n", AnnotationFileError, "line 2: 3 fields"),
        ("Frame\tPhase\n1\tPreparation\n", AnnotationFileError, "line 2: the first .* is 1, not 0"),
        ("Frame\tPhase\n", AnnotationFileError, "no row of a frame"),
    ],
)
def test_errors_in_a_phase_file_name_file_and_line(tmp_path, text, error, message):
    path = tmp_path / "video01-phase.txt"
    path.write_text(text)
    with pytest.raises(error, match=f"video01-phase.txt.*{message}"):
        read_phases(File.at(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            tool_text([tools_of(0)], header=TOOL_HEADER.replace("Hook", "hook")),
            "line 1: the header",
        ),
        (tool_text([tools_of(0)], header=TOOL_HEADER + "\tStapler"), "line 1: the header"),
        (f"{TOOL_HEADER}\n24{chr(9)}" + "\t".join("0000000") + "\n", "line 2.*multiple of 25"),
        (f"{TOOL_HEADER}\n25{chr(9)}" + "\t".join("0002000") + "\n", "line 2.*not all 0 or 1"),
        (f"{TOOL_HEADER}\n25{chr(9)}" + "\t".join("000000") + "\n", "line 2: 7 fields"),
        (tool_text([tools_of(0)]) + "0\t" + "\t".join("0000000") + "\n", "line 3.*given twice"),
    ],
)
def test_errors_in_a_tool_file_name_file_and_line(tmp_path, text, message):
    path = tmp_path / "video01-tool.txt"
    path.write_text(text)
    with pytest.raises(AnnotationFileError, match=f"video01-tool.txt.*{message}"):
        read_tools(File.at(path))


def test_an_unknown_phase_stops_the_build(tmp_path):
    write_cholec80(tmp_path / "raw", seconds=1, phases=phase_text([("Calot", 26)]))
    with pytest.raises(ontology.UnmappedLabelError, match=r"video01-phase\.txt, line 2.*'Calot'"):
        prepared(Cholec80, tmp_path)


# ---- incomplete trees ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["phase", "tool"])
def test_a_missing_label_file_is_named(tmp_path, kind):
    write_cholec80(tmp_path / "raw", seconds=1)
    (tmp_path / "raw" / f"{kind}_annotations" / f"video01-{kind}.txt").unlink()
    with pytest.raises(LayoutError, match=f"missing: {kind}_annotations/video01-{kind}.txt"):
        prepared(Cholec80, tmp_path)


def test_labels_without_a_video_are_quarantined(tmp_path):
    write_cholec80(tmp_path / "raw", 1, seconds=25)
    write_cholec80(tmp_path / "raw", 2, seconds=1)
    (tmp_path / "raw" / "videos" / "video02.mp4").unlink()
    store = prepared(Cholec80, tmp_path)
    assert [v.video.id for v in store.videos] == ["video01"]
    (lost,) = store.quarantined()
    assert (lost.video, lost.where, lost.absent) == ("video02", "videos/video02.mp4", True)
    assert lost.reason == "labels are there, the video is not"


def test_a_file_that_is_no_video_and_one_that_ends_early(tmp_path):
    raw = tmp_path / "raw"
    write_cholec80(raw, 1, seconds=50)
    write_cholec80(raw, 2, seconds=8, gop=10)
    write_cholec80(raw, 3, seconds=1)
    data = (raw / "videos" / "video02.mp4").read_bytes()
    (raw / "videos" / "video02.mp4").write_bytes(data[: len(data) * 6 // 10])
    (raw / "videos" / "video03.mp4").write_bytes(b"not a video")
    store = prepared(Cholec80, tmp_path)
    assert [v.video.id for v in store.videos] == ["video01", "video02"]
    kept = all_records(store, "video02")
    assert 2 <= len(kept) <= 6
    assert [pixels(record) for record in kept] == [25 * k for k in range(len(kept))]
    short, broken = store.quarantined()
    assert short.where == f"videos/video02.mp4, {9 - len(kept)} frames from {len(kept)}.00 s on"
    assert short.reason
    assert broken.where == "videos/video03.mp4" and "cannot be opened" in broken.reason


def test_another_folder_shows_what_is_expected(tmp_path):
    (tmp_path / "raw" / "CholecT50").mkdir(parents=True)
    with pytest.raises(LayoutError, match=r"is empty\n(.*\n)*.*phase_annotations/videoNN-phase"):
        prepared(Cholec80, tmp_path)


def test_an_unexpected_file_name_is_an_error_and_hidden_files_are_not(tmp_path):
    write_cholec80(tmp_path / "raw", seconds=1)
    (tmp_path / "raw" / "videos" / "._video01.mp4").write_bytes(b"")
    assert len(prepared(Cholec80, tmp_path)) == 2
    (tmp_path / "raw" / "videos" / "video1.mp4").write_bytes(b"")
    with pytest.raises(LayoutError, match=r"videos/video1\.mp4 has an unexpected name"):
        prepared(Cholec80, tmp_path, overwrite=True)


def test_without_manual_dir_it_says_how_to_get_the_data(tmp_path):
    with pytest.raises(ValueError, match=r"camma\.unistra\.fr.*--manual_dir"):
        prepare(Cholec80, tmp_path)


# ---- facts ---------------------------------------------------------------------------------------


def test_split_schemes_cover_the_eighty_videos_once():
    for scheme in (*official.schemes("cholec80"), "default"):
        counts = [official.official("cholec80", str(number))[scheme] for number in range(1, 81)]
        sizes = tuple(counts.count(part) for part in ("train", "val", "test"))
        assert (
            sizes
            == {
                "40_40": (40, 0, 40),
                "camma_40_8_32": (40, 8, 32),
                "32_8_40": (32, 8, 40),
                "default": (32, 8, 40),
            }[scheme]
        )


def test_the_registry_finds_the_builder():
    assert sources.get("cholec80") is Cholec80
    assert Cholec80.name == Cholec80.source == "cholec80"
