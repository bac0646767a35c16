"""What every source builder shares: jobs run on all cores, quarantine, the video index.

A builder subclasses `SourceBuilder` and implements `jobs(manual_dir)`: one `VideoJob` a video,
whose `frames` is a picklable function without arguments that yields `FrameRecord`s in video order.
A frame that cannot be used is yielded as `Quarantined` with a reason; it is written to
`quarantine.jsonl`, counted, and above `SourceConfig.max_quarantined` (a share of all frames) the
build fails.

Workers write their frames to spool files and the parent streams them, in video order, into the
array_record writer: memory stays flat however long a video is.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
import tqdm

from surgzoo.db import records, schema


class LayoutError(FileNotFoundError):
    """`manual_dir` does not hold the expected files; shows expected beside found."""

    def __init__(self, source: str, manual_dir: Path, expected: str, problem: str):
        found = "\n".join(f"    {line}" for line in _tree(manual_dir)) or "    (nothing)"
        super().__init__(
            f"{source}: {problem}\n  expected under manual_dir:\n"
            + "\n".join(f"    {line}" for line in expected.strip().splitlines())
            + f"\n  found in {manual_dir}:\n{found}"
        )


def _tree(folder: Path, limit: int = 20) -> list[str]:
    """The first entries of a folder, two levels deep."""
    if not folder.is_dir():
        return [f"{folder} is not a folder"]
    lines: list[str] = []
    for entry in sorted(folder.iterdir()):
        lines.append(entry.name + ("/" if entry.is_dir() else ""))
        if entry.is_dir():
            inner = sorted(entry.iterdir())
            lines += [f"  {item.name}" for item in inner[:3]]
            if len(inner) > 3:
                lines.append(f"  … {len(inner) - 3} more")
        if len(lines) >= limit:
            return [*lines[:limit], "…"]
    return lines


@dataclasses.dataclass(frozen=True)
class Quarantined:
    """A frame (or a rest of a video) that could not be used, and why."""

    video: str
    where: str  # file, and frame or line in it
    reason: str


@dataclasses.dataclass(frozen=True)
class VideoJob:
    """One video to be stored. `frames` must pickle: a functools.partial of a module function."""

    video: schema.Video
    frames: Callable[[], Iterable[records.FrameRecord | Quarantined]]
    annotations: schema.VideoAnnotations = dataclasses.field(
        default_factory=schema.VideoAnnotations
    )


@dataclasses.dataclass
class SourceConfig(tfds.core.BuilderConfig):
    """`fps` of the stored frames; the config's name says it, e.g. fps1."""

    fps: float = 1.0
    max_quarantined: float = 0.05


class SourceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of all source builders. Subclasses set `source`, VERSION, BUILDER_CONFIGS and `jobs`."""

    source: str
    workers: int = 0  # processes; 0 = one a core. Set by `prepare`.
    description: str = ""
    homepage: str = ""
    citation: str = ""

    def __init_subclass__(cls, **kwargs):
        # TFDS would derive the folder's name from the class ("cholec_t50"); ours is the source's.
        kwargs.setdefault("skip_registration", True)
        super().__init_subclass__(**kwargs)
        cls.name = getattr(cls, "source", cls.__name__)

    def jobs(self, manual_dir: Path | None) -> Iterable[VideoJob]:
        """The videos to store, in order. Raises LayoutError when the folder is not as expected."""
        raise NotImplementedError

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=records.features(),
            disable_shuffling=True,
            description=self.description,
            homepage=self.homepage,
            citation=self.citation,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        manual_dir = Path(dl_manager.manual_dir) if self.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        return {records.SPLIT: self._generate_examples(list(self.jobs(manual_dir)))}

    def _generate_examples(self, jobs: list[VideoJob]):
        if not jobs:
            raise ValueError(f"{self.source}: no video to store")
        number, quarantined, content = 0, [], hashlib.blake2b(digest_size=16)
        stored = []
        for job, items in _run(jobs, self.workers or os.cpu_count() or 1, self.source):
            first = number
            for item in items:
                if isinstance(item, Quarantined):
                    quarantined.append(item)
                    continue
                example = records.encode(item)
                content.update(_bytes(example))
                yield number, example
                number += 1
            if number == first:
                if not any(item.video == job.video.id for item in quarantined):
                    quarantined.append(Quarantined(job.video.id, job.video.id, "no usable frame"))
                continue
            stored.append(records.StoredVideo(job.video, first, number - first, job.annotations))
        self._write_lines(records.VIDEOS_FILE, map(schema.to_json, stored))
        self._write_lines(
            records.QUARANTINE_FILE,
            (json.dumps(dataclasses.asdict(item), ensure_ascii=False) for item in quarantined),
        )
        self._write_lines(records.CONTENT_FILE, [content.hexdigest()])
        share = len(quarantined) / max(1, number + len(quarantined))
        if not stored or share > self.builder_config.max_quarantined:
            reasons = "\n".join(f"  {q.where}: {q.reason}" for q in quarantined[:10])
            raise ValueError(
                f"{self.source}: {len(quarantined)} of {number + len(quarantined)} frames could "
                f"not be used, more than the limit of {self.builder_config.max_quarantined:.0%}. "
                f"The first:\n"
                f"{reasons}"
            )

    def _write_lines(self, name: str, lines: Iterable[str]) -> None:
        with open(Path(self.data_dir) / name, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def _bytes(example: dict[str, Any]) -> bytes:
    """One example as bytes, for a hash: every value with its length before it."""
    values = (v if isinstance(v, bytes) else str(v).encode() for _, v in sorted(example.items()))
    return b"".join(len(value).to_bytes(8, "little") + value for value in values)


def _spool(job: VideoJob, path: Path, parent: int) -> Path:
    with open(path, "wb") as file:
        for item in job.frames():
            if os.getppid() != parent:  # it was killed: nobody will read this
                os._exit(1)
            pickle.dump(item, file, protocol=pickle.HIGHEST_PROTOCOL)
    return path


def _unspool(path: Path) -> Iterator[records.FrameRecord | Quarantined]:
    with open(path, "rb") as file, contextlib.suppress(EOFError):
        while True:
            yield pickle.load(file)  # written a moment ago by our own worker
    path.unlink()


def _run(jobs: list[VideoJob], workers: int, source: str):
    """Yields (job, its items) in order; workers stay a few videos ahead of the writer."""
    progress = tqdm.tqdm(total=len(jobs), desc=source, unit="video", disable=None)
    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            yield job, job.frames()
            progress.update()
        progress.close()
        return
    folder = Path(tempfile.mkdtemp(prefix=f"surgzoo_{source}_"))
    context = multiprocessing.get_context("spawn")  # fork is unsafe beside native thread pools
    try:
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
            waiting: list[concurrent.futures.Future] = []
            ahead = workers + 2
            try:
                for position, job in enumerate(jobs):
                    for later in range(position + len(waiting), min(position + ahead, len(jobs))):
                        path = folder / f"{later:06d}.spool"
                        waiting.append(pool.submit(_spool, jobs[later], path, os.getpid()))
                    yield job, _unspool(waiting.pop(0).result())
                    progress.update()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        progress.close()


def prepare(
    builder_class: type[SourceBuilder],
    data_dir: str | Path,
    *,
    manual_dir: str | Path | None = None,
    config: str | None = None,
    workers: int = 0,
    overwrite: bool = False,
    **kwargs,
) -> Path:
    """Writes one source below `data_dir` and returns its folder. A finished one is left as it is.

    Raises LayoutError when `manual_dir` is wrong, ValueError when too much is quarantined. TFDS
    writes to a temporary folder and renames it, so a killed run leaves nothing that looks finished.
    """
    place = str(Path(data_dir).expanduser())
    builder = builder_class(data_dir=place, config=config, **kwargs)
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        if manual_dir is None:
            raise ValueError(
                f"{builder_class.source} is licensed data that you download yourself; say where it "
                f"is with --manual_dir.\n{builder.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        manual_dir = Path(manual_dir).expanduser()
        if not manual_dir.is_dir() or not any(manual_dir.iterdir()):
            problem = "is empty" if manual_dir.is_dir() else "is not a folder"
            raise LayoutError(
                builder_class.source,
                manual_dir,
                builder.MANUAL_DOWNLOAD_INSTRUCTIONS,
                f"{manual_dir} {problem}",
            )
    target = Path(builder.data_dir)
    aside = target.with_name(f"replaced_{target.name.replace('.', '_')}")
    if overwrite and target.exists():
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)  # kept until the new one is whole
        # The first builder has read the old dataset_info.json and would hold on to it.
        builder = builder_class(data_dir=place, config=config, **kwargs)
    builder.workers = workers
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                manual_dir=None if manual_dir is None else str(manual_dir),
                # Statistics need TensorFlow or a second pass; the shards carry checksums.
                compute_stats=tfds.download.ComputeStatsMode.SKIP,
            ),
            file_format=tfds.core.FileFormat.ARRAY_RECORD,
        )
    except BaseException:
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return target
