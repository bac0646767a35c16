"""surgzoo weights: a tiny LoRA run, whose weights transformers and peft load with our logits."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from surgzoo.core import config as config_lib
from surgzoo.core.contract import Message
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.pipeline import stack
from surgzoo.evaluate.predictors.local import restore
from surgzoo.evaluate.run import load_experiment
from surgzoo.models.build import model_config
from surgzoo.train.experiment import ModelConfig, OptimConfig
from surgzoo.train.loop import train
from tests.train.toy_run import OVERRIDES, experiment


def surgzoo(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "surgzoo.tools.main", "weights", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    config = model_config("surgvlm-tiny", OVERRIDES)
    config.save_weights(config.build().init(jax.random.key(7)), folder)
    (folder / "generation_config.json").write_text('{"do_sample": false}')
    return folder


@pytest.fixture(scope="module")
def tuned(small_data, base, tmp_path_factory):
    lora = {"rank": 4, "targets": ".*"}
    toy = experiment(
        small_data,
        model=ModelConfig(
            overrides={**OVERRIDES, "lora": lora}, weights=str(base), trainable="lora_"
        ),
        optim=OptimConfig(lr=1e-2, warmup_steps=0),
        steps=2,
    )
    folder = tmp_path_factory.mktemp("lora") / "run"
    train(toy, folder)
    return folder


@pytest.fixture(scope="module")
def ours(tuned):
    """A text row and its logits by the checkpoint."""
    found = restore(tuned, load_experiment(tuned))
    talk = [Message("user", "Which phase is this?"), Message("assistant", "preparation")]
    row = found.processor.encode(talk, [])
    logits = jax.jit(found.model.forward)(found.params, stack([row]))[0]
    length = int((row["segments"] > 0).sum())
    return row["tokens"][None, :length].astype(np.int64), np.asarray(logits)[:length]


def theirs(model, tokens):
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor(tokens)).logits[0].float().numpy()


def test_merged_weights_load_in_transformers(tuned, base, ours, tmp_path):
    transformers = pytest.importorskip("transformers")
    done = surgzoo(f"--run_dir={tuned}", f"--out={tmp_path}", "--dtype=float32")
    assert done.returncode == 0, done.stderr
    assert "step 2 of toy, merged" in done.stdout
    assert "note: in training, text after a clip" in done.stdout
    tokens, expected = ours
    load = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained
    np.testing.assert_allclose(theirs(load(tmp_path), tokens), expected, atol=1e-4, rtol=0)
    untuned = theirs(load(base), tokens)
    assert np.abs(untuned - expected).max() > 0.05  # two steps have done something
    assert (tmp_path / "generation_config.json").exists()
    assert (tmp_path / "tokenizer.json").exists()

    done = surgzoo(f"--run_dir={tuned}", f"--out={tmp_path}")
    assert done.returncode == 0, done.stderr
    half = load(tmp_path)
    assert str(half.dtype) == "torch.bfloat16"


def test_the_adapter_loads_in_peft(tuned, base, ours, tmp_path):
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    done = surgzoo(f"--run_dir={tuned}", f"--out={tmp_path}", "--form=adapter", "--step=2")
    assert done.returncode == 0, done.stderr
    tokens, expected = ours
    named = peft.PeftConfig.from_pretrained(tmp_path).base_model_name_or_path
    assert named == str(base)
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(named)
    model = peft.PeftModel.from_pretrained(model, tmp_path)
    np.testing.assert_allclose(theirs(model, tokens), expected, atol=1e-4, rtol=0)


def test_a_dual_encoder_goes_on_from_its_folder(small_data, tmp_path):
    """Weights and vocabulary lie in the folder, which `model.weights` names alone."""
    overrides = {"text.depth": 1, "text.last_layers": 1}
    captions = (Part("synthsurg", "image_captioning", config="small"),)
    toy = experiment(
        small_data,
        model=ModelConfig(name="surgvlp-tiny", overrides=overrides),
        objective="contrastive",
        data=DataConfig(mixture=captions, data_dir=str(small_data), batch_size=8),
        steps=0,
    )
    first = train(toy, tmp_path / "first")
    done = surgzoo(f"--run_dir={tmp_path / 'first'}", f"--out={tmp_path / 'weights'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "weights" / "vocab.txt").exists()
    goes_on = ModelConfig(
        name="surgvlp-tiny", overrides=overrides, weights=str(tmp_path / "weights")
    )
    second = train(dataclasses.replace(toy, model=goes_on, seed=7), tmp_path / "second")
    jax.tree.map(np.testing.assert_array_equal, second["params"], first["params"])
    done = surgzoo(f"--run_dir={tmp_path / 'first'}", "--out=x", "--dtype=bfloat16")
    assert done.returncode != 0 and "surgvlp-tiny is written in float32" in done.stderr


def test_no_note_where_text_follows_clips_as_in_transformers(tuned, tmp_path):
    run = shutil.copytree(tuned, tmp_path / "run")
    saved = json.loads((run / "config.json").read_text())
    saved["model"]["overrides"]["input.text_after_time"] = False
    (run / "config.json").write_text(json.dumps(saved))
    done = surgzoo(f"--run_dir={run}", f"--out={tmp_path / 'out'}", "--form=adapter")
    assert done.returncode == 0 and "note:" not in done.stdout, done.stdout + done.stderr


def test_mistakes_get_a_way_out(tuned, tmp_path):
    def described(name, **model):
        """A run folder without a checkpoint."""
        (tmp_path / name).mkdir()
        toy = experiment(tmp_path, model=ModelConfig(**model))
        (tmp_path / name / "config.json").write_text(config_lib.dump(toy))
        return tmp_path / name

    lora = {**OVERRIDES, "lora": {"rank": 2}}
    both = described("both", overrides=lora, trainable="lora_|merger")
    random = described("random", overrides=lora, trainable="lora_")
    plain = described("plain", overrides=OVERRIDES, trainable="merger")
    out = tmp_path / "out"
    for arguments, message in (
        ([], "--run_dir=runs/NAME"),
        ([f"--run_dir={tmp_path}"], "--out=FOLDER"),
        ([f"--run_dir={tmp_path}", f"--out={out}"], "not a run of `surgzoo train`"),
        ([f"--run_dir={plain}", f"--out={out}"], "no finished checkpoint"),
        ([f"--run_dir={tuned}", f"--out={out}", "--step=7"], "no checkpoint of step 7"),
        ([f"--run_dir={plain}", f"--out={out}", "--form=adapter"], "has no adapters"),
        ([f"--run_dir={both}", f"--out={out}", "--form=adapter"], "trained vision/merger/"),
        ([f"--run_dir={random}", f"--out={out}", "--form=adapter"], "random weights"),
    ):
        done = surgzoo(*arguments)
        assert done.returncode != 0 and message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert not out.exists()
