"""The page of several predictions files."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from page_parser import Page

from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.report import compare_report
from surgzoo.evaluate.score import score


def errors(perfect, every, model):
    """The truth with a wrong phase, or no box, in each `every`-th line of a task."""
    counts, lines = {}, []
    for line in perfect:
        task = line["id"].split("/")[3]
        counts[task] = counts.get(task, 0) + 1
        text = line["text"]
        if counts[task] % every == 0:
            wrong = {"phase_recognition": "preparation", "instrument_recognition": "hook"}
            text = wrong.get(task, "no idea")
        lines.append({**line, "text": text, "model": model})
    return lines


@pytest.fixture(scope="module")
def files(truth, tmp_path_factory):
    """Three models: one that is always right, one that errs, one that errs often and skips."""
    folder = tmp_path_factory.mktemp("models")
    perfect = [{"id": id, "text": item.target} for id, item in truth.conversations.items()]
    rows = {
        "good": [{**line, "model": "good"} for line in perfect],
        "fair": errors(perfect, 5, "fair <i>"),
        "poor": errors(perfect, 2, "poor")[:-40],
    }
    for name, lines in rows.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return [folder / f"{name}.jsonl" for name in rows]


@pytest.fixture(scope="module")
def page(files, data_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison") / "cmp.html"
    path = compare_report(files, data_dir, out, date="2026-01-02", max_examples=30)
    return path, Page(path.read_text(encoding="utf-8"))


def sheet(path, name):
    with open(path.parent / "tables" / f"comparison_{name}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_page_without_anything_else(page):
    path, parsed = page
    assert not parsed.open
    assert path.stat().st_size < 5_000_000
    assert len(parsed.all("script")) == 1  # text of a model is no markup
    assert "B fair <i>" in parsed.text
    for link in parsed.all("a"):
        assert link["href"].startswith(("#", "data:text/csv;base64,"))
    for image in parsed.all("img"):
        assert image["src"].startswith("data:image/jpeg;base64,")
        assert len(image["alt"]) > 10


def test_leaderboard(page, files, data_dir):
    path, _ = page
    rows = {row["model"]: row for row in sheet(path, "leaderboard")}
    assert list(rows) == ["A good", "B fair <i>", "C poor", "trivial baseline"]
    fair = score(files[1], data_dir)
    for task in fair.tasks:
        name = task.replace("_", " ").capitalize()
        assert float(rows["A good"][name]) == 1
        assert float(rows["B fair <i>"][name]) == pytest.approx(fair.row(task).value, abs=1e-5)
    assert rows["A good"]["best in"] == str(len(fair.tasks))
    assert rows["C poor"]["best in"] == "0"
    text = path.with_name("comparison.md").read_text(encoding="utf-8")
    assert "**100.0**" in text and "A good against C poor" in text


def test_every_table_is_linked_written_and_the_same(page):
    import base64

    path, parsed = page
    links = {a["download"]: a["href"] for a in parsed.all("a") if "download" in a}
    assert {"leaderboard.csv", "difference_a_b.csv", "agreement_b_c.csv"} <= set(links)
    for name, href in links.items():
        data = base64.b64decode(href.split(",", 1)[1]).decode()
        file = path.parent / "tables" / f"comparison_{name}"
        assert file.read_text(encoding="utf-8") == data


def test_differences_are_on_common_questions(page, files, data_dir, truth):
    """The poor model skips the last 40 lines: the good one is scored without them, too."""
    path, _ = page
    assert "did not answer the same questions" in page[1].text
    rows = {row["task"]: row for row in sheet(path, "difference_a_c")}
    about = {row["task"]: row for row in sheet(path, "agreement_a_c")}
    lines = [json.loads(line) for line in files[2].read_text(encoding="utf-8").splitlines()]
    phases = [line for line in lines if "/phase_" in line["id"]]
    right = sum(line["text"] == truth.conversations[line["id"]].target for line in phases)
    row = rows["Phase recognition"]
    assert int(row["answers"]) == len(phases) < 120
    assert float(row["A"]) == 1
    assert float(row["C"]) == pytest.approx(right / len(phases), abs=1e-5)
    assert float(row["95 % from"]) <= float(row["difference"]) <= float(row["to"])
    counts = [int(about["Phase recognition"][k]) for k in ("both right", "only A", "neither")]
    assert counts == [right, len(phases) - right, 0]


def test_disagreement(page):
    _, parsed = page
    cards = [a for a in parsed.all("article") if "data-right" in a]
    assert 0 < len(cards) <= 30
    for card in cards:
        assert card["data-right"] and card["data-wrong"]
    wrong = {name for card in cards for name in card["data-wrong"].split(" | ")}
    assert wrong == {"B fair <i>", "C poor"}
    assert len({card["data-id"] for card in cards}) == len(cards)


def test_the_same_twice(page, files, data_dir, tmp_path):
    path, _ = page
    again = compare_report(
        files, data_dir, tmp_path / "cmp.html", date="2026-01-02", max_examples=30
    )
    assert again.read_bytes() == path.read_bytes()


def test_models_of_one_name_and_without_common_questions(perfect, data_dir, write, tmp_path):
    phases = write([p for p in perfect if "/phase_" in p["id"]], "phases.jsonl")
    boxes = write([p for p in perfect if "_localization" in p["id"]], "boxes.jsonl")
    path = compare_report([phases, boxes], data_dir, tmp_path, baselines=False)
    assert path.name == "comparison.html"
    text = Page(path.read_text(encoding="utf-8")).text
    assert "toy (" in text and "/phases)" in text and "/boxes)" in text
    assert "The two have answered no question in common." in text
    assert "There is no question that all models answered" in text


def test_models_with_the_same_questions_get_no_note(files, data_dir, tmp_path):
    path = compare_report(files[:2], data_dir, tmp_path, baselines=False, max_examples=0)
    assert "did not answer the same questions" not in path.read_text(encoding="utf-8")


def test_what_cannot_be_compared(perfect, data_dir, write, tmp_path):
    one = write(perfect[:3], "one.jsonl")
    with pytest.raises(ValueError, match="2 to 26 predictions files, not of 1"):
        compare_report([one], data_dir, tmp_path)
    with pytest.raises(PredictionsError, match=r"none\.jsonl does not exist"):
        compare_report([one, tmp_path / "none.jsonl"], data_dir, tmp_path)
    empty = write([], "empty.jsonl")
    with pytest.raises(PredictionsError, match="holds no prediction"):
        compare_report([one, empty], data_dir, tmp_path)


def run_command(*arguments):
    """The command in a process of its own, which also knows the toy source's labels."""
    tables = Path(__file__).parent / "ontology"
    program = f"""
from surgzoo.db import ontology
from surgzoo.tools.main import main
ontology.add_tables({str(tables)!r})
main()
"""
    command = [sys.executable, "-c", program, "report", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_command(files, data_dir, tmp_path):
    said = (f"--data_dir={data_dir}", "--title=Ours and theirs")
    several = ",".join(str(f) for f in files[1:])
    found = run_command(f"--predictions={several}", f"--out={tmp_path}", *said)
    assert found.returncode == 0, found.stderr
    assert "## A fair <i> against B poor" in found.stdout
    assert "not answer the same questions" in found.stdout
    assert found.stdout.rstrip().endswith(f"report: {tmp_path / 'comparison.html'}")
    assert "<h1>Ours and theirs</h1>" in (tmp_path / "comparison.html").read_text("utf-8")
    found = run_command(f"--predictions={files[0]}", f"--out={tmp_path / 'one.html'}", *said)
    assert "| Phase recognition" in found.stdout
    found = run_command("--predictions=a.jsonl,b.jsonl", "--run_dir=runs/a", *said)
    assert found.returncode == 1 and "compare without it" in found.stderr
