"""Cholec80 as released: 80 cholecystectomies with phases at 25 fps and seven tools at 1 fps."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import tensorflow_datasets as tfds

from surgzoo.datasets import video as videos
from surgzoo.datasets.cholec80.labels import (
    LABEL_FPS,
    TOOL_STRIDE,
    Phases,
    Tools,
    read_phases,
    read_tools,
)
from surgzoo.datasets.cholec80.splits import splits
from surgzoo.datasets.source_builder import (
    LayoutError,
    Quarantined,
    SourceBuilder,
    SourceConfig,
    VideoJob,
)
from surgzoo.db import identity, records, schema

SOURCE = "cholec80"
LICENCE = "CC BY-NC-SA 4.0"

EXPECTED = """
videos/videoNN.mp4                      (NN = 01 .. 80)
phase_annotations/videoNN-phase.txt
tool_annotations/videoNN-tool.txt
or, instead of videos/, the 1-fps packing
frames/videoNN/videoNN_000001.png       (counted from 1; config fps1 only)
"""

_NUMBERED = re.compile(r"video(\d\d)(?:\.mp4|-phase\.txt|-tool\.txt)?")


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
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Ask for Cholec80 with the form on https://camma.unistra.fr/datasets/ (CC BY-NC-SA 4.0) "
        f"and unpack it so that manual_dir holds\n{EXPECTED}"
    )
    description = (
        "80 laparoscopic cholecystectomies by 13 surgeons at 25 fps, with seven phases and the "
        "presence of seven tools."
    )
    homepage = "https://camma.unistra.fr/datasets/"
    citation = (
        "A. P. Twinanda, S. Shehata, D. Mutter, J. Marescaux, M. de Mathelin, N. Padoy: EndoNet: A "
        "Deep Architecture for Recognition Tasks on Laparoscopic Videos. IEEE Transactions on "
        "Medical Imaging 36(1), 2017."
    )

    def jobs(self, manual_dir: Path) -> list[VideoJob]:
        media, labelled = _media(manual_dir), _labelled(manual_dir)
        missing = [
            str(path.relative_to(manual_dir))
            for number in sorted(media)
            for path in _label_files(manual_dir, number)
            if not path.exists()
        ]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise LayoutError(
                SOURCE,
                manual_dir,
                EXPECTED,
                f"label files are missing: {', '.join(missing[:5])}{more}",
            )
        if not media:
            raise LayoutError(SOURCE, manual_dir, EXPECTED, "there is no video")
        fps = self.builder_config.fps
        return [
            _job(manual_dir, number, media.get(number), fps) for number in sorted(media | labelled)
        ]


def _media(folder: Path) -> dict[int, Path]:
    """Video number -> mp4 file, or the folder of its PNG frames where there is no mp4."""
    folders = [path for path in folder.glob("frames/*") if path.is_dir()]
    found = {}
    for path in (*folders, *folder.glob("videos/*.mp4")):
        if path.name.startswith("."):  # macOS leaves ._video01.mp4 beside video01.mp4
            continue
        match = _NUMBERED.fullmatch(path.name)
        if match is None:
            raise LayoutError(
                SOURCE, folder, EXPECTED, f"{path.parent.name}/{path.name} has an unexpected name"
            )
        found[int(match[1])] = path
    return found


def _labelled(folder: Path) -> dict[int, None]:
    """Numbers of the videos that have a label file."""
    paths = (*folder.glob("phase_annotations/*.txt"), *folder.glob("tool_annotations/*.txt"))
    matches = (_NUMBERED.fullmatch(path.name) for path in paths)
    return {int(match[1]): None for match in matches if match}


def _label_files(folder: Path, number: int) -> tuple[Path, Path]:
    name = f"video{number:02d}"
    return (
        folder / "phase_annotations" / f"{name}-phase.txt",
        folder / "tool_annotations" / f"{name}-tool.txt",
    )


def _job(folder: Path, number: int, media: Path | None, fps: float) -> VideoJob:
    name = f"video{number:02d}"
    facts = {
        "id": name,
        "canonical": identity.canonical(SOURCE, name),
        "source": SOURCE,
        "specialty": "hepatobiliary",
        "procedure": "cholecystectomy",
        "licence": LICENCE,
        "splits": splits(number),
        "fps": fps,
        "url": "https://camma.unistra.fr/datasets/",
    }
    if media is None:
        lost = Quarantined(name, f"videos/{name}.mp4", "labels are there, the video is not")
        return VideoJob(schema.Video(**facts), functools.partial(iter, (lost,)))
    phase_file, tool_file = _label_files(folder, number)
    phases, tools = read_phases(phase_file), read_tools(tool_file)
    if media.is_dir():
        if fps != 1:
            raise ValueError(
                f"{media} holds frames at 1 fps; {fps:g} fps can be had from videos/{name}.mp4 only"
            )
        files = _png_files(media)
        duration = max(files, default=0)
        last_row = LABEL_FPS * (duration - 1)
        size = _png_size(files)
        frames = functools.partial(_png_frames, name, files, phases, tools)
        notes = []
        if len(files) < duration:
            notes.append(f"{duration - len(files)} frames are missing among the first {duration}")
    else:
        info, notes = _probe(media)
        duration, size = info.duration, (info.height, info.width)
        last_row = round(duration * LABEL_FPS) - 1
        frames = functools.partial(_video_frames, name, media, fps, phases, tools)
    notes += _notes(last_row, phases, tools)
    return VideoJob(
        schema.Video(**facts, height=size[0], width=size[1], duration=duration),
        frames,
        schema.VideoAnnotations(segments=phases.segments(), notes=tuple(notes)),
    )


def _probe(path: Path) -> tuple[videos.VideoInfo, list[str]]:
    try:
        info = videos.probe(path)
    except videos.VideoError:  # met again, and quarantined, when the frames are read
        return videos.VideoInfo(fps=0, width=0, height=0, frames=0, duration=0, gop=0), []
    if info.fps == LABEL_FPS:
        return info, []
    return info, [f"the file has {float(info.fps):.3f} fps, the labels 25; matched by time"]


def _notes(last_row: int, phases: Phases, tools: Tools) -> list[str]:
    """What the label files leave open, given the last 25-fps frame of the video."""
    notes = []
    if phases.rows <= last_row:
        notes.append(f"phases end at frame {phases.rows - 1}, the video at frame {last_row}")
    if tools.last < last_row // TOOL_STRIDE * TOOL_STRIDE:
        notes.append(f"tools end at frame {tools.last}, the video at frame {last_row}")
    return notes


def _annotations(row: int, phases: Phases, tools: Tools) -> schema.FrameAnnotations:
    return schema.FrameAnnotations(phase=phases.at(row), instruments=tools.at(row))


def _video_frames(
    name: str, path: Path, fps: float, phases: Phases, tools: Tools
) -> Iterator[records.FrameRecord | Quarantined]:
    where = f"videos/{path.name}"
    stored = 0
    try:
        for item in videos.decode(path, fps):
            if isinstance(item, videos.Damaged):
                yield Quarantined(
                    name,
                    f"{where}, {item.count} frames from {item.time:.2f} s on",
                    item.reason,
                )
                continue
            row = videos.original_index(item.index, fps, LABEL_FPS)
            yield records.FrameRecord(
                schema.Frame(name, stored, item.time),
                _annotations(row, phases, tools),
                videos.encode_jpeg(item.image),
            )
            stored += 1
    except videos.VideoError as error:
        yield Quarantined(name, where, str(error))


def _png_files(folder: Path) -> dict[int, Path]:
    """Number in the file name (from 1) -> file, in order."""
    found = {}
    for path in folder.glob("*.png"):
        number = path.stem.rpartition("_")[2]
        if number.isdecimal() and int(number) > 0:
            found[int(number)] = path
    return dict(sorted(found.items()))


def _png_size(files: dict[int, Path]) -> tuple[int, int]:
    """(height, width) of the first readable frame."""
    for path in files.values():
        image = cv2.imread(str(path))
        if image is not None:
            return image.shape[0], image.shape[1]
    return 0, 0


def _png_frames(
    name: str, files: dict[int, Path], phases: Phases, tools: Tools
) -> Iterator[records.FrameRecord | Quarantined]:
    stored = 0
    for number, path in files.items():
        second = number - 1  # the packing counts from 1, the labels from 0
        image = cv2.imread(str(path))
        if image is None:
            yield Quarantined(name, f"frames/{name}/{path.name}", "not a readable image")
            continue
        yield records.FrameRecord(
            schema.Frame(name, stored, float(second)),
            _annotations(second * LABEL_FPS, phases, tools),
            videos.encode_jpeg(image[..., ::-1]),
        )
        stored += 1
