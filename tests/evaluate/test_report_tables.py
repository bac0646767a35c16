"""Tables as data, latency, calibration, and which cases a page shows."""

import base64
import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from surgzoo.evaluate.grade import grade
from surgzoo.evaluate.predictions import Prediction
from surgzoo.evaluate.report import gallery, report, sheets
from surgzoo.evaluate.report.calibration import calibrations
from surgzoo.evaluate.report.latency import latencies
from surgzoo.evaluate.report.sheets import Cell, Sheet
from surgzoo.evaluate.scores import Scores


def test_sheet_as_csv_and_markdown():
    sheet = Sheet(
        "t",
        "Title",
        ("name", "value"),
        [
            (sheets.words('a|"b"\n<i>'), sheets.measured(0.123456789)),
            (sheets.words("=SUM(A1)"), Cell("–", None)),
            (sheets.words("c", "more"), Cell("31.42 dB", 31.4159, best=True)),
        ],
    )
    rows = list(csv.reader(io.StringIO(sheet.csv)))
    assert rows == [
        ["name", "value"],
        ['a|"b"\n<i>', "0.123457"],
        ["'=SUM(A1)", ""],
        ["c", "31.4159"],
    ]
    assert sheet.markdown.splitlines() == [
        "## Title",
        "",
        "| name | value |",
        "| --- | --: |",
        '| a\\|"b" &lt;i> | 12.3 |',
        "| =SUM(A1) | – |",
        "| c (more) | **31.42 dB** |",
    ]
    assert base64.b64decode(sheet.href.split(",")[1]).decode() == sheet.csv
    assert [sheet.numeric(column) for column in (0, 1)] == [False, True]


def answered(truth, task, **values):
    """Perfect predictions of a task."""
    return [
        Prediction(id, text=item.target, **values)
        for id, item in truth.conversations.items()
        if item.task == task
    ]


def test_latency_by_hand(truth):
    seconds = np.random.default_rng(0).lognormal(-1, 0.6, 120)
    items = [
        dataclasses.replace(item, latency=float(value))
        for item, value in zip(answered(truth, "phase_recognition"), seconds, strict=True)
    ]
    items += answered(truth, "instrument_recognition")  # states none
    (line,) = latencies(grade(items, truth).graded)
    assert (line.task, line.answers) == ("phase_recognition", 120)
    assert line.median == pytest.approx(np.median(seconds))
    assert line.p95 == pytest.approx(np.percentile(seconds, 95))
    assert line.slowest == seconds.max()
    edges = [*line.edges, np.inf]
    assert line.counts == np.histogram(seconds, edges)[0].tolist()
    assert sum(line.counts) == 120 and line.edges[-1] >= np.quantile(seconds, 0.99)


def test_latency_of_zero_and_of_one(truth):
    (item, *_) = answered(truth, "phase_recognition", latency=0.0)
    (line,) = latencies(grade([item], truth).graded)
    assert (line.median, line.p95, sum(line.counts)) == (0, 0, 1)


@dataclasses.dataclass(frozen=True)
class Sure(Prediction):
    """A prediction with confidences."""

    scores: dict | None = None


def test_calibration_by_hand(truth):
    """Phases: 0.95 sure and always right, 0.65 sure and right in every second answer."""
    items = []
    for number, item in enumerate(answered(truth, "phase_recognition")):
        label = truth.conversations[item.id].answer
        other = next(o for o in truth.conversations[item.id].options if o != label)
        score, said = 0.95, label
        if number % 2:
            score, said = 0.65, (label, other)[number // 2 % 2]
        items.append(Sure(item.id, text=said, scores={said: score}))
    items[0] = dataclasses.replace(items[0], text="no idea")  # says nothing, so is sure of nothing
    (one,) = calibrations(truth, grade(items, truth).graded)
    assert one.task == "phase_recognition"
    assert one.statements == 119
    filled = [bin for bin in one.bins if bin.count]
    assert [(bin.low, bin.count) for bin in filled] == [(0.6, 60), (0.9, 59)]
    assert [bin.right for bin in filled] == [0.5, 1.0]
    assert one.error == pytest.approx((60 * 0.15 + 59 * 0.05) / 119)
    assert "of 65.0 % sure, 50.0 % right" in one.alt


def test_calibration_of_sets_counts_every_label(truth):
    items = [
        Sure(item.id, text=item.text, scores={"grasper": 1.0, "hook": 0.3})
        for item in answered(truth, "instrument_recognition")
    ]
    (one,) = calibrations(truth, grade(items, truth).graded)
    shares = {bin.low: (bin.count, bin.right) for bin in one.bins if bin.count}
    hooks = [
        "hook" in item.answer
        for item in truth.conversations.values()
        if item.task == "instrument_recognition"
    ]
    assert shares[0.9] == (120, 1.0)  # the grasper is in every frame
    assert shares[0.3] == (120, pytest.approx(np.mean(hooks)))


def test_no_confidence_no_calibration(truth):
    graded = grade(answered(truth, "phase_recognition"), truth).graded
    assert calibrations(truth, graded) == []


def test_worst_first_and_the_limit_of_cases(truth, perfect):
    """Boxes that are moved by more and more: the reward falls."""
    items = []
    for number, line in enumerate(p for p in perfect if "_localization" in p["id"]):
        conversation = truth.conversations[line["id"]]
        shift = 0.002 * (number % 60)
        boxes = [[n, [b[0] + shift, b[1], b[2] + shift, b[3]]] for n, b in conversation.answer]
        items.append(Prediction(line["id"], answer=boxes))
    judged = gallery.judge_all(truth, grade(items, truth).graded)
    worst = gallery.worst(truth, judged, 30, each=6)
    rewards = [entry.quality for entry in worst]
    assert len(worst) == 6 and rewards == sorted(rewards)
    bad = sorted(j.quality for j in judged.values() if j.verdict in ("wrong", "partly"))
    assert rewards == bad[:6]
    cards = gallery.examples(truth, judged, 12)
    assert len(cards) == 12
    ids = {card.id for card in cards}
    assert {entry.item.conversation.id for entry in gallery.worst(truth, judged, 4)} <= ids


def test_pictures_stay_within_the_budget(truth, perfect, monkeypatch):
    items = [Prediction(line["id"], text=line["text"]) for line in perfect]
    judged = gallery.judge_all(truth, grade(items, truth).graded)
    first = gallery.examples(truth, judged, 20)
    monkeypatch.setattr(gallery, "IMAGE_BUDGET", sum(card.size for card in first[:7]))
    assert [card.id for card in gallery.examples(truth, judged, 20)] == [c.id for c in first[:7]]


def test_findings_beside_the_predictions_are_notes(data_dir, perfect, write, tmp_path):
    lines = [line for line in perfect if "/phase_" in line["id"]]
    found = tmp_path / "findings.json"
    found.write_text(json.dumps([{"kind": "leakage", "text": "op03 was <seen> in training."}]))
    page = report(write(lines), data_dir, tmp_path / "out", baselines=False)
    assert "op03 was &lt;seen&gt; in training." in page.read_text(encoding="utf-8")
    other = write(lines, "other.jsonl")  # the file is about predictions.jsonl alone
    page = report(other, data_dir, tmp_path / "other", baselines=False)
    assert "&lt;seen&gt;" not in page.read_text(encoding="utf-8")
    found.write_text('{"kind": 1}')
    with pytest.raises(ValueError, match=r"findings\.json is not a list of findings"):
        report(write(lines), data_dir, tmp_path / "out", baselines=False)


def test_files_of_the_tables_say_what_the_scores_say(truth, data_dir, perfect, write, tmp_path):
    lines = [{**line, "text": "no idea"} if n % 9 == 0 else line for n, line in enumerate(perfect)]
    page = report(write(lines), data_dir, tmp_path / "out")
    scores = Scores.load(page.with_name("scores.json"))
    folder = page.parent / "tables"

    def read(name):
        with open(folder / f"{name}.csv", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    rows = {row["task"]: row for row in read("scores")}
    assert list(rows) == scores.tasks
    for task, row in rows.items():
        assert float(row["model"]) == pytest.approx(scores.row(task).value, abs=1e-6)
        assert float(row["low"]) == pytest.approx(scores.row(task).interval[0], abs=1e-6)
        assert int(row["unparsed"]) == scores.row(task).unparsed
        margin = float(row["model"]) - float(row["baseline value"])
        assert float(row["margin"]) == pytest.approx(margin, abs=2e-6)
    groups = read("groups")
    assert {row["group"] for row in groups} == {"source", "specialty", "procedure", "video"}
    for row in groups:
        value = scores.row(row["task"], row["group"], row["name"]).value
        assert float(row["model"]) == pytest.approx(value, abs=1e-6)
    matrix = read("confusion_phase_recognition_nephrectomy")
    assert (
        sum(int(row[row["truth"]]) for row in matrix) + sum(int(row["unparsed"]) for row in matrix)
        == 60
    )
    assert sum(int(row["answers"]) for row in read("unparsed")) == sum(
        scores.row(task).unparsed for task in scores.tasks
    )
    metrics = [row for row in read("metrics") if row["of"] == "model"]
    assert len(metrics) == sum(len(scores.row(task).metrics) for task in scores.tasks)
    text = (folder / "all.md").read_text(encoding="utf-8")
    assert text.count("\n## ") + 1 == len(list(folder.glob("*.csv")))
    assert json.loads(page.with_name("scores.json").read_text())["split"] == "test"
