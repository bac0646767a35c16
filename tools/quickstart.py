"""The main job on the embedded default data; about 15 minutes on 2 cores.

  surgzoo quickstart
  surgzoo quickstart --dir=elsewhere --config=configs/synthsurg_long.py

Renders the synthetic source, trains surgvlm-tiny on four tasks, answers every question of the test
split (operations that it never saw), and writes report.html. Interrupted, it goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

from absl import flags

from surgzoo.core import config as config_lib
from surgzoo.db.sources import sources
from surgzoo.db.store import NotPreparedError, Store

_DIR = flags.DEFINE_string("dir", "quickstart", "folder for the data and the run")
_CONFIG = flags.DEFINE_string("config", "configs/synthsurg.py", "experiment config")


def main(argv: list[str]) -> None:
    folder = Path(_DIR.value)
    experiment = config_lib.load(_CONFIG.value, config_lib.command_line)
    experiment = dataclasses.replace(
        experiment, data=dataclasses.replace(experiment.data, data_dir=str(folder / "data"))
    )
    run_dir = folder / experiment.name
    clock = time.perf_counter()

    def passed(what: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        print(f"[{what}: {(now - clock) / 60:.1f} min]", flush=True)
        clock = now

    for source, config in sorted({(p.source, p.config) for p in experiment.data.mixture}):
        _prepare(source, config, folder / "data")
    passed("data")

    from surgzoo.train.loop import train

    train(experiment, run_dir)
    passed("training")

    from surgzoo.evaluate.run import evaluate
    from surgzoo.models.build import model_config

    result = evaluate(run_dir)
    passed("evaluation and report")
    if model_config(experiment.model.name, experiment.model.overrides).reads == "pairs":
        from surgzoo.evaluate.retrieval import retrieve

        print(f"\n{retrieve(run_dir).table()}")
        passed("retrieval")
    print(f"\n{result.table}\n\nreport: {os.path.abspath(result.report)}")


def _prepare(source: str, config: str, data_dir: Path) -> None:
    try:
        Store.open(data_dir, source, config)
        return
    except NotPreparedError:
        pass
    from surgzoo.datasets.source_builder import prepare

    prepare(sources.get(source), data_dir, config=config or None)  # None: its usual one
