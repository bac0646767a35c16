"""Train and test an experiment fold by fold; score the answers of all folds as one file.

  surgzoo cross_validate --config=configs/synthsurg_bsa.py --run_dir=runs/bsa_cv
  surgzoo cross_validate --config=configs/synthsurg_bsa.py --run_dir=runs/bsa_cv --folds=5 --fold=2

The folds are over operations: every video of a source is tested once, whatever its official split.
With --fold one fold alone is run, for several machines that share --run_dir; the last one pools.
Started again, it continues where it stopped. Any config field can be set as in train.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from surgzoo.core import config as config_lib
from surgzoo.db import folds

_CONFIG = flags.DEFINE_string("config", None, "config file with get_config()")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "default runs/<name of the config>-cv<folds>")
_FOLDS = flags.DEFINE_integer("folds", 10, "folds; three or more", lower_bound=3)
_FOLD = flags.DEFINE_integer("fold", None, "run this fold alone, from 1 on")


def main(argv: list[str]) -> None:
    if not _CONFIG.value:
        raise ValueError("say what with --config=configs/NAME.py")
    experiment = config_lib.load(_CONFIG.value, config_lib.command_line)
    whole = f"cv{_FOLDS.value}"
    schemes = folds.schemes(whole)
    run_dir = Path(_RUN_DIR.value or f"runs/{experiment.name}-{whole}")
    chosen = schemes
    if _FOLD.value is not None:
        if not 1 <= _FOLD.value <= len(schemes):
            raise ValueError(f"--fold={_FOLD.value}: there are folds 1 to {len(schemes)}")
        chosen = (schemes[_FOLD.value - 1],)
    from surgzoo.evaluate import crossval

    for scheme in chosen:
        if crossval.answered(experiment, run_dir, scheme):
            print(f"{scheme}: done before")
            continue
        print(f"{scheme}:\n{crossval.run_fold(experiment, run_dir, scheme).table}", flush=True)
    try:
        pooled = crossval.pool(experiment, run_dir, whole)
    except FileNotFoundError as error:
        if chosen == schemes:
            raise
        print(error)
        return
    print(f"all folds together:\n{pooled.table}\n{pooled.spread}")
    print(f"report: {pooled.folder / 'report.html'}")
