"""OphNet2024: eye operations from the web, 743 of them with their phases in time."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.intervals import Intervals
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.ophnet2024.labels import Case, read_cases, read_surgeries
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "ophnet2024"

_VIDEO = r"(?:.*/)?(case_\d+)\.mp4"
_CLIP = r"(?:.*/)?OphNet2024_trimmed_phase/(?:.*/)?(case_\d+_\d+\.mp4)"
# The whole table comes first: in the challenge's, rare phases have lost their names.
_TABLES = (
    (r"(?:.*/)?OphNet2024_loca_all\.csv", False),
    (r"(?:.*/)?OphNet2024_loca_challenge_phase\.csv", True),
    (r"(?:.*/)?OphNet2024_loca_challenge\.csv", True),
    (r"(?:.*/)?OphNet2024_loca_challenge_phase_trimmed\.csv", True),
)
_TRIMMED = _TABLES[-1][0]
_SURGERIES = r"(?:.*/)?OphNet2024_surgery\.csv"


class OphNet2024(SourceBuilder):
    """A case is stored from its whole video, else from its trimmed clips, each a video of its own.

    The release has 1,226 videos without any interval: they are not stored. A video that no table
    names is an error; intervals without video are quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="Phases at 1 fps."),
        SourceConfig(name="fps5", fps=5.0, description="For clips."),
    ]
    EXPECTED = """
OphNet2024_all/case_0002.mp4 ...                        whole videos (the .tar.gz parts unpacked)
annotation/OphNet2024_loca_all.csv                      or _loca_challenge_phase, _loca_challenge
annotation/OphNet2024_surgery.csv                       optional; names the videos without phases
or, instead of whole videos,
OphNet2024_trimmed_phase/case_0002/case_0002_0.mp4 ...
OphNet2024_trimmed_phase/OphNet2024_loca_challenge_phase_trimmed.csv
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        cases = _table(tree)
        clips = {match[1].lower(): file for file, match in tree.match(_CLIP)}
        trimmed: dict[str, Case] = {}
        if clips:
            file = _only(tree, _TRIMMED)
            if file is None:
                raise tree.error("there are trimmed clips, but no table that names them")
            trimmed = read_cases(file, challenge=True, trimmed=True)
        file = _only(tree, _SURGERIES)
        surgeries = read_surgeries(file) if file else {}
        videos = tree.one_each(_VIDEO, lambda match: match[1].lower(), "are the same video")
        strange = sorted(videos.keys() - cases.keys() - surgeries.keys())
        if strange:
            raise tree.error(f"no table has a row of {', '.join(strange[:5])}")
        jobs = []
        for name, case in sorted(cases.items()):
            cut = trimmed.get(name)
            if name not in videos and cut and any(clip in clips for clip, *_ in cut.clips):
                jobs += self._clips(cut, clips)
            else:
                jobs.append(self._job(name, videos.get(name), case, surgeries.get(name, ())))
        return jobs

    def _job(
        self, name: str, media: File | None, case: Case, surgeries: tuple[int, ...]
    ) -> VideoJob:
        if media is None:
            reason = "intervals are there, the video is not"
            return self.lost(name, f"{name}.mp4", reason, case.segments)
        info = frame_readers.probe(media)
        notes = list(case.notes())
        if surgeries:
            shown = ", ".join(map(str, surgeries))
            notes.append(f"surgery ids of the release, without public names: {shown}")
        end = max((segment.end for segment in case.segments), default=0.0)
        if info and end > info.duration + 1:
            notes.append(f"phases end at {end:.1f} s, the video at {info.duration:.1f} s")
        label = functools.partial(_phase_at, Intervals(case.segments))
        annotations = schema.VideoAnnotations(case.segments, notes=tuple(notes))
        return self.of_file(name, media, info, label, annotations, splits=_splits(case))

    def _clips(self, case: Case, clips: dict[str, File]) -> list[VideoJob]:
        jobs = []
        for clip, length, label in case.clips:
            name = clip.removesuffix(".mp4")
            segments = ()
            if label is not None and length > 0:
                segments = (schema.Segment("phase", label, 0.0, length),)
            if clip not in clips:
                reason = "its interval is there, the clip is not"
                jobs.append(self.lost(name, clip, reason, segments))
                continue
            info = frame_readers.probe(clips[clip])
            # A cut is not exact to the frame, but all of the clip is of its row.
            whole, annotations = functools.partial(_is, label), schema.VideoAnnotations(segments)
            jobs.append(
                self.of_file(name, clips[clip], info, whole, annotations, splits=_splits(case))
            )
        return jobs


def _splits(case: Case) -> dict[str, schema.Split]:
    return {"official": case.split, "default": case.split}


def _table(tree: Tree) -> dict[str, Case]:
    for pattern, challenge in _TABLES:
        file = _only(tree, pattern)
        if file is not None:
            return read_cases(file, challenge=challenge)
    raise tree.error("there is no table of intervals")


def _only(tree: Tree, pattern: str) -> File | None:
    found = [file for file, _ in tree.match(pattern)]
    if len(found) > 1:
        raise tree.error(f"{found[0]} and {found[1]} are the same file")
    return found[0] if found else None


def _phase_at(intervals: Intervals, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(phase=intervals.one("phase", time))


def _is(label: schema.Label | None, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del time, image
    return schema.FrameAnnotations(phase=label)
