"""CATARACTS: cataract operations with tools and steps for every frame of the video."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.cataracts.labels import is_steps, read_steps, read_tools
from surgzoo.datasets.frame_runs import Runs
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.video import frame_at
from surgzoo.db import schema

SOURCE = "cataracts"
USUAL_FPS = Fraction(30)  # of a video that cannot be opened, to place its labels in time

_STEM = r"(?:.*/)?(?:(train|test)[_-]?(\d+)|(train|test)[^/]*/(?:.*/)?(\d+))"


class Cataracts(SourceBuilder):
    """A video needs a file of tools, of steps, or both; labels without video are quarantined.

    Frame k of a label file is the video's frame k; files that begin at 1 are counted from there.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Tools and steps."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="One frame a second."),
        SourceConfig(name="fps6", fps=6.0, description="For clips: operations take minutes."),
    ]
    EXPECTED = """
train/train01.mp4, test/test01.mp4       videos, in any folder (or train/01.mp4)
train/train01.csv, test/test01.csv       Frame, 21 tools            in any folder, one or both;
steps/train/train01.csv                  Frame,Steps                told apart by their columns
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        media = tree.one_each(_STEM + r"\.mp4", _name, "are the same video")
        tools: dict[str, File] = {}
        steps: dict[str, File] = {}
        for file, match in tree.match(_STEM + r"\.csv"):
            name, kind = _name(match), steps if is_steps(file) else tools
            if name in kind:
                raise tree.error(f"{kind[name]} and {file} are labels of the same video")
            kind[name] = file
        labelled = tools.keys() | steps.keys()
        if not labelled:
            raise tree.error("there is no label file")
        missing = sorted(media.keys() - labelled)
        if missing:
            raise tree.error(f"label files are missing: {', '.join(missing[:5])}")
        return [
            self._job(name, media.get(name), tools.get(name), steps.get(name))
            for name in sorted(labelled)
        ]

    def _job(
        self, name: str, media: File | None, tool_file: File | None, step_file: File | None
    ) -> VideoJob:
        tools = read_tools(tool_file) if tool_file else None
        steps = read_steps(step_file) if step_file else None
        info = frame_readers.probe(media) if media else None
        rate = info.fps if info else USUAL_FPS
        found = steps.segments("step", rate) if steps else ()
        if media is None:
            return self.lost(name, f"{name}.mp4", "labels are there, the video is not", found)
        notes = []
        for kind, label in (("tools", tools), ("steps", steps)):
            if label and info and info.frames:
                notes += label.ends_early(kind, info.frames - 1)
        unsure = sum(end - start for start, end, v in tools.pieces() if v is None) if tools else 0
        if unsure:
            notes.append(f"{unsure} frames whose tools are disputed or not evaluated have no tools")
        label = functools.partial(_label, rate, tools, steps)
        annotations = schema.VideoAnnotations(found, notes=tuple(notes))
        return self.of_file(name, media, info, label, annotations)


def _name(match) -> str:
    part, number = (match[1], match[2]) if match[1] else (match[3], match[4])
    return f"{part.lower()}{int(number):02d}"


def _label(
    rate: Fraction, tools: Runs | None, steps: Runs | None, time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    frame = frame_at(time, rate)
    return schema.FrameAnnotations(
        step=steps.at(frame) if steps else None,
        instruments=tools.at(frame) if tools else None,
    )
