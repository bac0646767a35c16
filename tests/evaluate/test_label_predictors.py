"""Models that read clips and histories, asked: every step against the model and the data."""

import dataclasses
import itertools
import json

import jax
import numpy as np
import pytest

from surgzoo.core import config as config_lib
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import conversations
from surgzoo.data.media import MediaReader, Stores
from surgzoo.db import ontology
from surgzoo.db.store import Store
from surgzoo.evaluate import run
from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.predictors import past
from surgzoo.evaluate.predictors.local import restore
from surgzoo.evaluate.scores import Scores
from surgzoo.models.build import model_config
from surgzoo.train.checkpoint import Checkpointer
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig
from surgzoo.train.loop import train
from tests.models.bsa_small import random_params

SMALL = {"actions": 12, "depth": 1, "scan_layers": False}


def experiment(small_data, name, task, objective, **overrides):
    part = Part("synthsurg", "action_recognition", config="small")
    return Experiment(
        name="toy",
        data=DataConfig(mixture=(part,), data_dir=str(small_data), batch_size=8),
        model=ModelConfig(name=name, overrides=SMALL | overrides),
        objective=objective,
        optim=OptimConfig(warmup_steps=1, lr=3e-3),
        eval=EvalConfig(sources=("synthsurg.small",), tasks=(task,), batch_size=16),
        steps=3,
        check_memory=False,
    )


@pytest.fixture(scope="module")
def video_model(tmp_path_factory, small_data):
    """A run of three steps."""
    folder = tmp_path_factory.mktemp("runs") / "bsa"
    task, sizes = "action_recognition", {"skills": 0, "width": 32, "mlp": 32, "heads": 2}
    train(experiment(small_data, "bsa-tiny", task, "bsa", **sizes), folder)
    return folder


@pytest.fixture(scope="module")
def planner(tmp_path_factory, small_data):
    """A run folder whose checkpoint has random parameters."""
    folder = tmp_path_factory.mktemp("runs") / "planner"
    sizes = {"longest": 9, "width": 16, "mlp": 16, "heads": 2}
    made = experiment(small_data, "bsa-planner", "next_action", "next_action", **sizes)
    folder.mkdir()
    (folder / "config.json").write_text(config_lib.dump(made))
    params = random_params(model_config(made.model.name, made.model.overrides))
    meta = {"rows": {"labels": list(ontology.names("synthsurg", "action"))}}
    checkpoints = Checkpointer(folder / "checkpoints")
    state = jax.tree.map(jax.numpy.asarray, {"params": params, "step": np.array(3)})
    checkpoints.save(3, state, meta)
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def recognised(video_model):
    """The video model's answers to the test split, in a file."""
    return run.evaluate(video_model, report=False).folder / "predictions.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(small_data, task, split="test"):
    found = conversations(Stores(small_data)("synthsurg", "small"), task, split)
    return {item.id: item for item in found}


def test_answers_are_the_model_s_opinion(video_model, small_data, recognised):
    found = restore(video_model, run.load_experiment(video_model))
    items, read = asked(small_data, "action_recognition"), MediaReader(Stores(small_data))
    said = lines(recognised)
    assert [line["id"] for line in said] == list(items)
    clips = [found.processor(read(item.media)[0][0]) for item in items.values()]
    given, doubt = jax.jit(found.model.opinion)(found.params, np.stack(clips))
    labels = found.meta["rows"]["labels"]
    for line, row, uncertainty in zip(said, given, doubt, strict=True):
        assert list(line["scores"]) == labels
        np.testing.assert_allclose(list(line["scores"].values()), row, atol=1e-5)
        assert line["uncertainty"] == pytest.approx(float(uncertainty), abs=1e-5)
        assert line["text"] == max(line["scores"], key=line["scores"].get)
        assert line["model"] == "bsa-tiny/toy@3"
    saved = Scores.load(recognised.with_name("scores.json"))
    assert saved.row("action_recognition").predicted == len(items)
    assert [row.said for row in saved.classes["action_recognition"]] == ["answer"] * 13


def test_validation_answers_of_the_same_checkpoint_choose_thresholds(video_model, recognised):
    run.evaluate(video_model, split="val", report=False)
    result = run.evaluate(video_model, report=False)
    assert result.folder == recognised.parent
    assert "best Youden index on the validation split" in result.table
    # Those of another checkpoint do not.
    path = video_model / "eval-val" / "predictions.jsonl"
    path.write_text(path.read_text().replace("@3", "@2"))
    assert "at the answer itself" in run.evaluate(video_model, report=False).table
    path.unlink()


def frames_of(item):
    return item.media[0].count


def test_a_damaged_frame_costs_its_answers_and_other_tasks_are_refused(
    video_model, small_data, monkeypatch
):
    original = Store.frame
    short = min(asked(small_data, "action_recognition", "train").values(), key=frames_of)
    place = (short.media[0].video, short.media[0].first)

    def frame(self, video_id, index):
        record = original(self, video_id, index)
        return (
            dataclasses.replace(record, image=b"broken") if (video_id, index) == place else record
        )

    monkeypatch.setattr(Store, "frame", frame)
    result = run.evaluate(video_model, split="train", report=False)
    wrong = [line for line in lines(result.folder / "predictions.jsonl") if line["text"] is None]
    assert [line["id"] for line in wrong] == [short.id]
    assert f"/{place[0]}/{place[1]} cannot be decoded" in wrong[0]["error"]
    with pytest.raises(ValueError, match="answers action_recognition, not phase_recognition"):
        run.evaluate(video_model, tasks=("phase_recognition",), split="val")


def test_only_listed_choices_are_said(video_model):
    result = run.evaluate(video_model, protocol="choice", split="val", report=False)
    (row,) = (r for r in Scores.load(result.folder / "scores.json").rows if r.group == "all")
    assert row.unparsed == 0


def by_hand(found, labels, vectors):
    """Probabilities of what follows a history of rows [n, A]."""
    vectors = vectors[-9:]
    row = np.zeros((1, 9, len(labels)), "f")
    row[0, : len(vectors)] = vectors
    return np.asarray(jax.nn.softmax(found.model.plan(found.params, row)))[0, len(vectors)]


def known_by(path):
    """The way of answers that were planned from a file."""
    return past.Past(str(path), None).way


def check(planner, small_data, path, way, vector):
    found = restore(planner, run.load_experiment(planner))
    labels = found.meta["rows"]["labels"]
    actions = asked(small_data, "action_recognition")
    items, said = asked(small_data, "next_action"), lines(path)
    assert [line["id"] for line in said] == list(items)
    lengths = set()
    for line in said:
        now, where = items[line["id"]].media[-1], line["id"].split("/")[:2]
        before = [
            id
            for id, action in actions.items()
            if id.split("/")[:2] == where and action.media[0].first <= now.first
        ]
        lengths.add(len(before))
        wanted = by_hand(found, labels, np.stack([vector(id, labels) for id in before]))
        np.testing.assert_allclose(list(line["scores"].values()), wanted, atol=1e-5)
        assert (line["decoding"], line["text"]) == (way, labels[int(wanted.argmax())])
    assert min(lengths) < 3 and max(lengths) > 9  # longer than the model reads


def test_planning_from_the_truth(planner, small_data):
    result = run.evaluate(planner, report=False)
    actions = asked(small_data, "action_recognition")

    def vector(id, labels):
        return np.array([name == actions[id].answer for name in labels], "f")

    check(planner, small_data, result.folder / "predictions.jsonl", past.TRUE, vector)
    assert "from the true actions so far" in result.table


def test_planning_from_what_was_recognised(planner, small_data, recognised):
    result = run.evaluate(planner, report=False, history=str(recognised))
    assert result.folder.name == "eval-test-recognised"
    given = {line["id"]: line["scores"] for line in lines(recognised)}

    def vector(id, labels):
        row = np.array([given[id][name] for name in labels])
        return row / row.sum()

    way = known_by(recognised)
    assert way.startswith("from the actions so far as bsa-tiny/toy@3 recognised them (predictions.")
    check(planner, small_data, result.folder / "predictions.jsonl", way, vector)
    # Another history is another way: it does not go on in the same file.
    with pytest.raises(PredictionsError, match="decoded in another way"):
        run.answer(
            restore(planner, run.load_experiment(planner)),
            list(asked(small_data, "next_action").values()),
            Stores(small_data),
            result.folder / "predictions.jsonl",
            EvalConfig(),
        )


def test_a_plan_belongs_to_the_answers_that_it_was_made_from(planner, recognised, tmp_path):
    """Of one recogniser: another file, and other contents of the same."""
    (planner / "eval-test-recognised" / "predictions.jsonl").unlink(missing_ok=True)
    said, history = lines(recognised), tmp_path / "history.jsonl"

    def write(items):
        history.write_text("".join(json.dumps(line) + "\n" for line in items))

    write(said)
    path = run.evaluate(planner, report=False, history=str(history)).folder / "predictions.jsonl"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:9]))
    # The same answers, told in another order and at another speed, are gone on with.
    write([line | {"latency": 9.0} for line in reversed(said)])
    run.evaluate(planner, report=False, history=str(history))
    planned = [
        [(x["id"], x["text"]) for x in map(json.loads, text.splitlines())]
        for text in (whole, path.read_text())
    ]
    assert planned[0] == planned[1]
    with pytest.raises(PredictionsError, match=r"predictions\.jsonl holds .*history\.jsonl"):
        run.evaluate(planner, report=False, history=str(recognised))
    said[5]["scores"] = dict.fromkeys(said[5]["scores"], 0.5)
    write(said)
    with pytest.raises(PredictionsError, match=r"history\.jsonl .* Write to another file, or rem"):
        run.evaluate(planner, report=False, history=str(history))
    path.unlink()


def test_a_question_without_a_known_name_costs_its_answer(
    planner, video_model, small_data, tmp_path
):
    for folder, task in ((video_model, "action_recognition"), (planner, "next_action")):
        found = restore(folder, run.load_experiment(folder))
        items = list(asked(small_data, task).values())[:5]
        items[1] = dataclasses.replace(items[1], options=("laser", "stent"))
        items[3] = dataclasses.replace(items[3], choices=items[3].options[4:6])
        path = tmp_path / f"{task}.jsonl"
        run.answer(found, items, Stores(small_data), path, EvalConfig(batch_size=2))
        said = {line["id"]: line for line in lines(path)}
        assert set(said) == {item.id for item in items}
        wrong = said[items[1].id]
        assert wrong["text"] is None and "one of laser, stent; the model knows" in wrong["error"]
        assert said[items[3].id]["text"] in items[3].choices
        assert all(said[item.id]["error"] is None for item in (items[0], items[2], items[4]))


def test_a_history_is_for_planners(video_model, recognised):
    with pytest.raises(ValueError, match=r"is for models that plan from one; .* reads clips"):
        run.evaluate(video_model, report=False, history=str(recognised))


def test_histories_of_texts_and_incomplete_ones(planner, small_data, recognised, tmp_path):
    said = lines(recognised)
    (planner / "eval-test-recognised" / "predictions.jsonl").unlink(missing_ok=True)
    texts = tmp_path / "texts.jsonl"
    short = [{key: line[key] for key in ("id", "model", "text")} for line in said]
    short[4]["text"] = "no idea"
    texts.write_text("".join(json.dumps(line) + "\n" for line in short))
    result = run.evaluate(planner, report=False, history=str(texts), data_dir=str(small_data))
    path = result.folder / "predictions.jsonl"
    words = {line["id"]: line["text"] for line in short}

    def vector(id, labels):
        if words[id] == "no idea":
            return np.full(len(labels), 1 / len(labels))
        return np.array([name == words[id] for name in labels], "f")

    way = known_by(texts)
    check(planner, small_data, path, way, vector)
    path.unlink()
    texts.write_text("".join(json.dumps(line) + "\n" for line in short[1:]))
    with pytest.raises(ValueError, match=r"has no answer to .*/action_recognition/0, which a hist"):
        run.evaluate(planner, report=False, history=str(texts))


def test_the_follower_baseline_is_told_the_action_that_is_shown(planner, small_data):
    result = run.evaluate(planner)
    assert "follower" in result.table
    from surgzoo.evaluate.baselines import baseline_predictions
    from surgzoo.evaluate.truth import load_truth

    sides = [
        load_truth(small_data, ["synthsurg.small"], ["next_action"], split=split)
        for split in ("train", "test")
    ]
    rules = baseline_predictions(*sides)["next_action"]
    assert set(rules) == {"majority", "follower"}

    def pairs(split):
        """(video, action, next) of each question, from the stored segments alone."""
        store = Stores(small_data)("synthsurg", "small")
        for stored in store.select(split):
            footage, done = (
                store.footage(stored),
                sorted(
                    (s for s in stored.annotations.segments if s.kind == "action"),
                    key=lambda s: s.start,
                ),
            )
            for now, after in itertools.pairwise(done):
                if footage.clip(now.start, now.end):  # else there is nothing to show
                    yield stored.video.procedure, now.label.concept, after.label.concept

    counts = {}
    for procedure, now, after in pairs("train"):
        found = counts.setdefault((procedure, now), {})
        found[after] = found.get(after, 0) + 1
    checked = 0
    tested = list(pairs("test"))
    assert len(tested) == len(rules["follower"])
    for (procedure, now, _), found in zip(tested, rules["follower"], strict=True):
        if (procedure, now) in counts:
            most = max(counts[procedure, now], key=counts[procedure, now].get)
            assert found.text == ontology.name("action", most)
            checked += 1
    assert checked > 20
