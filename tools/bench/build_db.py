"""Conversations a second of the SurgΣ-DB build, and its memory over time.

    python tools/bench/build_db.py --data_dir=data --source=synthsurg.fps1 --conversations=1000000

A prepared source is linked under as many config names as it takes, which a build cannot tell from
so many sources. A first build of one copy warms the caches and counts. Wall time, CPU time and
resident memory of all processes (at 10, 50 and 100 % of the videos, and the peak) are printed and
written as JSON, with what 6 million conversations would take.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import resource
import shutil
import threading
import time
from pathlib import Path

from absl import app, flags

from surgzoo.datasets.surg_sigma_db import plan as plan_lib
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
from surgzoo.db.conversation_store import DATABASE
from surgzoo.db.store import Store

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where the prepared source is.")
_SOURCE = flags.DEFINE_string("source", "synthsurg.fps1", "NAME.CONFIG of it.")
_CONVERSATIONS = flags.DEFINE_integer("conversations", 1_000_000, "At least so many.")
_IMAGES = flags.DEFINE_enum(
    "check_images", "decode", ["decode", "header", "off"], "Whether pictures are checked."
)
_TASKS = flags.DEFINE_list("tasks", ["all"], "Tasks to build.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/bench_build_db", "Scratch; emptied first.")
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes; 0 = one a core.")
_OUT = flags.DEFINE_string("out", "build_db.json", "Where the numbers go.")

MILLIONS = 6_000_000


def copies(store: Store, work: Path, count: int) -> list[str]:
    """The source under `count` config names, as links: a build cannot tell them from sources."""
    names = [f"copy{number:03d}" for number in range(count)]
    for name in names:
        folder = work / store.source / name
        folder.mkdir(parents=True)
        (folder / store.path.name).symlink_to(store.path.resolve())
    return [f"{store.source}.{name}" for name in names]


class Watch(threading.Thread):
    """Resident memory of this process and its children, every half second."""

    def __init__(self, spool: Path, jobs: int):
        super().__init__(daemon=True)
        self.spool, self.jobs = spool, jobs
        self.samples: list[tuple[float, float, float]] = []  # seconds, share done, MiB
        self.over = threading.Event()
        self.begin = time.perf_counter()

    def run(self) -> None:
        while not self.over.wait(0.5):
            done = sum(1 for _ in self.spool.glob("*/*.json")) / self.jobs
            self.samples.append((time.perf_counter() - self.begin, done, _resident()))

    def at(self, share: float) -> float:
        """MiB when this share of the videos was first encoded (half a second late at most)."""
        return next((mib for _, done, mib in self.samples if done >= share), self.samples[-1][2])

    def writing(self) -> float:
        """The most MiB after the last video was encoded: the tasks are being written."""
        begun = next((n for n, (_, done, _) in enumerate(self.samples) if done >= 1), 0)
        return max(mib for _, _, mib in self.samples[begun:])


def _resident() -> float:
    total = 0
    for pid in [os.getpid(), *(child.pid for child in multiprocessing.active_children())]:
        try:
            lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue  # it has just ended
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total / 1024


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(work: Path, store: Store, count: int) -> dict[str, float]:
    """Builds a database of so many copies of a source and measures."""
    shutil.rmtree(work, ignore_errors=True)
    names, data_dir = copies(store, work, count), work
    limits = dataclasses.replace(plan_lib.LIMITS, images=_IMAGES.value)
    plan = plan_lib.make(data_dir, names, _TASKS.value, limits=limits)
    watch = Watch(data_dir / DATABASE / "incomplete_spool", len(plan.jobs))
    cpu, begin = _cpu(), time.perf_counter()
    watch.start()
    stores = build(plan, workers=_WORKERS.value)
    wall, cpu = time.perf_counter() - begin, _cpu() - cpu
    watch.over.set()
    watch.join()
    count = sum(len(store) for store in stores.values() if store is not None)
    size = sum(f.stat().st_size for f in (data_dir / DATABASE).rglob("*") if f.is_file())
    return {
        "conversations": count,
        "videos": len(plan.jobs),
        "wall_s": wall,
        "cpu_s": cpu,
        "per_wall_s": count / wall,
        "per_cpu_s": count / cpu,
        "mib_at_10": watch.at(0.1),
        "mib_at_50": watch.at(0.5),
        "mib_at_100": watch.at(1.0),
        "mib_writing": watch.writing(),
        "mib_peak": max(mib for _, _, mib in watch.samples),
        "bytes_each": size / count,
        "six_million_cpu_h": cpu / count * MILLIONS / 3600,
        "six_million_gib": size / count * MILLIONS / 2**30,
    }


def main(argv):
    del argv
    store = Store.open(_DATA_DIR.value, *_SOURCE.value.split(".", 1))
    work = Path(_WORK_DIR.value)
    each = measure(work, store, 1)["conversations"]
    result = measure(work, store, -(-_CONVERSATIONS.value // each))
    text = json.dumps({"images": _IMAGES.value, "cores": os.cpu_count(), **result}, indent=1)
    Path(_OUT.value).write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    app.run(main)
