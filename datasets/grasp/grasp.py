"""GraSP as released: 13 prostatectomies with phases, steps, instrument masks and actions."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.frames import Still
from surgzoo.datasets.grasp import labels
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.psi_ava.labels import KeyFrame, by_case, merged, read_coco, segments
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "grasp"

_FRAME = r"(?:.*/)?frames(?:_1fps)?/(?:.*/)?(CASE\d+)/(\d+)\.(?:jpe?g|png)"
_RAW = r"(?:.*/)?(?:raw|original)_frames_1fps/"
_LABELS = r"(?:(.*)/)?grasp_(long-term|short-term)_(train|test|fold1|fold2)\.json"
_LABEL_GAP = 1.0  # seconds between frames with phase and step
_NEAREST = "the label of the nearest labelled frame, at most half a second away"


class Grasp(SourceBuilder):
    """Config fps1 stores the labelled frames (one a second); fps10 frames of GraSP_30fps.

    Where both trees are there, fps1 reads GraSP_1fps. In fps10, phase and step of a frame are those
    of the labelled frame nearest to it.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases, steps, instruments with boxes and masks, actions."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The labelled frames."),
        SourceConfig(name="fps10", fps=10.0, description="For clips; needs GraSP_30fps."),
    ]
    EXPECTED = """
GraSP_1fps/frames/CASE001/00000.jpg              a name counts seconds
GraSP_1fps/annotations/grasp_{long,short}-term_{train,test}.json
or, and for config fps10 this one,
GraSP_30fps/frames/CASE001/000000000.jpg         a name counts frames of the original video
GraSP_30fps/annotations/grasp_{long,short}-term_{train,test}.json
(grasp_*_{fold1,fold2}.json are read where the train file is not there; unpack the *.tar.gz)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        media: dict[str, dict[str, File]] = {}
        raw = {file for file, _ in tree.match(_RAW + ".*")}
        for file, match in tree.match(_FRAME):
            if file in raw:
                continue
            found = media.setdefault(match[1].upper(), {})
            if found.setdefault(match[2], file) is not file:
                raise tree.error(f"{found[match[2]]} and {file} are the same frame")
        labelled = by_case(_read(tree))
        strange = sorted(media.keys() - labelled.keys())
        if strange:
            raise tree.error(f"no label file mentions {', '.join(strange)}")
        if (
            not any(map(labels.dense, itertools.chain(*media.values())))
            and self.builder_config.fps > 1
            and media
        ):
            raise tree.error(
                f"only frames at 1 fps are there; {self.builder_config.name} needs GraSP_30fps"
            )
        return [self._job(case, media.get(case, {}), labelled[case]) for case in sorted(labelled)]

    def _job(self, case: str, media: dict[str, File], labelled: dict[str, KeyFrame]) -> VideoJob:
        fps = self.builder_config.fps
        # One of the two trees: the labels name the frames of their own.
        dense = fps > 1 or not any(not labels.dense(s) and s in labelled for s in media)
        files = {stem: file for stem, file in media.items() if labels.dense(stem) == dense}
        frames = {stem: frame for stem, frame in labelled.items() if labels.dense(stem) == dense}
        if not files or not frames:
            return self.lost(
                case,
                f"frames/{case}",
                f"the labels of {len(labelled)} frames are there, "
                + (f"{len(media)} frames that they do not name" if media else "the frames are not"),
                absent=not media,
            )
        times = labels.times(case, sorted(files.keys() | frames.keys()))
        notes = []
        if dense and labels.by_place(case):
            notes.append("irregular file numbers: times are places in the folder / 30")
        if fps > 1:
            chosen = _on_grid({stem: times[stem] for stem in files}, fps)
            off = sum(stem not in chosen for stem in frames if stem in files)
            if off:
                notes.append(f"{off} labelled frames are between the frames stored")
        else:
            chosen = {stem: times[stem] for stem in frames if stem in files}
        missing = len(frames.keys() - files.keys())
        if missing:
            notes.append(f"{missing} of {len(frames)} labelled frames have no image")
        stills = [
            Still(time, files[stem], stem)
            for stem, time in sorted(chosen.items(), key=lambda item: item[1])
        ]
        height, width = frame_readers.image_size(stills)
        stored = {stem: times[stem] for stem in chosen}
        label = functools.partial(_annotate, frames, _Nearest.of(frames, times), stored)
        return VideoJob(
            self.video(
                case,
                height=height,
                width=width,
                duration=max(times.values()) + 1 / (labels.DENSE_FPS if dense else 1),
            ),
            functools.partial(frame_readers.from_images, case, stills, label),
            schema.VideoAnnotations(
                segments=segments(frames, times, _LABEL_GAP), notes=tuple(notes)
            ),
            frame_count=len(stills),
        )


def _read(tree: Tree) -> dict[tuple[str, str], KeyFrame]:
    """All label files; a train file is its two folds, so these are read in its absence only."""
    found: dict[tuple[str, str], dict[str, File]] = {}
    for file, match in tree.match(_LABELS):
        found.setdefault((match[1] or "", match[2].lower()), {})[match[3].lower()] = file
    if not found:
        raise tree.error("there is no label file (grasp_long-term_*.json, grasp_short-term_*.json)")
    frames: dict[tuple[str, str], KeyFrame] = {}
    for parts in found.values():
        for part, file in parts.items():
            if part.startswith("fold") and "train" in parts:
                continue
            merged(frames, read_coco(file, SOURCE, labels.image_key), file)
    return frames


def _on_grid(times: dict[str, float], fps: float) -> dict[str, float]:
    """For each moment k / fps the frame nearest to it; a moment without one (a hole) has none."""
    ordered = sorted((time, stem) for stem, time in times.items())
    points = [time for time, _ in ordered]
    out: dict[str, float] = {}
    for k in range(round(points[-1] * fps) + 1):
        place = bisect.bisect_left(points, k / fps)
        near = [i for i in (place - 1, place) if 0 <= i < len(points)]
        best = min(near, key=lambda i: (abs(points[i] - k / fps), i))
        if abs(points[best] - k / fps) <= 1 / labels.DENSE_FPS:
            out[ordered[best][1]] = k / fps
    return out


@dataclasses.dataclass(frozen=True)
class _Nearest:
    """The frames with a phase or a step, in order of time."""

    points: tuple[float, ...]
    stems: tuple[str, ...]

    @classmethod
    def of(cls, frames: dict[str, KeyFrame], times: dict[str, float]) -> _Nearest:
        known = sorted(
            (times[stem], stem)
            for stem, frame in frames.items()
            if frame.annotations.phase is not None or frame.annotations.step is not None
        )
        return cls(tuple(t for t, _ in known), tuple(s for _, s in known))

    def at(self, time: float) -> str | None:
        """The stem of the nearest, None when it is more than half a gap (and a frame) away."""
        place = bisect.bisect_left(self.points, time)
        near = [i for i in (place - 1, place) if 0 <= i < len(self.points)]
        if not near:
            return None
        best = min(near, key=lambda i: (abs(self.points[i] - time), i))
        # Original frame numbers are rounded, so half a gap may be a frame longer.
        reach = _LABEL_GAP / 2 + 1 / labels.DENSE_FPS
        return self.stems[best] if abs(self.points[best] - time) <= reach else None


def _annotate(
    frames: dict[str, KeyFrame],
    nearest: _Nearest,
    times: dict[str, float],
    stem: str,
    image: np.ndarray,
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    if stem in frames:
        return labels.annotate(frames[stem], image)
    near = nearest.at(times[stem])
    if near is None:
        return schema.FrameAnnotations(), {}
    found = frames[near].annotations
    derived = {kind: _NEAREST for kind in ("phase", "step") if getattr(found, kind) is not None}
    return schema.FrameAnnotations(phase=found.phase, step=found.step, derived=derived), {}
