"""Eight questions a frame: frame-grouped evaluation against one by one, answers compared.

    python tools/bench/grouped.py
    python tools/bench/grouped.py --run_dir=quickstart/synthsurg --data_dir=quickstart/data

Four ways to ask the same, one after the other in every turn, so that other work on the machine hits
all alike:

  grouped   the questions of a frame share a row
  alone     one question a row, rows as long as the processor's bucket, the same batch of questions
  lengths   the same with rows by length, as `surgzoo evaluate` asks frames of one question
  single    one question at a time, on a part of the questions

Without a run, the model is the one of the other rows on a CPU (18 M parameters, 256 patches a
frame) with random weights. Such a model never ends an answer: each has `--max_new_tokens`, by
default a little more than the source's answers have. With a run, answers end as they do.

Every way first asks all once, which compiles and is not counted but shown. Seconds are of the whole
path from media to predictions.jsonl. Must: a question costs at most a third of what it costs alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
from absl import app, flags

from surgzoo.core import parallel
from surgzoo.data.config import DataConfig
from surgzoo.data.media import Stores
from surgzoo.evaluate.predict import predict
from surgzoo.evaluate.predictors.local import Restored, restore
from surgzoo.evaluate.predictors.questions import take
from surgzoo.evaluate.run import load_experiment
from surgzoo.tools.bench import frames
from surgzoo.tools.bench.rows import Row, save

_RUN_DIR = flags.DEFINE_string("run_dir", None, "A trained run; default: random weights.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared data; default: rendered anew.")
_FRAMES = flags.DEFINE_integer("frames", 32, "Frames asked about.")
_QUESTIONS = flags.DEFINE_integer("questions", 8, "Questions a frame.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Questions decoded at a time.")
_MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", None, "Of an answer; default 12, or 64.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Turns of all ways.")
_OUT = flags.DEFINE_string("out", "grouped.json", "Where the numbers go.")

WAYS: dict[str, dict[str, int]] = {
    "grouped": {},
    "alone": {"group": 0},
    "lengths": {"group": 1},
    "single": {"group": 0, "batch_size": 1},
}
SINGLES = 16  # questions that are asked one at a time
ANSWER_TOKENS = 12  # synthsurg's answers in the four tasks have 9 on average


def untrained() -> Restored:
    """The model of the other rows, with random weights."""
    config = frames.small_model()
    model = config.build()
    params = jax.jit(model.init)(jax.random.key(0))
    processor, mesh = config.processor(), parallel.make_mesh()
    return Restored("small", 0, {}, model, params, processor, mesh, DataConfig())


def load(data_dir: Path) -> tuple[Restored, list[Any], Stores, int]:
    """The model, the questions, where their frames are, and the length of an answer."""
    size = (_FRAMES.value, _QUESTIONS.value)
    if _RUN_DIR.value is None:
        stores = frames.small_source(data_dir)
        items = frames.questions(stores, "test", *size)
        return untrained(), items, stores, _MAX_NEW_TOKENS.value or ANSWER_TOKENS
    experiment = load_experiment(Path(_RUN_DIR.value))
    stores = Stores(data_dir)
    (source,), tasks = experiment.eval.sources, experiment.eval.tasks
    wording = experiment.data.wording
    items = frames.questions(stores, "test", *size, tasks=tasks, source=source, wording=wording)
    return restore(_RUN_DIR.value, experiment), items, stores, _MAX_NEW_TOKENS.value or 64


def ratio(turn: dict[str, dict[str, float]], way: str, key: str = "seconds") -> float:
    """How many times as much of `key` a question costs that way as it costs grouped."""
    grouped = turn["grouped"]
    return turn[way][key] / turn[way]["questions"] / (grouped[key] / grouped["questions"])


def line(turn: dict[str, dict[str, float]]) -> str:
    """One turn in words."""
    rates = [f"{way} {n['questions'] / n['seconds']:.1f}" for way, n in turn.items()]
    times = [f"{ratio(turn, way):.2f} x {way}" for way in turn if way != "grouped"]
    load = turn["grouped"]["load"]
    return f"questions/s: {', '.join(rates)}; grouped is {', '.join(times)}; load {load:.1f}"


def main(argv):
    del argv
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(_DATA_DIR.value or folder), Path(folder))


def measure(data_dir: Path, scratch: Path) -> None:
    """Asks in all ways and writes what it took."""
    found, items, stores, longest = load(data_dir)

    def ask(way: str) -> tuple[dict[str, float], dict[str, str]]:
        options = {"batch_size": _BATCH_SIZE.value} | WAYS[way]
        asked = take(items, SINGLES) if way == "single" else items
        path = scratch / "predictions.jsonl"
        path.unlink(missing_ok=True)
        begin, cpu = time.perf_counter(), time.process_time()
        did = predict(
            found.model, found.params, found.processor, asked, stores, path, name="bench",
            mesh=found.mesh, max_new_tokens=longest, **options,
        )  # fmt: skip
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        errors = [line["error"] for line in lines if line.get("error")]
        if errors:
            raise RuntimeError(f"{way}: {len(errors)} questions were not asked: {errors[0]}")
        more = {"seconds": took, "cpu": cpu, "load": os.getloadavg()[0]}
        return dataclasses.asdict(did) | more, {line["id"]: line["text"] for line in lines}

    first = {way: ask(way) for way in WAYS}
    truth = first["alone"][1]
    same = {
        way: sum(truth[id] == text for id, text in said.items()) for way, (_, said) in first.items()
    }
    turns = []
    for _ in range(_PAIRS.value):
        turns.append({way: ask(way)[0] for way in WAYS})
        print(line(turns[-1]), flush=True)

    def each(way: str, key: str = "seconds") -> float:
        """Milliseconds a question, the median over the turns."""
        return 1e3 * statistics.median(turn[way][key] / turn[way]["questions"] for turn in turns)

    def row(way: str, name: str, must: str | None = None, aim: str | None = None) -> Row:
        times = statistics.median(ratio(turn, way) for turn in turns)
        name = f"{_QUESTIONS.value} questions a frame, evaluation, against {name}"
        return Row(name, each("grouped"), each(way), "ms a question", times, must, aim)

    save(
        _OUT.value,
        [
            row("alone", "one a row", ">= 3", ">= 5"),
            row("lengths", "one a row, rows by length"),
            row("single", "one at a time"),
        ],
        model=found.name,
        device=jax.devices()[0].device_kind,
        questions=len(items),
        frames=_FRAMES.value,
        batch_size=_BATCH_SIZE.value,
        max_new_tokens=longest,
        identical_answers={way: f"{n} of {len(first[way][1])}" for way, n in same.items()},
        first_seconds={way: numbers["seconds"] for way, (numbers, _) in first.items()},
        cpu_ms_per_question={way: each(way, "cpu") for way in WAYS},
        turns=turns,
    )


if __name__ == "__main__":
    app.run(main)
