"""SurgΣ-DB as TFDS: one builder config a task, conversations that point at media of the sources.

`build` goes once through the sources, one video a job on all cores, and leaves each video's
conversations of all tasks in spool files; then every task is written from them, in the order of
source, video, frame and part. The builder is shard based: TFDS's generator based one keeps up to a
gigabyte in memory to sort it, and beyond that needs TensorFlow. Here it is a shard at most.

Killed, a build goes on where it was: finished videos stay in the spool under the fingerprint of the
build, finished tasks in their folders, where they are put when they are whole.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import fcntl
import functools
import io
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from surgzoo.datasets import workers as processes
from surgzoo.datasets.surg_sigma_db import spool
from surgzoo.datasets.surg_sigma_db.plan import Job, Plan
from surgzoo.db import schema
from surgzoo.db.conversation_store import (
    DATABASE,
    FEATURE,
    INDEX_FILE,
    MEDIA_FILE,
    META_FILE,
    SPLIT,
    ConversationStore,
    Place,
)
from surgzoo.db.records import QUARANTINE_FILE
from surgzoo.tasks import tasks as registry

SHARD_BYTES = 32 << 20  # TFDS holds the rows of the shard that it writes in memory
EMPTY_FILE = "empty.json"
SHOWN = 10  # reasons in an error


class OtherBuildError(ValueError):
    """A finished task was built from something else than what is asked for now."""


class BusyError(ValueError):
    """Another process builds the same task."""


class QualityError(ValueError):
    """Too much of a task was held back; shows the first reasons."""


@functools.cache
def _config(name: str, summary: str) -> tfds.core.BuilderConfig:
    """TFDS tells configs apart by identity."""
    return tfds.core.BuilderConfig(name=name, description=summary)


class _Configs:
    """The builder configs, one a registered task: read when asked for, as plug-ins join late."""

    def __get__(self, instance: Any, owner: type) -> list[tfds.core.BuilderConfig]:
        return [_config(entry.name, entry.card.summary) for entry in registry]


class _ConfigsByName:
    """TFDS remembers the first answer for good; this one does not."""

    def __get__(self, instance: Any, owner: type) -> dict[str, tfds.core.BuilderConfig]:
        return {config.name: config for config in owner.BUILDER_CONFIGS}


class SurgSigmaDB(tfds.core.dataset_builder.ShardBasedBuilder, skip_registration=True):
    """Writes one task from a spool. Made by `build`, which sets `plan`, `folder` and `parts`."""

    name = DATABASE
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = _Configs()
    builder_configs = _ConfigsByName()

    plan: Plan
    folder: Path  # of the spool
    parts: list[spool.Part]  # one a job

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict({FEATURE: tfds.features.Text()}),
            disable_shuffling=True,
            description="Conversations of SurgΣ-DB's scheme, as JSON of surgzoo's schema.",
        )

    def _shard_iterators_per_split(self, dl_manager: Any) -> dict[str, list[Callable]]:
        del dl_manager
        self._write_beside()
        size = sum(part.size for part in self.parts)
        count = sum(part.count for part in self.parts)
        shards = max(1, -(-size // SHARD_BYTES))
        edges = [count * i // shards for i in range(shards + 1)]
        return {
            SPLIT: [
                functools.partial(self._rows, begin, end)
                for begin, end in itertools.pairwise(edges)
            ]
        }

    def _rows(self, begin: int, end: int) -> Iterator[tuple[int, dict[str, bytes]]]:
        """Rows begin .. end - 1 of the task."""
        first = 0
        for number, part in enumerate(self.parts):
            if first < end and begin < first + part.count:
                for row, line in enumerate(spool.lines(self.folder, number, part), first):
                    if begin <= row < end:
                        yield row, {FEATURE: line}
            first += part.count

    def _write_beside(self) -> None:
        """The index, the media keys, what was held back, and how it was built."""
        folder, first = Path(self.data_dir), 0
        counts: collections.Counter[str] = collections.Counter()
        held: collections.Counter[str] = collections.Counter()
        with (
            open(folder / INDEX_FILE, "w", encoding="utf-8") as index,
            open(folder / MEDIA_FILE, "wb") as media,
            open(folder / QUARANTINE_FILE, "w", encoding="utf-8") as quarantine,
        ):
            for number, (job, part) in enumerate(zip(self.plan.jobs, self.parts, strict=True)):
                for item in part.held:
                    held[item.gate] += 1
                    line = json.dumps(item._asdict(), ensure_ascii=False)
                    quarantine.write(f"{line}\n")
                if not part.count:
                    continue
                index.write(f"{schema.to_json(_place(job, first, part.count))}\n")
                media.write(spool.keys(self.folder, number, part))
                counts[job.split] += part.count
                first += part.count
        meta = {
            "task": self.builder_config.name,
            **self.plan.described(self.builder_config.name),
            "conversations": dict(counts),
            "quarantined": dict(held),
        }
        text = json.dumps(meta, indent=1, ensure_ascii=False, sort_keys=True)
        (folder / META_FILE).write_text(f"{text}\n", encoding="utf-8")


def _place(job: Job, first: int, count: int) -> Place:
    return Place(job.source, job.config, job.video, job.canonical, job.split, first, count)


def build(
    plan: Plan, *, workers: int = 0, overwrite: bool = False
) -> dict[str, ConversationStore | None]:
    """Builds the tasks of a plan; task -> its store, None where no source has labels for it.

    A task that was built from the same things before is left as it is.

    Args:
      workers: processes; 0 = one a core.

    Raises OtherBuildError for a task that was built from other things, unless `overwrite`;
    QualityError when a gate held back more than the limit; BusyError when another process builds
    one of the tasks.
    """
    done = {} if overwrite else _finished(plan)
    names = [name for name in plan.tasks if name not in done]
    if names:
        with _locked(plan):
            # Another process may have finished some between that look and the locks.
            known = {} if overwrite else _finished(plan)
            done |= known
            names = [name for name in names if name not in known]
            done |= _build(plan, names, workers or os.cpu_count() or 1)
    paths = {name: done[name] for name in plan.tasks}
    return {name: path and ConversationStore(path) for name, path in paths.items()}


def _build(plan: Plan, names: list[str], workers: int) -> dict[str, Path | None]:
    """Builds these tasks and replaces what was there."""
    folder = _spools(plan) / plan.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    with processes.pool(workers) as pool:
        _encode(plan, names, folder, pool)
        summaries = [spool.summary(folder, number) for number in range(len(plan.jobs))]
        parts = {name: [summary.pop(name) for summary in summaries] for name in names}
        try:
            for name in names:
                _judge(name, parts[name], plan.limits.quarantined)
        except QualityError:
            shutil.rmtree(folder)  # what was wrong gets repaired, so it is no use again
            raise
        full = [name for name in names if any(part.count for part in parts[name])]
        calls = [(plan, name, folder, parts[name]) for name in full]
        done = dict(zip(full, _each(pool, _write, calls, "writing", "task"), strict=True))
    for name in names:
        _note_empty(plan, name, name not in full)
    shutil.rmtree(folder)
    return {name: done.get(name) for name in names}


def _spools(plan: Plan) -> Path:
    return Path(plan.data_dir) / DATABASE / "incomplete_spool"


@contextlib.contextmanager
def _locked(plan: Plan) -> Iterator[None]:
    """Keeps other processes from these tasks; the system frees them when this one dies.

    Raises BusyError.
    """
    with contextlib.ExitStack() as stack:
        for name in plan.tasks:
            stack.enter_context(_lock(_spools(plan) / f"{name}.lock", name))
        yield
    with contextlib.suppress(OSError):  # another build is under way
        _spools(plan).rmdir()


@contextlib.contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "w")  # noqa: SIM115 (open as long as the lock is held)
        except FileNotFoundError:  # another build ended and took the folder with it
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise BusyError(
                f"another process is building the task '{name}' in {path.parent.parent}; wait for "
                "it, or choose another --data_dir"
            ) from None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # it was removed by the one that held it before
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _folder(plan: Plan, name: str) -> Path:
    """Where TFDS puts a task."""
    return Path(SurgSigmaDB(data_dir=plan.data_dir, config=name).data_dir)


def _empty(plan: Plan, name: str) -> Path:
    return Path(plan.data_dir) / DATABASE / name / EMPTY_FILE


def _note_empty(plan: Plan, name: str, empty: bool) -> None:
    """Remembers that no source has labels for a task, so that nobody looks for them again; what
    was built of it from other things goes."""
    path = _empty(plan, name)
    if not empty:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(_folder(plan, name), ignore_errors=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(plan.described(name), sort_keys=True), encoding="utf-8")
    part.replace(path)


def _finished(plan: Plan) -> dict[str, Path | None]:
    """Tasks that this plan has built before, None where it found nothing to build.

    Raises OtherBuildError.
    """
    done: dict[str, Path | None] = {}
    other = []
    for name in plan.tasks:
        path, wanted = _folder(plan, name), plan.described(name)
        if not (path / "dataset_info.json").exists():
            empty = _empty(plan, name)
            if empty.exists() and json.loads(empty.read_text(encoding="utf-8")) == wanted:
                done[name] = None
            continue
        meta = ConversationStore(path).meta
        changed = sorted(key for key, value in wanted.items() if meta.get(key) != value)
        if changed:
            other.append(f"  {name}: other {', '.join(changed)}")
        done[name] = path
    if other:
        raise OtherBuildError(
            "these tasks are built already, from other things than asked for now:\n"
            + "\n".join(other)
            + "\nBuild them again with --overwrite, or choose another --data_dir."
        )
    return done


def _each(
    pool: concurrent.futures.Executor | None,
    function: Callable,
    calls: list[tuple],
    what: str,
    unit: str,
) -> list:
    """Results of all calls in their order, with a progress bar."""
    with tqdm.tqdm(total=len(calls), desc=what, unit=unit, disable=None) as progress:
        if pool is None:
            results = []
            for call in calls:
                results.append(function(*call))
                progress.update()
            return results
        futures = [pool.submit(function, *call) for call in calls]
        for future in concurrent.futures.as_completed(futures):
            future.result()  # the first failure ends the build
            progress.update()
        return [future.result() for future in futures]


def _encode(plan: Plan, names: list[str], folder: Path, pool: Any) -> None:
    """All videos into the spool."""
    calls = [
        (job, number, folder, tuple(names), plan.wording, plan.limits)
        for number, job in enumerate(plan.jobs)
    ]
    _each(pool, spool.write, calls, DATABASE, "video")


def _judge(name: str, parts: list[spool.Part], limit: float) -> None:
    held = [item for part in parts for item in part.held]
    total = len(held) + sum(part.count for part in parts)
    if len(held) > limit * total or (held and len(held) == total):
        reasons = "\n".join(f"  {item.gate}: {item.id}: {item.reason}" for item in held[:SHOWN])
        raise QualityError(
            f"{name}: {len(held)} of {total} conversations did not pass the quality gates, more "
            f"than the limit of {limit:.1%}. The first:\n{reasons}"
        )


def _write(plan: Plan, name: str, folder: Path, parts: list[spool.Part]) -> Path:
    """One task from the spool into its TFDS folder, which is returned.

    It is written whole beside the spool and then put in the place of what was there, so a build
    that is killed or finds the disk full leaves the old one as it was.
    """
    target = _folder(plan, name)
    builder = SurgSigmaDB(data_dir=folder / "written", config=name)
    builder.plan, builder.folder, builder.parts = plan, folder, parts
    with contextlib.redirect_stdout(io.StringIO()):  # it speaks of a download; nothing is
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                compute_stats=tfds.download.ComputeStatsMode.SKIP
            ),
            file_format=tfds.core.FileFormat.ARRAY_RECORD,
        )
    aside = target.with_name(f"replaced_{target.name.replace('.', '_')}")
    shutil.rmtree(aside, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(aside)
    Path(builder.data_dir).rename(target)
    shutil.rmtree(aside, ignore_errors=True)
    return target
