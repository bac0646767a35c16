"""JIGSAWS as released: three bench tasks on a da Vinci, gestures at 30 fps, ratings of skill."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import video as videos
from surgzoo.datasets.jigsaws.labels import FPS, GESTURES, Gestures, read_meta, read_transcription
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, schema

SOURCE = "jigsaws"
USERS = "BCDEFGHI"
SUPERTRIALS = (1, 2, 3, 4, 5)
DEFAULT_SCHEME = "louo_b"  # our choice: no fold comes before the others

_TASK = "|".join(GESTURES)
_TRIAL = rf"(?P<task>{_TASK})_(?P<user>[B-I])(?P<number>\d{{3}})"
_VIDEO = rf"(?:.*/)?(?:{_TASK})/video/{_TRIAL}_capture(?P<camera>[12])\.avi"
_TRANSCRIPTION = rf"(?:.*/)?(?:{_TASK})/transcriptions/{_TRIAL}\.txt"
_META = rf"(?:.*/)?(?:{_TASK})/meta_file_(?P<task>{_TASK})\.txt"


class Jigsaws(SourceBuilder):
    """Each trial is stored twice, as the two cameras see it: a video, not a stereo pair.

    Trials without gestures or without ratings are stored, and their notes say so. Labels without
    any video are quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Gestures, actions and skill."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="One frame a second."),
        SourceConfig(name="fps5", fps=5.0, description="Gestures last from half a second on."),
    ]
    EXPECTED = """
Suturing/video/Suturing_B001_capture1.avi          and _capture2, Knot_Tying, Needle_Passing
Suturing/transcriptions/Suturing_B001.txt
Suturing/meta_file_Suturing.txt
(the release's zip files can be left as they are)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        media: dict[str, dict[str, File]] = {}
        for file, match in tree.match(_VIDEO):
            found = media.setdefault(_trial(match), {})
            if found.setdefault(match["camera"], file) is not file:
                raise tree.error(f"{found[match['camera']]} and {file} are the same video")
        gestures = {}
        for file, match in tree.match(_TRANSCRIPTION):
            name = _trial(match)
            if name in gestures:
                raise tree.error(f"{gestures[name]} and {file} are of the same trial")
            gestures[name] = file
        skills: dict[str, tuple[schema.Skill, ...]] = {}
        for file, match in tree.match(_META):
            skills |= read_meta(file, _proper(match["task"]))
        if not media and not gestures:
            raise tree.error("there is no video and no transcription")
        out = []
        for name in sorted(media.keys() | gestures.keys() | skills.keys()):
            labels = read_transcription(gestures[name]) if name in gestures else None
            if name not in media:
                where = f"{_task(name)}/video/{name}_capture1.avi"
                out.append(
                    self.lost(
                        f"{name}_capture1",
                        where,
                        "labels are there, the videos are not",
                        **_facts(name),
                    )
                )
            for camera, file in sorted(media.get(name, {}).items()):
                out.append(self._job(name, camera, file, labels, skills.get(name)))
        return out

    def _job(
        self,
        name: str,
        camera: str,
        file: File,
        labels: Gestures | None,
        skills: tuple[schema.Skill, ...] | None,
    ) -> VideoJob:
        video = f"{name}_capture{camera}"
        info, notes = frame_readers.probe(file), []
        if labels is None or not labels.starts:
            state = "missing" if labels is None else "empty"
            notes.append(f"no gestures: the transcription is {state}")
        else:
            known = {f"G{number}" for number in GESTURES[_task(name)]}
            odd = sorted(set(labels.names) - known)
            if odd:
                notes.append(f"{', '.join(odd)}: no gesture of {_task(name)} by the paper")
            if info and labels.ends[-1] > info.duration * FPS + 1:
                notes.append(
                    f"gestures end at frame {labels.ends[-1]}, the video at "
                    f"{info.duration * FPS:.0f}"
                )
        if skills is None:
            notes.append("not rated: the meta file does not name the trial")
        annotations = schema.VideoAnnotations(
            segments=labels.segments() if labels else (),
            skills=skills or (),
            notes=tuple(notes),
        )
        label = functools.partial(_annotations, labels)
        return self.of_file(video, file, info, label, annotations, **_facts(name))


def _facts(name: str) -> dict[str, Any]:
    """Fields of `schema.Video` that hold for all videos of a trial."""
    procedure = ontology.label(SOURCE, "procedure", _task(name)).concept
    return {"procedure": procedure, "splits": splits_of(name)}


def splits_of(name: str) -> dict[str, schema.Split]:
    """The folds of the two protocols: leave one user out, leave one supertrial out.

    The trial Suturing_B001 is user B's first: supertrial 1.
    """
    user, number = name[-4], int(name[-3:])
    out: dict[str, schema.Split] = {
        f"louo_{one.lower()}": "test" if one == user else "train" for one in USERS
    }
    out |= {f"loso_{one}": "test" if one == number else "train" for one in SUPERTRIALS}
    return out | {"default": out[DEFAULT_SCHEME]}


def _task(name: str) -> str:
    return name[:-5]


def _proper(task: str) -> str:
    """A task's name in the release's own case."""
    return next(name for name in GESTURES if name.lower() == task.lower())


def _trial(match: re.Match) -> str:
    return f"{_proper(match['task'])}_{match['user'].upper()}{match['number']}"


def _annotations(
    labels: Gestures | None, time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    found = labels.at(videos.frame_at(time, FPS)) if labels else None
    return schema.FrameAnnotations(actions=None if found is None else (found,))
