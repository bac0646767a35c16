"""The two sources for a lab's own data: `folder` and `web_video`."""

import csv
import io
import json

import cv2
import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_image, write_video
from fuzzing import fuzz

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.folder.folder import Folder
from surgzoo.datasets.inspection import inspect, text
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.source_builder import named, prepare
from surgzoo.datasets.surg_sigma_db import plan
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
from surgzoo.datasets.web_video.web_video import WebVideo
from surgzoo.db import ontology, records, schema
from surgzoo.db.schema import Box, Label
from surgzoo.db.store import Store
from surgzoo.tasks.wording import Wording

DEFAULTS = {"specialty": "urology", "procedure": "prostatectomy", "licence": "in-house"}
LABELS = "instrument\tBovie\thook\tour word for it\nphase\tRobot docking\tdocking\tour own\n"
CONCEPTS = "phase\tdocking\trobot docking\tour own\n"


@pytest.fixture(scope="module", autouse=True)
def own_tables_end_here():
    """Opening a collection adds its label tables to the process; other tests know none of them."""
    before = list(ontology._FOLDERS)
    yield
    ontology._FOLDERS[:] = before
    ontology.concepts.cache_clear()
    ontology.table.cache_clear()


def write_jsonl(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def folder_lines():
    """A video of 4 s with segments, a frame of it, and a series of two images."""
    return [
        {
            "video": "case01",
            "file": "videos/case01.mp4",
            "patient": "p7",
            "split": "train",
            "splits": {"fold1": "test"},
            "annotations": {
                "segments": [
                    {"kind": "phase", "label": "Robot docking", "start": 0, "end": 2.5},
                    {"kind": "action", "label": "cutting", "start": 1, "end": 2, "actor": "left"},
                ],
                "captions": [[0, 4, "The robot is docked."]],
                "skills": [{"scale": "GEARS", "value": 20, "lowest": 6, "highest": 30}],
            },
        },
        {
            "video": "case01",
            "time": 1.0,
            "annotations": {
                "instruments": [{"label": "Bovie", "box": [0.25, 0.5, 0.5, 1.0], "track": 3}],
                "triplets": [{"instrument": "hook", "verb": "dissect", "target": "cystic duct"}],
                "criteria": [{"label": "two_structures", "score": 0.5}],
                "questions": [
                    {"text": "Where is it?", "answer": "left", "kind": "place", "accepted": ["l"]}
                ],
                "flags": {"smoke": 1},
            },
        },
        {"video": "case01", "time": 3.0, "annotations": {"phase": "preparation"}},
        {"video": "stills", "licence": "CC0", "specialty": "hepatobiliary", "split": "test"},
        {
            "video": "stills",
            "time": 0,
            "file": "images/a.jpg",
            "maps": {"tissue_mask": "masks/a.png"},
            "annotations": {"tissues": [{"label": "liver", "mask": 2}], "instruments": []},
        },
        {"video": "stills", "time": 10, "file": "images/b.png"},
    ]


def write_folder(folder, lines=None):
    write_video(folder / "videos" / "case01.mp4", 101)
    (folder / "images").mkdir(exist_ok=True)
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(numbered_image(5)))
    (folder / "images" / "a.jpg").write_bytes(jpeg)
    write_image(folder / "images" / "b.png", np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    write_image(folder / "masks" / "a.png", np.full((HEIGHT, WIDTH, 3), 2, np.uint8))
    (folder / "collection.json").write_text(json.dumps(DEFAULTS))
    (folder / "labels.tsv").write_text(LABELS)
    (folder / "concepts.tsv").write_text(CONCEPTS)
    write_jsonl(folder / "annotations.jsonl", folder_lines() if lines is None else lines)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The folder, prepared as the collection `test_lab`."""
    folder = tmp_path_factory.mktemp("own")
    write_folder(folder / "raw")
    prepare(named(Folder, "test_lab"), folder / "out", manual_dir=folder / "raw", workers=1)
    return Store.open(folder / "out", "test_lab")


def test_videos_say_what_they_are(lab):
    case, stills = (stored.video for stored in lab.videos)
    assert (case.id, case.canonical, case.source) == ("case01", "test_lab/p7", "test_lab")
    assert (case.specialty, case.procedure, case.licence) == tuple(DEFAULTS.values())
    assert case.splits == {"default": "train", "fold1": "test"}
    assert (case.height, case.width, case.duration) == (HEIGHT, WIDTH, pytest.approx(101 / 25))
    assert (stills.specialty, stills.licence) == ("hepatobiliary", "CC0")
    assert stills.canonical == "test_lab/stills"


def test_annotations_of_frames_and_of_segments_meet(lab):
    frames = list(lab.records(lab.video("case01")))
    assert [read_number(simplejpeg.decode_jpeg(f.image)) for f in frames] == [0, 25, 50, 75, 100]
    natives = [f.annotations.phase and f.annotations.phase.native for f in frames]
    assert natives == ["Robot docking"] * 3 + ["preparation", None]
    actions = [[a.concept for a in f.annotations.actions] for f in frames]
    assert actions == [[], ["cutting"], [], [], []]
    one = frames[1].annotations
    hook = Label("hook", "Bovie")
    assert one.instruments == (schema.Instrument(hook, Box(0.25, 0.5, 0.5, 1.0), track=3),)
    (triplet,) = one.triplets
    assert (triplet.instrument.concept, triplet.target) == (
        "hook",
        Label("cystic_duct", "cystic duct"),
    )
    assert one.criteria[0].met and one.flags == {"smoke": 1.0}
    assert one.questions == (
        schema.Question("Where is it?", "left", kind="place", accepted=("l",)),
    )
    assert frames[0].annotations.instruments is None
    stored = lab.video("case01").annotations
    assert [(s.kind, s.start, s.end, s.actor) for s in stored.segments] == [
        ("phase", 0.0, 2.5, None),
        ("action", 1.0, 2.0, "left"),
    ]
    assert stored.captions == ((0.0, 4.0, "The robot is docked."),)
    assert stored.skills == (schema.Skill("GEARS", 20.0, 6.0, 30.0),)


def test_images_keep_their_bytes_and_white_ones_are_flagged(lab):
    first, second = lab.records(lab.video("stills"))
    assert first.image == simplejpeg.encode_jpeg(np.ascontiguousarray(numbered_image(5)))
    mask = cv2.imdecode(np.frombuffer(first.dense["tissue_mask"], np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (HEIGHT, WIDTH) and (mask == 2).all()
    assert first.annotations.tissues == (schema.Tissue(Label("liver", "liver"), mask=2),)
    assert first.annotations.instruments == ()
    assert (second.frame.time, second.annotations.flags) == (10.0, {"out_of_body": 1.0})


def test_the_tables_of_a_collection_come_with_it(lab):
    assert ontology.names("test_lab", "phase") == ("robot docking", "preparation")
    assert ontology.names("test_lab", "instrument") == ("hook",)
    assert ontology.triplets("test_lab") == (("hook", "dissect", "cystic_duct"),)
    folder = lab.path.parents[2]
    names = [
        "phase_recognition",
        "action_recognition",
        "triplet_recognition",
        "instrument_recognition",
    ]
    built = build(plan.make(folder, ["test_lab"], names, wording=Wording()), workers=1)
    asked = {name: [c for c in store] for name, store in built.items() if store}
    phases = [(c.split, c.video, c.answer) for c in asked["phase_recognition"]]
    assert phases == [("train", "test_lab/p7", "robot docking")] * 3 + [
        ("train", "test_lab/p7", "preparation")
    ]
    assert {c.options for c in asked["phase_recognition"]} == {("robot docking", "preparation")}


def test_a_moment_between_frames_is_noted(tmp_path):
    lines = [folder_lines()[0], {"video": "case01", "time": 1.4, "annotations": {}}]
    write_folder(tmp_path / "raw", lines)
    store = Store(prepare(Folder, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1))
    (note,) = store.videos[0].annotations.notes
    assert note.startswith("1 of 1 annotated moments lie between frames at 1 fps")
    path = prepare(Folder, tmp_path / "out", manual_dir=tmp_path / "raw", config="fps5", workers=1)
    assert Store(path).videos[0].annotations.notes == ()


BAD = [
    ({"video": "x", "fil": "a"}, "unknown: fil"),
    ({"video": "x", "file": "../a.mp4", "split": "train"}, r"there is no file \.\./a\.mp4"),
    ({"video": "x"}, "nothing to show"),
    ({"video": "x", "time": 1}, "no line describes the video 'x'"),
    ({"video": "x", "split": "dev"}, "'dev' is none of train"),
    ({"video": "x", "annotations": {"segments": [{"kind": "phase"}]}}, "'label' is missing"),
    (
        {"video": "x", "annotations": {"segments": [
            {"kind": "phase", "label": "preparation", "start": 2, "end": 1}]}},
        r"annotations\.segments\[0\]: segment phase/preparation",
    ),
    (
        {"video": "x", "annotations": {"segments": [
            {"kind": "phase", "label": "preperation", "start": 0, "end": 1}]}},
        "there is no phase 'preperation' .near: .*preparation",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), BAD)
def test_a_wrong_line_is_named(tmp_path, line, message):
    write_folder(tmp_path / "raw", [line])
    with pytest.raises(AnnotationFileError, match=rf"annotations\.jsonl, line 1.*{message}"):
        prepare(Folder, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1)


def test_wrong_annotations_of_a_frame_are_named(tmp_path):
    video = {"video": "x", "split": "train"}
    for wrong, message in [
        ({"instruments": [{"label": "hook", "box": [0.5, 0.5, 0.2, 0.9]}]}, r"box.*inverted"),
        ({"instruments": [{"label": "hook", "box": [0, 0, 640, 480]}]}, r"box.*outside"),
        ({"criteria": [{"label": "two_structures", "score": 2}]}, "score"),
        ({"questions": [{"text": "?", "answer": " "}]}, "the text is empty"),
        ({"questions": [{"text": "?", "answer": "a", "accepted": [""]}]}, "the text is empty"),
        ({"tissues": [{"label": "liver", "mask": 300}]}, "1 .. 255"),
        ({"phase": 3}, "3 is not a text"),
    ]:
        line = {"video": "x", "time": 0, "file": "images/a.jpg", "annotations": wrong}
        write_folder(tmp_path / "raw", [video, line])
        with pytest.raises(AnnotationFileError, match=f"line 2.*{message}"):
            prepare(Folder, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1)


def test_names_of_collections():
    with pytest.raises(ValueError, match="cannot name a collection"):
        named(Folder, "cholec80")
    with pytest.raises(ValueError, match="cannot name a collection"):
        named(Folder, "Our Lab")


def test_inspection_of_a_collection(tmp_path):
    found = inspect(Folder, write_folder(tmp_path / "raw"))
    assert (found.videos, found.frames) == (2, 6)
    assert found.segments == {"phase": (1, 2.5), "action": (1, 1.0)}
    assert "labels of 5 sampled frames" in text(found) and "tissue_mask 1" in text(found)


# ---- web_video -----------------------------------------------------------------------------------

NARRATIONS = (
    'video,start,end,text\nlecture,0:00:00.5,00:02,"First, the liver."\nlecture,2,3.5,Then.\n'
)
TIMES = "video,start,end,kind,label\nlecture,0,2,phase,preparation\nlecture,1,3,action,cutting\n"
FACTS = "video,title,url,split,licence\nlecture,A talk,https://example.org/1,train,CC BY 4.0\n"


def write_web(folder, narrations=NARRATIONS, labels=TIMES, facts=FACTS):
    write_video(folder / "talks" / "lecture.mp4", 101)
    write_video(folder / "talks" / "silent.mkv", 51)
    (folder / "collection.json").write_text(json.dumps(DEFAULTS))
    for name, data in (("narrations", narrations), ("labels", labels), ("videos", facts)):
        (folder / f"{name}.csv").write_text(data)
    return folder


def test_narrations_and_labels_of_web_videos(tmp_path):
    write_web(tmp_path / "raw")
    prepare(named(WebVideo, "talks"), tmp_path / "out", manual_dir=tmp_path / "raw", workers=1)
    store = Store.open(tmp_path / "out", "talks")
    lecture, silent = store.videos
    assert (lecture.video.url, lecture.video.licence) == ("https://example.org/1", "CC BY 4.0")
    assert (silent.video.licence, silent.video.splits) == ("in-house", {})
    assert lecture.annotations.captions == ((0.5, 2.0, "First, the liver."), (2.0, 3.5, "Then."))
    assert lecture.annotations.notes == ("title: A talk",)
    frames = [record.annotations for record in store.records(lecture)]
    assert [f.phase and f.phase.concept for f in frames] == ["preparation"] * 2 + [None] * 3
    assert [len(f.actions) for f in frames] == [0, 1, 1, 0, 0]
    assert (silent.count, silent.annotations.captions) == (3, ())
    assert ontology.names("talks", "action") == ("cutting",)


@pytest.mark.parametrize(
    ("narrations", "labels", "message"),
    [
        (
            "video,start,end,text\nother,0,1,x\n",
            TIMES,
            r"narrations\.csv, line 2: there is no video",
        ),
        ("video,start,end,text\nlecture,2,1,x\n", TIMES, r"line 2: the interval \[2, 1\)"),
        ("video,start,end,text\nlecture,0:75,9,x\n", TIMES, "line 2: start is '0:75'"),
        ("video,start,end,text\nlecture,0,1,\n", TIMES, "line 2: the text is empty"),
        (NARRATIONS, "video,start,end,kind,label\nlecture,0,1,mood,good\n", "kind 'mood'"),
        (NARRATIONS, "video,start,end,kind,label\nlecture,0,1,phase,x\n", "there is no phase 'x'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, narrations, labels, message):
    write_web(tmp_path / "raw", narrations, labels)
    with pytest.raises(AnnotationFileError, match=message):
        prepare(WebVideo, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1)


def test_a_folder_without_the_files_shows_what_is_expected(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("")
    with pytest.raises(LayoutError, match=r"no narrations\.csv and no labels\.csv(.|\n)*a\.txt"):
        prepare(WebVideo, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1)
    with pytest.raises(LayoutError, match=r"no annotations\.jsonl(.|\n)*collection\.json"):
        prepare(Folder, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["annotations.jsonl", "labels.tsv", "concepts.tsv", "collection.json"]
)
def test_damaged_files_of_a_folder(tmp_path, path):
    lines = [line for line in folder_lines() if line["video"] == "stills"]
    lines[1]["annotations"]["instruments"] = [{"label": "Bovie"}]
    lines[2]["annotations"] = {"phase": "Robot docking"}
    fuzz(Folder, write_folder(tmp_path, lines), path)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["narrations.csv", "labels.csv", "videos.csv"])
def test_damaged_files_of_web_videos(tmp_path, path):
    fuzz(WebVideo, write_web(tmp_path), path, ordered=path == "labels.csv")


def test_a_csv_writer_and_ours_agree(tmp_path):
    out = io.StringIO()
    csv.writer(out).writerows([["video", "start", "end", "text"], ["lecture", 0, 1, 'a "b",\nc']])
    write_web(tmp_path / "raw", out.getvalue())
    store = Store(prepare(WebVideo, tmp_path / "out", manual_dir=tmp_path / "raw", workers=1))
    assert store.videos[0].annotations.captions == ((0.0, 1.0, 'a "b",\nc'),)
    assert (store.path / records.TABLES_FOLDER / "web_video.tsv").exists()
