"""OphNet2024: ids to names, "others", joined operations, trimmed clips."""

import pytest
import simplejpeg
from fixtures_cholec import read_number, write_text, write_video
from fuzzing import fuzz
from prepared_sources import asked, frames, prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.ophnet2024.labels import phases
from surgzoo.datasets.ophnet2024.ophnet2024 import OphNet2024
from surgzoo.db.sources import sources

ALL = "video_id,start,end,split,surgery_id,phase_id,operation_id"
# Two operations of one phase; a gap; an overlap of half a second.
ROWS = [
    (0, 1.5, 0, 3, 2),
    (1.5, 2, 0, 3, 5),
    (3, 4.5, 0, 6, 8),
    (4, 5.5, 0, 7, 13),
]


def table(rows=ROWS, case="case_0002", split="train", header=ALL, columns=5):
    lines = [header]
    for start, end, *ids in rows:
        lines.append(",".join(map(str, (case, start, end, split, *ids[: columns - 2]))))
    return "\n".join(lines) + "\n"


def write(folder, text=None, name="loca_all", case="case_0002", seconds=6):
    write_text(folder / f"annotation/OphNet2024_{name}.csv", text or table())
    if seconds:
        write_video(folder / f"OphNet2024_all/{case}.mp4", 25 * seconds + 1)
    return folder


def segments(store, name="case_0002"):
    found = store.video(name).annotations.segments
    return [(s.label.native, s.start, s.end) for s in found]


def test_phases_by_the_second(tmp_path):
    text = "\ufeff" + table().replace("\n", "\r\n")
    write(tmp_path / "raw", text)
    surgeries = '\ufeffvideo_id,surgery\r\ncase_0002,"0,2"\r\ncase_0099,1\r\n'
    write_text(tmp_path / "raw/annotation/OphNet2024_surgery.csv", surgeries)
    write_video(tmp_path / "raw/OphNet2024_all/case_0099.mp4", 26)
    store = prepared(OphNet2024, tmp_path)
    assert [stored.video.id for stored in store.videos] == ["case_0002"]
    got = frames(store, "case_0002")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got[:3]] == [0, 25, 50]
    found = [r.annotations.phase and r.annotations.phase.native for r in got]
    outside, cut = "Non-functional Segment", "Corneal Incision Creation"
    # Second 2 and 6 are in no row, second 4 in two.
    assert found == [outside, outside, None, cut, None, "Capsulorhexis", None]
    assert segments(store) == [(outside, 0, 2), (cut, 3, 4.5), ("Capsulorhexis", 4, 5.5)]
    stored = store.videos[0]
    assert stored.annotations.notes == ("surgery ids of the release, without public names: 0, 2",)
    assert stored.video.splits == {"official": "train", "default": "train"}
    assert stored.video.canonical == "ophnet2024/case_0002"
    assert (stored.video.specialty, stored.video.procedure) == (
        "ophthalmology",
        "ophthalmic_surgery",
    )


def test_the_ids_are_in_the_order_of_the_names():
    assert len(phases()) == 96
    assert [phases()[i] for i in (0, 1, 51, 95)] == [
        "Viscoelastic Injection",
        "Nuclear Management (for cataract surgery)",
        "Instrument Fabrication",
        "Conjunctival Trimming",
    ]


@pytest.mark.parametrize("name", ["loca_challenge", "loca_challenge_phase"])
def test_others_are_no_phase(tmp_path, name):
    rows = [(0, 2, 4, 51, 106), (2, 4, 4, 9, 31), (4, 5, 4, 96, 170), (5, 5, 4, 9, 31)]
    if name == "loca_challenge_phase":
        text = table(rows, header=ALL.removesuffix(",operation_id"), columns=4)
    else:
        text = table(rows)
    write(tmp_path / "raw", text, name)
    store = prepared(OphNet2024, tmp_path)
    assert segments(store) == [("Recipient Corneal Bed Preparation", 2, 4)]
    assert store.videos[0].annotations.notes == (
        "1 rows are of phases without a public name: 96",
        "1 rows are of the phase 'others', which is no label",
        "1 rows of no length are left out",
    )


def test_the_whole_table_comes_first(tmp_path):
    write(tmp_path / "raw", table([(0, 6, 4, 51, 1)]))
    write(tmp_path / "raw", table([(0, 6, 4, 9, 1)]), "loca_challenge")
    assert segments(prepared(OphNet2024, tmp_path)) == [("Instrument Fabrication", 0, 6)]


TRIMMED = "video_id,start,end,split,surgery_id,phase_id,segment_path"


def test_trimmed_clips(tmp_path):
    raw = tmp_path / "raw"
    rows = [(0, 2, 5, 3), (9, 12, 0, 51), (20, 22, 0, 7)]
    lines = [TRIMMED]
    for k, (start, end, *ids) in enumerate(rows):
        path = f"./OphNet2024_trimmed_phase/case_0007/case_0007_{k}.mp4"
        lines.append(",".join(map(str, ("case_0007", start, end, "test", *ids, path))))
    part = raw / "OphNet2024_trimmed_phase"
    write_text(part / "OphNet2024_loca_challenge_phase_trimmed.csv", "\n".join(lines) + "\n")
    for k, seconds in ((0, 2), (1, 30)):
        write_video(part / f"case_0007/case_0007_{k}.mp4", 25 * seconds)
    store = prepared(OphNet2024, tmp_path)
    assert [stored.video.id for stored in store.videos] == ["case_0007_0", "case_0007_1"]
    first, second = (frames(store, stored.video.id) for stored in store.videos)
    assert [r.annotations.phase.native for r in first] == ["Non-functional Segment"] * 2
    assert {r.annotations.phase for r in second} == {None}
    assert segments(store, "case_0007_0") == [("Non-functional Segment", 0, 2)]
    assert {stored.video.canonical for stored in store.videos} == {"ophnet2024/case_0007"}
    assert {stored.video.splits["official"] for stored in store.videos} == {"test"}
    line = store.quarantined()
    assert [(q.where, q.reason) for q in line] == [
        ("case_0007_2.mp4", "its interval is there, the clip is not")
    ]
    # With the whole video at hand the clips are not used.
    write_video(raw / "OphNet2024_all/case_0007.mp4", 25 * 23)
    store = prepared(OphNet2024, tmp_path, overwrite=True)
    assert [stored.video.id for stored in store.videos] == ["case_0007"]
    assert segments(store, "case_0007")[1:] == [("Capsulorhexis", 20, 22)]
    (part / "OphNet2024_loca_challenge_phase_trimmed.csv").unlink()
    write_text(raw / "annotation/OphNet2024_loca_all.csv", table(case="case_0007"))
    with pytest.raises(LayoutError, match="trimmed clips, but no table that names them"):
        prepared(OphNet2024, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table(split="training"), "line 2: the split of case_0002 is 'training', not train, val"),
        (table() + table(split="val").split("\n")[1], "line 6: the split of case_0002 is 'val'"),
        (table([(2, 1, 0, 3, 2)]), "line 2: phase 3 runs from 2 to 1 s"),
        (table([(-1, 1, 0, 3, 2)]), "line 2: phase 3 runs from -1 to 1 s"),
        (table([(0, 1, 0, -1, 2)]), "line 2: phase -1 runs"),
        (table([(0, 1, 0, "x", 2)]), "line 2: phase_id is 'x', not a number"),
        (table(case="CASE-2"), "line 2: video_id is 'CASE-2', not as case_0002"),
        (table([]), "no row below the header"),
        ("video_id,surgery\ncase_0002,1\n", "line 1: the header is video_id, surgery"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, message):
    write(tmp_path / "raw", text)
    with pytest.raises(AnnotationFileError, match=rf"OphNet2024_loca_all\.csv.*{message}"):
        prepared(OphNet2024, tmp_path)


@pytest.mark.parametrize("rows", ["case_0002,x\n", "case_0002,1\ncase_0002,2\n"])
def test_surgery_tables_that_are_wrong(tmp_path, rows):
    write(tmp_path / "raw")
    write_text(tmp_path / "raw/annotation/OphNet2024_surgery.csv", "video_id,surgery\n" + rows)
    with pytest.raises(AnnotationFileError, match=r"surgery\.csv, line [23]: .*(list|twice)"):
        prepared(OphNet2024, tmp_path)


def test_one_video_of_many_is_enough(tmp_path):
    gone = [f"case_{number:04d}" for number in range(3, 30)]
    rows = [table(case=case).split("\n", 1)[1] for case in gone]
    write(tmp_path / "raw", table() + "".join(rows))
    store = prepared(OphNet2024, tmp_path)
    assert [(q.where, q.reason, q.absent) for q in store.quarantined()] == [
        (f"{case}.mp4", "intervals are there, the video is not", True) for case in gone
    ]
    assert [v.video.id for v in store.videos] == ["case_0002"]


def test_what_is_missing(tmp_path):
    write(tmp_path / "raw", table() + table(case="case_0003").split("\n", 1)[1])
    prepared(OphNet2024, tmp_path)
    found = inspect(OphNet2024, tmp_path / "raw")
    assert (found.videos, found.segments["phase"], found.splits) == (1, (6, 10.0), {"train": 1})
    write_video(tmp_path / "raw/case_0044.mp4", 26)
    with pytest.raises(LayoutError, match="no table has a row of case_0044"):
        prepared(OphNet2024, tmp_path, overwrite=True)


def test_a_wrong_folder(tmp_path):
    write_video(tmp_path / "raw/videos/case_0002.mp4", 26)
    with pytest.raises(LayoutError, match=r"no table of intervals(.|\n)*loca_all(.|\n)*videos/"):
        prepared(OphNet2024, tmp_path)
    write(tmp_path / "raw")
    with pytest.raises(LayoutError, match="are the same video"):
        prepared(OphNet2024, tmp_path)


def test_a_packed_release(tmp_path):
    write(tmp_path / "raw", seconds=0)
    (tmp_path / "raw/OphNet2024_all.tar.gz").write_bytes(b"x")
    (tmp_path / "raw/case_0044.mp4").write_bytes(b"x")
    with pytest.raises(LayoutError, match=r"OphNet2024_all\.tar\.gz .*unpack it"):
        prepared(OphNet2024, tmp_path)


def test_the_tasks_of_the_card(tmp_path):
    write(tmp_path / "raw")
    found = asked(prepared(OphNet2024, tmp_path))
    assert set(found) == set(sources.entry("ophnet2024").card.details["tasks"])
    assert found["phase_recognition"][0].answer == "non-functional segment"
    assert sources.get("ophnet2024") is OphNet2024


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loca_all", "surgery"])
def test_damaged_label_files(tmp_path, name):
    write(tmp_path, seconds=1)
    write_text(
        tmp_path / "annotation/OphNet2024_surgery.csv", 'video_id,surgery\ncase_0002,"1,2"\n'
    )
    fuzz(OphNet2024, tmp_path, f"annotation/OphNet2024_{name}.csv", ordered=False)


@pytest.mark.slow
def test_a_damaged_table_of_clips(tmp_path):
    part = "OphNet2024_trimmed_phase"
    lines = [TRIMMED, f"case_0007,0,1,test,5,3,./{part}/case_0007/case_0007_0.mp4"]
    lines.append(f"case_0007,1,2,test,5,7,./{part}/case_0007/case_0007_1.mp4")
    path = f"{part}/OphNet2024_loca_challenge_phase_trimmed.csv"
    write_text(tmp_path / path, "\n".join(lines) + "\n")
    for k in range(2):
        write_video(tmp_path / f"{part}/case_0007/case_0007_{k}.mp4", 25)
    fuzz(OphNet2024, tmp_path, path, ordered=False)
