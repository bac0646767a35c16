"""Cholec80 as released: 80 cholecystectomies with phases at 25 fps and seven tools at 1 fps."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import video as videos
from surgzoo.datasets.cholec80.labels import (
    LABEL_FPS,
    Tools,
    last_row,
    rate_notes,
    read_phases,
    read_tools,
)
from surgzoo.datasets.frame_runs import Runs
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "cholec80"


class Cholec80(SourceBuilder):
    """A video without labels is an error, labels without video are quarantined.

    Frame k of a video shows k / fps seconds; its phase is row floor(25 k / fps) of the phase file,
    its tools that row of the tool file, where there is one.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases and tools."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The usual benchmark rate."),
        SourceConfig(name="fps5", fps=5.0, description="For clips; tools stay at 1 fps."),
    ]
    EXPECTED = """
videos/videoNN.mp4                      (NN = 01 .. 80)
phase_annotations/videoNN-phase.txt
tool_annotations/videoNN-tool.txt
or, instead of videos/, the 1-fps packing
frames/videoNN/videoNN_000001.png       (counted from 1; config fps1 only)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("videos", "frames", "phase_annotations", "tool_annotations")
        files = {int(m[1]): file for file, m in tree.match(r"videos/video(\d\d)\.mp4")}
        packed: dict[int, dict[int, File]] = {}
        for file, match in tree.match(r"frames/video(\d\d)/.*_(\d+)\.png"):
            if int(match[2]) > 0:
                packed.setdefault(int(match[1]), {})[int(match[2])] = file
        media = packed | files
        strange = [file for file, _ in tree.match(r"videos/.*\.mp4") if file not in files.values()]
        if strange:
            raise tree.error(f"{strange[0]} has an unexpected name")
        if not media:
            raise tree.error("there is no video")
        labelled = {
            int(match[1])
            for _, match in tree.match(
                r"(?:phase|tool)_annotations/video(\d\d)-(?:phase|tool)\.txt"
            )
        }
        missing = [
            path for number in sorted(media) for path in _label_files(number) if path not in tree
        ]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise tree.error(f"label files are missing: {', '.join(missing[:5])}{more}")
        return [
            self._job(tree, number, media.get(number)) for number in sorted(media.keys() | labelled)
        ]

    def _job(self, tree: Tree, number: int, media: File | dict[int, File] | None) -> VideoJob:
        name = f"video{number:02d}"
        if media is None:
            return self.lost(name, f"videos/{name}.mp4", "labels are there, the video is not")
        phase_file, tool_file = (tree[path] for path in _label_files(number))
        phases, tools = read_phases(phase_file), read_tools(tool_file)
        label = functools.partial(_annotations, phases, tools)
        if isinstance(media, dict):
            return self._packed(tree, name, media, phases, tools, label)
        info = frame_readers.probe(media)
        row = last_row(info)
        notes = rate_notes(info) + phases.ends_early("phases", row) + tools.notes(row)
        annotations = schema.VideoAnnotations(
            segments=phases.segments("phase", LABEL_FPS), notes=tuple(notes)
        )
        return self.of_file(name, media, info, label, annotations)

    def _packed(
        self,
        tree: Tree,
        name: str,
        media: dict[int, File],
        phases: Runs,
        tools: Tools,
        label: frame_readers.Label,
    ) -> VideoJob:
        """A video in the packing of frames."""
        if self.builder_config.fps != 1:
            raise tree.error(
                f"frames/{name} holds frames at 1 fps; {self.builder_config.fps:g} fps can be had "
                f"from videos/{name}.mp4 only"
            )
        # The packing counts from 1, the labels from 0.
        stills = [Still(k - 1.0, file, k - 1.0) for k, file in sorted(media.items())]
        height, width = frame_readers.image_size(stills)
        count = max(media)
        notes = []
        if len(stills) < count:
            notes.append(f"{count - len(stills)} frames are missing among the first {count}")
        row = LABEL_FPS * (count - 1)
        notes += phases.ends_early("phases", row) + tools.notes(row)
        return VideoJob(
            self.video(name, height=height, width=width, duration=float(count)),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(
                segments=phases.segments("phase", LABEL_FPS), notes=tuple(notes)
            ),
            frame_count=len(stills),
        )


def _label_files(number: int) -> tuple[str, str]:
    name = f"video{number:02d}"
    return f"phase_annotations/{name}-phase.txt", f"tool_annotations/{name}-tool.txt"


def _annotations(
    phases: Runs[schema.Label], tools: Tools, time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    row = videos.frame_at(time, LABEL_FPS)
    return schema.FrameAnnotations(phase=phases.at(row), instruments=tools.at(row))
