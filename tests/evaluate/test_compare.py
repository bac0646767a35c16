"""Two predictions files side by side, on the prepared toy source."""

import json

import pytest

from surgzoo.evaluate import compare as lib
from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.report import tables


def of(lines, task):
    return [dict(line) for line in lines if f"/{task}/" in line["id"]]


def spoiled(lines, every, truth):
    """Every so-manieth phase wrong."""
    for line in lines[::every]:
        known = truth.conversations[line["id"]]
        line["text"] = next(name for name in known.options if name != known.answer)
    return lines


def one(found, task="phase_recognition"):
    return next(item for item in found if item.task == task)


def test_the_better_file_is_found(data_dir, truth, perfect, write):
    good = write(of(perfect, "phase_recognition"), "good.jsonl")
    poor = write(spoiled(of(perfect, "phase_recognition"), 4, truth), "poor.jsonl")
    found = one(lib.compare(good, poor, data_dir))
    assert (found.first, found.second, found.difference) == (1, 0.75, pytest.approx(0.25))
    low, high = found.interval
    assert low <= 0.25 <= high and found.p == pytest.approx(2 / 2**found.operations)
    assert (found.answers, found.operations) == (120, 6)
    assert found.verdict == "the first is better"
    back = one(lib.compare(poor, good, data_dir))
    assert back.difference == pytest.approx(-0.25) and back.verdict == "the second is better"


def test_a_file_against_itself(data_dir, perfect, write):
    path = write(perfect)
    for item in lib.compare(path, path, data_dir):
        assert (item.difference, item.p, item.verdict) == (0, 1, "no difference shown")


def test_p_values_are_adjusted_for_the_tasks(data_dir, truth, perfect, write):
    poor = write(spoiled(of(perfect, "phase_recognition"), 4, truth), "poor.jsonl")
    alone = one(lib.compare(write(perfect, "all.jsonl"), poor, data_dir)).p
    rest = [line for line in perfect if "/phase_recognition/" not in line["id"]]
    both = write([*spoiled(of(perfect, "phase_recognition"), 4, truth), *rest], "both.jsonl")
    among = one(lib.compare(write(perfect, "all.jsonl"), both, data_dir)).p
    assert among == pytest.approx(min(1, 4 * alone))  # four tasks, three of them without difference


def test_only_common_questions_count(data_dir, truth, perfect, write):
    lines = of(perfect, "phase_recognition")
    first, second = write(lines[:100], "first.jsonl"), write(lines[20:], "second.jsonl")
    found = one(lib.compare(first, second, data_dir))
    assert (found.answers, found.only_first, found.only_second) == (80, 20, 20)
    text = tables.differences(lib.compare(first, second, data_dir), ("one", "two"))
    assert "20 answers of one were left out" in text and "| Phase recognition" in text
    with pytest.raises(PredictionsError, match="nothing to compare"):
        lib.compare(write(lines[:5], "a.jsonl"), write(lines[5:9], "b.jsonl"), data_dir)


def test_few_operations_get_no_verdict(data_dir, truth, perfect, write):
    lines = [line for line in of(perfect, "phase_recognition") if "/op03/" in line["id"]]
    found = one(lib.compare(write(lines, "a.jsonl"), write(lines, "b.jsonl"), data_dir))
    assert (found.operations, found.interval, found.p) == (1, None, None)
    assert found.verdict == "fewer than 5 operations"


def test_saved_as_json(data_dir, perfect, write, tmp_path):
    path = write(of(perfect, "phase_recognition"))
    lib.save(lib.compare(path, path, data_dir), tmp_path / "c.json")
    (row,) = json.loads((tmp_path / "c.json").read_text())
    assert row["verdict"] == "no difference shown" and row["p"] == 1
