"""Measure surgzoo beside the other side of each row: one program a row, one table.

  surgzoo bench --list
  surgzoo bench                                     all that this machine can measure
  surgzoo bench --only=compile,host_time --environment=default --out=bench.json
  surgzoo bench --quick                             short runs that show that all works

Each program runs in a process of its own, with the allocator settings of `--environment` on both
sides. A row that misses what it must reach is marked; the exit code is 1 only when a program
failed. What the rows mean: docs/performance.md.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from surgzoo.evaluate.report.markdown import table
from surgzoo.tools.bench import environment
from surgzoo.tools.bench.programs import PROGRAMS, Program
from surgzoo.tools.bench.results import all_rows, check_rows, in_words, results
from surgzoo.tools.bench.rows import machine

_LIST = flags.DEFINE_bool("list", False, "what there is, and what it needs")
_ONLY = flags.DEFINE_list("only", [], "only these programs")
_QUICK = flags.DEFINE_bool("quick", False, "short runs; the numbers mean little")
_ENVIRONMENT = flags.DEFINE_enum(
    "environment", "tuned", environment.NAMES, "allocator: as the Makefile sets it, or as it is"
)
_OUT = flags.DEFINE_string("out", "bench.json", "where the numbers go")


def main(argv: list[str]) -> None:
    for name in _ONLY.value:
        if name not in PROGRAMS:
            near = difflib.get_close_matches(name, PROGRAMS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"no program '{name}'.{hint} There are {', '.join(PROGRAMS)}")
    chosen = [PROGRAMS[name] for name in _ONLY.value or PROGRAMS]
    if _LIST.value:
        print(overview(chosen))
        return
    accelerator = _accelerator() if any(program.device for program in chosen) else None
    variables = environment.variables(_ENVIRONMENT.value, os.environ)
    done = []
    for program in chosen:
        reason = program.missing()
        if program.device and not accelerator and not (_QUICK.value and program.tiny):
            reason = reason or "no accelerator here"
        if reason:
            done.append({"program": program.name, "status": "not run", "reason": reason})
        else:
            print(f"{program.name}: {program.what} ...", flush=True)
            done.append(run(program, variables, accelerator))
        print(f"{program.name}: {in_words(done[-1])}", flush=True)
        write(done, accelerator)  # what was measured is kept if a later program is interrupted
    print(f"\n{results(done)}\n\nnumbers: {_OUT.value}")
    failed = [entry["program"] for entry in done if entry["status"] == "failed"]
    if failed:
        sys.exit(f"surgzoo bench: {', '.join(failed)} failed")


def run(program: Program, variables: dict[str, str], accelerator: str | None) -> dict[str, Any]:
    """Runs one program and reads what it wrote."""
    extra = list(program.gpu) if accelerator else []
    extra += program.quick if _QUICK.value else ()
    if program.device and not accelerator:
        extra = list(program.tiny)
    if program.forwards_environment:
        extra.append(f"--environment={_ENVIRONMENT.value}")
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "rows.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", program.module, f"--out={out}", *extra]
        begin = time.perf_counter()
        with open(log, "w", encoding="utf-8") as file:
            code = subprocess.run(
                command, env=variables, stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        entry: dict[str, Any] = {
            "program": program.name,
            "flags": extra,
            "seconds": round(time.perf_counter() - begin, 1),
        }
        try:
            if code:
                raise ValueError(f"exit code {code}")
            result = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
            check_rows(result)
        except ValueError as error:
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
            return entry | {"status": "failed", "reason": str(error), "log": tail}
    return entry | {"status": "ran", "result": result}


def write(done: Sequence[dict[str, Any]], accelerator: str | None) -> None:
    """One file with everything, and the rows once more side by side."""
    result = {
        "machine": machine(),
        "accelerator": accelerator,
        "environment": _ENVIRONMENT.value,
        "quick": _QUICK.value,
        "rows": all_rows(done),
        "programs": list(done),
    }
    partial = Path(f"{_OUT.value}.partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    partial.replace(_OUT.value)


def overview(programs: Sequence[Program]) -> str:
    """The programs as a table."""
    lines = [
        [program.name, program.what, program.missing() or ("needs a GPU" if program.device else "")]
        for program in programs
    ]
    return table(["program", "measures", "here"], lines)


def _accelerator() -> str | None:
    """The kind of the first device that is no CPU. Asked in a process of its own, since a process
    that has opened a GPU keeps its memory."""
    program = (
        "import jax; d = jax.devices()[0]; print('' if d.platform == 'cpu' else d.device_kind)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise ValueError(f"JAX does not start: {found.stderr.strip().splitlines()[-1]}")
    return found.stdout.strip() or None
