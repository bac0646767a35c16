"""What the programs of this folder have in common: a row of numbers, the machine, the JSON file.

A row says what was measured on both sides and whether that is what is wanted:

  row    its name                          ratio  the number that is judged, or None
  ours   our side, in `unit`               must   what is wanted: ">= 3", "<= 0.45", "ours <= 0.5"
  peer   the other side, in `unit`         aim    what would be good
  unit   of `ours` and `peer`              met    whether `must` holds; None: nothing is asked
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surgzoo.tools.bench.environment import TUNED

LIBRARIES = ("jax", "jaxlib", "flax", "grain", "orbax-checkpoint", "torch", "transformers")
_TARGET = re.compile(r"(ours )?(>=|<=) (\d+(?:\.\d+)?)")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table; see the top of this file."""

    row: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    must: str | None = None
    aim: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the row is as it must be."""
        return None if self.must is None else holds(self.must, self.ours, self.ratio)

    def __str__(self) -> str:
        peer = "" if self.peer is None else f", against {self.peer:.4g} {self.unit}"
        ratio = "" if self.ratio is None else f": {self.ratio:.3g}"
        wanted = "" if self.must is None else f" (must {self.must}{'' if self.met else ', MISSED'})"
        return f"{self.row}: {self.ours:.4g} {self.unit}{peer}{ratio}{wanted}"


def holds(target: str, ours: float, ratio: float | None) -> bool:
    """Whether ">= 3" or "<= 3" is true of the ratio, or "ours <= 3" of our number.

    Raises ValueError for another form, or without the number that the target is about.
    """
    found = _TARGET.fullmatch(target)
    value = ratio if found and found[1] is None else ours
    if found is None or value is None:
        raise ValueError(f"target '{target}': write '>= 3', '<= 3' or 'ours <= 3', of a number")
    limit = float(found[3])
    return bool(value >= limit if found[2] == ">=" else value <= limit)


def machine() -> dict[str, Any]:
    """Processor, cores, memory, versions, allocator, load and date. Starts no device."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": cores,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES if _version(name)},
        "allocator": {key: os.environ[key] for key in TUNED if key in os.environ},
        "load": os.getloadavg()[0],
    }


def save(path: str | Path, rows: Sequence[Row], **more: Any) -> None:
    """Writes the rows, the machine and `more` as JSON, and prints the rows."""
    lines = [dataclasses.asdict(row) | {"met": row.met} for row in rows]
    text = json.dumps({"rows": lines, "machine": machine(), **more}, indent=1)
    Path(path).write_text(f"{text}\n", encoding="utf-8")
    for row in rows:
        print(row)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()
