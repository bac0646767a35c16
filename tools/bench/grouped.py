"""Eight questions a frame: frame-grouped evaluation against one by one, answers compared.

    python tools/bench/grouped.py --run_dir=quickstart/synthsurg --data_dir=quickstart/data
    python tools/bench/grouped.py --run_dir=... --data_dir=... --questions=4 --pairs=5

The tasks of the run are asked about its test frames, in as many wordings as make the wanted number
of questions a frame. Four ways to ask the same, one after the other in every pair, so that other
work on the machine hits all alike:

  grouped   the questions of a frame share a row
  alone     one question a row, rows as long as the processor's bucket, the same batch of questions
  lengths   the same with rows by length, as `surgzoo evaluate` asks frames of one question
  single    one question at a time, on a part of the questions

Every way first asks all once, which compiles and is not counted but shown. Seconds are of the whole
path from media to predictions.jsonl. The load of the machine is noted with every pair.
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
from surgzoo.data.conversations import conversations
from surgzoo.data.pipeline import Stores
from surgzoo.db.schema import Conversation
from surgzoo.evaluate.predict import predict
from surgzoo.evaluate.run import load_experiment, take
from surgzoo.models.build import model_config
from surgzoo.train.checkpoint import Checkpointer

_RUN_DIR = flags.DEFINE_string("run_dir", "quickstart/synthsurg", "A trained run.")
_DATA_DIR = flags.DEFINE_string("data_dir", "quickstart/data", "Where its source is prepared.")
_FRAMES = flags.DEFINE_integer("frames", 64, "Frames asked about.")
_QUESTIONS = flags.DEFINE_integer("questions", 8, "Questions a frame.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Questions decoded at a time.")
_MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 64, "Of an answer.")
_PAIRS = flags.DEFINE_integer("pairs", 3, "Rounds over all ways.")
_OUT = flags.DEFINE_string("out", "grouped.json", "Where the numbers go.")

WAYS: dict[str, dict[str, int]] = {
    "grouped": {},
    "alone": {"group": 0},
    "lengths": {"group": 1},
    "single": {"group": 0, "batch_size": 1},
}
SINGLES = 32  # questions that are asked one at a time


def questions(experiment: Any, stores: Stores, frames: int, each: int) -> list[Conversation]:
    """`each` questions about each of `frames` frames, evenly spaced over the test split.

    They stand task by task, as an evaluation has them.
    """
    found: dict[Any, list[tuple[int, Conversation]]] = {}
    fewest = 0
    for seed in range(each):  # another wording of every question
        wording = dataclasses.replace(experiment.data.wording, seed=seed)
        for source in experiment.eval.sources:
            for number, task in enumerate(experiment.eval.tasks):
                for item in conversations(stores(source), task, "test", wording=wording):
                    head, part = item.id.rsplit("/", 1)
                    item = dataclasses.replace(item, id=f"{head}/{int(part) + 1000 * seed}")
                    found.setdefault(item.media, []).append((number, item))
        fewest = min(len(items) for items in found.values())
        if fewest >= each:
            break
    if fewest < each:
        raise ValueError(f"a frame has only {fewest} questions; ask for fewer with --questions")
    chosen = [pair for items in take(list(found.values()), frames) for pair in items[:each]]
    return [item for _, item in sorted(chosen, key=lambda pair: pair[0])]


def load(run_dir: Path) -> tuple[Any, Any, Any, Any, Any]:
    """Experiment, model, parameters, processor and mesh of a run's last checkpoint."""
    experiment = load_experiment(run_dir)
    mesh = parallel.make_mesh(**dataclasses.asdict(experiment.mesh))
    config = model_config(experiment.model.name, experiment.model.overrides)
    model, shapes = config.build(), config.build().abstract()
    shardings = parallel.shardings(parallel.param_specs(shapes, model.logical_axes(), mesh), mesh)
    abstract = jax.tree.map(
        lambda leaf, s: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=s), shapes, shardings
    )
    checkpoints = Checkpointer(run_dir / "checkpoints")
    params = checkpoints.restore_params(abstract, checkpoints.latest)
    checkpoints.close()
    processor = config.processor(experiment.model.tokenizer or experiment.model.weights)
    return experiment, model, params, processor, mesh


def main(argv):
    del argv
    experiment, model, params, processor, mesh = load(Path(_RUN_DIR.value))
    stores = Stores(_DATA_DIR.value)
    items = questions(experiment, stores, _FRAMES.value, _QUESTIONS.value)

    def ask(way: str) -> tuple[dict[str, float], dict[str, str]]:
        options = {"batch_size": _BATCH_SIZE.value} | WAYS[way]
        asked = take(items, SINGLES) if way == "single" else items
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "predictions.jsonl"
            begin, cpu = time.perf_counter(), time.process_time()
            did = predict(
                model, params, processor, asked, stores, path, name="bench", mesh=mesh,
                max_new_tokens=_MAX_NEW_TOKENS.value, **options,
            )  # fmt: skip
            took, cpu = time.perf_counter() - begin, time.process_time() - cpu
            lines = [json.loads(line) for line in path.read_text().splitlines()]
        numbers = dataclasses.asdict(did) | {
            "seconds": took,
            "cpu": cpu,
            "load": os.getloadavg()[0],
        }
        return numbers, {line["id"]: line["text"] for line in lines}

    first = {way: ask(way) for way in WAYS}
    truth = first["alone"][1]
    same = {
        way: sum(truth[id] == text for id, text in said.items()) for way, (_, said) in first.items()
    }
    rounds = []
    for _ in range(_PAIRS.value):
        rounds.append({way: ask(way)[0] for way in WAYS})
        print(line(rounds[-1]), flush=True)

    def each(way: str, key: str = "seconds") -> float:
        """Median over the rounds, a question."""
        return statistics.median(r[way][key] / r[way]["questions"] for r in rounds)

    result = {
        "questions": len(items),
        "frames": _FRAMES.value,
        "batch_size": _BATCH_SIZE.value,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "cores": os.cpu_count(),
        "identical_answers": {way: f"{n} of {len(first[way][1])}" for way, n in same.items()},
        "first_seconds": {way: numbers["seconds"] for way, (numbers, _) in first.items()},
        "questions_per_second": {way: 1 / each(way) for way in WAYS},
        "cpu_ms_per_question": {way: 1e3 * each(way, "cpu") for way in WAYS},
        "times_faster_than": {
            way: statistics.median(ratio(r, way, "seconds") for r in rounds)
            for way in WAYS if way != "grouped"
        },
        "times_less_cpu_than": {
            way: statistics.median(ratio(r, way, "cpu") for r in rounds)
            for way in WAYS if way != "grouped"
        },
        "rounds": rounds,
    }  # fmt: skip
    text = json.dumps(result, indent=1)
    Path(_OUT.value).write_text(f"{text}\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in result.items() if k != "rounds"}, indent=1))


def ratio(numbers: dict[str, dict[str, float]], way: str, key: str) -> float:
    """How many times as much of `key` a question costs that way as it costs grouped."""
    grouped = numbers["grouped"]
    return numbers[way][key] / numbers[way]["questions"] / (grouped[key] / grouped["questions"])


def line(numbers: dict[str, dict[str, float]]) -> str:
    """One round in words."""
    rates = [f"{way} {n['questions'] / n['seconds']:.1f}" for way, n in numbers.items()]
    times = [f"{ratio(numbers, way, 'seconds'):.2f} x {way}" for way in numbers if way != "grouped"]
    load = numbers["grouped"]["load"]
    return f"questions/s: {', '.join(rates)}; grouped is {', '.join(times)}; load {load:.1f}"


if __name__ == "__main__":
    app.run(main)
