"""Cross-validation: every video tested once, by a run that does not train on it; pooling."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest

from surgzoo.core import config as config_lib
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.media import Stores
from surgzoo.data.mixture import videos as videos_of
from surgzoo.db.store import Store
from surgzoo.evaluate import crossval
from surgzoo.evaluate.predictions import PredictionsError, PredictionWriter
from surgzoo.evaluate.predictors.questions import questions
from surgzoo.evaluate.run import folder_of
from surgzoo.evaluate.score import score
from surgzoo.evaluate.scores import Scores
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig
from surgzoo.train.loop import check_leaks

SCHEMES = ("cv3.1", "cv3.2", "cv3.3")


def experiment(small_data):
    part = Part("synthsurg", "action_recognition", config="small")
    return Experiment(
        name="toy",
        data=DataConfig(mixture=(part,), data_dir=str(small_data), batch_size=8),
        model=ModelConfig(name="bsa-planner", overrides={"actions": 12}),
        objective="next_action",
        eval=EvalConfig(sources=("synthsurg.small",), tasks=("next_action",), batch_size=16),
        steps=2,
    )


def guess(run_dir, small_data, scheme, seed):
    """Writes what evaluating a fold does, with answers that know something."""
    fold = crossval.of_fold(experiment(small_data), scheme)
    folder, settings = folder_of(run_dir / scheme, fold.eval), fold.eval
    items = questions(
        Stores(small_data), settings.sources, settings.tasks, settings.split, scheme=settings.scheme
    )
    rng, path = np.random.default_rng(seed), folder / "predictions.jsonl"
    with PredictionWriter(path, f"{fold.model.name}/{fold.name}@2") as writer:
        for item in items:
            right = np.array([name == item.answer for name in item.options])
            given = dict(zip(item.options, rng.dirichlet(0.5 + 3 * right).tolist(), strict=True))
            writer.write(item.id, max(given, key=given.get), scores=given)
    score(path, small_data, scheme=scheme).save(folder / "scores.json")
    (run_dir / scheme / "config.json").write_text(config_lib.dump(fold))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_data):
    """Two of three folds answer, then all."""
    folder = tmp_path_factory.mktemp("cv")
    for seed, scheme in enumerate(SCHEMES[:2]):
        guess(folder, small_data, scheme, seed)
    with pytest.raises(FileNotFoundError, match=r"cv3\.3 of 3 folds have not answered yet"):
        crossval.pool(experiment(small_data), folder, "cv3")
    guess(folder, small_data, SCHEMES[2], 2)
    return folder


def lines(path):
    return [json.loads(line) for line in (path / "predictions.jsonl").read_text().splitlines()]


def test_every_video_is_tested_once_by_a_model_that_never_saw_it(folder, small_data):
    store = Store.open(small_data, "synthsurg", "small")
    crossval.pool(experiment(small_data), folder, "cv3")
    pooled = lines(folder / crossval.POOLED)
    tested = Counter()
    for scheme in SCHEMES:
        own = lines(folder / scheme / "eval-test")
        assert {line["model"] for line in own} == {f"bsa-planner/toy-{scheme}@2"}
        videos = {line["id"].split("/")[1] for line in own}
        tested.update(videos)
        fold = crossval.of_fold(experiment(small_data), scheme)
        trained = {v.canonical for p in fold.data.mixture for v in videos_of(p, Stores(small_data))}
        assert trained and not trained & {store.video(v).video.canonical for v in videos}
        check_leaks(fold, Stores(small_data))
        assert fold.eval.split == "test" and fold.name == f"toy-{scheme}"
        assert [line for line in pooled if line in own] == own
    assert tested == Counter(stored.video.id for stored in store.videos)
    assert len({line["id"] for line in pooled}) == len(pooled)


def test_the_numbers_pool(folder, small_data):
    result = crossval.pool(experiment(small_data), folder, "cv3")
    scores = Scores.load(result.folder / "scores.json")
    row = scores.row("next_action")
    own = [s.row("next_action") for s in result.folds.values()]
    assert list(result.folds) == list(SCHEMES)
    assert row.expected == row.predicted == sum(one.expected for one in own)
    right = sum(one.value * one.expected for one in own)
    assert row.value == pytest.approx(right / row.expected)
    assert len(scores.models) == 3 and scores.scheme == "cv3"
    assert row.interval is not None  # six operations, as none of the folds has
    assert "next_action".capitalize().replace("_", " ") in result.table
    mean = sum(one.value for one in own) / 3
    assert f"Next action, Accuracy of 3 folds: mean {100 * mean:.1f}, deviation" in result.spread
    assert "Next action, AUROC of 3 folds: mean" in result.spread
    mean = sum(one.classes["next_action"][-1].youden.value for one in result.folds.values()) / 3
    said = f"Next action, Youden at the answer of 3 folds: mean {100 * mean:.1f}, deviation"
    assert said in result.spread
    assert (result.folder / "report.html").is_file()


def test_baselines_are_fitted_without_the_fold_that_is_tested(small_data):
    """Pooled, a majority is that of each fold's own training operations."""
    from surgzoo.evaluate.baselines import baseline_predictions, score_baselines
    from surgzoo.evaluate.truth import load_truth

    sides = [["synthsurg.small"], ["next_action"]]
    whole = load_truth(small_data, *sides, scheme="cv3")
    found = score_baselines(whole, small_data, groups=("all",))["next_action"]
    right = Counter()
    for scheme in SCHEMES:
        train, test = (
            load_truth(small_data, *sides, split=split, scheme=scheme)
            for split in ("train", "test")
        )
        for name, said in baseline_predictions(train, test)["next_action"].items():
            right[name] += sum(test.conversations[p.id].answer == p.answer for p in said)
    for name, count in right.items():
        row = found[name].row("next_action")
        assert row.value == pytest.approx(count / len(whole.conversations))
        assert row.missing == 0


def test_answers_of_another_fold_are_refused(folder, small_data, tmp_path):
    for scheme, given in zip(SCHEMES, (SCHEMES[1], SCHEMES[0], SCHEMES[2]), strict=True):
        own = tmp_path / scheme / "eval-test"
        own.mkdir(parents=True)
        (own.parent / "config.json").symlink_to(folder / scheme / "config.json")
        (own / "scores.json").symlink_to(folder / scheme / "eval-test" / "scores.json")
        (own / "predictions.jsonl").symlink_to(folder / given / "eval-test" / "predictions.jsonl")
    with pytest.raises(PredictionsError, match=r"in split '(train|val)' of cv3.1"):
        crossval.pool(experiment(small_data), tmp_path, "cv3")


def test_only_a_finished_fold_of_the_same_experiment_is_done(folder, small_data):
    whole, scheme = experiment(small_data), SCHEMES[0]
    assert crossval.answered(whole, folder, scheme)
    assert not crossval.answered(dataclasses.replace(whole, steps=3), folder, scheme)
    assert not crossval.answered(dataclasses.replace(whole, seed=1), folder, scheme)
    assert not crossval.answered(whole, folder / "elsewhere", scheme)
    # Nor are the answers of folds with other settings joined with these.
    longer = dataclasses.replace(whole, steps=3)
    text = config_lib.dump(crossval.of_fold(longer, scheme))
    (folder / scheme / "config.json").write_text(text)
    with pytest.raises(FileNotFoundError, match=r": cv3\.1 of 3 folds.*with these settings"):
        crossval.pool(whole, folder, "cv3")
    with pytest.raises(FileNotFoundError, match=r": cv3\.1, cv3\.2, cv3\.3 of 3 folds"):
        crossval.pool(longer, folder, "cv3")
    (folder / scheme / "config.json").write_text(config_lib.dump(crossval.of_fold(whole, scheme)))


def test_a_fold_is_trained_and_then_asked(small_data, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(crossval, "train", lambda made, folder: done.append((made, folder)))
    monkeypatch.setattr(
        crossval.run, "evaluate", lambda folder, **options: done.append((folder, options))
    )
    crossval.run_fold(experiment(small_data), tmp_path, "cv3.2")
    (made, folder), *asked = done
    assert folder == tmp_path / "cv3.2"
    assert asked == [(folder, {"split": "val", "report": False}), (folder, {"report": False})]
    assert (made.data.mixture[0].scheme, made.eval.scheme) == ("cv3.2", "cv3.2")
    assert made.model == experiment(small_data).model
