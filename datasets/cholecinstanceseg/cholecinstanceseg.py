"""CholecInstanceSeg as released: instruments outlined in frames of three other sources."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.cholecinstanceseg.labels import annotate
from surgzoo.datasets.frames import Annotated, Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema, splits

SOURCE = "cholecinstanceseg"
IMAGES = (
    "the annotations come without images; those are collected on Synapse (syn64826192), or are cut "
    "from Cholec80, CholecT50 and CholecSeg8k"
)

# Frames per second: numbers in the names of CholecSeg8k's frames count Cholec80's 25-fps video, all
# other numbers are seconds.
RATES = {"seg8k": 25, "t50": 1, "t80": 1}
# Distance of the frames of a sequence in seconds.
STEPS = {"seg8k": 1 / 25, "t50_full": 1.0, "t50_sparse": 30.0, "t80_sparse": 30.0}

_FILE = (
    r"(?:(?:.*/)?(train|val|test)/|(?:.*/)?)"
    r"VID0*(\d+)_(seg8k|t50_full|t50_sparse|t80_sparse)/"
    r"(?:img_dir|ann_dir)/(seg8k|t50|t80)_(?:VID|video)0*(\d+)_(\d+)\.(json|png|jpe?g)"
)


@dataclasses.dataclass
class _Sequence:
    images: dict[int, File] = dataclasses.field(default_factory=dict)
    labels: dict[int, File] = dataclasses.field(default_factory=dict)


class CholecInstanceSeg(SourceBuilder):
    """A sequence is a video; two sequences of one operation have one canonical id.

    Images and annotations may lie in one tree or in the two of the release.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Instances of instruments."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="At most one frame a second."),
        SourceConfig(name="fps25", fps=25.0, description="As released: CholecSeg8k's at 25 fps."),
    ]
    EXPECTED = """
{train,val,test}/VIDNN_PART/ann_dir/t50_VIDNN_000000.json
{train,val,test}/VIDNN_PART/img_dir/t50_VIDNN_000000.png    in the same tree or in one beside it
PART is seg8k, t50_full, t50_sparse or t80_sparse
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        sequences: dict[str, _Sequence] = {}
        for file, match in tree.match(_FILE):
            split, number, part, origin, of, frame, suffix = match.groups()
            part, name = part.lower(), f"VID{int(number):02d}_{part.lower()}"
            if int(of) != int(number) or not part.startswith(origin.lower()):
                raise tree.error(f"{file} is of another sequence than its folder")
            official = splits.official(SOURCE, name).get("official")
            if official is None:
                raise tree.error(f"{name} is none of the released sequences")
            if split and split.lower() != official:
                raise tree.error(f"{name} is in {split}, but its official split is {official}")
            mine = sequences.setdefault(name, _Sequence())
            files = mine.labels if suffix.lower() == "json" else mine.images
            files.setdefault(int(frame), file)
        if not any(mine.labels for mine in sequences.values()):
            raise tree.error("there is no VIDNN_PART/ann_dir with label files")
        if not any(mine.images for mine in sequences.values()):
            raise tree.error(f"there is no image in VIDNN_PART/img_dir: {IMAGES}")
        return [self._job(name, mine) for name, mine in sorted(sequences.items())]

    def _job(self, name: str, mine: _Sequence) -> VideoJob:
        part = name.partition("_")[2]
        rate = RATES[part.partition("_")[0]]
        fps = self.builder_config.fps
        stride = max(1, round(rate / fps))
        stills = [
            Still(frame / rate, file, mine.labels.get(frame))
            for frame, file in sorted(mine.images.items())
            if frame % stride == 0
        ]
        if not stills:
            reason = IMAGES if not mine.images else "no frame is at a full second"
            return self.lost(name, name, reason, absent=not mine.images)
        height, width = frame_readers.image_size(stills)
        notes = []
        if gone := len(mine.labels.keys() - mine.images.keys()):
            notes.append(f"{gone} of {len(mine.labels)} label files have no image")
        if bare := sum(still.key is None for still in stills):
            notes.append(f"{bare} of {len(stills)} images have no label file")
        return VideoJob(
            self.video(
                name,
                height=height,
                width=width,
                fps=min(fps, 1 / STEPS[part]),
                duration=(max(mine.images.keys() | mine.labels.keys()) + 1) / rate,
            ),
            functools.partial(frame_readers.from_images, name, stills, _annotate),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _annotate(file: File | None, image: np.ndarray) -> Annotated:
    return schema.FrameAnnotations() if file is None else annotate(file, image.shape[:2])
