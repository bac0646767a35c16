"""The toy source, prepared once, and predictions about it."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for toyscope.py, also in spawned processes

TASKS = (
    "instrument_recognition",
    "instrument_localization",
    "phase_recognition",
    "triplet_recognition",
)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    import toyscope

    from surgzoo.datasets.source_builder import prepare
    from surgzoo.db import ontology

    ontology.add_tables(Path(__file__).parent / "ontology")
    folder = tmp_path_factory.mktemp("data")
    prepare(toyscope.Toyscope, folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def truth(data_dir):
    from surgzoo.evaluate.truth import load_truth

    return load_truth(data_dir, ["toyscope.fps1"], TASKS)


@pytest.fixture
def write(tmp_path):
    """write([{"id": .., "text": ..}, ..]) -> the path of a predictions file."""

    def write(lines, name="predictions.jsonl"):
        path = tmp_path / name
        text = "".join(json.dumps({"model": "toy", **line}) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def perfect(truth):
    """The truth as predictions."""
    return [
        {"id": id, "text": item.target, "latency": 0.25} for id, item in truth.conversations.items()
    ]
