"""HeiChole: tables without header at the rate of the video, white frames, ratings."""

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import read_number, write_text, write_video
from fuzzing import fuzz
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.heichole.heichole import HeiChole
from surgzoo.datasets.layout import LayoutError, Tree
from surgzoo.db.schema import Skill
from surgzoo.db.sources import sources

ROOT = "Annotations/{kind}/Hei-Chole{number}_Annotation_{kind}.csv"


def table(rows):
    return "".join(",".join(map(str, (n, *row))) + "\n" for n, row in enumerate(rows))


def instruments(*columns):
    return tuple(int(n in columns) for n in range(21))


def write(raw, number=3, seconds=4, fps=25):
    """Seconds 0 and 1 preparation, then clipping; a grasper throughout, a clipper from 2 on."""
    count = fps * seconds
    write_video(raw / f"Videos/Full/Hei-Chole{number}.mp4", count, fps=fps)
    late = 2 * fps
    rows = {
        "Phase": [(0,)] * late + [(2,)] * (count - late),
        "Instrument": [instruments(0)] * late + [instruments(0, 1)] * (count - late),
        "Action": [(1, 0, 0, 0)] * late
        + [(1, 0, 0, 1)] * fps
        + [(0, 0, 0, 0)] * (count - late - fps),
    }
    for kind, lines in rows.items():
        write_text(raw / ROOT.format(kind=kind, number=number), table(lines))
    write_text(raw / f"Annotations/Skill/Hei-Chole{number}_calot_Skill.csv", "4,3,5,4,2\n")
    return raw


@pytest.mark.parametrize(("number", "fps"), [(3, 25), (16, 50)])
def test_labels_at_the_rate_of_the_video(tmp_path, number, fps):
    write(tmp_path / "raw", number, fps=fps)
    store = prepared(HeiChole, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [
        0, fps, 2 * fps, 3 * fps
    ]  # fmt: skip
    found = [r.annotations for r in got]
    assert [a.phase.native for a in found] == ["Preparation"] * 2 + ["Clipping and cutting"] * 2
    tools = [[i.label.native for i in a.instruments] for a in found]
    assert tools == [["grasper"]] * 2 + [["grasper", "clipper"]] * 2
    actions = [[label.concept for label in a.actions] for a in found]
    assert actions == [["grasping"], ["grasping"], ["grasping", "clipping"], []]
    stored = store.videos[0]
    assert [(s.kind, s.label.concept, s.start, s.end) for s in stored.annotations.segments] == [
        ("phase", "preparation", 0.0, 2.0),
        ("phase", "clipping_and_cutting", 2.0, 4.0),
        ("action", "grasping", 0.0, 3.0),
        ("action", "clipping", 2.0, 3.0),
    ]
    assert stored.annotations.skills[:2] == (
        Skill("calot depth_perception", 4.0, 1, 5),
        Skill("calot bimanual_dexterity", 3.0, 1, 5),
    )
    assert len(stored.annotations.skills) == 5
    assert stored.video.canonical == f"heichole/Hei-Chole{number}"
    assert (stored.video.splits, stored.annotations.notes) == ({}, ())


def test_detailed_tables_and_copies_in_hd_are_not_read(tmp_path):
    raw = write(tmp_path / "raw")
    for kind, columns in (("Instrument", 31), ("Action", 11)):
        path = raw / ROOT.format(kind=kind, number=3)
        rows = table([(1,) * columns] * 100)
        write_text(path.with_name(f"{path.stem}_Detailed.csv"), rows)
    # A copy that would be seen: it is shorter.
    write_video(raw / "Videos/Full/HD/Hei-Chole3.mp4", 50)
    (stored,) = (store := prepared(HeiChole, tmp_path)).videos
    assert stored.count == 4
    tools = [[i.label.native for i in r.annotations.instruments] for r in store.records(stored)]
    assert tools == [["grasper"]] * 2 + [["grasper", "clipper"]] * 2


def test_a_shaft_of_an_undefined_instrument_is_not_no_instrument(tmp_path):
    raw = write(tmp_path / "raw")
    seconds = (instruments(), instruments(20), instruments(0, 20), instruments(1))
    rows = [row for row in seconds for _ in range(25)]
    write_text(raw / ROOT.format(kind="Instrument", number=3), table(rows))
    store = prepared(HeiChole, tmp_path)
    found = [r.annotations.instruments for r in store.records(store.videos[0])]
    assert found[:2] == [(), None]
    assert [[i.label.native for i in tools] for tools in found[2:]] == [["grasper"], ["clipper"]]


@pytest.mark.parametrize(
    ("number", "fps"), [(n, 50) for n in (16, 17, 18, 19, 20, 23, 24)] + [(21, 25)]
)
def test_labels_of_a_lost_video_are_placed_at_its_known_rate(tmp_path, number, fps):
    raw = write(tmp_path / "raw", number, fps=fps)
    (raw / f"Videos/Full/Hei-Chole{number}.mp4").unlink()
    tree = Tree.open(raw, "heichole", HeiChole.EXPECTED)
    (job,) = HeiChole(data_dir=str(tmp_path / "unused")).jobs(tree)
    assert [(s.start, s.end) for s in job.annotations.segments] == [(0.0, 2.0), (2.0, 4.0)]


def test_white_frames_are_outside(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fixtures_cholec.numbered_image", lambda number: np.full((64, 192, 3), 255, np.uint8)
    )
    write(tmp_path / "raw", seconds=1)
    (record,) = prepared(HeiChole, tmp_path).records(prepared(HeiChole, tmp_path).videos[0])
    assert record.annotations.flags == {"out_of_body": 1.0}


def test_what_is_missing_is_said(tmp_path):
    raw = write(tmp_path / "raw", seconds=40)
    (raw / ROOT.format(kind="Action", number=3)).unlink()
    write_text(raw / ROOT.format(kind="Phase", number=5), "0,0\n")
    store = prepared(HeiChole, tmp_path)
    assert store.videos[0].annotations.notes == ("no labels of actions",)
    (line,) = store.quarantined()
    assert line.where == "Videos/Full/Hei-Chole5.mp4"
    assert next(store.records(store.videos[0])).annotations.actions is None
    write_video(raw / "Videos/Full/Hei-Chole7.mp4", 25)
    with pytest.raises(LayoutError, match="label files are missing: Hei-Chole7"):
        prepared(HeiChole, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("Phase", "0,7\n", "line 1: there is no phase 7"),
        ("Phase", "0,1\n2,1\n", "line 2: frame 2 where 1 should follow"),
        ("Phase", "0,1,1\n", "line 1: 3 fields, not 2"),
        ("Instrument", table([instruments(7)]), "a category beyond the 7 known ones"),
        ("Instrument", table([instruments(19, 20)]), "a category beyond the 7 known ones"),
        ("Action", "0,1,0,0,2\n", "line 1: clip is '2', neither 0 nor 1"),
        ("Action", "", "no row of a frame"),
    ],
)
def test_errors_name_the_line(tmp_path, kind, text, message):
    raw = write(tmp_path / "raw", seconds=1)
    write_text(raw / ROOT.format(kind=kind, number=3), text)
    with pytest.raises(AnnotationFileError, match=rf"Annotation_{kind}\.csv.*{message}"):
        prepared(HeiChole, tmp_path)


@pytest.mark.parametrize("text", ["4,3,5,4\n", "4,3,5,4,6\n", "a,b\n"])
def test_wrong_ratings(tmp_path, text):
    raw = write(tmp_path / "raw", seconds=1)
    write_text(raw / "Annotations/Skill/Hei-Chole3_calot_Skill.csv", text)
    with pytest.raises(AnnotationFileError, match=r"calot_Skill\.csv"):
        prepared(HeiChole, tmp_path)


def test_another_folder(tmp_path):
    write_text(tmp_path / "raw" / "x.txt", "")
    with pytest.raises(LayoutError, match=r"no label files(.|\n)*Annotation_Phase"):
        prepared(HeiChole, tmp_path)
    assert sources.get("heichole") is HeiChole


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Phase", "Instrument", "Action"])
def test_damaged_label_files(tmp_path, kind):
    fuzz(HeiChole, write(tmp_path, seconds=1, fps=5), ROOT.format(kind=kind, number=3))


@pytest.mark.slow
def test_damaged_ratings(tmp_path):
    fuzz(
        HeiChole, write(tmp_path, seconds=1, fps=5), "Annotations/Skill/Hei-Chole3_calot_Skill.csv"
    )
