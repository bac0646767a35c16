"""Conversations a second of the SurgΣ-DB build, and its memory over time and over size.

    python tools/bench/build_db.py --data_dir=data            # all tasks, 100,000 and 1 million
    python tools/bench/build_db.py --data_dir=data --conversations=100000
    python tools/bench/build_db.py --data_dir=data --each     # and what each task costs

A prepared source is linked under as many config names as a size takes, which a build cannot tell
from so many sources. A first build of one copy warms the caches and counts. Wall time, CPU time and
resident memory of all processes (at 10, 50 and 100 % of the videos, and the peak) are printed and
written as JSON, with what 6 million conversations would take: by the CPU time that a further
conversation took between the smallest and the largest size. Other work on the machine costs wall
time and next to no CPU time, so `per_cpu_s` times the cores is the rate of a free machine.
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
from typing import Any

from absl import app, flags

from surgzoo.datasets.surg_sigma_db import plan as plan_lib
from surgzoo.datasets.surg_sigma_db import spool
from surgzoo.datasets.surg_sigma_db.gates import Gatekeeper
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
from surgzoo.db import schema
from surgzoo.db.conversation_store import DATABASE
from surgzoo.db.store import Store
from surgzoo.tasks.base import Context

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where the prepared source is.")
_SOURCE = flags.DEFINE_string("source", "synthsurg.fps1", "NAME.CONFIG of it.")
_CONVERSATIONS = flags.DEFINE_list(
    "conversations", ["100000", "1000000"], "Sizes, each at least so many."
)
_IMAGES = flags.DEFINE_enum(
    "check_images", "decode", ["decode", "header", "off"], "Whether pictures are checked."
)
_THINKING = flags.DEFINE_bool("thinking", True, "With reasoning traces.")
_EACH = flags.DEFINE_bool("each", False, "Measure each task alone, in this process.")
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


def measure(work: Path, store: Store, count: int) -> dict[str, Any]:
    """Builds a database of so many copies of a source and measures."""
    shutil.rmtree(work, ignore_errors=True)
    plan = make(work, copies(store, work, count))
    watch = Watch(work / DATABASE / "incomplete_spool", len(plan.jobs))
    cpu, begin = _cpu(), time.perf_counter()
    watch.start()
    stores = build(plan, workers=_WORKERS.value)
    wall, cpu = time.perf_counter() - begin, _cpu() - cpu
    watch.over.set()
    watch.join()
    built = {name: len(store) for name, store in stores.items() if store is not None}
    total = sum(built.values())
    size = sum(f.stat().st_size for f in (work / DATABASE).rglob("*") if f.is_file())
    return {
        "conversations": total,
        "tasks": built,
        "videos": len(plan.jobs),
        "wall_s": wall,
        "cpu_s": cpu,
        "per_wall_s": total / wall,
        "per_cpu_s": total / cpu,
        "mib_at_10": watch.at(0.1),
        "mib_at_50": watch.at(0.5),
        "mib_at_100": watch.at(1.0),
        "mib_writing": watch.writing(),
        "mib_peak": max(mib for _, _, mib in watch.samples),
        "bytes_each": size / total,
    }


def make(data_dir: Path, names: list[str]) -> plan_lib.Plan:
    """The build that the flags ask for."""
    limits = dataclasses.replace(plan_lib.LIMITS, images=_IMAGES.value)
    wording = dataclasses.replace(plan_lib.WORDING, thinking=_THINKING.value)
    return plan_lib.make(data_dir, names, _TASKS.value, limits=limits, wording=wording)


def six_million(runs: list[dict[str, Any]]) -> dict[str, float]:
    """What 6 million conversations take, along the line through the first and the last size."""
    first, last = runs[0], runs[-1]
    more = MILLIONS - last["conversations"]
    step = last["conversations"] - first["conversations"]

    def at(key: str) -> float:
        slope = (last[key] - first[key]) / step if step else last[key] / last["conversations"]
        return last[key] + more * slope

    return {
        "cpu_h": at("cpu_s") / 3600,
        "gib_on_disk": last["bytes_each"] * MILLIONS / 2**30,
        # A straight line; memory that stops to grow, as that of the shard in writing, stays below.
        **({"mib_peak": at("mib_peak")} if step else {}),
    }


def each(data_dir: Path, source: str, videos: int = 8) -> dict[str, float]:
    """CPU microseconds a conversation of each task, from footage to gate, and of reading a frame.

    Footage is read before; maps that a task wants are at hand, as in a build.
    """
    plan = make(data_dir, [source])
    store = Store.open(data_dir, *source.split(".", 1))
    used: dict[str, list[float]] = {name: [0.0, 0] for name in ("reading a frame", *plan.tasks)}
    for turn in range(2):  # the first fills caches of names
        for job in plan.jobs[:videos]:
            gates = Gatekeeper(store, job.video, plan.limits)
            stored = store.video(job.video)
            begin = time.process_time()
            footage = store.footage(stored, gates.look, hold=spool.HELD_BYTES)
            gates.map_of = footage.dense
            _add(used["reading a frame"], turn, begin, stored.count)
            context = Context(job.config, stored.video, job.split, plan.wording)
            for name in plan.tasks:
                task, begin, count = plan_lib.task(name), time.process_time(), 0
                for conversation in task.encode_video(footage, context):
                    gates.check(conversation, task)
                    schema.to_json(conversation)
                    count += 1
                _add(used[name], turn, begin, count)
    return {name: seconds / count * 1e6 for name, (seconds, count) in used.items() if count}


def _add(used: list[float], turn: int, begin: float, count: int) -> None:
    if turn:
        used[0] += time.process_time() - begin
        used[1] += count


def main(argv):
    del argv
    store = Store.open(_DATA_DIR.value, *_SOURCE.value.split(".", 1))
    work = Path(_WORK_DIR.value)
    result: dict[str, Any] = {
        "images": _IMAGES.value,
        "thinking": _THINKING.value,
        "cores": os.cpu_count(),
    }
    if _EACH.value:
        result["microseconds_each"] = each(Path(_DATA_DIR.value), _SOURCE.value)
    one = measure(work, store, 1)["conversations"]
    sizes = sorted(int(size) for size in _CONVERSATIONS.value)
    result["runs"] = []
    for size in sizes:
        result["runs"].append(measure(work, store, -(-size // one)))
        print(json.dumps(result["runs"][-1], indent=1), flush=True)
    result["six_million"] = six_million(result["runs"])
    text = json.dumps(result, indent=1)
    Path(_OUT.value).write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    app.run(main)
