import json
import sys

import pytest

from surgzoo.train.writers import JsonlWriter, TensorBoardWriter


def steps(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_resumed_curve_has_no_step_twice_and_no_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    writer = JsonlWriter(path)
    for step in range(1, 8):
        writer.write(step, {"loss": 1 / step})
    writer.close()
    with open(path, "a") as file:
        file.write('{"step": 8, "lo')  # killed while writing
    writer = JsonlWriter(path, resume_step=5)
    assert steps(path) == [1, 2, 3, 4, 5]
    writer.write(6, {"loss": 0.5})
    writer.close()
    assert steps(path) == [1, 2, 3, 4, 5, 6]


def test_a_fresh_run_starts_an_empty_file(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 3}\n')
    JsonlWriter(path).close()
    assert path.read_text() == ""


def test_tensorboard_writes_event_files(tmp_path):
    writer = TensorBoardWriter(tmp_path)
    writer.write(1, {"loss": 0.5})
    writer.close()
    assert [p for p in tmp_path.iterdir() if "tfevents" in p.name]


def test_tensorboard_missing_is_explained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"surgzoo\[tensorboard\]"):
        TensorBoardWriter(tmp_path)
