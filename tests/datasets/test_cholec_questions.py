"""SSG-VQA and Cholec80-VQA: questions on frames of CholecT45 and Cholec80."""

import json
import zipfile

import pytest
import simplejpeg
from fixtures_cholec import numbered_image, read_number, write_image, write_text, write_video
from fuzzing import fuzz

from surgzoo.datasets.cholec80_vqa.cholec80_vqa import Cholec80VQA
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import prepare
from surgzoo.datasets.ssg_vqa.labels import DETECTED, read_graph
from surgzoo.datasets.ssg_vqa.ssg_vqa import SSGVQA
from surgzoo.db import ontology
from surgzoo.db.schema import Box, Question
from surgzoo.db.sources import sources
from surgzoo.db.store import Store


def prepared(builder, folder, **options):
    options = {"workers": 1, **options}
    return Store(prepare(builder, folder / "out", manual_dir=folder / "raw", **options))


def quarantine(store):
    return [json.loads(line) for line in (store.path / "quarantine.jsonl").read_text().splitlines()]


def pixels(record):
    return read_number(simplejpeg.decode_jpeg(record.image))


# ---- SSG-VQA -------------------------------------------------------------------------------------

SSG = """liver|gallbladder|gut

hook|grasper
What is the hook doing?|dissect|zero-hop|query_object
Is there a grasper?|True|zero-hop|existence
How many anatomies are there?|10|one-hop|counting
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
        Question("Is there a grasper?", "True", kind="zero-hop/existence"),
        Question("How many anatomies are there?", "10", kind="one-hop/counting"),
    )
    video = store.videos[0]
    assert video.annotations.notes == ("1 of 3 question files have no image",)
    assert (video.video.splits["default"], video.video.canonical) == ("test", "cholec80/video02")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("head\n", "1 lines; the first 2 are its head"),
        (SSG.partition("\n\n")[2], "line 2: a question where the head should be"),
        ("a\nb\nWhat?\n", "line 3: need question|answer|type"),
        ("a\nb\nWhat?|\n", "line 3: need question|answer|type"),
        ("a\nb\nWhat?|banana|zero-hop\n", "line 3: ssg_vqa has no answer 'banana'"),
    ],
)
def test_ssg_bad_files_quarantine_their_frame(tmp_path, text, message):
    write_ssg(tmp_path / "raw", text, more=40)
    (bad,) = quarantine(prepared(SSGVQA, tmp_path))
    assert bad["where"] == "data/VID02/000007.png" and message in bad["reason"]


def test_ssg_spells_one_answer_in_two_ways(tmp_path):
    """51 answers, with specimen_bag and specimenbag."""
    text = "a\nb\nWhat?|specimen_bag|zero-hop\nWhat?|specimenbag|zero-hop\n"
    write_ssg(tmp_path / "raw", text, frames=(7,))
    store = prepared(SSGVQA, tmp_path)
    (record,) = store.records(store.videos[0])
    assert [q.answer for q in record.annotations.questions] == ["specimen_bag", "specimenbag"]
    answers = [n for kind, n in ontology.table("ssg_vqa") if kind not in ("specialty", "procedure")]
    assert len(answers) == 51


def test_ssg_questions_without_types_and_about_places(tmp_path):
    text = (
        "a\nb\nWhat?|hook\nWhat is there?|liver|[67.0, 85.5]\nWhat?|red|zero_hop.json|query_attr\n"
    )
    write_ssg(tmp_path / "raw", text, frames=(7,))
    store = prepared(SSGVQA, tmp_path)
    (record,) = store.records(store.videos[0])
    found = [(q.answer, q.kind) for q in record.annotations.questions]
    assert found == [("hook", ""), ("liver", ""), ("red", "zero_hop/query_attr")]


def test_ssg_packed_questions_in_another_folder(tmp_path):
    raw = tmp_path / "raw"
    write_image(raw / "CholecT50/videos/VID01/000002.png", numbered_image(2))
    with zipfile.ZipFile(raw / "ssg-qa.zip", "w") as archive:
        archive.writestr("ssg-qa/VID01/2.txt", SSG)
    store = prepared(SSGVQA, tmp_path)
    assert [r.frame.time for r in store.records(store.videos[0])] == [2.0]
    write_text(raw / "copy/VID01/2.txt", SSG)
    with pytest.raises(LayoutError, match="are of the same frame"):
        prepared(SSGVQA, tmp_path, overwrite=True)


def graph(image, *objects):
    """A scene graph; objects are (type, component, corners)."""
    listed = [
        {"bbox": list(box), "component": component, "type": kind, "location": "top-mid"}
        for kind, component, box in objects
    ]
    scene = {"objects": listed, "image_filename": image, "relationships": {"left": []}}
    return json.dumps({"scenes": [scene], "info": {"split": "new"}})


def test_ssg_instruments_of_the_scene_graphs(tmp_path):
    raw = write_ssg(tmp_path / "raw", frames=(7, 12, 99))
    graphs = {
        "VID02_0": graph(
            "VID02_7",
            ("anatomy", "liver", (24, 0, 400, 239)),
            ("instrument", "grasper", (43, 60, 215, 120)),
            ("instrument", "specimenbag", (0, 0, 430, 240)),
        ),
        "VID02_1": graph("VID02_12", ("anatomy", "gut", (0, 0, 1, 1))),
        "VID02_2": graph("VID02_99", ("instrument", "hook", (5, 5, 5, 20))),
    }
    with zipfile.ZipFile(raw / "scene_graph_ssgqa.zip", "w") as archive:
        for name, text in graphs.items():
            archive.writestr(f"scene_graph/{name}.json", text)
    store = prepared(SSGVQA, tmp_path)
    first, empty, broken = (r.annotations for r in store.records(store.videos[0]))
    # The graph's own number is not the frame's; boxes are corners in 430 x 240.
    grasper, bag = first.instruments
    assert (grasper.label.concept, grasper.box) == ("grasper", Box(0.1, 0.25, 0.5, 0.5))
    assert (bag.label.concept, bag.box) == ("specimen_bag", Box(0.0, 0.0, 1.0, 1.0))
    assert first.derived == {"instruments": DETECTED}
    assert empty.instruments == ()  # a graph of anatomies alone
    assert broken.instruments is None and broken.derived == {}
    assert store.videos[0].annotations.notes == (
        "1 of 3 scene graphs hold a box that is empty or outside the image: their instruments are "
        "not annotated",
    )
    write_text(raw / "scene_graph/VID02_9.json", graphs["VID02_1"])
    with pytest.raises(LayoutError, match="is the second scene graph of VID02_12"):
        prepared(SSGVQA, tmp_path, overwrite=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1"),
        ('{"scenes": []}', "0 scenes, not one"),
        (graph("1"), r"scenes\[0\].image_filename: '1' is not of the form"),
        (graph("VID01_1", ("organ", "liver", (0, 0, 1, 1))), "'organ' is neither"),
        (graph("VID01_1", ("instrument", "hook", (0, 0, 1))), "3 numbers, not 4"),
        (graph("VID01_1", ("instrument", "stapler", (0, 0, 1, 1))), "no mapping .* 'stapler'"),
    ],
)
def test_ssg_a_wrong_graph_is_named(tmp_path, text, message):
    write_text(tmp_path / "VID01_0.json", text)
    with pytest.raises(ValueError, match=rf"VID01_0\.json.*{message}"):
        read_graph(File.at(tmp_path / "VID01_0.json"))


def test_ssg_needs_the_frames_of_cholect45(tmp_path):
    write_text(tmp_path / "raw/qa_txt/VID01/1.txt", SSG)
    with pytest.raises(LayoutError, match=r"no frames of CholecT45(.|\n)*data/VID01"):
        prepared(SSGVQA, tmp_path)
    write_ssg(tmp_path / "raw", more=30)
    assert quarantine(prepared(SSGVQA, tmp_path))[0]["where"] == "data/VID01"
    write_image(tmp_path / "raw/videos/VID02/000007.png", numbered_image(7))
    with pytest.raises(LayoutError, match="are the same frame"):
        prepared(SSGVQA, tmp_path, overwrite=True)


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


def test_cholec80_vqa_bad_lines_quarantine_their_frame(tmp_path):
    frames = [100 * n for n in range(50)]
    raw = write_questions(tmp_path / "raw", "What?|lunch\n", frames)
    for frame in frames:
        write_image(raw / f"Cholec80-VQA/cropped_images/5/{frame}.png", numbered_image(1))
    (bad,) = quarantine(prepared(Cholec80VQA, tmp_path))
    assert "100_QA.txt, line 1: cholec80_vqa has no answer 'lunch'" in bad["reason"]


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
    write_text(raw / "VID02_0.json", graph("VID02_7", ("instrument", "hook", (5, 5, 15, 20))))
    fuzz(SSGVQA, raw, "VID02_0.json")
    raw = write_questions(tmp_path / "b")
    write_image(raw / "Cholec80-VQA/cropped_images/5/0.png", numbered_image(0))
    write_image(raw / "Cholec80-VQA/cropped_images/5/100.png", numbered_image(100))
    fuzz(Cholec80VQA, raw, "Cholec80-VQA/Classification/5/100_QA.txt")
