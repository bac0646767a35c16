"""HeiChole: cholecystectomies with phases, instruments, actions and skill."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.frame_runs import Runs
from surgzoo.datasets.heichole.labels import (
    read_actions,
    read_instruments,
    read_phases,
    read_skill,
)
from surgzoo.datasets.intervals import runs
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.video import frame_at
from surgzoo.db import schema

SOURCE = "heichole"
READERS = {"phase": read_phases, "instrument": read_instruments, "action": read_actions}
FAST = frozenset((16, 17, 18, 19, 20, 23, 24))  # 50 fps, the others 25


class HeiChole(SourceBuilder):
    """Full videos. A video may lack some of its label files; one without any is an error.

    Label rows count the frames of the video: 25 a second, in some videos 50. Frames that show the
    room are white in the release.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases, categories of instruments, actions, skill."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="One frame a second."),
        SourceConfig(name="fps5", fps=5.0, description="For clips."),
    ]
    EXPECTED = """
Videos/Full/Hei-Chole1.mp4
Annotations/Phase/Hei-Chole1_Annotation_Phase.csv              frame,phase (no header)
Annotations/Instrument/Hei-Chole1_Annotation_Instrument.csv    frame and 21 columns
Annotations/Action/Hei-Chole1_Annotation_Action.csv            frame,grasp,hold,cut,clip
Annotations/Skill/Hei-Chole1_calot...csv                       five ratings, a file a part; optional
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        media: dict[int, File] = {}
        for file, match in tree.match(r"(?:.*/)?Hei-Chole(\d+)\.mp4"):
            # Some videos lie in a folder HD too, which the shorter path is not.
            there = media.setdefault(int(match[1]), file)
            if there != file:
                media[int(match[1])] = min(there, file, key=lambda f: (len(f.path), f.path))
        labels: dict[int, dict[str, File]] = {}
        skill: dict[int, dict[str, File]] = {}
        for file, match in tree.match(
            r"(?:.*/)?Hei-Chole(\d+)_Annotation_(Phase|Instrument|Action)\.csv"
        ):
            labels.setdefault(int(match[1]), {})[match[2].lower()] = file
        for file, match in tree.match(r"(?:.*/)?Skill/Hei-Chole(\d+)[_-]?(.*)\.csv"):
            part = match[2].lower().replace("annotation", "").replace("skill", "").strip("_-")
            skill.setdefault(int(match[1]), {})[part.replace("_", " ") or "full"] = file
        if not labels:
            raise tree.error("there are no label files")
        missing = sorted(media.keys() - labels.keys())
        if missing:
            names = ", ".join(f"Hei-Chole{n}" for n in missing[:5])
            raise tree.error(f"label files are missing: {names}")
        return [self._job(n, media.get(n), labels[n], skill.get(n, {})) for n in sorted(labels)]

    def _job(
        self, number: int, media: File | None, files: dict[str, File], skill: dict[str, File]
    ) -> VideoJob:
        name = f"Hei-Chole{number}"
        found = {kind: READERS[kind](file) for kind, file in files.items()}
        info = frame_readers.probe(media) if media else None
        rate = info.fps if info else Fraction(50 if number in FAST else 25)
        segments = found["phase"].segments("phase", rate) if "phase" in found else ()
        if media is None:
            where = f"Videos/Full/{name}.mp4"
            return self.lost(name, where, "labels are there, the video is not", segments)
        notes = [f"no labels of {kind}s" for kind in READERS if kind not in found]
        for kind, label in found.items():
            if info and info.frames:
                notes += label.ends_early(f"{kind}s", info.frames - 1)
        ratings = tuple(
            rating for part, file in sorted(skill.items()) for rating in read_skill(file, part)
        )
        annotations = schema.VideoAnnotations(
            (*segments, *_actions(found.get("action"), rate)), (), ratings, tuple(notes)
        )
        label = functools.partial(_label, rate, found)
        return self.of_file(name, media, info, label, annotations)


def _actions(found: Runs | None, rate: Fraction) -> tuple[schema.Segment, ...]:
    """Runs of each action; several go on at once."""
    if found is None:
        return ()
    labels = dict.fromkeys(label for _, _, now in found.pieces() for label in now)
    out = [
        segment
        for label in labels
        for segment in runs(
            "action",
            (
                (float(start / rate), float(end / rate), label if label in now else None)
                for start, end, now in found.pieces()
            ),
        )
    ]
    return tuple(sorted(out, key=lambda s: (s.start, s.end, s.label.concept)))


def _label(
    rate: Fraction, found: dict[str, Runs], time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    frame = frame_at(time, rate)
    now = {kind: label.at(frame) for kind, label in found.items()}
    return schema.FrameAnnotations(
        phase=now.get("phase"), instruments=now.get("instrument"), actions=now.get("action")
    )
