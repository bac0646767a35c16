"""The predictions file: append, resume, and errors that name file and line."""

import json

import pytest

from surgzoo.evaluate.predictions import (
    PredictionsError,
    PredictionWriter,
    TornLineWarning,
    read_predictions,
)

ID = "toy.fps1/v/00000{}/phase_recognition/0"


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "predictions.jsonl"
    with PredictionWriter(path, "m") as writer:
        writer.write(ID.format(0), "Präparation\n2", latency=0.5)
        writer.write(ID.format(1), None, answer=["a"], error="no text")
        # Flushed line by line: another process sees them before the file is closed.
        assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    first, second = read_predictions(path)
    assert (first.model, first.text, first.latency) == ("m", "Präparation\n2", 0.5)
    assert (second.text, second.answer, second.error) == (None, ["a"], "no text")


def test_scores_are_written_where_there_are_some(tmp_path):
    path = tmp_path / "p.jsonl"
    with PredictionWriter(path, "m") as writer:
        writer.write(ID.format(0), "a", scores={"a": 0.75, "b": 0})
        writer.write(ID.format(1), "b")
    first, second = read_predictions(path)
    assert (first.scores, second.scores) == ({"a": 0.75, "b": 0}, None)
    assert "scores" not in path.read_text(encoding="utf-8").splitlines()[1]


def test_writer_refuses_a_second_answer(tmp_path):
    with PredictionWriter(tmp_path / "p.jsonl", "m") as writer:
        writer.write(ID.format(0), "a")
        with pytest.raises(ValueError, match="already holds"):
            writer.write(ID.format(0), "b")


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_resume_after_a_kill(tmp_path, cut):
    path = tmp_path / "p.jsonl"
    with PredictionWriter(path, "m") as writer:
        for number in range(3):
            writer.write(ID.format(number), "é" * 9)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    if cut == 1:  # only the line break is lost: the line is whole
        writer = PredictionWriter(path, "m")
    else:
        with pytest.warns(TornLineWarning, match=":3"):
            writer = PredictionWriter(path, "m")
    with writer:
        assert len(writer.done) == (3 if cut == 1 else 2)
        for number in range(3):
            if ID.format(number) not in writer.done:
                writer.write(ID.format(number), "é" * 9)
    assert path.read_bytes() == whole


def test_resume_with_another_model(tmp_path, write):
    path = write([{"id": ID.format(0), "text": "a"}])
    with pytest.raises(PredictionsError, match="answers of 'toy', not of 'other'"):
        PredictionWriter(path, "other")


def test_reader_drops_a_torn_last_line(tmp_path, write):
    path = write([{"id": ID.format(0), "text": "a"}])
    path.write_bytes(path.read_bytes() + b'{"id": "toy.f')
    with pytest.warns(TornLineWarning, match="jsonl:2"):
        assert len(list(read_predictions(path))) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "not a line of JSON"),
        ("[1]", "a list stands where an object"),
        ('{"text": "a"}', "'id' is missing"),
        ('{"id": "nowhere", "text": "a"}', "not a conversation id"),
        (json.dumps({"id": ID.format(1), "txt": "a"}), "unknown field txt"),
        (json.dumps({"id": ID.format(1), "text": 3}), "'text' must be a string or null"),
        (json.dumps({"id": ID.format(1), "latency": "fast"}), "'latency' must be seconds"),
        (json.dumps({"id": ID.format(1), "latency": -1}), "'latency' must be seconds"),
        (json.dumps({"id": ID.format(1), "scores": [0.5]}), "'scores' must be an object"),
        (json.dumps({"id": ID.format(1), "scores": {"a": 2}}), "'a' must be a number in .0, 1."),
        (json.dumps({"id": ID.format(1), "scores": {"a": True}}), "'a' must be a number"),
        (json.dumps({"id": ID.format(1), "scores": {"a": float("nan")}}), "'a' must be a number"),
    ],
)
def test_bad_lines_name_file_and_line(write, line, problem):
    path = write([{"id": ID.format(0), "text": "a"}])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(PredictionsError, match=problem) as error:
        list(read_predictions(path))
    assert "predictions.jsonl:2:" in str(error.value)


def test_duplicates_name_both_lines(write):
    path = write([{"id": ID.format(n), "text": "a"} for n in (0, 1, 0)])
    with pytest.raises(PredictionsError, match=r":3: .*000000.* first in line 1"):
        list(read_predictions(path))


def test_no_file(tmp_path):
    with pytest.raises(PredictionsError, match="does not exist"):
        list(read_predictions(tmp_path / "none.jsonl"))
