"""From a checkpoint to predictions, scores and the page."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from surgzoo.data import prompts, turns
from surgzoo.data.config import Part
from surgzoo.data.media import Stores
from surgzoo.data.model_reader import ModelReader
from surgzoo.data.sampling import VideoConfig
from surgzoo.db import schema
from surgzoo.db.store import Store
from surgzoo.decode.settings import Decoding
from surgzoo.evaluate import findings, run
from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.predictors.local import answer, read_decoding, restore, to_answer
from surgzoo.evaluate.predictors.questions import questions, take
from surgzoo.evaluate.scores import Scores
from surgzoo.models import models
from surgzoo.models.build import model_config
from surgzoo.models.card import model_card
from surgzoo.train.experiment import EvalConfig, OptimConfig
from surgzoo.train.loop import train
from surgzoo.train.state import flatten
from tests.train.toy_run import experiment

TASKS = ("phase_recognition", "instrument_recognition")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_data):
    folder = tmp_path_factory.mktemp("run")
    settings = EvalConfig(
        sources=("synthsurg.small",), tasks=TASKS, limit=9, batch_size=8, max_new_tokens=4
    )
    train(experiment(small_data, steps=2, eval=settings), folder / "toy")
    return folder / "toy"


def lines(result):
    text = (result.folder / "predictions.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_everything_is_asked_once_and_reported(trained):
    result = run.evaluate(trained)
    found = lines(result)
    assert len(found) == len({line["id"] for line in found}) == 18
    assert {line["model"] for line in found} == {"surgvlm-tiny/toy@2"}
    assert all(line["text"] is not None and line["latency"] > 0 for line in found)
    assert result.report.is_file() and (result.folder / "scores.json").is_file()
    assert "Phase recognition" in result.table

    # Cut off in the middle of a line: what is there is kept, the rest is asked again.
    path = result.folder / "predictions.jsonl"
    whole = path.read_text()
    path.write_text(whole[: whole.index("\n", len(whole) // 2) - 5])
    with pytest.warns(UserWarning, match="cut off"):
        run.evaluate(trained, report=False)
    again = {line["id"]: line["text"] for line in lines(result)}
    assert again == {line["id"]: line["text"] for line in found}


def test_a_corrupt_frame_costs_one_answer_and_is_named(trained, monkeypatch):
    original = Store.frame

    def frame(self, video_id, index):
        record = original(self, video_id, index)
        broken = index == 0
        return dataclasses.replace(record, image=b"broken") if broken else record

    monkeypatch.setattr(Store, "frame", frame)
    result = run.evaluate(trained, split="val", report=False, limit=None)
    wrong = [line for line in lines(result) if line["text"] is None]
    assert {line["id"].split("/")[2] for line in wrong} == {"000000"}
    assert all("cannot be decoded" in line["error"] for line in wrong)
    assert len(lines(result)) > 2 * len(wrong)


def test_answers_do_not_depend_on_the_batch(trained, monkeypatch):
    texts = {}
    for size in (8, 16):
        (trained / "eval-train" / "predictions.jsonl").unlink(missing_ok=True)
        result = run.evaluate(trained, split="train", report=False, batch_size=size, limit=11)
        texts[size] = {line["id"]: line["text"] for line in lines(result)}
    assert texts[8] == texts[16]


def test_no_checkpoint_and_nothing_to_ask_are_explained(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="not a run of `surgzoo train`"):
        run.evaluate(tmp_path)
    (tmp_path / "config.json").write_text((trained / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match="no finished checkpoint"):
        run.evaluate(tmp_path)
    with pytest.raises(ValueError, match="nothing to ask"):
        run.evaluate(trained, split="validation")


def test_take_is_even():
    assert take(list(range(10)), None) == list(range(10))
    assert take(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert take(list(range(3)), 5) == [0, 1, 2]


def test_a_run_as_predictor_writes_the_same_answers(trained, small_data, tmp_path):
    """surgzoo predict --run_dir gives the file that surgzoo evaluate scores."""
    result = run.evaluate(trained, report=False)
    out = tmp_path / "ours.jsonl"
    command = [
        *(sys.executable, "-m", "surgzoo.tools.main", "predict", f"--run_dir={trained}"),
        *("--sources=synthsurg.small", f"--tasks={','.join(TASKS)}", f"--data_dir={small_data}"),
        *("--limit=9", f"--out={out}"),
    ]
    for told in ("18 questions asked, 0 were", "0 questions asked, 18 were"):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0 and told in done.stdout, done.stderr
    said = {line["id"]: line["text"] for line in map(json.loads, out.read_text().splitlines())}
    assert said == {line["id"]: line["text"] for line in lines(result)}
    wrong = subprocess.run([*command, "--prices=1,2"], capture_output=True, text=True)
    assert "--prices is for a server" in wrong.stderr
    wrong = subprocess.run([*command, "--protocol=choice"], capture_output=True, text=True)
    assert "protocol 'open' and not 'choice'" in wrong.stderr


def test_media_are_shown_as_the_run_was_trained(trained, tmp_path, monkeypatch):
    """A run of other decoding and sampling is evaluated with those, the flags of nobody else."""
    folder = shutil.copytree(trained, tmp_path / "toy", ignore=shutil.ignore_patterns("eval-*"))
    saved = json.loads((folder / "config.json").read_text())
    saved["data"] |= {"decode": "fast", "video": {"policy": "last", "max_frames": 5, "tokens": 80}}
    (folder / "config.json").write_text(json.dumps(saved))
    shown = []

    class Watched(ModelReader):
        def __init__(self, *args, decode, video):
            shown.append((decode, video))
            super().__init__(*args, decode=decode, video=video)

    monkeypatch.setattr(turns, "ModelReader", Watched)
    run.evaluate(folder, report=False)
    run.evaluate(trained, report=False)
    expected = VideoConfig(policy="last", max_frames=5, tokens=80)
    assert shown == [("fast", expected), ("exact", VideoConfig())]


@pytest.mark.parametrize("lora", [True, False])
def test_merged_and_cast_once_the_answers_are_the_same(tmp_path, small_data, lora):
    """Adapters in float32, where merging rounds least; without them bfloat16, bit for bit."""
    toy = experiment(small_data, optim=OptimConfig(lr=1e-2, warmup_steps=0), steps=2)
    dtype = "float32" if lora else "bfloat16"
    change = {"lora": {"rank": 2, "targets": ".*"}} if lora else {"compute_dtype": dtype}
    model = dataclasses.replace(
        toy.model,
        overrides={**toy.model.overrides, **change},
        trainable="lora_" if lora else ".*",
    )
    toy = dataclasses.replace(toy, model=model)
    train(toy, tmp_path / "run")
    found = restore(tmp_path / "run", toy)
    ready = to_answer(found)
    for path, leaf in flatten(ready.params).items():
        assert "lora_" not in path and (leaf.ndim < 2 or leaf.dtype == dtype), path
    again = to_answer(ready)
    assert jax.tree.structure(again.params) == jax.tree.structure(ready.params)
    stores = Stores(small_data)
    items = questions(stores, ("synthsurg.small",), TASKS, "test", limit=8)
    settings = EvalConfig(batch_size=8, max_new_tokens=8)
    said = []
    for name, one in (("found", found), ("ready", ready)):
        answer(one, items, stores, tmp_path / name, settings)
        text = (tmp_path / name).read_text().splitlines()
        said.append({line["id"]: line["text"] for line in map(json.loads, text)})
    assert len(said[0]) == 16 and said[0] == said[1]
    if lora:  # and the adapters do something
        plain = {**flatten(found.params)}
        assert any(np.abs(plain[path]).max() > 0 for path in plain if path.endswith("lora_b"))


def test_a_clip_that_only_the_rows_of_training_hold_is_asked(tmp_path, small_data):
    """Eight frames of 112 x 112 are 4 x 64 patches; the model's own rows have 64 at most here."""
    toy = experiment(small_data)
    overrides = {**toy.model.overrides, "input.buckets": [[64, 0], [96, 64]]}
    toy = dataclasses.replace(
        toy,
        model=dataclasses.replace(toy.model, overrides=overrides),
        data=dataclasses.replace(
            toy.data,
            mixture=(Part("synthsurg", "video_captioning", config="small"),),
            batch_size=8,
            bucket=(384, 512),
            group=False,
            video=VideoConfig(max_frames=8),
        ),
        eval=EvalConfig(
            sources=("synthsurg.small",),
            tasks=("video_captioning",),
            limit=3,
            batch_size=8,
            max_new_tokens=2,
        ),
        steps=1,
    )
    train(toy, tmp_path / "video")
    found = lines(run.evaluate(tmp_path / "video", report=False))
    assert len(found) == 3 and all(line["text"] is not None for line in found), found
    # In the model's own rows the same clips have no room.
    architecture = model_config(toy.model.name, overrides)
    assert architecture.row()["tokens"] == ((96,), "int32")  # buckets from JSON are plain pairs
    narrow = architecture.processor()
    longer = [item for item in questions_of(toy) if item.media[0].count > 2]
    assert longer
    for clip in longer:
        with pytest.raises(ValueError, match="does not fit any bucket"):
            prompts.encode_rows([clip], narrow, turns.reader(toy.data, narrow, Stores(small_data)))


def questions_of(toy):
    settings = toy.eval
    return questions(
        Stores(toy.data.data_dir), settings.sources, settings.tasks, "test", limit=settings.limit
    )


def test_short_batches_are_filled_not_recompiled(trained, monkeypatch):
    shapes = []
    original = Decoding.make

    def spying(*arguments):
        generate = original(*arguments)

        def call(params, batch):
            shapes.append((*np.shape(batch["tokens"]), np.shape(batch["ends"])[1]))
            return generate(params, batch)

        return call

    monkeypatch.setattr(Decoding, "make", spying)
    (trained / "eval-test" / "predictions.jsonl").unlink(missing_ok=True)
    run.evaluate(trained, report=False, limit=9)
    # Both tasks take the same nine frames: nine rows of two questions, on eight devices.
    assert shapes == [(8, shapes[0][1], 2)] * 2


def test_constrained_answers_are_parsed_and_said_to_be_constrained(trained):
    tasks = (*TASKS, "instrument_localization", "image_captioning")
    settings = {"tasks": tasks, "max_new_tokens": 24, "limit": 4, "constrained": True}
    result = run.evaluate(trained, **settings)
    assert result.folder.name == "eval-test-constrained"
    scores = Scores.load(result.folder / "scores.json")
    assert all(scores.row(task).unparsed == 0 for task in tasks[:3])
    assert scores.decoding == {
        **{task: {"greedy, constrained": 4} for task in tasks[:3]},
        "image_captioning": {"greedy": 4},
    }
    for text in (result.table, result.report.read_text()):
        assert "How answers were decoded: greedy, constrained (Instrument localization" in text
    path = result.folder / "predictions.jsonl"
    (trained / "eval-test").mkdir(exist_ok=True)
    (trained / "eval-test" / "predictions.jsonl").write_text(path.read_text())
    with pytest.raises(PredictionsError, match=r"decoded in another way \(greedy, constrained\)"):
        run.evaluate(trained, report=False)
    (trained / "eval-test" / "predictions.jsonl").unlink()
    with pytest.raises(ValueError, match="max_new_tokens is 4: raise it"):
        run.evaluate(trained, **settings | {"max_new_tokens": 4, "split": "val"})


def test_sampled_answers_are_those_of_the_seed(trained):
    said = []
    for seed, size in ((0, 8), (0, 16), (1, 8)):
        settings = {"temperature": 1.0, "top_p": 0.95, "seed": seed, "batch_size": size}
        result = run.evaluate(trained, report=False, split="train", limit=5, **settings)
        said.append({line["id"]: line["text"] for line in lines(result)})
        way = f"sampled at temperature 1, top-p 0.95, seed {seed}"
        assert {line["decoding"] for line in lines(result)} == {way}
        (result.folder / "predictions.jsonl").unlink()
    assert said[0] == said[1] != said[2]


def test_a_benchmark_says_how_answers_were_decoded(trained):
    options = {"sets": ("phase_recognition/synthsurg",), "limit": 3, "batch_size": 8, "beams": 2}
    result = run.evaluate_benchmark(trained, "surgsigma_18", **options)
    (found,) = [item for item in result.findings if item.kind == "decoding"]
    assert found.text == "3 answers were decoded in this way: beam search of 2"
    assert (trained / "bench-surgsigma_18-open-beams2" / "benchmark.json").is_file()


def test_decodings_that_do_not_go_together_are_refused_before_anything_is_read(trained):
    with pytest.raises(ValueError, match="does nothing without sampling"):
        run.evaluate(trained, top_p=0.5, data_dir="nowhere")
    with pytest.raises(ValueError, match="group must be 1"):
        run.evaluate(trained, group=0, data_dir="nowhere")


def test_decoding_on_the_command_line(trained):
    given = ["constrained", "beams=4", "length_penalty=0.5", "group=2"]
    expected = {"constrained": True, "beams": 4, "length_penalty": 0.5, "group": 2}
    assert read_decoding(given) == expected
    assert read_decoding(["constrained=false"]) == {"constrained": False}
    for wrong, message in (
        ("greedy", "no way of decoding; there are group, temperature"),
        ("beams=two", "beams needs a whole number, as beams=1, not 'two'"),
        ("top_p", "top_p needs a number"),
        ("constrained=4", "constrained is true or false"),
    ):
        with pytest.raises(ValueError, match=message):
            read_decoding([wrong])
    command = [sys.executable, "-m", "surgzoo.tools.main", "evaluate", f"--run_dir={trained}"]
    done = subprocess.run(
        [*command, "--decoding=beams=2,temperature=1"], capture_output=True, text=True
    )
    assert done.returncode and "beams=2 searches for the likeliest answer" in done.stderr


def test_stores_open_once(trained):
    stores = Stores(run.load_experiment(trained).data.data_dir)
    assert stores("synthsurg", "small") is stores("synthsurg", "small")


def test_a_benchmark_is_asked_scored_and_resumed(trained):
    chosen = ("phase_recognition/synthsurg", "instrument_recognition/synthsurg")
    options = {"sets": chosen, "limit": 5, "batch_size": 8}
    result = run.evaluate_benchmark(trained, "surgsigma_18", **options)
    folder = trained / "bench-surgsigma_18-open"
    found = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(found) == 10 and {line["model"] for line in found} == {"surgvlm-tiny/toy@2"}
    assert [result.set(name).answered for name in chosen] == [5, 5]
    assert result.models == ("surgvlm-tiny/toy@2",)
    # Trained on the training split, tested on the test split, at its last step: nothing but that
    # it is no whole benchmark.
    assert [f.kind for f in result.findings] == ["partial", "sampled"]
    assert (folder / "benchmark.md").read_text().startswith("# surgsigma_18 (open): surgvlm-tiny")
    again = run.evaluate_benchmark(trained, "surgsigma_18", **options)
    assert again == result
    assert len((folder / "predictions.jsonl").read_text().splitlines()) == 10
    with pytest.raises(ValueError, match="surgzoo prepare --source=cholec80"):
        run.evaluate_benchmark(trained, "surgvlm_bench")


def test_scores_on_videos_that_were_trained_on_are_labelled(trained):
    result = run.evaluate(trained, split="all", report=False)
    (leak, *rest) = result.findings
    assert leak.kind == "leakage" and leak.text.startswith("synthsurg.small: trained on ")
    assert leak.counts["shared"] < leak.counts["tested"] and rest == []
    written = json.loads((result.folder / "findings.json").read_text())
    assert [item["kind"] for item in written] == ["leakage"]


def test_what_a_card_says_of_its_weights_is_a_leak(trained, monkeypatch):
    """Operations that the published weights of a model have seen are looked for in the test."""
    experiment = run.load_experiment(trained)
    card = model_card(
        "", family="toy", parameters="1", reads="turns", tasks=(), input="", source="",
        weights="ours", pre_training="Cholec80", trained_on=("cholec80:40_40:test",),
    )  # fmt: skip
    monkeypatch.setattr(models, "_entries", dict(models._entries))
    models.register("toy-seen", "nowhere:config", card)
    start = dataclasses.replace(experiment.model, name="toy-seen", weights="some/folder")
    training = run.training_of(dataclasses.replace(experiment, model=start))
    assert len([key for key in training.operations if key.startswith("cholec80/")]) == 40
    video = schema.Video(
        id="VID49", canonical="cholec80/video49", source="cholect50", specialty="", procedure="",
        licence="",
    )  # fmt: skip
    leak = findings.leakage(training, {"triplet": [video]})[0]
    assert (leak.kind, leak.items) == ("leakage", ("cholec80/video49",))


def test_weights_of_unknown_training_are_said(trained):
    experiment = run.load_experiment(trained)
    start = dataclasses.replace(experiment.model, weights="some/folder")
    training = run.training_of(dataclasses.replace(experiment, model=start))
    assert training.operations and "some/folder: what those were" in training.unclear[0]
    start = dataclasses.replace(start, name="peskavlp")
    training = run.training_of(dataclasses.replace(experiment, model=start))
    assert "known ones of peskavlp have seen" in training.unclear[0]
    assert "surgical video lectures" in training.unclear[0]
    gone = dataclasses.replace(experiment.data, data_dir="nowhere")
    training = run.training_of(dataclasses.replace(experiment, data=gone))
    assert training.operations == {} and len(training.unclear) == 2
    moved = run.training_of(dataclasses.replace(experiment, data=gone), experiment.data.data_dir)
    assert moved.operations == run.training_of(experiment).operations and moved.unclear == ()
