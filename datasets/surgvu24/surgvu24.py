"""SurgVU24 as released: robotic training sessions with logs, clips with boxes, questions."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.frames import Items, Quarantined
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.surgvu24 import labels
from surgzoo.datasets.surgvu24.labels import Log
from surgzoo.db import schema

SOURCE = "surgvu24"

_PART = r"(?:.*/)?case_(\d{3})_video_part_(\d{3})\.mp4"
_LOG = r"(?:.*/)?case_(\d{3})/(tools|tasks)\.csv"
_BOXES = r"(?:.*/)?(\d+)_fps1(\.mp4|_coco\.json)"
_ASKED = r"(?:.*/)?case(\d{3})(\.mp4|_question\.json|\.json)"
_INSTALLED = "installed on an arm by the system's log; it may be out of view"
_ASKED_AT = "of the whole clip, put at its middle frame"


class SurgVU24(SourceBuilder):
    """Three kinds of videos: parts of sessions, clips with boxes, clips with a question.

    `case_000_video_part_001` has what the logs say: tools as instruments, tasks as steps. `cat1_1`
    is a clip of the public set with boxes, `case122` one of the public questions. Each kind may be
    missing.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Tools and tasks of sessions, boxes, questions."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The rate of the boxes.")]
    EXPECTED = """
surgvu24/case_000/case_000_video_part_001.mp4      of surgvu24_videos_only.zip
labels/case_000/tools.csv and tasks.csv            of surgvu24_labels_updated_v2.zip
cat1_test_set_public/1_fps1.mp4, 1_fps1_coco.json  optional: clips with boxes
case122/case122.mp4, case122_question.json, case122.json     optional: clips with a question
(archives can be left as they are; of one of these kinds alone the rest may be missing)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        parts: dict[int, dict[int, File]] = {}
        for file, match in tree.match(_PART):
            found = parts.setdefault(int(match[1]), {})
            if found.setdefault(int(match[2]), file) is not file:
                raise tree.error(f"{found[int(match[2])]} and {file} are the same part")
        logs = _files(tree, _LOG)
        boxes, asked = _files(tree, _BOXES), _files(tree, _ASKED)
        media = [
            (f"labels/case_{n:03d}/{kind}.csv", kind in logs.get(n, {}))
            for n in sorted(parts)
            for kind in ("tools", "tasks")
        ]
        media += [
            (f"{n}_fps1_coco.json", "_coco.json" in found)
            for n, found in sorted(boxes.items())
            if ".mp4" in found
        ]
        media += [
            (f"case{n:03d}/case{n:03d}{kind}", kind in found)
            for n, found in sorted(asked.items())
            for kind in ("_question.json", ".json")
            if ".mp4" in found
        ]
        missing = [name for name, there in media if not there]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise tree.error(f"label files are missing: {', '.join(missing[:5])}{more}")
        if not media and not logs:
            raise tree.error("there is no video and no label file")
        out: list[VideoJob] = []
        for number in sorted(logs):
            out += self._session(number, parts.get(number, {}), logs[number])
        for number, found in sorted(boxes.items()):
            out.append(self._boxes(number, found))
        for number, found in sorted(asked.items()):
            out.append(self._asked(number, found))
        return out

    def _session(
        self, number: int, parts: dict[int, File], files: dict[str, File]
    ) -> list[VideoJob]:
        name = f"case_{number:03d}"
        if not parts:
            where = f"{name}/{name}_video_part_001.mp4"
            return [self.lost(name, where, "labels are there, the video is not")]
        tools = labels.read_tools(files["tools"])
        tasks = labels.read_tasks(files["tasks"])
        notes = []
        if tools.unnamed:
            notes.append(f"{tools.unnamed} rows of tools.csv name the camera or nothing")
        if tasks.unnamed:
            notes.append(f"{tasks.unnamed} rows of tasks.csv name nothing")
        gone = sorted((tools.parts() | tasks.parts()) - parts.keys())
        if gone:
            notes.append(f"the logs go on in part {', '.join(map(str, gone))}, which is not there")
        bad = [
            (f"{files[kind]}, line {line}", reason)
            for kind, log in (("tools", tools), ("tasks", tasks))
            for line, reason in log.bad
        ]
        # Rows that cannot be used are of the session; its first part reports them.
        return [
            self._part(f"{name}_video_part_{part:03d}", part, file, tools, tasks, notes, rows)
            for (part, file), rows in zip(
                sorted(parts.items()), [bad, *([[]] * (len(parts) - 1))], strict=True
            )
        ]

    def _part(
        self,
        name: str,
        part: int,
        file: File,
        tools: Log,
        tasks: Log,
        notes: list[str],
        bad: list[tuple[str, str]],
    ) -> VideoJob:
        info = frame_readers.probe(file)
        segments = _segments(tasks, part, info.duration if info else 0.0)
        label = functools.partial(_logged, tools, tasks, part)
        annotations = schema.VideoAnnotations(segments=segments, notes=tuple(notes))
        job = self.of_file(name, file, info, label, annotations)
        read = functools.partial(_reporting, name, tuple(bad), job.frames)
        return dataclasses.replace(job, frames=read)

    def _boxes(self, number: int, files: dict[str, File]) -> VideoJob:
        name, fps = f"cat1_{number}", self.builder_config.fps
        if ".mp4" not in files:
            return self.lost(name, f"{number}_fps1.mp4", "boxes are there, the video is not")
        file, found = files[".mp4"], labels.read_boxes(files["_coco.json"])
        info, notes = frame_readers.probe(file), []
        behind = sum(frame >= math.ceil(info.duration * fps) for frame in found) if info else 0
        if behind:
            notes.append(f"{behind} of {len(found)} frames with boxes are behind the video's end")
        annotations = schema.VideoAnnotations(notes=tuple(notes))
        return self.of_file(name, file, info, functools.partial(_boxed, found), annotations)

    def _asked(self, number: int, files: dict[str, File]) -> VideoJob:
        name, fps = f"case{number:03d}", self.builder_config.fps
        if ".mp4" not in files:
            return self.lost(name, f"{name}/{name}.mp4", "a question is there, the video is not")
        questions = labels.read_question(files["_question.json"], files[".json"])
        info = frame_readers.probe(files[".mp4"])
        middle = math.floor((info.duration if info else 0.0) * fps / 2) / fps
        label = functools.partial(_questioned, questions, middle)
        return self.of_file(name, files[".mp4"], info, label)


def _files(tree: Tree, pattern: str) -> dict[int, dict[str, File]]:
    """Number -> kind of file -> file, for patterns of a number and a kind."""
    out: dict[int, dict[str, File]] = {}
    for file, match in tree.match(pattern):
        found = out.setdefault(int(match[1]), {})
        if found.setdefault(match[2].lower(), file) is not file:
            raise tree.error(f"{found[match[2].lower()]} and {file} are of the same video")
    return out


def _segments(tasks: Log, part: int, duration: float) -> tuple[schema.Segment, ...]:
    """The tasks of a part, cut at its end."""
    out = []
    for interval in tasks.intervals:
        within = interval.within(part)
        if within and within[0] < min(within[1], duration):
            out.append(schema.Segment("step", interval.label, within[0], min(within[1], duration)))
    return tuple(out)


def _reporting(name: str, bad: tuple[tuple[str, str], ...], read) -> Items:
    for where, reason in bad:
        yield Quarantined(name, where, reason)
    yield from read()


def _logged(
    tools: Log, tasks: Log, part: int, time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    running = tasks.at(part, time)
    return schema.FrameAnnotations(
        # Two tasks at once are a slip of the log: which one it is cannot be told.
        step=running[0] if len(running) == 1 else None,
        instruments=tuple(schema.Instrument(label) for label in tools.at(part, time)),
        derived={"instruments": _INSTALLED},
    )


def _boxed(
    found: dict[int, tuple[schema.Instrument, ...] | str], time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    boxes = found.get(round(time))
    if isinstance(boxes, str):
        raise FrameError(boxes)
    return schema.FrameAnnotations(instruments=boxes)


def _questioned(
    questions: tuple[schema.Question, ...], middle: float, time: float, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    if time != middle:
        return schema.FrameAnnotations()
    return schema.FrameAnnotations(questions=questions, derived={"questions": _ASKED_AT})
