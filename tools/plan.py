"""Will it fit? The memory of a training step on each device, before anything is allocated.

  surgzoo plan --config=configs/synthsurg.py
  surgzoo plan --config=configs/NAME.py --devices=8 --device_memory=80GB
  surgzoo plan --config=configs/NAME.py --devices=8 --compile

Without --devices it plans for the devices of this machine. With --devices they need not exist; the
mesh is the config's. The state is exact, the step an estimate; --compile asks the compiler instead,
with --devices that of the CPU, which keeps bfloat16 products in float32. Exits with 1 when the run
does not fit, and says what would help.
"""

from __future__ import annotations

import os
import re
import sys

from absl import flags

from surgzoo.core import config as config_lib

_CONFIG = flags.DEFINE_string("config", None, "config file with get_config()")
_DEVICES = flags.DEFINE_integer("devices", None, "plan for so many devices", lower_bound=1)
_MEMORY = flags.DEFINE_string("device_memory", None, "of one device, e.g. 80GB or 24GiB")
_COMPILE = flags.DEFINE_bool("compile", False, "take the step from the compiler")

_UNITS = {"": 1, "MB": 1e6, "GB": 1e9, "MIB": 2**20, "GIB": 2**30}


def main(argv: list[str]) -> None:
    if not _CONFIG.value:
        raise ValueError("say what with --config=configs/NAME.py")
    memory = parse_size(_MEMORY.value) if _MEMORY.value else None
    if _DEVICES.value and _COMPILE.value:  # read when JAX first looks for devices
        os.environ["JAX_PLATFORMS"] = "cpu"
        flag = f"--xla_force_host_platform_device_count={_DEVICES.value}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    experiment = config_lib.load(_CONFIG.value, config_lib.command_line)

    import dataclasses

    from surgzoo.core import parallel
    from surgzoo.train import adapter
    from surgzoo.train import plan as plan_lib

    experiment = dataclasses.replace(experiment, model=adapter.with_lora(experiment.model))
    if _DEVICES.value and not _COMPILE.value:
        mesh = plan_lib.planned_mesh(experiment, _DEVICES.value)
    else:
        mesh = parallel.make_mesh(**dataclasses.asdict(experiment.mesh))
        if memory is None and not _DEVICES.value:
            memory = plan_lib.device_memory(mesh)
    found = plan_lib.plan(experiment, mesh, measure=_COMPILE.value)
    print(found.table(memory))
    if memory is not None and found.total > memory:
        print(f"\n{plan_lib.advice(experiment, mesh, memory)}")
        sys.stdout.flush()
        sys.exit(1)


def parse_size(text: str) -> float:
    """Bytes of "80GB", "24GiB" or a plain number. Raises ValueError for anything else."""
    match = re.fullmatch(r"([0-9.]+)\s*([a-zA-Z]*)", text)
    if not match or match[2].upper() not in _UNITS:
        raise ValueError(f"--device_memory={text}: say it as 80GB, 24GiB or in bytes")
    return float(match[1]) * _UNITS[match[2].upper()]
