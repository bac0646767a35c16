"""A temporal model from stored features to scores: trained, asked, and caught when it leaks."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import address, conversations
from surgzoo.data.media import Stores
from surgzoo.db.identity import LeakageError
from surgzoo.db.store import Store
from surgzoo.evaluate import findings, run
from surgzoo.evaluate.predictors import features
from surgzoo.evaluate.predictors.local import answer, restore
from surgzoo.evaluate.scores import Scores
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig
from surgzoo.train.loop import check_leaks, train
from tests.train import phase_features

PHASES = phase_features.PHASES
OVERRIDES = {"features": PHASES, "classes": PHASES}
TEST_VIDEO = "synthsurg/synth_3001"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, small_data):
    folder = tmp_path_factory.mktemp("features")
    (folder / "synthsurg").symlink_to(small_data / "synthsurg")
    return folder


@pytest.fixture(scope="module")
def rows(data_dir):
    return phase_features.write(data_dir, "drawn")


@pytest.fixture(scope="module")
def trained(data_dir, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "tcn"
    train(experiment(data_dir), folder)
    return folder


def experiment(data_dir, **changes):
    return Experiment(
        **{
            "name": "tcn",
            "data": DataConfig(
                mixture=tuple(
                    Part("synthsurg", "phase_recognition", config="small", split=split)
                    for split in ("train", "val")
                ),
                data_dir=str(data_dir),
                features="drawn",
                longest=64,
                batch_size=8,
            ),
            "model": ModelConfig("tecno-tiny", OVERRIDES),
            "objective": "label_frames",
            "optim": OptimConfig(lr=1e-2, warmup_steps=4),
            "eval": EvalConfig(sources=("synthsurg.small",), tasks=("phase_recognition",)),
            "steps": 60,
            "log_every": 60,
            **changes,
        }
    )


def lines(folder):
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_it_beats_the_frames_alone_on_test_videos(trained, data_dir, rows):
    result = run.evaluate(trained)
    assert result.findings == () and result.report.is_file()
    row = Scores.load(result.folder / "scores.json").row("phase_recognition")
    store = Store.open(data_dir, "synthsurg", "small")
    asked = list(conversations(store, "phase_recognition", "test"))
    assert row.predicted == row.expected == len(asked)
    alone = np.mean([
        item.options[rows[address(item.id)[2]][address(item.id)[3]].argmax()] == item.answer
        for item in asked
    ])  # fmt: skip
    majority = max(np.unique([item.answer for item in asked], return_counts=True)[1]) / len(asked)
    assert row.value > alone + 0.1 and alone > majority
    # What only a sequence has, the metrics of workflow.
    assert row.metrics["whole_videos"] == 1 and 0 < row.metrics["f1_at_50"] <= 1


def test_answers_are_the_models_own(trained, rows):
    """Each line against the model, called on the video without padding."""
    found = restore(trained, run.load_experiment(trained))
    labels = found.meta["rows"]["labels"]
    shares = {
        video: np.asarray(
            jax.nn.softmax(found.model.label_frames(found.params, features[None])[-1, 0])
        )
        for video, features in rows.items()
        if video.startswith("synth_3")
    }
    said = lines(run.evaluate(trained, report=False).folder)
    assert {line["model"] for line in said} == {"tecno-tiny/tcn@60"}
    for line in said:
        _, _, video, frame, _, _ = address(line["id"])
        expected = shares[video][frame]
        assert line["text"] == labels[expected.argmax()] and line["latency"] > 0
        given = [line["scores"][label] for label in labels]
        np.testing.assert_allclose(given, expected, atol=2e-6)


def test_what_is_answered_is_not_asked_again(trained):
    folder = run.evaluate(trained, report=False).folder
    path = folder / "predictions.jsonl"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:7]))
    run.evaluate(trained, report=False)
    assert lines(folder)[:7] == [json.loads(line) for line in whole.splitlines()[:7]]
    assert {line["id"]: line["text"] for line in lines(folder)} == {
        line["id"]: line["text"] for line in map(json.loads, whole.splitlines())
    }


def test_few_lengths_compile(monkeypatch):
    monkeypatch.setattr(features, "SHORTEST", 4)
    lengths = [features._padded(np.ones((n, 3))).shape for n in (1, 4, 5, 8, 9, 33)]
    assert lengths == [(1, n, 3) for n in (4, 4, 8, 8, 16, 64)]


def test_other_tasks_and_other_options_are_refused(trained, data_dir, tmp_path):
    with pytest.raises(ValueError, match="answers phase_recognition, not step_recognition: set"):
        run.evaluate(trained, tasks=("phase_recognition", "step_recognition"), report=False)
    found = restore(trained, run.load_experiment(trained))
    store = Store.open(data_dir, "synthsurg", "small")
    asked = list(conversations(store, "phase_recognition", "test"))[:3]
    asked[0] = dataclasses.replace(asked[0], options=asked[0].options[2:4])
    asked[1] = dataclasses.replace(asked[1], options=("laser lithotripsy",))
    asked[2] = dataclasses.replace(asked[2], choices=asked[2].options[3:5])
    path = tmp_path / "predictions.jsonl"
    answer(found, asked, Stores(data_dir), path, EvalConfig())
    first, second, third = lines(tmp_path)
    assert first["text"] in asked[0].options and set(first["scores"]) == set(asked[0].options)
    assert second["text"] is None and "one of laser lithotripsy; the model knows" in second["error"]
    # Of listed choices the likelier one, whatever else is likelier still.
    assert third["text"] == max(asked[2].choices, key=third["scores"].get)
    assert max(third["scores"], key=third["scores"].get) not in asked[2].choices


def test_features_by_another_encoder_are_refused(trained, data_dir, tmp_path, small_data):
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    phase_features.write(tmp_path, "drawn", parameters="another")
    with pytest.raises(ValueError, match=r"made by drawn/drawn@1, and not by the encoder whose"):
        run.evaluate(trained, data_dir=str(tmp_path), report=False)


def test_an_encoder_that_saw_test_videos_leaks(data_dir, tmp_path):
    phase_features.write(data_dir, "leaky", trained_on={TEST_VIDEO: (TEST_VIDEO,)})
    base = experiment(data_dir, steps=1)
    leaky = dataclasses.replace(base, data=dataclasses.replace(base.data, features="leaky"))
    with pytest.raises(LeakageError, match="by the encoder of features 'leaky', tested in synths"):
        train(leaky, tmp_path / "refused")
    found = check_leaks(dataclasses.replace(leaky, allow_leak=True), Stores(data_dir))
    assert found.overridden and [shared.canonical for shared in found.shared] == [TEST_VIDEO]
    tested = {
        "synthsurg.small": [Store.open(data_dir, "synthsurg", "small").video("synth_3001").video]
    }
    (leak,) = findings.leakage(run.training_of(leaky), tested)
    assert leak.kind == "leakage" and leak.items == (TEST_VIDEO,)
    assert findings.leakage(run.training_of(base), tested) == []
