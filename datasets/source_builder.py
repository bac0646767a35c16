"""What every source builder shares: videos stored on all cores, quarantine, restart, the index.

A builder subclasses `SourceBuilder` and implements `jobs(tree)`: one `VideoJob` a video, whose
`frames` is a picklable function without arguments that yields `FrameRecord`s in video order
(`frames.from_video`, `frames.from_images`). A frame that cannot be used is yielded as `Quarantined`
with a reason; it is written to `quarantine.jsonl`, counted, and above
`SourceConfig.max_quarantined` (a share of all frames) the build fails. A video whose labels are
there and whose media are not (`lost`) is written there too, but does not count: labs hold parts of
a release. Only when nothing at all is left is that an error.

A video is a shard: the worker that decodes it writes it, one frame in memory at a time. Shards wait
in a folder `incomplete_<version>` beside the finished versions until all are there. A build that
was stopped goes on from them: a finished shard is used again if the job and its files are the same.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import inspect
import io
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
import tqdm
from array_record.python import array_record_module

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import workers as processes
from surgzoo.datasets.frames import Items, Lost, Quarantined
from surgzoo.datasets.layout import File, LayoutError, Tree
from surgzoo.datasets.video import VideoInfo
from surgzoo.db import identity, ontology, records, schema, splits
from surgzoo.db.source_cards import SourceCard, card_of
from surgzoo.db.sources import sources

SHOWN = 10  # reasons in an error
_NOTHING_SAID = schema.VideoAnnotations()


@dataclasses.dataclass(frozen=True)
class VideoJob:
    """One video to be stored. `frames` must pickle: a functools.partial of a module function.

    `frame_count` is the number of frames that the layout promises at the config's fps, for
    `surgzoo inspect`; None where only decoding would tell.
    """

    video: schema.Video
    frames: Callable[[], Items]
    annotations: schema.VideoAnnotations = _NOTHING_SAID
    frame_count: int | None = None


@dataclasses.dataclass
class SourceConfig(tfds.core.BuilderConfig):
    """`fps` of the stored frames; the config's name says it, e.g. fps1.

    `max_quarantined`: the largest share of frames that may be broken.
    """

    fps: float = 1.0
    max_quarantined: float = 0.05


class SourceBuilder(tfds.core.dataset_builder.FileReaderBuilder, skip_registration=True):
    """Base of all source builders. Subclasses set `source`, VERSION, BUILDER_CONFIGS and `jobs`.

    A source of licensed data says in `EXPECTED` which files it wants below manual_dir, one path a
    line; `jobs` then gets the `Tree` of that folder, else None. Facts about the dataset (licence,
    specialty, how to obtain it) are in card.toml beside the builder: `self.card`.
    """

    source: str
    EXPECTED: str = ""
    generic: bool = False  # whether it reads collections of any name (`named`)
    workers: int = 0  # processes; 0 = one a core. Set by `prepare`.

    def __init_subclass__(cls, **kwargs):
        # TFDS would derive the folder's name from the class ("cholec_t50"); ours is the source's.
        kwargs.setdefault("skip_registration", True)
        super().__init_subclass__(**kwargs)
        cls.name = getattr(cls, "source", cls.__name__)
        if cls.EXPECTED:
            cls.MANUAL_DOWNLOAD_INSTRUCTIONS = cls.EXPECTED

    @functools.cached_property
    def card(self) -> SourceCard:
        """What card.toml says. FileNotFoundError for a source of a plug-in that has none."""
        return card_of(type(self))

    def video(self, name: str, *, splits_of: str | None = None, **facts) -> schema.Video:
        """A `schema.Video` with what holds for all videos of the source.

        `facts` are the fields of this one and win; `splits_of` is the id that the split table and
        the ledger know it by, when it is another than `name`.
        """
        known = splits_of or name
        given = {
            "canonical": identity.canonical(self.source, known),
            "splits": splits.official(self.source, known),
            "licence": self.card.licence,
            "fps": self.builder_config.fps,
            "url": self.card.homepage,
            **facts,
        }
        for field in ("specialty", "procedure"):
            if field not in given:
                (given[field],) = ontology.ids(self.source, field)
        return schema.Video(id=name, source=self.source, **given)

    def of_file(
        self,
        name: str,
        file: File,
        info: VideoInfo | None,
        label: frame_readers.Label,
        annotations: schema.VideoAnnotations = _NOTHING_SAID,
        **facts,
    ) -> VideoJob:
        """The job of a whole video file; size, length and number of frames are its header's.

        Args:
          info: what `frames.probe` found, None for a file that cannot be opened.
          label: as `frames.from_video` wants it. facts: as in `video`.
        """
        fps = self.builder_config.fps
        video = self.video(name, **{**frame_readers.size_and_length(info), **facts})
        read = functools.partial(frame_readers.from_video, name, file, fps, label)
        return VideoJob(video, read, annotations, frame_count=round(video.duration * fps))

    def lost(
        self,
        name: str,
        where: str,
        reason: str,
        segments: tuple[schema.Segment, ...] = (),
        *,
        absent: bool = True,
        **facts,
    ) -> VideoJob:
        """A job that only reports that a video cannot be stored.

        Args:
          segments: for inspection. facts: as in `video`.
          absent: its media are not there; False where they are, and do not fit the labels.
        """
        item = Lost(Quarantined(name, where, reason, absent))
        return VideoJob(self.video(name, **facts), item, schema.VideoAnnotations(segments))

    def jobs(self, tree: Tree | None) -> Iterable[VideoJob]:
        """The videos to store, in order. Raises LayoutError or AnnotationFileError."""
        raise NotImplementedError

    def tables(self) -> dict[str, str]:
        """Ontology tables, file name -> text, of a source whose labels come with the data.

        They are stored beside the records, where `Store` finds them. Called after `jobs`.
        """
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        card = card_of(type(self), missing_ok=True)
        return tfds.core.DatasetInfo(
            builder=self,
            features=records.features(),
            disable_shuffling=True,
            description=card.summary if card else "",
            homepage=card.homepage if card else "",
            citation=card.citation if card else "",
        )

    def _download_and_prepare(self, dl_manager: Any, download_config: Any = None) -> None:
        """Called by TFDS with `data_dir` set to a temporary folder that it renames at the end."""
        del download_config
        tree = None
        if self.EXPECTED:
            tree = Tree.open(dl_manager.manual_dir, self.source, self.EXPECTED)
        jobs = list(self.jobs(tree))
        if not jobs:
            raise ValueError(f"{self.source}: no video to store")
        _check_ids(self.source, jobs)
        staged = self.staging
        staged.mkdir(parents=True, exist_ok=True)
        shards = _store_all(self, jobs, staged)
        self._judge(shards)
        self._publish(jobs, shards, staged)

    @property
    def staging(self) -> Path:
        """Where finished videos of an unfinished build wait."""
        parts = [self.name, self.builder_config.name, f"incomplete_{self.version}"]
        return Path(self._data_dir_root, *parts)

    def _judge(self, shards: list[Shard]) -> None:
        """Raises ValueError when too much is broken, or nothing is left."""
        items = [item for shard in shards for item in shard.quarantined]
        broken = [item for item in items if not item.absent]
        stored = sum(shard.count for shard in shards)
        total, limit = stored + len(broken), self.builder_config.max_quarantined
        if len(broken) > limit * total:
            problem = (
                f"{len(broken)} of {total} frames or videos could not be used, more than the limit "
                f"of {limit:.0%}. The first:"
            )
        elif not stored:
            problem = "there are labels, but the media of no video. The first:"
        else:
            return
        reasons = "\n".join(f"  {q.where}: {q.reason}" for q in (broken or items)[:SHOWN])
        raise ValueError(f"{self.source}: {problem}\n{reasons}")

    def _publish(self, jobs: list[VideoJob], shards: list[Shard], staged: Path) -> None:
        """Moves the shards to their names in the TFDS folder and writes the index."""
        full = [i for i, shard in enumerate(shards) if shard.count]
        template = self._get_filename_template(split_name=records.SPLIT)
        stored, first = [], 0
        for place, number in enumerate(full):
            target = template.sharded_filepath(shard_index=place, num_shards=len(full))
            os.replace(_shard_path(staged, number), Path(target))
            job, count = jobs[number], shards[number].count
            stored.append(records.StoredVideo(job.video, first, count, job.annotations))
            first += count
        for name, text in self.tables().items():
            path = Path(self.data_dir, records.TABLES_FOLDER, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self._write_lines(records.VIDEOS_FILE, map(schema.to_json, stored))
        self._write_lines(
            records.QUARANTINE_FILE,
            (schema.to_json(item) for shard in shards for item in shard.quarantined),
        )
        content = hashlib.blake2b("".join(shards[n].content for n in full).encode(), digest_size=16)
        self._write_lines(records.CONTENT_FILE, [content.hexdigest()])
        split = tfds.core.SplitInfo(
            name=records.SPLIT,
            shard_lengths=[shards[number].count for number in full],
            num_bytes=sum(shards[number].size for number in full),
            filename_template=template,
        )
        self.info.set_splits(tfds.core.splits.SplitDict([split]))
        shutil.rmtree(staged)

    def _write_lines(self, name: str, lines: Iterable[str]) -> None:
        with open(Path(self.data_dir) / name, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


# ---- one video to one shard ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shard:
    """A stored video: frames, bytes, a hash of its records, and what could not be used."""

    fingerprint: str
    content: str
    count: int
    size: int
    quarantined: tuple[Quarantined, ...]


def _store_all(builder: SourceBuilder, jobs: list[VideoJob], staged: Path) -> list[Shard]:
    """The shards of all jobs, in their order; those of an earlier, stopped build are used again."""
    cores = builder.workers or os.cpu_count() or 1
    code = _code(type(builder))
    fingerprints = [_fingerprint(job, code) for job in jobs]
    shards = {i: _finished(staged, i, fingerprints[i]) for i in range(len(jobs))}
    left = [i for i, shard in shards.items() if shard is None]
    workers = min(cores, max(1, len(left)))
    start = functools.partial(frame_readers.decode_with, max(1, cores // workers))
    with (
        tqdm.tqdm(
            total=len(jobs),
            initial=len(jobs) - len(left),
            desc=builder.source,
            unit="video",
            disable=None,
        ) as progress,
        processes.pool(workers, start) as pool,
    ):
        if pool is None:
            start()
            for i in left:
                shards[i] = _store(jobs[i], fingerprints[i], staged, i)
                progress.update()
        else:
            waiting = {pool.submit(_store, jobs[i], fingerprints[i], staged, i): i for i in left}
            for future in concurrent.futures.as_completed(waiting):
                shards[waiting[future]] = future.result()  # the first failure ends the build
                progress.update()
    return [shards[i] for i in range(len(jobs))]


def _store(job: VideoJob, fingerprint: str, staged: Path, number: int) -> Shard:
    """Writes the frames of a job; the note that makes it count is written last."""
    path, note = _shard_path(staged, number), _note_path(staged, number)
    note.unlink(missing_ok=True)
    features = records.features()
    serializer = tfds.core.example_serializer.ExampleSerializer(features.get_serialized_info())
    count, quarantined, content = 0, [], hashlib.blake2b(digest_size=16)
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    try:
        for item in job.frames():
            if isinstance(item, Quarantined):
                quarantined.append(item)
                continue
            example = records.encode(item)
            content.update(_bytes(example))
            writer.write(serializer.serialize_example(features.encode_example(example)))
            count += 1
    finally:
        writer.close()
    if not count and not quarantined:
        quarantined.append(Quarantined(job.video.id, job.video.id, "no usable frame"))
    shard = Shard(fingerprint, content.hexdigest(), count, path.stat().st_size, tuple(quarantined))
    part = note.with_suffix(".part")
    part.write_text(json.dumps(dataclasses.asdict(shard)), encoding="utf-8")
    os.replace(part, note)
    return shard


def _bytes(example: dict[str, Any]) -> bytes:
    """One example as bytes, for a hash: every value with its length before it."""
    values = (v if isinstance(v, bytes) else str(v).encode() for _, v in sorted(example.items()))
    return b"".join(len(value).to_bytes(8, "little") + value for value in values)


def _shard_path(staged: Path, number: int) -> Path:
    return staged / f"{number:06d}.array_record"


def _note_path(staged: Path, number: int) -> Path:
    return staged / f"{number:06d}.json"


def _finished(staged: Path, number: int, fingerprint: str) -> Shard | None:
    """A shard of the same job that an earlier build has left whole."""
    try:
        note = json.loads(_note_path(staged, number).read_text(encoding="utf-8"))
        size = _shard_path(staged, number).stat().st_size
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if note["fingerprint"] != fingerprint or note["size"] != size:
        return None
    note["quarantined"] = tuple(Quarantined(**item) for item in note["quarantined"])
    return Shard(**note)


class _Stamper(pickle.Pickler):
    """Pickles a job and, on the way, collects size and time of every file that it mentions."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.stamps: list[tuple] = []
        super().__init__(self.buffer, protocol=pickle.HIGHEST_PROTOCOL)

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, File):
            self.stamps.append(obj.stamp())
        elif isinstance(obj, Path):
            with contextlib.suppress(OSError):
                info = obj.stat()
                self.stamps.append((str(obj), info.st_size, info.st_mtime_ns))
        return NotImplemented


def _fingerprint(job: VideoJob, code: str) -> str:
    stamper = _Stamper()
    stamper.dump(job)
    digest = hashlib.blake2b(stamper.buffer.getvalue(), digest_size=16)
    digest.update(repr((stamper.stamps, code)).encode())
    return digest.hexdigest()


def _code(builder_class: type) -> str:
    """Digest of the reader's own files: a corrected reader does not go on with old shards."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(inspect.getfile(builder_class)).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _check_ids(source: str, jobs: list[VideoJob]) -> None:
    ids = [job.video.id for job in jobs]
    twice = (
        sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else ()
    )
    if twice:
        raise ValueError(f"{source}: {', '.join(twice[:5])} is the id of two videos")
    for name in ids:
        if not records.FOLDER_NAME.fullmatch(name):
            raise ValueError(
                f"{source}: the video id '{name}' cannot be the name of a folder; give it another "
                "one where the files are read"
            )


# ---- the whole source ----------------------------------------------------------------------------


def named(builder_class: type[SourceBuilder], name: str) -> type[SourceBuilder]:
    """The builder of a generic source under the name of one collection. Raises ValueError."""
    if not builder_class.generic:
        raise ValueError(f"{builder_class.source} has its own name; --name is for generic sources")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in sources.names():
        raise ValueError(
            f"'{name}' cannot name a collection: it must be lower-case letters, digits and _, and "
            "no registered source"
        )
    # The base's metaclass and module: TFDS looks into both, and card.toml is found by the module.
    fields = {"source": name, "name": name, "__module__": builder_class.__module__}
    return type(builder_class)(builder_class.__name__, (builder_class,), fields)


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

    Raises LayoutError when `manual_dir` is wrong, ValueError when too much is quarantined. A build
    that was stopped goes on where it was; what a finished version holds is kept until a new one is
    whole.
    """
    place = str(Path(data_dir).expanduser())
    builder = builder_class(data_dir=place, config=config, **kwargs)
    if builder.EXPECTED:
        manual_dir = checked_manual_dir(builder, manual_dir)
    target = Path(builder.data_dir)
    aside = target.with_name(f"replaced_{target.name.replace('.', '_')}")
    if overwrite and target.exists():
        shutil.rmtree(aside, ignore_errors=True)
        target.rename(aside)  # kept until the new one is whole
        # The first builder has read the old dataset_info.json and would hold on to it.
        builder = builder_class(data_dir=place, config=config, **kwargs)
    builder.workers = workers
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of a download; nothing is
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
        for left in target.parent.glob(f"incomplete.*{target.name}*"):
            shutil.rmtree(left, ignore_errors=True)
        raise
    shutil.rmtree(aside, ignore_errors=True)
    return target


def checked_manual_dir(builder: SourceBuilder, manual_dir: str | Path | None) -> Path:
    """`manual_dir` of a source that needs one. Raises ValueError or LayoutError."""
    if manual_dir is None:
        card = card_of(type(builder), missing_ok=True)
        where = f" ({card.access}; {card.homepage})" if card else ""
        raise ValueError(
            f"{builder.source} is licensed data that you download yourself{where}; say where it is "
            f"with --manual_dir. Expected there:\n{builder.EXPECTED}"
        )
    manual_dir = Path(manual_dir).expanduser()
    if not manual_dir.exists() or (manual_dir.is_dir() and not any(manual_dir.iterdir())):
        problem = "is empty" if manual_dir.is_dir() else "is not a folder"
        raise LayoutError(builder.source, manual_dir, builder.EXPECTED, f"{manual_dir} {problem}")
    return manual_dir
