"""CholecT45 as released: frames at 1 fps with action triplets as 0/1 of each class."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.cholect45.labels import KINDS, Presence, class_names, read_presence
from surgzoo.datasets.cholect50.cholect50 import video_number
from surgzoo.datasets.cholect50.labels import check_mapping
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "cholect45"

_IMAGE = r"data/(VID0*\d+)/(\d+)\.(?:png|jpe?g)"
_LABELS = r"(triplet|instrument|verb|target)/(VID0*\d+)\.txt"


class CholecT45(SourceBuilder):
    """A video needs all four label files; labels without frames are quarantined.

    A frame that is in the triplet file alone has triplets and no instruments, and so on.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Triplets and instruments."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
data/VIDNN/000000.png                        one image a second, the number is the second
triplet/VIDNN.txt                            and the same in instrument/, verb/, target/
dict/{triplet,instrument,verb,target}.txt    optional; names of the columns
dict/maps.txt                                optional; compared with the known triplets
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("triplet")
        media: dict[int, dict[int, File]] = {}
        for file, match in tree.match(_IMAGE):
            images = media.setdefault(video_number(match[1]), {})
            if int(match[2]) in images:
                raise tree.error(f"{file} is not the only image of one second")
            images[int(match[2])] = file
        files: dict[int, dict[str, File]] = {}
        for file, match in tree.match(_LABELS):
            mine = files.setdefault(video_number(match[2]), {})
            if match[1].lower() in mine:
                raise tree.error(f"{file} and {mine[match[1].lower()].name} are of the same video")
            mine[match[1].lower()] = file
        if not media:
            raise tree.error("there is no folder of frames in data")
        missing = [
            f"{kind}/VID{number:02d}.txt"
            for number in sorted(media.keys() | files.keys())
            for kind in KINDS
            if kind not in files.get(number, {})
        ]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise tree.error(f"label files are missing: {', '.join(missing[:5])}{more}")
        if "dict/maps.txt" in tree:
            check_mapping(tree["dict/maps.txt"])
        classes = {kind: class_names(kind, tree.get(f"dict/{kind}.txt")) for kind in KINDS}
        return [
            self._job(number, media.get(number, {}), files[number], classes)
            for number in sorted(files)
        ]

    def _job(
        self,
        number: int,
        images: dict[int, File],
        files: dict[str, File],
        classes: dict[str, tuple[schema.Label, ...]],
    ) -> VideoJob:
        name = f"VID{number:02d}"
        if not images:
            return self.lost(name, f"data/{name}", "labels are there, the frames are not")
        labels = Presence({kind: read_presence(files[kind], classes[kind]) for kind in KINDS})
        stills = [Still(float(second), file, second) for second, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        label = functools.partial(_annotate, labels)
        return VideoJob(
            self.video(
                name,
                height=height,
                width=width,
                duration=max(images.keys() | labels.frames) + 1.0,
            ),
            functools.partial(frame_readers.from_images, name, stills, label),
            schema.VideoAnnotations(notes=_notes(images.keys(), labels)),
            frame_count=len(stills),
        )


def _annotate(labels: Presence, second: int, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return labels.annotate(second)


def _notes(images: set[int], labels: Presence) -> tuple[str, ...]:
    annotated = labels.frames
    notes = []
    if gone := len(annotated - images):
        notes.append(f"{gone} of {len(annotated)} annotated frames have no image")
    if bare := len(images - annotated):
        notes.append(f"{bare} of {len(images)} images have no annotation")
    for kind in KINDS:
        if lacking := len(annotated - labels.at[kind].keys()):
            notes.append(f"{lacking} of {len(annotated)} annotated frames are not in {kind}/")
    return tuple(notes)
