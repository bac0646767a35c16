"""Seconds and memory of `surgzoo score` on a predictions file of 100,000 lines.

    python tools/bench/score.py --data_dir=data                  # baselines scored beside
    python tools/bench/score.py --data_dir=data --nobaselines

Prepares SynthSurg's fps1 config where `data_dir` lacks it (66 operations, some 150,000 questions
whose answers are no pixels), answers `--lines` of them, drawn over all tasks alike, with a planted
share of errors (another question's answer, or words that nobody can read, in turns), and runs the
command in a process of its own. Its wall time, CPU time and peak resident memory are printed and
written as JSON, with how busy the machine was before: time is only worth something below 1 or so.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from absl import app, flags

from surgzoo.datasets.source_builder import prepare
from surgzoo.db.sources import sources
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.evaluate.predictions import Prediction, to_line
from surgzoo.evaluate.truth import Truth, load_truth
from surgzoo.tasks import tasks

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where the source is, or is prepared.")
_LINES = flags.DEFINE_integer("lines", 100_000, "Lines of the predictions file.")
_ERRORS = flags.DEFINE_float("errors", 0.1, "Share of wrong answers.")
_BASELINES = flags.DEFINE_bool("baselines", True, "Score the trivial baselines beside.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Runs; the median counts.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/bench_score", "Where the predictions go.")
_OUT = flags.DEFINE_string("out", "score.json", "Where the numbers go.")

SOURCE, CONFIG, SPLIT = "synthsurg", "fps1", "all"
SECONDS, MIB = 30, 1024  # what it may take


def questions(data_dir: Path) -> Truth:
    """All questions of the source that are not answered in pixels; prepares it where it is not."""
    try:
        Store.open(data_dir, SOURCE, CONFIG)
    except NotPreparedError:
        prepare(sources.get(SOURCE), data_dir, config=CONFIG)
    cheap = [name for name in tasks.names() if tasks.get(name).answer_form != "pixels"]
    return load_truth(data_dir, [f"{SOURCE}.{CONFIG}"], cheap, split=SPLIT)


def write(truth: Truth, path: Path, lines: int, errors: float) -> dict[str, int]:
    """Writes the predictions, in a shuffled order. Returns the number of lines of each task."""
    rng = random.Random(0)
    asked = list(truth.conversations.values())
    if lines > len(asked):
        raise ValueError(f"--lines={lines}: there are {len(asked)} questions alone")
    said: dict[str, list[str]] = {}
    for item in asked:
        said.setdefault(item.task, []).append(item.target)
    counts = dict.fromkeys(sorted(said), 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        for number, item in enumerate(rng.sample(asked, lines)):
            text = item.target
            if rng.random() < errors:
                text = rng.choice(said[item.task]) if number % 2 else "I cannot tell"
            file.write(to_line(Prediction(item.id, "planted", text, latency=0.1)) + "\n")
            counts[item.task] += 1
    return counts


def run(predictions: Path, data_dir: Path, baselines: bool) -> dict[str, Any]:
    """Runs `surgzoo score` once and measures that process."""
    command = [
        *(sys.executable, "-m", "surgzoo.tools.main", "score"),
        *(f"--predictions={predictions}", f"--data_dir={data_dir}", f"--split={SPLIT}"),
        f"--{'' if baselines else 'no'}baselines",
    ]
    load, begin = os.getloadavg()[0], time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "wall_s": wall,
        "cpu_s": used.ru_utime + used.ru_stime,
        "mib_peak": used.ru_maxrss / 1024,
        "load_before": load,
    }


def main(argv):
    del argv
    data_dir, predictions = Path(_DATA_DIR.value), Path(_WORK_DIR.value) / "predictions.jsonl"
    truth = questions(data_dir)
    counts = write(truth, predictions, _LINES.value, _ERRORS.value)
    runs = [run(predictions, data_dir, _BASELINES.value) for _ in range(_REPEATS.value)]
    median = sorted(runs, key=lambda run: run["wall_s"])[len(runs) // 2]
    result = {
        "lines": _LINES.value,
        "operations": len({stored.video.canonical for stored in truth.videos.values()}),
        "tasks": counts,
        "baselines": _BASELINES.value,
        "cores": os.cpu_count(),
        "runs": runs,
        **median,
        "lines_per_s": _LINES.value / median["wall_s"],
        "mib_peak": max(run["mib_peak"] for run in runs),
        "target": {"wall_s": SECONDS, "mib_peak": MIB},
    }
    text = json.dumps(result, indent=1)
    Path(_OUT.value).write_text(f"{text}\n", encoding="utf-8")
    print(text)
    kept = result["wall_s"] < SECONDS and result["mib_peak"] < MIB
    print(f"under {SECONDS} s and {MIB} MiB: {'yes' if kept else 'NO'}")


if __name__ == "__main__":
    app.run(main)
