"""What a run keeps of the folders that it began with."""

import pytest

from surgzoo.train import vocabulary
from surgzoo.train.experiment import ModelConfig


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.json", "config.json"):
        (folder / name).write_text(f"weights: {name}")
    return folder


@pytest.fixture
def words(tmp_path):
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "vocab.txt").write_text("words")
    (folder / "tokenizer_config.json").write_text("words: lower")
    return folder


def kept(run):
    return {file.name: file.read_text() for file in (run / "vocabulary").iterdir()}


def test_the_vocabulary_of_the_weights_and_what_lies_beside(weights, tmp_path):
    settings, run = ModelConfig(weights=str(weights)), tmp_path / "run"
    run.mkdir()
    assert vocabulary.of(settings, run) == str(weights)
    assert [file.parent for file in vocabulary.beside(settings, run)] == [weights, weights]
    vocabulary.keep(settings, run)
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.json")
    assert kept(run) == {name: f"weights: {name}" for name in names}
    assert vocabulary.of(settings, run) == run / "vocabulary"
    beside = {file.name for file in vocabulary.beside(settings, run)}
    assert beside == {"tokenizer_config.json", "chat_template.json"}
    assert {file.parent for file in vocabulary.beside(settings, run)} == {run / "vocabulary"}

    (weights / "tokenizer.json").write_text("changed since")
    vocabulary.keep(settings, run)  # of a run that goes on
    assert kept(run)["tokenizer.json"] == "weights: tokenizer.json"


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_tokenizer_goes_before_that_of_the_weights(weights, words, tmp_path, named):
    tokenizer = words if named == "folder" else words / "vocab.txt"
    settings = ModelConfig(weights=str(weights), tokenizer=str(tokenizer))
    vocabulary.keep(settings, tmp_path)
    assert kept(tmp_path) == {
        "vocab.txt": "words",
        "tokenizer_config.json": "words: lower",
        "chat_template.json": "weights: chat_template.json",
    }


def test_a_shipped_tokenizer_stays_the_one_that_is_used(weights, tmp_path):
    settings = ModelConfig(weights=str(weights), tokenizer="shipped")
    vocabulary.keep(settings, tmp_path)
    assert kept(tmp_path) == {"chat_template.json": "weights: chat_template.json"}
    assert vocabulary.of(settings, tmp_path) == "shipped"


@pytest.mark.parametrize("weights", [None, "published.pth"])
def test_nothing_to_keep(tmp_path, weights):
    if weights:
        weights = str(tmp_path / weights)
        (tmp_path / "published.pth").write_bytes(b"weights alone")
    settings = ModelConfig(weights=weights)
    vocabulary.keep(settings, tmp_path)
    assert not (tmp_path / "vocabulary").exists()
    assert vocabulary.of(settings, tmp_path) == weights
    assert vocabulary.beside(settings, tmp_path) == []


def test_a_copy_that_was_cut_short_is_made_anew(weights, tmp_path):
    unfinished = tmp_path / ".vocabulary.unfinished"
    unfinished.mkdir()
    (unfinished / "vocab.txt").write_text("half")
    vocabulary.keep(ModelConfig(weights=str(weights)), tmp_path)
    assert "vocab.txt" not in kept(tmp_path) and not unfinished.exists()
