"""A small segmenter through the whole path: rows, loop, checkpoint, answers, scores."""

import functools
import json

import jax
import numpy as np
import pytest

from surgzoo.core import parallel
from surgzoo.data.config import DataConfig, Part
from surgzoo.evaluate.baselines import score_baselines
from surgzoo.evaluate.run import evaluate
from surgzoo.evaluate.scores import Scores
from surgzoo.evaluate.truth import load_truth
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig, OptimConfig
from surgzoo.train.loop import train

TASK, SOURCE = "instrument_segmentation", "synthsurg.small"


@pytest.fixture(scope="module", autouse=True)
def one_device():
    """Eight take longer to compile for; that cut and whole are the same is tested elsewhere."""
    alone = functools.partial(parallel.make_mesh, devices=jax.devices()[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "make_mesh", alone)
        yield


@pytest.fixture(scope="module")
def run_dir(small_data, tmp_path_factory):
    overrides = {
        "scan_layers": False,
        "backbone.width": 32,
        "backbone.heads": 2,
        "backbone.grid": 8,
        "neck.channels": (8, 8, 8, 8),
        "neck.fusion": 16,
        "neck.head": 8,
        "input.size": 64,
    }
    folder = tmp_path_factory.mktemp("run") / "toy"
    experiment = Experiment(
        name="toy",
        model=ModelConfig(name="instrument-segmentation-tiny", overrides=overrides),
        objective="dice_cross_entropy",
        data=DataConfig(
            mixture=(Part("synthsurg", TASK, config="small"),),
            data_dir=str(small_data),
            batch_size=8,
        ),
        optim=OptimConfig(lr=4e-3, warmup_steps=5, weight_decay=0.0),
        eval=EvalConfig(sources=(SOURCE,), tasks=(TASK,), batch_size=16, limit=60),
        steps=50,
    )
    train(experiment, folder)
    return folder


def test_the_loss_falls(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    loss = [line["loss"] for line in lines]
    assert len(loss) == 50 and np.mean(loss[-10:]) < 0.7 * np.mean(loss[:10])


def test_masks_of_patients_that_it_never_saw(run_dir, small_data):
    result = evaluate(run_dir, report=False)
    found = Scores.load(result.folder / "scores.json").row(TASK)
    assert found.predicted == 60 and found.unparsed == 0
    truth = load_truth(small_data, [SOURCE], [TASK])
    trivial = {
        name: scores.row(TASK).metrics["all_dice"]
        for name, scores in score_baselines(truth, small_data, groups=("all",))[TASK].items()
    }
    print(found.metrics["all_dice"], trivial)
    assert found.metrics["all_dice"] > 2 * max(trivial.values())
