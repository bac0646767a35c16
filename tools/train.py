"""Train an experiment. Started again with the same --run_dir, it continues bit for bit.

  surgzoo train --config=configs/synthsurg.py --run_dir=runs/first
  surgzoo train --config=configs/synthsurg.py --config.optim.lr=1e-4 --config.steps=200

Any field of the config can be set with --config.<path>=<value>. On a pod, run the same command on
every host (--multihost).
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from surgzoo.core import config as config_lib

_CONFIG = flags.DEFINE_string("config", None, "config file with get_config()")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "run folder; default runs/<name of the config>")
_MULTIHOST = flags.DEFINE_bool("multihost", False, "call jax.distributed.initialize() first")


def main(argv: list[str]) -> None:
    if not _CONFIG.value:
        raise ValueError("say what with --config=configs/NAME.py")
    experiment = config_lib.load(_CONFIG.value, config_lib.command_line)
    if _MULTIHOST.value:
        import jax

        jax.distributed.initialize()
    from surgzoo.train.loop import train

    run_dir = Path(_RUN_DIR.value or f"runs/{experiment.name}")
    train(experiment, run_dir)
    print(f"trained {experiment.steps} steps; checkpoints in {run_dir / 'checkpoints'}")
    print(f"next: surgzoo evaluate --run_dir={run_dir}")
