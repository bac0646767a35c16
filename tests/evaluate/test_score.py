"""Scores from a predictions file and the prepared data alone."""

import math

import pytest

from surgzoo.db.store import NotPreparedError
from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.score import score
from surgzoo.evaluate.scores import Scores

SOURCE = "toyscope.fps1"


def of(lines, task):
    return [line for line in lines if f"/{task}/" in line["id"]]


def test_truth_is_the_ceiling(data_dir, truth, perfect, write):
    scores = score(write(perfect), data_dir)
    assert set(scores.tasks) == set(truth.tasks)
    for row in scores.rows:
        assert row.value == pytest.approx(1, abs=0.02)  # boxes are said in thousandths
        assert (row.missing, row.unparsed, row.reasons) == (0, 0, {})
        assert row.latency == pytest.approx(0.25)
    assert scores.row("phase_recognition").metrics["accuracy"] == 1
    assert scores.row("phase_recognition").interval == (1, 1)


def test_groups(data_dir, perfect, write):
    scores = score(write(of(perfect, "phase_recognition")), data_dir)
    assert scores.tasks == ["phase_recognition"]
    groups = {(row.group, row.name): row.expected for row in scores.rows}
    assert groups["all", "all"] == groups["source", SOURCE] == 120
    assert groups["specialty", "hepatobiliary"] == 120
    assert groups["procedure", "cholecystectomy"] == groups["procedure", "nephrectomy"] == 60
    assert groups["video", f"{SOURCE}/op03"] == 20
    assert len(groups) == 3 + 2 + 6


def test_half_wrong(data_dir, truth, perfect, write):
    lines = of(perfect, "phase_recognition")
    for line in lines[::2]:
        line["text"] = next(
            name
            for name in truth.conversations[line["id"]].options
            if name != truth.conversations[line["id"]].answer
        )
    row = score(write(lines), data_dir).row("phase_recognition")
    assert row.value == pytest.approx(0.5)
    low, high = row.interval
    assert low <= 0.5 <= high


def test_unparsed_counts_as_wrong_with_its_reason(data_dir, perfect, write):
    lines = of(perfect, "phase_recognition")
    for number, line in enumerate(lines[:30]):
        line["text"] = f"I am not sure about number {number}"
    row = score(write(lines), data_dir).row("phase_recognition")
    assert row.value == pytest.approx(0.75)
    assert row.unparsed == 30
    assert sum(row.reasons.values()) == 30
    assert len(row.reasons) == 1  # the quoted text does not make a reason of its own


def test_missing(data_dir, perfect, write):
    path = write(of(perfect, "phase_recognition")[:90])
    row = score(path, data_dir).row("phase_recognition")
    assert (row.value, row.expected, row.predicted, row.missing) == (1, 120, 90, 30)
    row = score(path, data_dir, missing="wrong").row("phase_recognition")
    assert row.value == pytest.approx(0.75)
    assert row.unparsed == 0


def test_structured_answer_counts_where_there_is_no_text(data_dir, truth, perfect, write):
    lines = of(perfect, "instrument_localization") + of(perfect, "instrument_recognition")
    for line in lines:
        line |= {"text": None, "answer": truth.conversations[line["id"]].answer}
    scores = score(write(lines), data_dir)
    assert scores.row("instrument_localization").value == 1  # not rounded to thousandths
    assert scores.row("instrument_recognition").value == 1


@pytest.mark.parametrize("answer", [3, {"a": 1}, [["hook"]], [[1, 2]], [["hook", [0, 0, 9, 9]]]])
def test_malformed_answer_is_unparsed(data_dir, perfect, write, answer):
    lines = of(perfect, "instrument_localization")
    lines[0] |= {"text": None, "answer": answer}
    row = score(write(lines), data_dir).row("instrument_localization")
    assert row.unparsed == 1


def test_text_wins_over_answer(data_dir, perfect, write):
    lines = of(perfect, "phase_recognition")
    for line in lines:
        line["answer"] = "nonsense"
    assert score(write(lines), data_dir).row("phase_recognition").value == 1


def test_error_of_the_writer_is_the_reason(data_dir, perfect, write):
    lines = of(perfect, "phase_recognition")
    lines[0] |= {"text": None, "error": "the server was down"}
    row = score(write(lines), data_dir).row("phase_recognition")
    assert row.reasons == {"the server was down": 1}


def test_unknown_ids(data_dir, perfect, write):
    lines = of(perfect, "phase_recognition")
    strange = f"{SOURCE}/op03/000999/phase_recognition/0"
    path = write([*lines, {"id": strange, "text": "a"}])
    with pytest.raises(PredictionsError, match="op03/000999"):
        score(path, data_dir)
    scores = score(path, data_dir, unknown="report")
    assert scores.unknown == [strange]
    assert scores.row("phase_recognition").value == 1


def test_other_splits(data_dir, perfect, write):
    training = f"{SOURCE}/op00/000000/phase_recognition/0"
    lines = [*of(perfect, "phase_recognition"), {"id": training, "text": "preparation"}]
    path = write(lines)
    assert score(path, data_dir).outside == 1
    assert score(path, data_dir, split="train").row("phase_recognition").predicted == 1
    assert score(path, data_dir, split="all").row("phase_recognition").expected == 200
    with pytest.raises(PredictionsError, match="split 'val'"):
        score(path, data_dir, split="val")
    with pytest.raises(ValueError, match="no split scheme 'other'"):
        score(path, data_dir, scheme="other")


def test_empty_file(data_dir, write):
    with pytest.raises(PredictionsError, match="holds no prediction"):
        score(write([]), data_dir)


def test_saved_and_loaded(data_dir, perfect, write, tmp_path):
    scores = score(write(perfect), data_dir)
    scores.save(tmp_path / "scores.json")
    assert Scores.load(tmp_path / "scores.json") == scores
    assert "NaN" not in (tmp_path / "scores.json").read_text()
    values = [v for row in scores.rows for v in row.metrics.values() if v is not None]
    assert all(math.isfinite(value) for value in values)


def test_scores_of_all_answers_give_average_precision(data_dir, truth, perfect, write):
    lines = of(perfect, "instrument_recognition") + of(perfect, "triplet_recognition")
    for line in lines:
        answer = truth.conversations[line["id"]].answer
        names = answer if "instrument" in line["id"] else [", ".join(parts) for parts in answer]
        line["scores"] = dict.fromkeys(names, 0.9)
    scores = score(write(lines), data_dir)
    assert scores.row("instrument_recognition").metrics["ap"] == 1
    assert scores.row("triplet_recognition").metrics["ivt_ap_from_scores"] == 1
    assert scores.row("triplet_recognition").metrics["ivt_top5"] == 1
    del lines[0]["scores"]
    scores = score(write(lines), data_dir)
    assert "ap" not in scores.row("instrument_recognition").metrics
    path = write(lines[1:])  # a missing answer that counts as wrong has no scores either
    missing = score(path, data_dir, missing="wrong").row("instrument_recognition")
    assert "ap" not in missing.metrics


def test_a_score_of_no_option_is_an_error(data_dir, perfect, write):
    lines = of(perfect, "instrument_recognition")
    lines[3]["scores"] = {"graspr": 0.5}
    with pytest.raises(PredictionsError, match=r"'graspr', which is not .* nearest one is 'grasp"):
        score(write(lines), data_dir)


def test_ids_of_another_config_say_which_is_prepared(data_dir, write):
    path = write([{"id": "toyscope.fps4/op03/000001/phase_recognition/0", "text": "preparation"}])
    with pytest.raises(NotPreparedError, match=r"'toyscope.fps4', but of toyscope fps1 \(1 a sec"):
        score(path, data_dir)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("op3/000001/phase_recognition/0", "has no video 'op3'; the nearest is 'op03'"),
        ("op03/000077/phase_recognition/0", "past the end of .*, which has 20 at 1 a second"),
        ("op03/000007/phase_recognition/9", "The nearest is .*/op03/000007/phase_recognition/0"),
    ],
)
def test_unknown_ids_say_what_is_nearest(data_dir, perfect, write, id, message):
    path = write([*of(perfect, "phase_recognition"), {"id": f"{SOURCE}/{id}", "text": "a"}])
    with pytest.raises(PredictionsError, match=message):
        score(path, data_dir)


def test_a_wrong_split_says_which_is_right(data_dir, write):
    lines = [
        {"id": f"{SOURCE}/op0{n}/000000/phase_recognition/0", "text": "preparation"} for n in (0, 1)
    ]
    with pytest.raises(PredictionsError, match=r"2 are on videos of other splits \(2 on 'train'\)"):
        score(write(lines), data_dir)


def test_doubled_answers_name_both_lines(data_dir, perfect, write):
    lines = of(perfect, "phase_recognition")
    with pytest.raises(PredictionsError, match=r":121: .* is answered twice, first in line 1\."):
        score(write([*lines, lines[0]]), data_dir)
