"""A run keeps its vocabulary: `<run>/vocabulary/`, so that nothing but the run folder is needed to
evaluate and export it, on whatever machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from surgzoo.train.experiment import ModelConfig

# Small files beside published weights: what our processors read, then what other programs do.
VOCABULARY = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
BESIDE = (
    "added_tokens.json", "chat_template.jinja", "chat_template.json", "generation_config.json",
    "merges.txt", "preprocessor_config.json", "processor_config.json", "special_tokens_map.json",
    "tokenizer_config.json", "video_preprocessor_config.json", "vocab.json",
)  # fmt: skip


def keep(settings: ModelConfig, run_dir: str | Path) -> None:
    """Copies the vocabulary of `model.tokenizer`, or else of `model.weights`, into the run folder.

    A vocabulary that the model ships, or that its config names, is nobody's to lose: then nothing
    is copied. What lies beside the weights comes too, for `surgzoo weights`.
    """
    folder = Path(run_dir) / "vocabulary"
    if folder.is_dir():  # the run is continued
        return
    files = _files(settings.weights)
    if settings.tokenizer:
        files = {name: file for name, file in files.items() if name not in VOCABULARY}
        files |= _files(settings.tokenizer)
    unfinished = folder.with_name(".vocabulary.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, file in files.items():
        unfinished.mkdir(exist_ok=True)
        shutil.copyfile(file, unfinished / name)
    if files:
        unfinished.replace(folder)


def of(settings: ModelConfig, run_dir: str | Path) -> str | Path | None:
    """What `processor()` of the model is given: what the run has kept, else what it was told."""
    kept = Path(run_dir) / "vocabulary"
    if any((kept / name).is_file() for name in VOCABULARY[:2]):
        return kept
    return settings.tokenizer or settings.weights


def beside(settings: ModelConfig, run_dir: str | Path) -> list[Path]:
    """What other programs read beside weights, of those that the run began with."""
    folder = Path(run_dir) / "vocabulary"
    if not folder.is_dir():  # a run of an earlier version
        if not settings.weights:
            return []
        folder = Path(settings.weights)
    return [folder / name for name in BESIDE if (folder / name).is_file()]


def _files(source: str | None) -> dict[str, Path]:
    """Files to copy, by their names in the run. Of weights in one file (.pth) there are none."""
    path = Path(source or "")
    if source and path.is_dir():
        files = {name: path / name for name in (*VOCABULARY, *BESIDE)}
    elif path.suffix in (".json", ".txt"):
        beside = path.with_name("tokenizer_config.json")
        files = {VOCABULARY[path.suffix == ".txt"]: path, beside.name: beside}
    else:
        files = {}
    return {name: file for name, file in files.items() if file.is_file()}
