"""A run on packed rows: continued from a checkpoint it does what the uninterrupted one does."""

import dataclasses
import json

import pytest

from surgzoo.data import pipeline
from surgzoo.train.checkpoint import Checkpointer
from surgzoo.train.experiment import OptimConfig
from surgzoo.train.loop import train
from tests.train.toy_run import experiment


@pytest.mark.slow
def test_a_packed_run_continues_where_it_stopped(small_data, tmp_path, monkeypatch):
    data = dataclasses.replace(
        experiment(small_data).data, bucket=(256, 192), pack=True, pack_window=8, prefetch=2
    )
    settings = {
        "data": data,
        "optim": OptimConfig(schedule="constant", warmup_steps=0),
        "checkpoint_every": 3,
    }
    begun = []
    batches = pipeline.training_batches

    def spy(*args, **keywords):
        begun.append((keywords["start"], keywords["place"]))
        return batches(*args, **keywords)

    monkeypatch.setattr(pipeline, "training_batches", spy)
    train(experiment(small_data, steps=6, **settings), tmp_path / "whole")
    train(experiment(small_data, steps=3, **settings), tmp_path / "parts")
    train(experiment(small_data, steps=6, **settings), tmp_path / "parts")

    whole, parts = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert whole == parts and len(whole) == 6
    meta = Checkpointer(tmp_path / "parts" / "checkpoints").meta(3)
    assert meta["examples"] == 24 and meta["place"][0] > 0
    assert begun == [(0, None), (0, None), (24, meta["place"])]
