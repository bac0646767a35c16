"""Cataract-1K: 56 cataract operations with phases, and 2,256 outlined frames of 30 operations."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cataract1k.labels import (
    Shape,
    annotate,
    read_coco,
    read_fps,
    read_phases,
    read_supervisely,
)
from surgzoo.datasets.frames import Still
from surgzoo.datasets.intervals import Intervals
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "cataract1k"
STEP = 5.0  # seconds between the frames that were outlined (README)

_VIDEO = r"(?:.*/)?case_0*(\d+)\.mp4"
_PHASES = r"(?:.*/)?case_0*(\d+)_annotations(?:_phases)?\.csv"
_RATE = r"(?:.*/)?case_0*(\d+)_video\.csv"
_IMAGE = r"(?:.*/)?(?:img|images)/case_?0*(\d+)_(\d+)\.(?:png|jpe?g)"
_OUTLINES = r"(?:.*/)?ann/case_?0*(\d+)_(\d+)\.(?:png|jpe?g)\.json"
_COCO = r"(?:.*/)?case_0*(\d+)/(?:annotations/)?instances\.json"


class Cataract1K(SourceBuilder):
    """Phases and outlines side by side: `case_5013` is a video, `case_5013_images` its frames.

    Either part may be missing. Phases without a video are quarantined; videos without phases (the
    release has some hundreds) are not stored. Outlined frames have no phase, as frames that were
    left out before their numbering shift their times.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases; masks of anatomy and instruments."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="Videos at 1 fps, outlined frames as are."),
        SourceConfig(name="fps5", fps=5.0, description="For clips."),
    ]
    EXPECTED = """
Phase_recognition_dataset/videos/case_5013.mp4
Phase_recognition_dataset/annotations/case_5013/case_5013_annotations_phases.csv   also
    case_5013_annotations.csv
Phase_recognition_dataset/annotations/case_5013/case_5013_video.csv                optional
Segmentation_dataset/.../case_5013/img/case5013_01.png
Segmentation_dataset/.../case_5013/ann/case5013_01.png.json                        Supervisely, or
Segmentation_dataset/.../case_5013/annotations/instances.json                      COCO
(one of the two parts is enough; only file names and the folders img, images, ann matter)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        videos, phases = _by_case(tree, _VIDEO), _by_case(tree, _PHASES)
        rates, coco = _by_case(tree, _RATE), _by_case(tree, _COCO)
        images, outlines = _by_frame(tree, _IMAGE), _by_frame(tree, _OUTLINES)
        outlined = outlines.keys() | coco.keys()
        if not phases and not outlined:
            raise tree.error("there are no phase tables and no outlines")
        missing = sorted(images.keys() - outlined)
        if missing:
            shown = ", ".join(f"case_{case}" for case in missing[:5])
            raise tree.error(f"the outlines of the images of {shown} are missing")
        return [
            *(
                self._video(case, videos.get(case), phases[case], rates.get(case))
                for case in sorted(phases)
            ),
            *(
                self._images(case, images.get(case, {}), outlines.get(case, {}), coco.get(case))
                for case in sorted(outlined)
            ),
        ]

    def _video(
        self, case: int, file: File | None, phase_file: File, rate_file: File | None
    ) -> VideoJob:
        name = f"case_{case}"
        info = None if file is None else frame_readers.probe(file)
        rate = read_fps(rate_file) if rate_file else float(info.fps) if info else None
        segments, notes = read_phases(phase_file, case, rate)
        if file is None:
            return self.lost(name, f"{name}.mp4", "phases are there, the video is not", segments)
        end = max(segment.end for segment in segments)
        if info and end > info.duration + 1:
            notes = (*notes, f"phases end at {end:.1f} s, the video at {info.duration:.1f} s")
        label = functools.partial(_phase_at, Intervals(segments))
        annotations = schema.VideoAnnotations(segments, notes=notes)
        return self.of_file(name, file, info, label, annotations)

    def _images(
        self, case: int, images: dict[int, File], outlines: dict[int, File], coco: File | None
    ) -> VideoJob:
        name = f"case_{case}_images"
        # Supervisely wins: the COCO files were made from it.
        shapes = {} if coco is None else _numbered(read_coco(coco), coco, case)
        shapes |= {number: read_supervisely(file) for number, file in outlines.items()}
        video = functools.partial(self.video, name, splits_of=f"case_{case}")
        if not images:
            lost = self.lost(name, f"img/case{case}_*.png", "outlines are there, images are not")
            return VideoJob(video(), lost.frames)
        stills = [
            Still(STEP * (number - 1), file, number) for number, file in sorted(images.items())
        ]
        height, width = frame_readers.image_size(stills)
        notes = [
            f"times are {STEP:g} s a number; blurred frames were left out before the numbering"
        ]
        bare, alone = len(images.keys() - shapes.keys()), len(shapes.keys() - images.keys())
        if bare:
            notes.append(f"{bare} of {len(images)} images have no outlines")
        if alone:
            notes.append(f"{alone} of {len(shapes)} outlined images are missing")
        return VideoJob(
            video(height=height, width=width, duration=stills[-1].time + STEP),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_outlined, shapes)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _by_case(tree: Tree, pattern: str) -> dict[int, File]:
    return tree.one_each(pattern, lambda match: int(match[1]), "are of the same case")


def _by_frame(tree: Tree, pattern: str) -> dict[int, dict[int, File]]:
    out: dict[int, dict[int, File]] = {}
    for file, match in tree.match(pattern):
        found = out.setdefault(int(match[1]), {})
        # The COCO export has the images once more.
        if int(match[2]) < 1 or found.setdefault(int(match[2]), file).name != file.name:
            raise tree.error(f"{file} is not the only file of a frame counted from 1")
    return out


def _numbered(
    found: dict[str, tuple[Shape, ...]], file: File, case: int
) -> dict[int, tuple[Shape, ...]]:
    """By the number of the frame. Raises AnnotationFileError."""
    out = {}
    for name, shapes in found.items():
        stem, _, number = name.partition(".")[0].rpartition("_")
        if stem.replace("_", "") != f"case{case}" or not number.isdecimal():
            raise AnnotationFileError(f"{file}: {name} is no image of case {case}")
        out[int(number)] = shapes
    return out


def _phase_at(intervals: Intervals, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(phase=intervals.one("phase", time))


def _outlined(
    shapes: dict[int, tuple[Shape, ...]], number: int, image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    if number not in shapes:
        return schema.FrameAnnotations()
    return annotate(shapes[number], image.shape[:2])
