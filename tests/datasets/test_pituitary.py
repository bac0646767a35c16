"""PitVis (steps and instruments by the second) and PitVQA (questions on the same videos)."""

import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image, write_text, write_video
from fuzzing import fuzz
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.pitvis.pitvis import PitVis
from surgzoo.datasets.pitvqa.pitvqa import PitVQA
from surgzoo.db.schema import Question
from surgzoo.db.sources import sources

HEADER = "int_video,int_time,int_step,int_instrument1,int_instrument2\n"
# Step, instruments: nasal corridor with suction and cottle; sellotomy, nothing in view; outside;
# debris clearance with suction alone; tumour excision with the same instrument twice.
ROWS = [(1, 16, 2), (5, 0, -2), (-1, -1, -1), (14, 16, -2), (7, 16, 16)]


def annotations(number=1, rows=ROWS):
    lines = (f"{number},{t},{','.join(map(str, row))}\n" for t, row in enumerate(rows))
    return HEADER + "".join(lines)


def write_pitvis(folder, number=1, seconds=4, text=None):
    write_text(folder / f"annotations_{number:02d}.csv", text or annotations(number))
    if seconds:
        write_video(folder / f"video_{number:02d}.mp4", 24 * seconds, fps=24)
    return folder


def test_pitvis_labels_by_the_second(tmp_path):
    write_pitvis(tmp_path / "raw", 2, seconds=4)
    store = prepared(PitVis, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [0, 24, 48, 72]
    found = [r.annotations for r in got]
    assert [a.step and a.step.native for a in found] == [
        "nasal corridor creation",
        "sellotomy",
        None,
        "debris clearance",
    ]
    assert [a.phase and a.phase.concept for a in found] == [
        "nasal_sphenoid",
        "sellar",
        None,
        "skull_base_closure",
    ]
    assert found[0].derived["phase"] == "the group of the step"
    instruments = [
        a.instruments if a.instruments is None else [i.label.native for i in a.instruments]
        for a in found
    ]
    assert instruments == [["suction", "cottle"], [], None, ["suction"]]
    assert [a.flags for a in found] == [{}, {}, {"out_of_body": 1.0}, {}]
    # The row behind the last second is no error; equal neighbours would be one segment.
    steps = [s for s in store.videos[0].annotations.segments if s.kind == "step"]
    assert [(s.label.concept, s.start, s.end) for s in steps][2:] == [
        ("debris_clearance", 3, 4),
        ("tumor_excision", 4, 5),
    ]
    assert store.videos[0].video.splits["default"] == "val"
    assert store.videos[0].video.canonical == "pitvis/video_02"


def test_pitvis_at_a_denser_rate_and_one_instrument_twice(tmp_path):
    write_pitvis(tmp_path / "raw", seconds=5)
    store = prepared(PitVis, tmp_path, config="fps4")
    got = list(store.records(store.videos[0]))
    assert [r.annotations.step.native for r in got[:5]] == ["nasal corridor creation"] * 4 + [
        "sellotomy"
    ]
    assert [i.label.native for i in got[16].annotations.instruments] == ["suction"]


def test_pitvis_video_19_has_no_labels_and_others_must(tmp_path):
    write_pitvis(tmp_path / "raw", 3)
    write_video(tmp_path / "raw" / "video_19.mp4", 48, fps=24)
    store = prepared(PitVis, tmp_path)
    assert store.video("video_19").annotations.notes == ("released without annotations",)
    assert next(store.records(store.video("video_19"))).annotations.step is None
    write_video(tmp_path / "raw" / "video_20.mp4", 24, fps=24)
    with pytest.raises(LayoutError, match=r"label files are missing: annotations_20\.csv"):
        prepared(PitVis, tmp_path, overwrite=True)


def test_pitvis_notes_labels_that_end_early(tmp_path):
    write_pitvis(tmp_path / "raw", seconds=8)
    (note,) = prepared(PitVis, tmp_path).videos[0].annotations.notes
    assert note == "labels end at second 4, the video at 8.0 s"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("2,0,1,1,-2\n", "line 2: of video 2 in the file of video 1"),
        ("1,0,15,1,-2\n", "line 2: there is no step 15"),
        ("1,0,0,1,-2\n", "line 2: there is no step 0"),
        ("1,0,1,19,-2\n", "line 2: there is no instrument 19"),
        ("1,0,1,1,-2\n1,0,1,1,-2\n", "line 3: second 0 is negative or given twice"),
        ("", "no row below the header"),
    ],
)
def test_pitvis_errors_name_the_line(tmp_path, rows, message):
    write_pitvis(tmp_path / "raw", text=HEADER + rows)
    with pytest.raises(AnnotationFileError, match=rf"annotations_01\.csv.*{message}"):
        prepared(PitVis, tmp_path)


# ---- PitVQA --------------------------------------------------------------------------------------

QUESTIONS = """What is the step?|nasal_corridor_creation

Which instrument is there?|suction
Where is the suction?|top-left
What is the first instrument?|no_visible_instrument
What is the second instrument?|no_secondary_instrument
"""


def write_pitvqa(folder, questions=QUESTIONS, number=2, frames=(1, 2, 3)):
    for frame in frames:
        write_image(folder / f"images/video_{number:02d}/{frame:05d}.png", numbered_image(frame))
    for frame in (*frames[1:], 9):
        write_text(folder / f"QA/video_{number:02d}/{frame:05d}.txt", questions)
    return folder


def test_pitvqa_questions(tmp_path):
    write_pitvqa(tmp_path / "raw")
    store = prepared(PitVQA, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [(r.frame.time, read_number(simplejpeg.decode_jpeg(r.image))) for r in got] == [
        (1.0, 1),
        (2.0, 2),
        (3.0, 3),
    ]
    assert got[0].annotations.questions is None  # left out by the authors
    assert got[1].annotations.questions == (
        Question("What is the step?", "nasal_corridor_creation", kind="step"),
        Question("Which instrument is there?", "suction", kind="instrument"),
        Question("Where is the suction?", "top-left", kind="place"),
    )
    video = store.videos[0]
    assert video.annotations.notes == (
        "1 of 3 question files have no image",
        "1 of 3 images have no question file",
    )
    assert (video.video.splits["default"], video.video.canonical) == ("val", "pitvis/video_02")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("What is it?\n", "line 1: need 2 texts"),
        ("What is it?|\n", "line 1: need 2 texts"),
        ("a?|suction\n\nWhat?|banana\n", "line 3: pitvqa has no answer 'banana'"),
    ],
)
def test_pitvqa_bad_lines_quarantine_their_frame(tmp_path, text, message):
    write_pitvqa(tmp_path / "raw", frames=tuple(range(1, 40)))
    write_text(tmp_path / "raw/QA/video_02/00002.txt", text)
    store = prepared(PitVQA, tmp_path)
    (line,) = store.quarantined()
    assert line.where == "images/video_02/00002.png" and message in line.reason


def test_wrong_folders_show_what_is_expected(tmp_path):
    write_text(tmp_path / "raw" / "x.txt", "")
    with pytest.raises(LayoutError, match=r"neither a video(.|\n)*annotations_NN\.csv"):
        prepared(PitVis, tmp_path)
    with pytest.raises(LayoutError, match=r"no images and no QA(.|\n)*question\|answer"):
        prepared(PitVQA, tmp_path)
    assert sources.get("pitvis") is PitVis and sources.get("pitvqa") is PitVQA


@pytest.mark.slow
def test_damaged_annotation_files(tmp_path):
    # A row names its second, so their order is no matter.
    fuzz(PitVis, write_pitvis(tmp_path, seconds=1), "annotations_01.csv", ordered=False)


@pytest.mark.slow
def test_damaged_question_files(tmp_path):
    fuzz(PitVQA, write_pitvqa(tmp_path), "QA/video_02/00002.txt")
