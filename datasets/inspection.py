"""What lies in a `manual_dir`, before anything is written (`surgzoo inspect`), and what came of it.

The reader's own `jobs` is run, so what inspection accepts `prepare` accepts; of each of the first
videos a few frames are read too, to see which labels they carry.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from pathlib import Path

from surgzoo.datasets.frames import Lost, Quarantined
from surgzoo.datasets.layout import Tree
from surgzoo.datasets.source_builder import SourceBuilder, VideoJob, checked_manual_dir
from surgzoo.db import identity, schema, splits
from surgzoo.db.source_cards import SourceCard, card_of
from surgzoo.db.store import Store

SAMPLED_VIDEOS, SAMPLED_FRAMES = 3, 3
SHOWN = 12
NAMED = 5  # videos that are not there, in the summary of what was prepared


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Findings on a folder.

    Attributes:
      frames: frames to store, as far as the layout tells without decoding.
      segments: kind -> (labelled intervals, seconds that they cover).
      sampled: kind of annotation -> in how many of the sampled frames it was.
      lost: videos that have labels and no media: file that is wanted -> reason.
      broken: what else cannot be used, videos or sampled frames: file -> reason.
      missing: split -> videos that the official split names and the folder lacks.
      notes: what the reader found to repair or to miss: note -> videos.
    """

    source: str
    config: str
    card: SourceCard | None
    files: int
    videos: int
    frames: int
    splits: dict[str, int]
    segments: dict[str, tuple[int, float]]
    captions: int
    sampled: dict[str, int]
    looked_at: int
    lost: dict[str, str]
    broken: dict[str, str]
    missing: dict[str, tuple[str, ...]]
    notes: dict[str, tuple[str, ...]]


def inspect(
    builder_class: type[SourceBuilder],
    manual_dir: str | Path | None,
    config: str | None = None,
    data_dir: str | Path = "data",
) -> Inspection:
    """Raises what `prepare` would: LayoutError, AnnotationFileError, UnmappedLabelError."""
    builder = builder_class(data_dir=str(Path(data_dir).expanduser()), config=config)
    tree = None
    if builder.EXPECTED:
        folder = checked_manual_dir(builder, manual_dir)
        tree = Tree.open(folder, builder.source, builder.EXPECTED)
    jobs = list(builder.jobs(tree))
    lost: dict[str, str] = {}
    broken: dict[str, str] = {}
    sampled: collections.Counter[str] = collections.Counter()
    looked_at = 0
    media = []
    for job in jobs:
        if isinstance(job.frames, Lost):
            item = job.frames.item
            (lost if item.absent else broken)[item.where] = item.reason
            continue
        media.append(job)
    for job in media[:SAMPLED_VIDEOS]:
        for item in itertools.islice(job.frames(), SAMPLED_FRAMES):
            if isinstance(item, Quarantined):
                broken[item.where] = item.reason
                continue
            looked_at += 1
            sampled.update(_kinds(item.annotations))
            sampled.update(list(item.dense))
    return Inspection(
        source=builder.source,
        config=builder.builder_config.name,
        card=card_of(builder_class, missing_ok=True),
        files=len(tree) if tree else 0,
        videos=len(media),
        frames=sum(job.frame_count or 0 for job in media),
        splits=dict(collections.Counter(j.video.splits.get("default", "none") for j in media)),
        segments=_segments(jobs),
        captions=sum(len(job.annotations.captions) for job in media),
        sampled=dict(sampled),
        looked_at=looked_at,
        lost=lost,
        broken=broken,
        missing=_missing(builder.source, media),
        notes=_notes(media),
    )


def _kinds(annotations: schema.FrameAnnotations) -> list[str]:
    kinds = [
        field.name
        for field in dataclasses.fields(annotations)
        if field.name not in ("flags", "derived") and getattr(annotations, field.name) is not None
    ]
    for name in ("instruments", "tissues"):
        if any(item.box is not None for item in getattr(annotations, name) or ()):
            kinds.append(f"{name} with a box")
    return kinds + [f"flag {name}" for name in annotations.flags]


def _segments(jobs: list[VideoJob]) -> dict[str, tuple[int, float]]:
    out: dict[str, tuple[int, float]] = {}
    for job in jobs:
        for segment in job.annotations.segments:
            count, seconds = out.get(segment.kind, (0, 0.0))
            out[segment.kind] = count + 1, seconds + segment.end - segment.start
    return out


def _missing(source: str, jobs: list[VideoJob]) -> dict[str, tuple[str, ...]]:
    """By the default split scheme; {} for a source whose split is not by video."""
    if source not in splits.sources():
        return {}
    present = {job.video.canonical for job in jobs} | {job.video.id for job in jobs}
    out = {}
    for split, ids in splits.schemes(source)[splits.default(source)].items():
        gone = tuple(
            name
            for name in ids
            if name != splits.EVERY
            and name not in present
            and identity.canonical(source, name) not in present
        )
        if gone:
            out[split] = gone
    return out


def _notes(jobs: list[VideoJob]) -> dict[str, tuple[str, ...]]:
    out: dict[str, list[str]] = {}
    for job in jobs:
        for note in job.annotations.notes:
            out.setdefault(note, []).append(job.video.id)
    return {note: tuple(videos) for note, videos in out.items()}


def text(found: Inspection) -> str:
    """The findings in lines for a terminal."""
    card = found.card
    published = card.published if card else {}
    lines = [f"{found.source} (config {found.config})"]
    if card:
        lines.append(f"  {card.summary}; {card.licence}")
        lines.append(f"  layout: {card.layout} ({card.evidence})")
    lines.append(f"  files        {found.files:,}")
    for name, number in (("videos", found.videos), ("frames", found.frames)):
        against = f" of {published[name]:,} published" if name in published else ""
        number = f"{number:,}" if number or name == "videos" else "not known before decoding"
        lines.append(f"  {name:<12} {number}{against}")
    for name, number in published.items():
        if name not in ("videos", "frames"):
            lines.append(f"  published    {name}: {number:,}")
    if found.splits:
        lines.append(f"  default split  {_counts(found.splits)}")
    for kind, (count, seconds) in found.segments.items():
        lines.append(f"  {kind:<12} {count:,} intervals, {seconds / 3600:.2f} h")
    if found.captions:
        lines.append(f"  captions     {found.captions:,}")
    lines.append(
        f"  labels of {found.looked_at} sampled frames: {_counts(found.sampled) or 'none'}"
    )
    for split, ids in found.missing.items():
        lines.append(f"  missing in {split}: {len(ids)} ({_some(ids)})")
    lines += _first("not there", [f"{w}: {reason}" for w, reason in found.lost.items()])
    if found.lost:
        rest = "the others are prepared" if found.videos else "nothing is left to prepare"
        lines.append(f"  {len(found.lost)} videos have labels and no media; {rest}")
    lines += _first("cannot be used", [f"{w}: {reason}" for w, reason in found.broken.items()])
    lines += _first("note", [f"{note} ({_some(ids)})" for note, ids in found.notes.items()])
    return "\n".join(lines)


def _first(kind: str, findings: list[str]) -> list[str]:
    """Lines of the first findings of a kind."""
    lines = [f"  {kind}: {finding}" for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"  {kind}: … {len(findings) - SHOWN} more")
    return lines


def _counts(values: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in values.items())


def _some(names: tuple[str, ...], limit: int = 5) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def summary(store: Store) -> str:
    """What was prepared, in a few lines."""
    quarantined = store.quarantined()
    absent = [item.video for item in quarantined if item.absent]
    schemes = sorted({scheme for stored in store.videos for scheme in stored.video.splits})
    lines = [f"{store.source}: {len(store.videos)} videos, {len(store)} frames in {store.path}"]
    for scheme in schemes:
        counts = {s: len(store.select(s, scheme)) for s in ("train", "val", "test")}
        lines.append(f"  split {scheme}: " + ", ".join(f"{n} {s}" for s, n in counts.items()))
    notes = sum(len(stored.annotations.notes) for stored in store.videos)
    if absent:
        shown = ", ".join(absent[:NAMED]) + (", …" if len(absent) > NAMED else "")
        lines.append(f"  absent: {len(absent)} videos have labels and no media ({shown})")
    broken = len(quarantined) - len(absent)
    lines.append(f"  quarantined: {broken}, notes of the reader: {notes}")
    return "\n".join(lines)
