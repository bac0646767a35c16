"""Conversations a second of the SurgΣ-DB build, and its memory over time.

    python tools/bench/build_db.py --data_dir=data --source=synthsurg.fps1 --conversations=1000000

The annotations of a prepared source are copied as often as it takes under new video names, with a
picture of one pixel, so that a build of any size needs no pictures: with --pictures the source
itself is built, pictures checked. Wall time, CPU time of all processes and their resident memory at
10, 50 and 100 % of the work are printed and written as JSON, with what 6 million would take.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds
from absl import app, flags

from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob, prepare
from surgzoo.datasets.surg_sigma_db import plan as plan_lib
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
from surgzoo.db import records
from surgzoo.db.conversation_store import DATABASE
from surgzoo.db.store import Store

_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where the prepared source is.")
_SOURCE = flags.DEFINE_string("source", "synthsurg.fps1", "NAME.CONFIG of it.")
_CONVERSATIONS = flags.DEFINE_integer("conversations", 1_000_000, "At least so many.")
_PICTURES = flags.DEFINE_bool("pictures", False, "The source as it is, every picture checked.")
_TASKS = flags.DEFINE_list("tasks", ["all"], "Tasks to build.")
_WORK_DIR = flags.DEFINE_string("work_dir", "/tmp/bench_build_db", "Scratch; emptied first.")
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes; 0 = one a core.")
_OUT = flags.DEFINE_string("out", "build_db.json", "Where the numbers go.")

MILLIONS = 6_000_000
PIXEL = simplejpeg.encode_jpeg(np.zeros((1, 1, 3), np.uint8))


def copied(data_dir: str, source: str, config: str, video: str, name: str) -> Iterator:
    """The records of a video under another name, without its pictures."""
    store = _opened(data_dir, source, config)
    for record in store.records(store.video(video)):
        frame = dataclasses.replace(record.frame, video=name)
        yield records.FrameRecord(frame, record.annotations, PIXEL)


_opened = functools.cache(Store.open)  # once a process


def copies(store: Store, data_dir: str, count: int) -> type[SourceBuilder]:
    """A builder of `count` videos, those of `store` again and again."""

    class Copies(SourceBuilder):
        source = store.source
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = [SourceConfig(name="copies")]

        def jobs(self, manual_dir):
            for number, stored in enumerate(itertools.islice(itertools.cycle(store.videos), count)):
                name = f"copy_{number:06d}"
                video = dataclasses.replace(
                    stored.video, id=name, canonical=f"{store.source}/{name}"
                )
                frames = functools.partial(
                    copied, data_dir, store.source, store.config, stored.video.id, name
                )
                yield VideoJob(video, frames, stored.annotations)

    return Copies


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
        """MiB when `share` of the videos were encoded; the last sample for 1."""
        later = [mib for _, done, mib in self.samples if done >= share]
        return later[0] if later and share < 1 else self.samples[-1][2]


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


def measure(data_dir: Path, source: str, images: str) -> dict[str, float]:
    """Builds and measures."""
    limits = dataclasses.replace(plan_lib.LIMITS, images=images)
    plan = plan_lib.make(data_dir, [source], _TASKS.value, limits=limits)
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
        "mib_peak": max(mib for _, _, mib in watch.samples),
        "bytes_each": size / count,
        "six_million_cpu_h": cpu / count * MILLIONS / 3600,
        "six_million_gib": size / count * MILLIONS / 2**30,
    }


def main(argv):
    del argv
    work = Path(_WORK_DIR.value)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    source, config = _SOURCE.value.split(".", 1)
    store = Store.open(_DATA_DIR.value, source, config)
    if _PICTURES.value:
        (work / source).symlink_to(Path(_DATA_DIR.value).resolve() / source)
        result = measure(work, _SOURCE.value, "decode")
    else:
        name = f"{source}.copies"
        prepare(copies(store, _DATA_DIR.value, 2), work, workers=1)
        sample = measure(work, name, "off")
        shutil.rmtree(work)
        count = -(-_CONVERSATIONS.value * sample["videos"] // sample["conversations"])
        prepare(copies(store, _DATA_DIR.value, count), work, workers=_WORKERS.value)
        result = measure(work, name, "off")
    text = json.dumps({"pictures": _PICTURES.value, "cores": os.cpu_count(), **result}, indent=1)
    Path(_OUT.value).write_text(f"{text}\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    app.run(main)
