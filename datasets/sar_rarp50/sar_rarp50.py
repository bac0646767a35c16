"""SAR-RARP50 as released: suturing in prostatectomies, eight actions at 10 Hz, masks at 1 Hz."""

from __future__ import annotations

import dataclasses
import functools
import math
import re

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets import video as videos
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.sar_rarp50.labels import (
    FRAME_RATE,
    MASK_VALUES,
    SOURCE,
    Rows,
    Spans,
    disagreements,
    instrument_labels,
    read_continuous,
    read_discrete,
)
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

VIDEO = "video_left.avi"
DISCRETE = "action_discrete.txt"
CONTINUOUS = ("action_continuous.txt", "action_continues.txt")

_NAME = r"video_0*(\d+)(_\d)?"
_WANTED = re.compile(
    r"video_left\.avi|action_discrete\.txt|action_continu(?:ous|es)\.txt"
    r"|segmentation/[^/]+\.png|rgb/[^/]+\.(?:png|jpe?g)",
    re.IGNORECASE,
)

Files = dict[str, File]  # path below the video's folder, in lower case -> file


class SarRarp50(SourceBuilder):
    """A frame's action is the one of its row in the discrete file, which the challenge scores.

    A video without any label is an error, labels without the video are quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Actions and instrument masks."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The rate of the masks."),
        SourceConfig(name="fps10", fps=10.0, description="The rate of the scored actions."),
    ]
    EXPECTED = """
train1/video_NN/video_left.avi          (also train2/ and test/; NN = 01 .. 50, some NN_1, NN_2)
train1/video_NN/action_discrete.txt
train1/video_NN/action_continuous.txt
train1/video_NN/segmentation/000000060.png
or, instead of video_left.avi, the frames that the challenge's toolkit unpacks
train1/video_NN/rgb/000000060.png
or a folder video_NN as video_NN.zip
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        found = _videos(tree)
        if not found:
            raise tree.error("there is no folder video_NN")
        unlabelled = [name for name, files in found.items() if not _labelled(files)]
        if unlabelled:
            raise tree.error(
                f"neither {DISCRETE} nor {CONTINUOUS[0]} nor segmentation/ is in "
                f"{', '.join(sorted(unlabelled)[:5])}"
            )
        return [self._job(tree, name, found[name]) for name in sorted(found)]

    def _job(self, tree: Tree, name: str, files: Files) -> VideoJob:
        images, mask_files = _numbered(tree, files, "rgb"), _numbered(tree, files, "segmentation")
        discrete = read_discrete(files[DISCRETE]) if DISCRETE in files else None
        continuous = _continuous(tree, files)
        spans = continuous or (discrete and discrete.spans())
        if VIDEO not in files and not images:
            lost = self.lost(name, name, f"labels are there, neither {VIDEO} nor rgb/ is")
            segments = spans.segments() if spans else ()
            return dataclasses.replace(lost, annotations=schema.VideoAnnotations(segments))
        fps, rate = self.builder_config.fps, float(FRAME_RATE)
        notes = _notes(discrete, continuous, mask_files)
        if VIDEO in files:
            info = frame_readers.probe(files[VIDEO])
            duration, size = (info.duration, (info.height, info.width)) if info else (0.0, (0, 0))
            if info and info.fps != FRAME_RATE:
                rate = float(info.fps)
                notes.append(f"the file has {rate:.3f} fps, not {FRAME_RATE}; matched by frame")
            last = round(duration * rate) - 1
            count = math.ceil((last + 1) * videos.rational(fps) / videos.rational(rate))
            stored = {videos.frame_at(index / fps, rate) for index in range(count)}
        else:
            stride = round(FRAME_RATE / fps)
            stills = [
                Still(number / FRAME_RATE, file, number)
                for number, file in sorted(images.items())
                if number % stride == 0
            ]
            stored = {still.key for still in stills}
            missing = set(range(0, max(stored, default=0) + 1, stride)) - stored
            if missing:
                notes.append(f"{len(missing)} frames are missing in rgb/ at {fps:g} fps")
            size, last, count = frame_readers.image_size(stills), max(images), len(stills)
            duration = (last + 1) / FRAME_RATE
        outside = len(mask_files.keys() - stored)
        if outside:
            notes.append(f"{outside} masks are of frames that are not stored at {fps:g} fps")
        labelled = max((found.last for found in (discrete, continuous) if found), default=last)
        if last - labelled >= FRAME_RATE:
            notes.append(f"actions end at frame {labelled}, the video at frame {last}")
        label = functools.partial(
            _annotate, discrete or continuous, mask_files, instrument_labels()
        )
        if VIDEO in files:
            by_time = functools.partial(_annotate_time, label, rate)
            frames = functools.partial(frame_readers.from_video, name, files[VIDEO], fps, by_time)
        else:
            frames = functools.partial(frame_readers.from_images, name, stills, label)
        return VideoJob(
            self.video(name, height=size[0], width=size[1], duration=duration),
            frames,
            schema.VideoAnnotations(
                segments=spans.segments(rate) if spans else (), notes=tuple(notes)
            ),
            frame_count=count,
        )


def _videos(tree: Tree) -> dict[str, Files]:
    """Video -> its files, wherever its folder lies. What is unpacked goes before archives."""
    found: dict[str, Files] = {}
    for file, match in tree.match(rf"(?:.*/)?{_NAME}/(.+)"):
        if _WANTED.fullmatch(match[3]):
            other = found.setdefault(_name(match), {}).setdefault(match[3].lower(), file)
            if other is not file:
                raise tree.error(f"{other} and {file} are of the same video")
    # The owner packs a video without its folder, so in `tree` these archives lie on each other.
    for archive, match in tree.match(rf"(?:.*/)?{_NAME}\.(?:zip|tar)"):
        if archive.member or archive.place is not None:
            raise tree.error(f"{archive} is within another archive: unpack that one")
        inner = Tree.open(archive.disk, tree.source, tree.expected)
        inner = inner.descend(VIDEO, DISCRETE, *CONTINUOUS, "segmentation", "rgb")
        files = found.setdefault(_name(match), {})
        for path, file in inner.files.items():
            if _WANTED.fullmatch(path):
                shown = f"{archive.path[:-4]}/{path}"
                files.setdefault(path.lower(), dataclasses.replace(file, path=shown))
    return found


def _name(match: re.Match) -> str:
    return f"video_{int(match[1]):02d}{match[2] or ''}"


def _labelled(files: Files) -> bool:
    return any(path.startswith(("action_", "segmentation/")) for path in files)


def _continuous(tree: Tree, files: Files) -> Spans | None:
    given = [files[name] for name in CONTINUOUS if name in files]
    if len(given) == 2:
        raise tree.error(f"{given[0]} and {given[1]} are the same file by two names")
    return read_continuous(given[0]) if given else None


def _numbered(tree: Tree, files: Files, folder: str) -> dict[int, File]:
    """Frame number -> image of a folder."""
    out: dict[int, File] = {}
    for path, file in files.items():
        if path.startswith(f"{folder}/"):
            if not (file.stem.isascii() and file.stem.isdecimal()):
                raise tree.error(f"{file} is not named by its frame")
            if out.setdefault(int(file.stem), file) is not file:
                raise tree.error(f"{out[int(file.stem)]} and {file} are the same frame")
    return out


def _notes(discrete: Rows | None, continuous: Spans | None, mask_files: dict) -> list[str]:
    notes = []
    if discrete is None and continuous is not None:
        notes.append(f"no {DISCRETE}; the actions of frames are those of {CONTINUOUS[0]}")
    if continuous is None and discrete is not None:
        notes.append(f"no {CONTINUOUS[0]}; segments are runs of {DISCRETE}")
    if discrete is None and continuous is None:
        notes.append("no action labels")
    if not mask_files:
        notes.append("no masks")
    if continuous is not None and continuous.unlabelled:
        notes.append(f"{continuous.unlabelled} frames between the segments have no action")
    if discrete is not None and continuous is not None:
        differ = disagreements(discrete, continuous)
        if differ > 1:  # the last row may reach beyond the last segment
            notes.append(
                f"{differ} of {len(discrete.actions)} rows of {DISCRETE} disagree with the segments"
            )
    return notes


def _annotate_time(label, rate: float, time: float, image: np.ndarray):
    return label(videos.frame_at(time, rate), image)


def _annotate(
    actions: Rows | Spans | None,
    mask_files: dict[int, File],
    labels: dict[int, schema.Label],
    frame: int,
    image: np.ndarray,
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """The labels of a frame of the video, counted at its own rate. Raises FrameError."""
    action = actions.at(frame) if actions else None
    annotations = schema.FrameAnnotations(actions=None if action is None else (action,))
    if frame not in mask_files:
        return annotations, {}
    file = mask_files[frame]
    mask = masks.one_channel(masks.read_mask(file, image.shape[:2]), file)
    masks.check_values(mask, (0, *MASK_VALUES), file)
    annotations = dataclasses.replace(
        annotations, instruments=masks.instruments(mask, labels, instances=False)
    )
    return annotations, {"instrument_mask": masks.encode(mask)}
