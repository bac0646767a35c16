"""SSG-VQA and Cholec80-VQA: questions on frames of CholecT45 and Cholec80."""

import json
import zipfile

import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image, write_text, write_video
from fuzzing import fuzz
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholec80_vqa.cholec80_vqa import Cholec80VQA
from surgzoo.datasets.layout import File, LayoutError, Tree
from surgzoo.datasets.ssg_vqa.labels import DETECTED, read_graph
from surgzoo.datasets.ssg_vqa.ssg_vqa import SSGVQA
from surgzoo.db import ontology
from surgzoo.db.schema import Box, Question
from surgzoo.db.sources import sources


def pixels(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


# ---- SSG-VQA -------------------------------------------------------------------------------------

SSG = """liver|gallbladder|cystic_duct

grasper|hook
What is the hook doing?|dissect|zero-hop|query_object
Is there a grasper?|True|zero_hop.json|existence

How many anatomies are there?|10
What anatomy is at the top-left of the frame ?|liver|[67.0, 85.5]
"""


def write_ssg(raw, text=SSG, frames=(5, 7, 12), folder="data", more=0):
    for frame in (*frames, *range(100, 100 + more)):
        write_image(raw / f"{folder}/VID02/{frame:06d}.png", numbered_image(frame))
    for frame in (7, 12, 99, *range(100, 100 + more)):
        write_text(raw / f"qa_txt/VID02/{frame}.txt", SSG)
    write_text(raw / "qa_txt/VID02/7.txt", text)
    return raw


@pytest.mark.parametrize("folder", ["data", "videos"])
def test_ssg_questions_are_on_their_frames(tmp_path, folder):
    write_ssg(tmp_path / "raw", folder=folder)
    store = prepared(SSGVQA, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [(pixels(r), r.frame.time) for r in got] == [(7, 7.0), (12, 12.0)]
    assert got[0].annotations.questions == (
        Question("What is the hook doing?", "dissect", kind="zero-hop/query_object"),
        Question("Is there a grasper?", "True", kind="zero_hop/existence"),
        Question("How many anatomies are there?", "10"),
        Question("What anatomy is at the top-left of the frame ?", "liver"),  # a point is no type
    )
    assert got[0].annotations.instruments is None  # there are no scene graphs
    video = store.videos[0]
    assert video.annotations.notes == ("1 of 3 question files have no image",)
    assert (video.video.splits["default"], video.video.canonical) == ("test", "cholec80/video02")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("head\n", "1 lines; the first 2 are its head"),
        (SSG.partition("\n\n")[2], "line 2: a question where the head should be"),
        ("a\nb\nWhat?\n", "line 3: need question|answer|type"),
        ("a\nb\nWhat?||zero-hop\n", "line 3: need question|answer|type"),
        ("a\nb\nWhat?|banana|zero-hop\n", "line 3: ssg_vqa has no answer 'banana'"),
    ],
)
def test_ssg_bad_files_quarantine_their_frame(tmp_path, text, message):
    write_ssg(tmp_path / "raw", text, more=40)
    (bad,) = prepared(SSGVQA, tmp_path).quarantined()
    assert bad.where == "data/VID02/000007.png" and message in bad.reason


def test_ssg_spells_one_answer_in_two_ways(tmp_path):
    """51 answers, with specimen_bag and specimenbag."""
    text = "a\nb\nWhat?|specimen_bag|zero-hop\nWhat?|specimenbag|zero-hop\n"
    write_ssg(tmp_path / "raw", text, frames=(7,))
    store = prepared(SSGVQA, tmp_path)
    (record,) = store.records(store.videos[0])
    assert [q.answer for q in record.annotations.questions] == ["specimen_bag", "specimenbag"]
    answers = [n for kind, n in ontology.table("ssg_vqa") if kind not in ("specialty", "procedure")]
    assert len(answers) == 51


def test_ssg_needs_the_frames_of_cholect45(tmp_path):
    write_text(tmp_path / "raw/qa_txt/VID01/1.txt", SSG)
    with pytest.raises(LayoutError, match=r"no frames of CholecT45(.|\n)*data/VID01"):
        prepared(SSGVQA, tmp_path)
    write_ssg(tmp_path / "raw", more=30)
    assert prepared(SSGVQA, tmp_path).quarantined()[0].where == "data/VID01"
    write_image(tmp_path / "raw/videos/VID02/000007.png", numbered_image(7))
    with pytest.raises(LayoutError, match="are the same frame"):
        prepared(SSGVQA, tmp_path, overwrite=True)


def test_ssg_questions_may_be_packed_and_in_any_folder(tmp_path):
    raw = tmp_path / "raw"
    write_image(raw / "CholecT50/videos/VID01/000002.png", numbered_image(2))
    write_text(raw / "triplet/VID01.txt", "0,1,2\n")  # CholecT45's own labels
    with zipfile.ZipFile(raw / "ssg-qa.zip", "w") as archive:
        archive.writestr("ssg-qa/VID01/2.txt", SSG)
    store = prepared(SSGVQA, tmp_path)
    (record,) = store.records(store.videos[0])
    assert (record.frame.time, len(record.annotations.questions)) == (2.0, 4)
    write_text(raw / "copy/VID1/2.txt", SSG)
    with pytest.raises(LayoutError, match=r"2\.txt and ssg-qa/VID01/2\.txt are of the same frame"):
        prepared(SSGVQA, tmp_path, overwrite=True)


# ---- SSG-VQA's scene graphs ----------------------------------------------------------------------


def ssg_graph(image, *objects):
    """A scene graph of the image "VID01_1"; objects are (type, component, corners)."""
    scene = {
        "objects": [
            {"bbox": list(box), "component": component, "type": kind, "location": "top-mid"}
            for kind, component, box in objects
        ],
        "image_filename": image,
        "relationships": {"left": [[] for _ in objects]},
    }
    return json.dumps({"scenes": [scene], "info": {"image_filename": [image]}}, indent=1)


def test_ssg_instruments_of_the_scene_graphs(tmp_path):
    raw = write_ssg(tmp_path / "raw", frames=(7, 12, 99))
    graphs = {  # a graph's own number is not its frame's
        "VID02_0": ssg_graph(
            "VID02_7",
            ("anatomy", "liver", (24, 0, 400, 239)),
            ("instrument", "grasper", (43, 60, 215, 120)),
            ("instrument", "specimenbag", (0, 0, 430, 240)),
        ),
        "VID02_1": ssg_graph("VID02_12", ("anatomy", "gut", (0, 0, 1, 1))),
        "VID02_2": ssg_graph("VID02_99", ("instrument", "hook", (5, 5, 5, 20))),
    }
    with zipfile.ZipFile(raw / "scene_graph_ssgqa.zip", "w") as archive:
        for name, text in graphs.items():
            archive.writestr(f"scene_graph/{name}.json", text)
    store = prepared(SSGVQA, tmp_path)
    first, anatomies, empty = (r.annotations for r in store.records(store.videos[0]))
    grasper, bag = first.instruments
    assert (grasper.label.concept, grasper.box) == ("grasper", Box(0.1, 0.25, 0.5, 0.5))
    assert (bag.label.concept, bag.box) == ("specimen_bag", Box(0.0, 0.0, 1.0, 1.0))
    assert first.derived == {"instruments": DETECTED} and first.tissues is None
    assert anatomies.instruments == ()
    assert empty.instruments is None and empty.derived == {} and len(empty.questions) == 4
    assert store.videos[0].annotations.notes == (
        "1 of 3 scene graphs hold a box that is empty or outside the image: their instruments are "
        "not annotated",
    )
    write_text(raw / "more/VID02_9.json", ssg_graph("VID02_7"))
    with pytest.raises(LayoutError, match="is the second scene graph of VID02_7"):
        prepared(SSGVQA, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{", AnnotationFileError, "line 1"),
        ('{"scenes": []}', AnnotationFileError, "0 scenes, not one"),
        (ssg_graph("1"), AnnotationFileError, r"\[0\].image_filename: '1' is not of the form"),
        (
            ssg_graph("VID01_1", ("organ", "liver", (0, 0, 1, 1))),
            AnnotationFileError,
            r"objects\[0\].type: 'organ' is neither",
        ),
        (
            ssg_graph("VID01_1", ("instrument", "hook", (0, 0, 1))),
            AnnotationFileError,
            r"objects\[0\].bbox: 3 numbers, not 4",
        ),
        (
            ssg_graph("VID01_1", ("instrument", "stapler", (0, 0, 1, 1))),
            ontology.UnmappedLabelError,
            r"objects\[0\].component\): ssg_vqa has no mapping for the instrument 'stapler'",
        ),
    ],
)
def test_ssg_a_wrong_graph_is_named(tmp_path, text, error, message):
    write_text(tmp_path / "VID01_0.json", text)
    with pytest.raises(error, match=rf"VID01_0\.json.*{message}"):
        read_graph(File.at(tmp_path / "VID01_0.json"))


# ---- Cholec80-VQA --------------------------------------------------------------------------------

CLASSES = "What is the phase of image?|calot triangle dissection\n\nIs the hook used?|yes\n"
SENTENCE = "What is the phase of image?|the phase is calot triangle dissection\n"


def write_questions(raw, text=CLASSES, frames=(0, 100, 125), video=5):
    for frame in frames:
        write_text(raw / f"Cholec80-VQA/Classification/{video}/{frame}_QA.txt", CLASSES)
    write_text(raw / f"Cholec80-VQA/Classification/{video}/100_QA.txt", text)
    write_text(raw / f"Cholec80-VQA/Sentence/{video}/100_QA.txt", SENTENCE)
    return raw


def test_cholec80_vqa_on_its_pictures(tmp_path):
    raw = write_questions(tmp_path / "raw")
    write_image(raw / "Cholec80-VQA/cropped_images/5/100.png", numbered_image(100))
    store = prepared(Cholec80VQA, tmp_path)
    (record,) = store.records(store.videos[0])
    assert (pixels(record), record.frame.time) == (100, 4.0)
    assert record.annotations.questions == (
        Question("What is the phase of image?", "calot triangle dissection", kind="phase"),
        Question("Is the hook used?", "yes", kind="answer"),
        Question(
            "What is the phase of image?", "the phase is calot triangle dissection", kind="sentence"
        ),
    )
    video = store.videos[0]
    assert (
        "1 of 3 question files are of frames that are no multiple of 100"
        in (video.annotations.notes[0])
    )
    assert video.annotations.notes[1] == "1 of 2 question files have no image"
    assert (video.video.splits["default"], video.video.canonical) == ("val", "cholec80/video05")


def test_cholec80_vqa_prefers_its_own_pictures(tmp_path):
    raw = write_questions(tmp_path / "raw")
    write_image(raw / "Cholec80-VQA/cropped_images/5/100.png", numbered_image(77))
    write_video(raw / "videos" / "video05.mp4", 226)
    store = prepared(Cholec80VQA, tmp_path)
    assert [pixels(r) for r in store.records(store.videos[0])] == [77]


def test_cholec80_vqa_on_cholec80s_videos(tmp_path):
    raw = write_questions(tmp_path / "raw")
    write_video(raw / "videos" / "video05.mp4", 226)
    store = prepared(Cholec80VQA, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [(pixels(r), r.frame.time) for r in got] == [(0, 0.0), (100, 4.0), (200, 8.0)]
    counts = [r.annotations.questions and len(r.annotations.questions) for r in got]
    assert counts == [2, 3, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("What?|lunch\n", "100_QA.txt, line 1: cholec80_vqa has no answer 'lunch'"),
        ("\n", "100_QA.txt: holds no question"),
    ],
)
def test_cholec80_vqa_bad_files_quarantine_their_frame(tmp_path, text, reason):
    frames = [100 * n for n in range(50)]
    raw = write_questions(tmp_path / "raw", text, frames)
    for frame in frames:
        write_image(raw / f"Cholec80-VQA/cropped_image/5/{frame:06d}.png", numbered_image(1))
    (bad,) = prepared(Cholec80VQA, tmp_path).quarantined()
    assert reason in bad.reason


def test_cholec80_vqa_counts_questions_behind_the_end(tmp_path):
    raw = write_questions(tmp_path / "raw", frames=(0, 100, 200))
    write_video(raw / "videos" / "video05.mp4", 101)
    builder = Cholec80VQA(data_dir=str(tmp_path / "unused"))
    (job,) = builder.jobs(Tree.open(raw))
    store = prepared(Cholec80VQA, tmp_path)
    assert store.videos[0].count == job.frame_count == 2
    assert store.videos[0].annotations.notes == ("1 of 3 question files have no image",)


def test_cholec80_vqa_a_file_twice_is_an_error(tmp_path):
    raw = write_questions(tmp_path / "raw")
    write_video(raw / "videos" / "video05.mp4", 26)
    write_text(raw / "copy/Classification/5/100_QA.txt", CLASSES)
    with pytest.raises(LayoutError, match=r"100_QA\.txt are of the same frame"):
        prepared(Cholec80VQA, tmp_path)
    (raw / "copy/Classification/5/100_QA.txt").unlink()
    write_video(raw / "copy" / "video05.mp4", 26)
    with pytest.raises(LayoutError, match=r"video05\.mp4 are the same video"):
        prepared(Cholec80VQA, tmp_path)


def test_cholec80_vqa_needs_frames(tmp_path):
    write_questions(tmp_path / "raw")
    with pytest.raises(LayoutError, match=r"neither cropped_images(.|\n)*video01\.mp4"):
        prepared(Cholec80VQA, tmp_path)
    write_text(tmp_path / "other" / "raw" / "x.txt", "")
    with pytest.raises(LayoutError, match="no question files"):
        prepared(Cholec80VQA, tmp_path / "other")
    assert sources.get("cholec80_vqa") is Cholec80VQA and sources.get("ssg_vqa") is SSGVQA


@pytest.mark.slow
def test_damaged_question_files(tmp_path):
    raw = write_ssg(tmp_path / "a")
    fuzz(SSGVQA, raw, "qa_txt/VID02/7.txt")
    graph = ssg_graph("VID02_7", ("instrument", "grasper", (43, 60, 215, 120)))
    write_text(raw / "scene_graph/VID02_0.json", graph)
    fuzz(SSGVQA, raw, "scene_graph/VID02_0.json")
    raw = write_questions(tmp_path / "b")
    write_image(raw / "Cholec80-VQA/cropped_images/5/0.png", numbered_image(0))
    write_image(raw / "Cholec80-VQA/cropped_images/5/100.png", numbered_image(100))
    fuzz(Cholec80VQA, raw, "Cholec80-VQA/Classification/5/100_QA.txt")
