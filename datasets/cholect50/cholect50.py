"""CholecT50 as released: frames at 1 fps with action triplets and phases, boxes in some videos."""

from __future__ import annotations

import functools
import itertools
import re

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cholect50.labels import LONGEST_GAP, LabelFile, check_mapping, read_labels
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "cholect50"

_IMAGE = r"videos/(VID0*\d+)/([^/]+)\.(?:png|jpe?g)"
_LABELS = r"labels/(VID0*\d+)\.json"


class CholecT50(SourceBuilder):
    """Builder of CholecT50 and of its challenge subset (sparse frames, with boxes).

    A video's frames are stored one after the other; `Frame.time` keeps the second that the file
    name says. A folder of frames without labels is an error, labels without frames are quarantined.
    Frames from outside the body are black in the release.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Triplets, instruments, boxes and phases."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
videos/VIDNN/000000.png     one image a second, the number is the second
labels/VIDNN.json
label_mapping.txt           optional; compared with the known triplets when it is there
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("labels", "videos")
        media: dict[int, dict[int, File]] = {}
        names: dict[int, str] = {}
        for file, match in tree.match(_IMAGE):
            number, second = video_number(match[1]), match[2]
            if names.setdefault(number, match[1]) != match[1]:
                raise tree.error(f"{names[number]} and {match[1]} are the same video")
            if not second.isdecimal() or int(second) in media.setdefault(number, {}):
                raise tree.error(f"{file} is not the only image of one second")
            media[number][int(second)] = file
        labelled: dict[int, File] = {}
        for file, match in tree.match(_LABELS):
            number = video_number(match[1])
            if number in labelled:
                raise tree.error(f"{labelled[number].name} and {file.name} are the same video")
            labelled[number] = file
        missing = [f"labels/{names[n]}.json" for n in sorted(media.keys() - labelled.keys())]
        if missing:
            raise tree.error(f"label files are missing: {', '.join(missing)}")
        if not media:
            raise tree.error("there is no folder of frames")
        if "label_mapping.txt" in tree:
            check_mapping(tree["label_mapping.txt"])
        return [self._job(n, media.get(n, {}), labelled[n]) for n in sorted(labelled)]

    def _job(self, number: int, images: dict[int, File], label_file: File) -> VideoJob:
        name = f"VID{number:02d}"
        if not images:
            return self.lost(name, f"videos/{name}", "labels are there, the frames are not")
        labels = read_labels(label_file)
        if labels.number != number:
            raise AnnotationFileError(f"{label_file}: says that it is of video {labels.number}")
        stills = [Still(float(second), file, second) for second, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        duration = max((*images, *labels.frames), default=-1) + 1.0
        return VideoJob(
            self.video(name, height=height, width=width, duration=duration),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_annotate, labels)
            ),
            schema.VideoAnnotations(
                segments=labels.segments(), notes=_notes(images.keys(), labels)
            ),
            frame_count=len(stills),
        )


def video_number(name: str) -> int:
    """VID2 and VID02 are one video."""
    return int(re.sub(r"\D", "", name))


def _annotate(labels: LabelFile, second: int, image: np.ndarray) -> schema.FrameAnnotations:
    return labels.annotate(second, image.shape[:2])


def _notes(images: set[int], labels: LabelFile) -> tuple[str, ...]:
    vectors = [vector for vectors in labels.frames.values() for vector in vectors]
    partial = sum(v[0] < 0 and max(v[1], v[7], v[8]) >= 0 for v in vectors)
    seconds = sorted(labels.frames)
    sparse = any(b - a > 1 for a, b in itertools.pairwise(seconds))
    without_image = len(labels.frames.keys() - images)
    without_labels = len(images - labels.frames.keys())
    notes = []
    if without_image:
        notes.append(f"{without_image} of {len(seconds)} annotated frames have no image")
    if without_labels:
        notes.append(f"{without_labels} of {len(images)} images have no annotation")
    if partial:
        notes.append(f"{partial} of {len(vectors)} vectors have components but no triplet")
    if sparse:
        notes.append(f"sparse labels: phase segments bridge gaps of up to {LONGEST_GAP:g} s")
    return tuple(notes)
