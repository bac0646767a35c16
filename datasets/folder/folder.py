"""A lab's own data: videos or images, and one JSONL of annotations in the terms of the schema."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import AnnotationFileError, Node, json_lines
from surgzoo.datasets.collection import (
    FACTS,
    FILES,
    Defaults,
    LabelBook,
    check_split,
    read_defaults,
)
from surgzoo.datasets.folder.annotations import frame_annotations, video_annotations
from surgzoo.datasets.frames import Still
from surgzoo.datasets.intervals import Intervals
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import records, schema

ANNOTATIONS_FILE = "annotations.jsonl"
_VIDEO_KEYS = frozenset(
    ("video", "file", "patient", "split", "splits", "url", *FACTS, "annotations")
)
_FRAME_KEYS = frozenset(("video", "time", "file", "maps", "annotations"))


class Folder(SourceBuilder):
    """Each line of annotations.jsonl is of a video (no `time`) or of a frame (`time` in seconds).

    A video with `file` is decoded at the config's fps; annotations of a frame belong to the stored
    frame of that moment. A video without `file` is the images that its frame lines name.
    """

    name = source = "folder"
    generic = True
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "All annotations of the schema."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="One frame a second."),
        SourceConfig(name="fps5", fps=5.0, description="Five frames a second."),
        SourceConfig(name="fps25", fps=25.0, description="For labels at 25 fps."),
    ]
    EXPECTED = f"""
{ANNOTATIONS_FILE}  a line a video and a line an annotated frame, e.g.
    {{"video": "case01", "file": "videos/case01.mp4", "patient": "p1", "split": "train"}}
    {{"video": "case01", "time": 12.0, "annotations": {{"phase": "preparation"}}}}
    {{"video": "stills", "split": "test"}}
    {{"video": "stills", "time": 0, "file": "1.jpg", "maps": {{"tissue_mask": "mask/1.png"}}}}
videos/, images/ ...  any media that it names
{FILES}"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend(ANNOTATIONS_FILE)
        self._book, defaults = LabelBook(tree), read_defaults(tree)
        videos, frames = _lines(tree[ANNOTATIONS_FILE])
        return [
            self._job(tree, defaults, node, frames.get(name, {})) for name, node in videos.items()
        ]

    def tables(self) -> dict[str, str]:
        return self._book.tables(self.source)

    def _job(
        self, tree: Tree, defaults: Defaults, node: Node, frames: dict[float, Node]
    ) -> VideoJob:
        name, where = node["video"].str(), f"{node.file}, {node.path}"
        annotations = video_annotations(node.get("annotations"), self._book)
        moments = {
            time: _Moment(
                frame_annotations(line.get("annotations"), self._book),
                _maps(tree, line.get("maps")),
            )
            for time, line in sorted(frames.items())
        }
        facts = {
            "canonical": f"{self.source}/{_text(node, 'patient') or name}",
            "splits": _splits(node),
            "url": _text(node, "url") or "",
            **defaults.fill({f: _text(node, f) or "" for f in FACTS}, self._book, where),
        }
        media = node.get("file")
        if media is None:
            stills = [
                Still(time, _file(tree, line["file"]), time)
                for time, line in sorted(frames.items())
            ]
            if not stills:
                raise node.error("neither a file nor a frame with a file: there is nothing to show")
            height, width = frame_readers.image_size(stills)
            at = _Moments(moments, 0.0)
            label = functools.partial(_label, Intervals(annotations.segments), at)
            seconds = stills[-1].time + 1
            return VideoJob(
                self.video(name, height=height, width=width, duration=seconds, **facts),
                functools.partial(frame_readers.from_images, name, stills, label),
                annotations,
                frame_count=len(stills),
            )
        file, fps = _file(tree, media), self.builder_config.fps
        for line in frames.values():
            if line.get("file") is not None:
                raise line["file"].error(f"{name} is a video file already")
        info = frame_readers.probe(file)
        # A label belongs to the stored frame that shows its moment: half a frame of the file off.
        slack = 0.5 / float(info.fps) if info else 0.0
        between = [t for t in moments if abs(t * fps - round(t * fps)) > slack * fps + 1e-9]
        if between:
            shown = ", ".join(f"{t:g}" for t in between[:3])
            note = (
                f"{len(between)} of {len(moments)} annotated moments lie between frames at {fps:g} "
                f"fps and are not stored (from {shown} s): prepare with a denser config"
            )
            annotations = dataclasses.replace(annotations, notes=(*annotations.notes, note))
        at = _Moments(moments, slack)
        label = functools.partial(_label, Intervals(annotations.segments), at)
        return self.of_file(name, file, info, label, annotations, **facts)


@dataclasses.dataclass(frozen=True)
class _Moment:
    """What is annotated at one moment; `maps`: name of a dense map -> its file."""

    annotations: schema.FrameAnnotations
    maps: dict[str, File]


class _Moments:
    """Annotated moments by time; a frame up to `slack` seconds off shows the same."""

    def __init__(self, moments: dict[float, _Moment], slack: float):
        self.moments, self.slack = moments, slack
        self._times = sorted(moments)

    def at(self, time: float) -> _Moment | None:
        """The moment itself, else the first one near enough."""
        if time in self.moments:
            return self.moments[time]
        begin = bisect.bisect_left(self._times, time - self.slack - 1e-9)
        for near in itertools.islice(self._times, begin, None):
            if abs(near - time) <= self.slack:
                return self.moments[near]
            if near > time:
                return None
        return None


def _label(
    intervals: Intervals, moments: _Moments, time: float, image: np.ndarray
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    """What is said of the frame itself, and where it is silent, of the segments around it."""
    moment = moments.at(time)
    found = moment.annotations if moment else schema.FrameAnnotations()
    around = {
        "phase": found.phase or intervals.one("phase", time),
        "step": found.step or intervals.one("step", time),
        "actions": intervals.actions(time) if found.actions is None else found.actions,
    }
    maps = {}
    for name, file in (moment.maps if moment else {}).items():
        if name == "clean":
            maps[name] = file.read()
            continue
        mask = masks.one_channel(masks.read_mask(file, image.shape[:2]), file)
        maps[name] = file.read() if name == "depth" else masks.encode(mask)
    return dataclasses.replace(found, **around), maps


def _lines(file: File) -> tuple[dict[str, Node], dict[str, dict[float, Node]]]:
    """Lines of videos by id, and those of frames by video and time."""
    videos: dict[str, Node] = {}
    frames: dict[str, dict[float, Node]] = {}
    for node in json_lines(file):
        name, time = node["video"].str(), node.get("time")
        known = _VIDEO_KEYS if time is None else _FRAME_KEYS
        unknown = [key for key, _ in node.items() if key not in known]
        if unknown:
            raise node.error(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        if time is None:
            if name in videos:
                raise node.error(f"the video '{name}' is described twice ({videos[name].path})")
            videos[name] = node
            continue
        if time.float() < 0:
            raise time.error("before the video begins")
        of_video = frames.setdefault(name, {})
        if time.float() in of_video:
            raise node.error(f"{name} at {time.float():g} s is given twice")
        of_video[time.float()] = node
    stray = next(iter(frames.keys() - videos.keys()), None)
    if stray is not None:
        node = next(iter(frames[stray].values()))
        raise node.error(f"no line describes the video '{stray}'")
    if not videos:
        raise AnnotationFileError(f"{file}: describes no video")
    return videos, frames


def _text(node: Node, key: str) -> str | None:
    value = node.get(key)
    return None if value is None else value.str()


def _splits(node: Node) -> dict[str, schema.Split]:
    out: dict[str, schema.Split] = {}
    pairs: Iterator = node["splits"].items() if node.get("splits") else iter(())
    if node.get("split") is not None:
        out["default"] = check_split(node["split"].str(), f"{node.file}, {node.path}")
    for scheme, value in pairs:
        out[scheme] = check_split(value.str(), f"{node.file}, {value.path}")
    return out


def _file(tree: Tree, node: Node) -> File:
    """The file that a line names. A path that leads out of the folder is in no tree."""
    found = tree.get(node.str())
    if found is None:
        raise node.error(f"there is no file {node.str()} in the folder")
    return found


def _maps(tree: Tree, node: Node | None) -> dict[str, File]:
    if node is None:
        return {}
    for name, value in node.items():
        if name not in records.DENSE:
            raise value.error(f"no map of that name; known: {', '.join(records.DENSE)}")
    return {name: _file(tree, value) for name, value in node.items()}
