"""CholecTrack20 as released: annotated seconds of 20 cholecystectomies, tracked instruments."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import video as videos
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholect50.cholect50 import video_number
from surgzoo.datasets.cholectrack20.labels import (
    FIRST_FRAME,
    FRAME_RATE,
    LabelFile,
    read_labels,
    seconds,
    segments,
)
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema, splits

SOURCE = "cholectrack20"
SPLITS = {"training": "train", "validation": "val", "testing": "test"}

# The released label file of video 30 repeats video 17's, and the one of video 31 lists the very
# frames of video 30 (github.com/CAMMA-public/cholectrack20, issue 10). In all other videos every
# annotated frame has its image; so where these two lack one, the labels are still the wrong ones.
MIXED_UP = frozenset({30, 31})
MIXED_UP_NOTE = (
    "stored without labels: the label file is of another video "
    "(github.com/CAMMA-public/cholectrack20/issues/10)"
)

_PLACE = r"(Training|Validation|Testing)/(VID0*\d+)"


@dataclasses.dataclass
class _Parts:
    """What lies in the folder of one video."""

    split: str
    images: dict[int, File] = dataclasses.field(default_factory=dict)
    labels: File | None = None
    video: File | None = None


class CholecTrack20(SourceBuilder):
    """Frames come from Frames/ where that is there, else from the 25-fps video at full seconds."""

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Instruments with boxes and tracks, phases, triplets, flags."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As annotated.")]
    EXPECTED = """
{Training,Validation,Testing}/VIDNN/VIDNN.json
{Training,Validation,Testing}/VIDNN/Frames/000001.png   frames of the 25-fps video, from 1
Testing/VIDNN/VIDNN.mp4                                 used where there is no Frames/
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("Training", "Validation", "Testing")
        parts: dict[int, _Parts] = {}
        for file, match in tree.match(rf"{_PLACE}/(?:Frames/(\d+)\.(?:png|jpe?g)|\2\.json)"):
            mine = self._parts(tree, parts, match[1], match[2])
            if match[3] is None:
                if mine.labels is not None:
                    raise tree.error(f"{mine.labels} and {file} are of the same video")
                mine.labels = file
            elif int(match[3]) < FIRST_FRAME or int(match[3]) in mine.images:
                raise tree.error(f"{file} is not the only image of a frame from {FIRST_FRAME} on")
            else:
                mine.images[int(match[3])] = file
        for file, match in tree.match(rf"{_PLACE}/[^/]+\.mp4"):
            mine = self._parts(tree, parts, match[1], match[2])
            if mine.video is not None:
                raise tree.error(f"{mine.video} and {file} are of the same video")
            mine.video = file
        if not parts:
            raise tree.error("there is no folder VIDNN")
        for number, mine in parts.items():
            if mine.labels is None:
                raise tree.error(f"VID{number:02d}.json is missing")
            if splits.official(SOURCE, str(number)).get("official") != mine.split:
                raise tree.error(
                    f"video {number} is in the {mine.split} folder, which is not its official split"
                )
        return [self._job(number, parts[number]) for number in sorted(parts)]

    def _parts(self, tree: Tree, parts: dict[int, _Parts], folder: str, name: str) -> _Parts:
        number, split = video_number(name), SPLITS[folder.lower()]
        mine = parts.setdefault(number, _Parts(split))
        if mine.split != split:
            raise tree.error(f"video {number} is in {mine.split} and in {split}")
        return mine

    def _job(self, number: int, parts: _Parts) -> VideoJob:
        name = f"VID{number:02d}"
        if not parts.images and parts.video is None:
            return self.lost(name, parts.labels.folder, "labels are there, the frames are not")
        labels = read_labels(parts.labels)
        if labels.number not in (None, number):
            raise AnnotationFileError(f"{parts.labels}: says that it is of video {labels.number}")
        if parts.images:
            return self._from_images(name, number, parts.images, labels)
        return self._from_video(name, parts.video, labels)

    def _from_images(
        self, name: str, number: int, images: dict[int, File], labels: LabelFile
    ) -> VideoJob:
        stills = [Still(seconds(frame), file, frame) for frame, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        gone = len(labels.frames.keys() - images.keys())
        if number in MIXED_UP and gone:
            notes, marked, label = (MIXED_UP_NOTE,), (), _unlabelled
        else:
            marked = segments(labels)
            notes = _missing(gone, labels)
            if bare := len(images.keys() - labels.frames.keys()):
                notes += (f"{bare} of {len(images)} images have no annotation",)
            label = functools.partial(_annotate, labels)
        end = max([stills[-1].time + 1, *(segment.end for segment in marked)])
        return VideoJob(
            self.video(name, height=height, width=width, duration=end),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(segments=marked, notes=notes),
            frame_count=len(stills),
        )

    def _from_video(self, name: str, file: File, labels: LabelFile) -> VideoJob:
        info = frame_readers.probe(file)
        between = sum((frame - FIRST_FRAME) % FRAME_RATE != 0 for frame in labels.frames)
        after = sum(seconds(frame) > info.duration for frame in labels.frames) if info else 0
        notes = _missing(after, labels)
        if between:
            notes += (f"{between} of {len(labels.frames)} annotated frames are at no full second",)
        annotations = schema.VideoAnnotations(segments=segments(labels), notes=notes)
        return self.of_file(name, file, info, functools.partial(_annotate_at, labels), annotations)


def _missing(count: int, labels: LabelFile) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count} of {len(labels.frames)} annotated frames have no image",)


def _annotate(labels: LabelFile, frame: int, image: np.ndarray) -> schema.FrameAnnotations:
    return labels.annotate(frame, image.shape[:2])


def _annotate_at(labels: LabelFile, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    frame = videos.frame_at(time, FRAME_RATE) + FIRST_FRAME
    return labels.annotate(frame, image.shape[:2])


def _unlabelled(frame: int, image: np.ndarray) -> schema.FrameAnnotations:
    del frame, image
    return schema.FrameAnnotations()
