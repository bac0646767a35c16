"""The report: one page that needs nothing beside itself, and says what the scores say."""

import base64
import dataclasses
import json
import re

import cv2
import numpy as np
import pytest
from page_parser import Page

from surgzoo.evaluate.grade import grade
from surgzoo.evaluate.report import report
from surgzoo.evaluate.report.confusion import confusions
from surgzoo.evaluate.report.curves import curves
from surgzoo.evaluate.report.gallery import examples, judge_all
from surgzoo.evaluate.report.instruments import iou_histogram, label_scores, overlaps
from surgzoo.evaluate.report.timeline import MISSING, UNPARSED, timelines
from surgzoo.evaluate.report.words import clock, percent, seconds, signed, title
from surgzoo.evaluate.scores import Scores


@pytest.fixture(scope="module")
def run(truth, data_dir, tmp_path_factory):
    """The folder of a run whose model errs in every way, and its report."""
    folder = tmp_path_factory.mktemp("run")
    lines = []
    for number, (id, item) in enumerate(truth.conversations.items()):
        text = item.target
        if number % 11 == 0:
            text = "<script>alert('no idea')</script>"
        elif item.task == "phase_recognition" and number % 7 == 0:
            text = "clipping and cutting"
        elif item.task == "instrument_localization" and number % 5 == 0:
            text = "grasper (100,100),(200,900)"
        if number % 29:
            lines.append({"id": id, "model": "model <b>", "text": text, "latency": 0.1})
    (folder / "predictions.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    (folder / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": s, "loss": 4 / (s + 1), "lr": 1e-4}) + "\n" for s in range(50))
    )
    (folder / "config.json").write_text('{"optim": {"lr": 0.0001}}')
    path = report(
        folder, data_dir, folder / "out", checkpoint="step 50", date="2026-01-02", max_examples=40
    )
    return path, Page(path.read_text(encoding="utf-8"))


def test_nothing_outside_the_page(run):
    path, page = run
    text = path.read_text(encoding="utf-8")
    assert not page.open
    assert path.stat().st_size < 5_000_000
    assert not re.search(r"https?://|@import|url\(", text)
    for _, attributes in page.tags:
        assert not attributes.get("src", "data:").startswith(("http", "/", "."))
        assert attributes.get("href", "#").startswith(("#", "data:text/csv;base64,"))
    assert not page.all("link")


def test_text_of_a_model_is_never_markup(run):
    _, page = run
    assert len(page.all("script")) == 1
    assert "<script>alert('no idea')</script>" in page.text


def test_images_are_embedded_and_described(run):
    _, page = run
    images = page.all("img")
    assert len(images) == 40
    for image in images:
        assert len(image["alt"]) > 10
        data = base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,"))
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (48, 64, 3)
    for tag, attributes in page.tags:
        if attributes.get("role") == "img":
            assert attributes.get("aria-label"), tag


def test_contents(run):
    _, page = run
    ids = {attributes.get("id") for _, attributes in page.tags}
    sections = ["scores", "timelines", "confusion", "instruments", "examples", "worst", "unparsed"]
    more = ["calibration", "latency", "metrics", "training", "environment", "downloads"]
    assert {*sections, *more} <= ids
    for link in page.all("a"):
        assert "download" in link or link["href"][1:] in ids
    for words in ("step 50", "2026-01-02", "toyscope.fps1", "majority", "mean box", "Nephrectomy"):
        assert words in page.text
    verdicts = {a["data-verdict"] for a in page.all("article") if "data-verdict" in a}
    assert verdicts >= {"right", "wrong", "unparsed"}


def test_boxes_are_drawn_where_they_are(run):
    _, page = run
    drawn = {tuple(float(r[k]) for k in ("x", "y", "width", "height")) for r in page.all("rect")}
    assert (40.0, 30.0, 120.0, 120.0) in drawn  # the grasper at 0.1, 0.1, 0.4, 0.5 of 400 x 300


def test_files_beside_the_page(run):
    path, _ = run
    scores = Scores.load(path.with_name("scores.json"))
    summary = path.with_name("summary.md").read_text(encoding="utf-8")
    assert percent(scores.row("phase_recognition").value) in summary
    assert "questions have no prediction" in summary
    assert len({len(line) for line in summary.splitlines()[:6]}) == 1  # columns line up


def test_the_same_twice(run, data_dir, tmp_path):
    path, _ = run
    again = report(
        path.parent.parent,
        data_dir,
        tmp_path / "again.html",
        checkpoint="step 50",
        date="2026-01-02",
        max_examples=40,
    )
    assert again.read_bytes() == path.read_bytes()


def test_one_task_without_a_run(data_dir, perfect, write, tmp_path):
    path = write([line for line in perfect if "phase" in line["id"]])
    page = Page(report(path, data_dir, tmp_path / "r.html", baselines=False).read_text("utf-8"))
    ids = {attributes.get("id") for _, attributes in page.tags}
    assert not ids & {"training", "instruments", "unparsed"}


def test_timeline(truth, perfect):
    from surgzoo.evaluate.predictions import Prediction

    phases = [line for line in perfect if "op03" in line["id"] and "phase" in line["id"]]
    items = [Prediction(line["id"], text=line["text"]) for line in phases[:-2]]
    items[0] = Prediction(phases[0]["id"], text="who knows")
    graded, _, _ = grade(items, truth)
    line = next(t for t in timelines(truth, graded) if t.ribbons)
    (ribbon,) = line.ribbons
    assert ribbon.truth == [(0, 7, 0), (7, 14, 1), (14, 20, 2)]
    assert ribbon.said == [(0, 1, UNPARSED), (1, 7, 0), (7, 14, 1), (14, 18, 2), (18, 20, MISSING)]
    assert ribbon.agreement == pytest.approx(17 / 18)
    assert line.special == (UNPARSED, MISSING)
    matrix = next(m for m in confusions(truth, graded) if m.title == line.title)
    assert (matrix.task, matrix.labels) == (line.task, line.labels)  # and so the same numbers
    assert matrix.counts.tolist() == [[6, 0, 0, 1], [0, 7, 0, 0], [0, 0, 4, 0]]
    assert matrix.shares.sum(1) == pytest.approx(1)
    assert (matrix.rows, matrix.columns) == ([0, 1, 2], [0, 1, 2, 3])


def test_a_clip_shows_its_first_frame_and_makes_no_ribbon(truth, perfect):
    """A phase question turned into one about a clip."""
    from surgzoo.evaluate.predictions import Prediction
    from surgzoo.tasks.base import ClipTask
    from surgzoo.tasks.one_label import OneLabel

    class Clips(OneLabel, ClipTask):
        name = kind = "phase_recognition"
        templates = ("?",)

        def encode_video(self, footage, context):
            return iter(())

    line = next(line for line in perfect if "phase" in line["id"])
    known = truth.conversations[line["id"]]
    media = dataclasses.replace(known.media[0], count=4, kind="clip")
    clips = dataclasses.replace(
        truth,
        conversations={known.id: dataclasses.replace(known, media=(media,))},
        tasks={"phase_recognition": Clips()},
    )
    graded, _, _ = grade([Prediction(known.id, text=line["text"])], clips)
    (card,) = examples(clips, judge_all(clips, graded), 4)
    assert card.verdict == "right"
    assert card.panels[0].alt.startswith("First of 4 frames of video op03 at ")
    assert card.panels[0].image.startswith("data:image/jpeg;base64,")
    assert timelines(clips, graded) == []
    assert [matrix.counts.sum() for matrix in confusions(clips, graded)] == [1]


def test_a_question_without_picture_shows_the_frame_that_it_is_about(truth, perfect):
    from surgzoo.evaluate.predictions import Prediction

    line = next(line for line in perfect if "op03/000004/phase" in line["id"])
    known = truth.conversations[line["id"]]
    words = dataclasses.replace(
        truth, conversations={known.id: dataclasses.replace(known, media=())}
    )
    item = [Prediction(known.id, text=line["text"])]
    (card,), (same,) = (examples(t, judge_all(t, grade(item, t)[0]), 4) for t in (words, truth))
    assert card.panels[0].image == same.panels[0].image


def test_labels_and_overlap(truth, perfect):
    from surgzoo.evaluate.predictions import Prediction

    graded, _, _ = grade([Prediction(p["id"], text=p["text"]) for p in perfect], truth)
    for task in ("instrument_recognition", "instrument_localization"):
        rows = label_scores(truth, graded, task)
        assert [row.label for row in rows] == ["grasper", "hook"]
        assert {(row.precision, row.recall, row.f1) for row in rows} == {(1, 1, 1)}
    histogram = iou_histogram(graded, "instrument_localization")
    assert histogram.counts[-1] == histogram.total == histogram.found > 0
    true = [("a", [0, 0, 0.5, 1]), ("a", [0.5, 0, 1, 1]), ("b", [0, 0, 1, 1])]
    assert overlaps(true, [("a", [0.5, 0, 1, 1])]) == [("a", 0), ("a", 1), ("b", 0)]


def test_curves(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert curves(path) == []
    path.write_text('{"step": 0, "loss": 4, "val/loss": 5}\n{"step": 10, "loss": 2}\n{"step": 20')
    (curve,) = curves(path)  # one value makes no curve, and the torn line is left out
    assert (curve.name, curve.first, curve.last, curve.steps) == ("loss", 4, 2, 10)
    assert curve.points == [(0, 0), (1, 0.5)]
    path.write_text('{"step": 0}\nbroken\n{"step": 1}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl:2"):
        curves(path)


def test_words():
    assert title("ivt_f1") == "IVT F1"
    assert title("phase_recognition") == "Phase recognition"
    assert title("miou") == "mIoU"
    assert (percent(0.1234), percent(None)) == ("12.3", "–")
    assert (signed(0.05), signed(-0.05)) == ("+5.0", "−5.0")
    assert (seconds(0.21), seconds(1.44)) == ("210 ms", "1.4 s")
    assert (clock(42.0), clock(750.0), clock(60.0, 900.0)) == ("42 s", "12:30", "1:00")
