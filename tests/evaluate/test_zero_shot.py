"""A dual encoder from captions to zero-shot answers, scores and retrieval."""

import dataclasses
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from surgzoo.data.config import DataConfig, Part
from surgzoo.data.media import MediaReader, Stores
from surgzoo.db.sentences import Sentences
from surgzoo.db.store import Store
from surgzoo.evaluate import retrieval, run
from surgzoo.evaluate.predictions import PredictionsError, read_predictions
from surgzoo.evaluate.predictors import local
from surgzoo.evaluate.predictors.local import restore
from surgzoo.evaluate.predictors.pairs import answer
from surgzoo.evaluate.predictors.questions import questions
from surgzoo.evaluate.scores import Scores
from surgzoo.tasks.wording import Wording
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig
from surgzoo.train.loop import train

TASKS = ("phase_recognition", "instrument_recognition", "triplet_recognition")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_data):
    folder = tmp_path_factory.mktemp("pairs") / "toy"
    small = {"text.length": 80, "text.depth": 1, "vision.depth": 1, "scan_layers": False}
    experiment = Experiment(
        name="toy",
        model=ModelConfig("clip-tiny", small),
        objective="contrastive",
        data=DataConfig(
            (Part("synthsurg", "image_captioning", config="small"),), str(small_data), batch_size=16
        ),
        optim=OptimConfig(warmup_steps=1),
        eval=EvalConfig(("synthsurg.small",), TASKS, limit=20, batch_size=8),
        steps=2,
        log_every=2,
    )
    train(experiment, folder)
    return folder


@pytest.fixture(scope="module")
def found(trained):
    return restore(trained, run.load_experiment(trained))


def embed_text(found, pair):
    return np.asarray(jax.jit(found.model.embed_text)(found.params, *pair))


def embed_image(found, images):
    return np.asarray(jax.jit(found.model.embed_image)(found.params, images))


def test_answers_are_the_nearest_options_by_hand(trained, found, small_data):
    """Recomputed a question at a time, without batches."""
    result = run.evaluate(trained, report=False)
    written = {item.id: item for item in read_predictions(result.folder / "predictions.jsonl")}
    assert len(written) == 60 and "Phase recognition" in result.table
    stores = Stores(small_data)
    items = questions(stores, ("synthsurg.small",), TASKS, "test", limit=20)
    processor, labels = found.processor, {}
    for item in items[::7]:
        if item.task not in labels:
            sentences = [text for (text,) in Sentences().of(item.task, item.options)]
            labels[item.task] = embed_text(found, processor.texts(sentences))
        image = embed_image(found, processor.images([MediaReader(stores).read(item.media[0])]))
        logits = np.exp(found.params["log_scale"]) * (image @ labels[item.task].T)[0]
        wanted = np.exp(logits) / np.exp(logits).sum()
        said = written[item.id]
        assert list(said.scores) == list(item.options)
        np.testing.assert_allclose(list(said.scores.values()), wanted, rtol=1e-3)
        best = item.options[int(wanted.argmax())]
        assert said.text == (best.replace(", ", " ") if "triplet" in item.task else best)
        assert said.decoding == "nearest text, plain sentences" and said.latency > 0
    scores = Scores.load(result.folder / "scores.json")
    assert all(scores.row(task).unparsed == 0 for task in TASKS)
    assert "ap" in scores.row("instrument_recognition").metrics


def test_sentences_of_a_file_change_the_answers_and_are_not_mixed(trained, tmp_path):
    lines = ["Step one ", *(f"Number {n}" for n in range(13))]
    path = tmp_path / "class_prompt.txt"
    path.write_text("\n".join(lines) + "\n")
    options = {"tasks": TASKS[:1], "report": False}
    result = run.evaluate(trained, prompts=str(path), **options)
    assert result.folder.name == "eval-test-class_prompt"
    said = list(read_predictions(result.folder / "predictions.jsonl"))
    assert all(item.decoding.startswith("nearest text, class_prompt.txt ") for item in said)
    path.write_text(path.read_text().replace("Number 3", "The hook"))
    with pytest.raises(PredictionsError, match="decoded in another way"):
        run.evaluate(trained, prompts=str(path), **options)
    path.write_text("Too few\n")
    with pytest.raises(
        ValueError, match=r"class_prompt\.txt has 1 lines, phase_recognition has 14"
    ):
        run.evaluate(trained, prompts=str(path), **options)
    with pytest.raises(
        ValueError, match=r"cholec80\.toml, \[phase_recognition\]: no sentences for"
    ):
        run.evaluate(trained, prompts="cholec80", **options)


def test_listed_choices_are_the_only_ones_compared(trained, found, small_data, tmp_path):
    stores = Stores(small_data)
    wording = Wording(protocol="choice")
    items = questions(stores, ("synthsurg.small",), TASKS[:1], "test", wording=wording, limit=5)
    settings = EvalConfig(batch_size=8)
    answer(found, items, stores, tmp_path / "p.jsonl", settings)
    for item, said in zip(items, read_predictions(tmp_path / "p.jsonl"), strict=True):
        assert set(said.scores) == set(item.choices) and said.text in item.choices
        assert sum(said.scores.values()) == pytest.approx(1, abs=1e-4)


def test_a_corrupt_frame_costs_its_answers_and_is_left_out_of_retrieval(
    trained, tmp_path, monkeypatch
):
    folder = shutil.copytree(trained, tmp_path / "toy", ignore=shutil.ignore_patterns("eval-*"))
    original = Store.frame

    def frame(self, video_id, index):
        record = original(self, video_id, index)
        return dataclasses.replace(record, image=b"broken") if index == 0 else record

    monkeypatch.setattr(Store, "frame", frame)
    result = run.evaluate(folder, split="val", tasks=TASKS[:1], report=False, limit=None)
    wrong = [x for x in read_predictions(result.folder / "predictions.jsonl") if x.text is None]
    assert {x.id.split("/")[2] for x in wrong} == {"000000"}
    assert all("cannot be decoded" in x.error for x in wrong)
    found = retrieval.retrieve(folder, split="val")
    assert len(found.broken) == 2 and "2 pictures could not be read" in found.table()


def test_open_questions_are_refused(trained):
    with pytest.raises(ValueError, match=r"leave image_captioning out .* surgzoo retrieve"):
        run.evaluate(trained, tasks=("image_captioning",), report=False)


def test_models_that_write_take_no_prompts(tmp_path):
    found = SimpleNamespace(
        name="vlm@1", model=SimpleNamespace(config=SimpleNamespace(reads="turns"))
    )
    with pytest.raises(
        ValueError, match=r"prompts \(cholec80\) are for models that compare .* turns"
    ):
        local.answer(found, [], None, tmp_path / "p.jsonl", EvalConfig(prompts="cholec80"))


def test_retrieval_against_a_plain_loop(trained, found, small_data):
    result = retrieval.retrieve(trained, limit=60)
    stores = Stores(small_data)
    items = questions(stores, ("synthsurg.small",), ("image_captioning",), "test", limit=60)
    captions = list(dict.fromkeys(item.target for item in items))
    assert (result.pictures, result.texts) == (60, len(captions)) and len(captions) < 60
    frames = [MediaReader(stores).read(item.media[0]) for item in items]
    images = embed_image(found, found.processor.images(frames))
    texts = embed_text(found, found.processor.texts(captions))
    scores = images @ texts.T
    forth = []
    for n, item in enumerate(items):
        order = np.argsort(-scores[n])
        forth.append(1 + [captions[m] for m in order].index(item.target))
    back = []
    for m, caption in enumerate(captions):
        told = [items[n].target for n in np.argsort(-scores[:, m])]
        back.append(1 + told.index(caption))
    for direction, ranks in ((result.image_to_text, forth), (result.text_to_image, back)):
        for k in (1, 5, 10):
            assert direction[f"recall@{k}"] == pytest.approx(np.mean(np.array(ranks) <= k))
        assert direction["median_rank"] == np.median(ranks)
    assert result.chance["image_to_text"]["recall@1"] == pytest.approx(1 / len(captions))
    written = json.loads((trained / "eval-test" / "retrieval.json").read_text())
    assert written["image_to_text"] == result.image_to_text and written["cut_texts"] == 0
    assert "text to image" in result.table() and result.table().count("chance") == 2


def test_embeddings_that_find_are_ranked_first():
    texts = np.eye(3, 8, dtype=np.float32)
    own = np.array([0, 0, 1, 2])
    ranked = retrieval.ranked(texts[own], texts, own)
    for direction in ("image_to_text", "text_to_image"):
        assert ranked[direction] == {
            "recall@1": 1.0, "recall@5": 1.0, "recall@10": 1.0, "median_rank": 1.0
        }  # fmt: skip
    # Of four pictures two are right for the first text, one for the others.
    assert ranked["chance"]["text_to_image"]["recall@1"] == pytest.approx((2 / 4 + 1 / 4 * 2) / 3)


def test_the_command_prints_and_says_what_is_wrong(trained):
    command = [sys.executable, "-m", "surgzoo.tools.main", "retrieve"]
    done = subprocess.run(
        [*command, f"--run_dir={trained}", "--limit=10"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "image to text" in done.stdout, done.stderr
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode and "--run_dir=runs/NAME" in done.stderr
    with pytest.raises(ValueError, match="answers of phase_recognition are no captions"):
        retrieval.retrieve(trained, task="phase_recognition")


def test_weights_are_asked_as_they_are_by_a_run_of_no_steps(trained, tmp_path, found):
    experiment = run.load_experiment(trained)
    found.model.config.save_weights(found.params, tmp_path / "weights")
    start = dataclasses.replace(
        experiment.model, weights=str(tmp_path / "weights"), tokenizer="shipped"
    )
    folder = tmp_path / "asked"
    train(dataclasses.replace(experiment, model=start, steps=0), folder)
    results = [run.evaluate(each, tasks=TASKS[:1], report=False) for each in (trained, folder)]
    ours, theirs = (
        {item.id: item.scores for item in read_predictions(each.folder / "predictions.jsonl")
         if "phase" in item.id}
        for each in results
    )  # fmt: skip
    assert ours.keys() == theirs.keys()
    for key, scores in ours.items():
        np.testing.assert_allclose(list(scores.values()), list(theirs[key].values()), rtol=1e-4)
    assert any("not declared" in item.text for item in results[1].findings)
