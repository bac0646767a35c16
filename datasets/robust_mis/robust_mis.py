"""ROBUST-MIS 2019: 10,040 frames of 30 colorectal operations, each instrument with its own mask."""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import identity, ontology, schema

SOURCE = "robust_mis"
FPS = 25.0  # of the videos that the frames are from; not stated in the release
STAGES = (1, 2, 3)

_FRAME = (
    r"(?:.*/)?(training|testing/stage_?\s?([123]))/([^/]+)/(\d+)/(\d+)/"
    r"(raw|instrument_instances)\.png"
)


@dataclasses.dataclass(frozen=True, order=True)
class Case:
    """An operation's frames in one part of the release. `stage` 0 is the training part."""

    stage: int
    procedure: str  # native name
    number: int

    @property
    def operation(self) -> str:
        return f"{ontology.label(SOURCE, 'procedure', self.procedure).concept}_{self.number:02d}"

    @property
    def name(self) -> str:
        return f"{f'stage_{self.stage}' if self.stage else 'training'}_{self.operation}"

    def splits(self) -> dict[str, schema.Split]:
        """The three stages are three tests of the same training data."""
        if not self.stage:
            return {key: "train" for key in ("default", "official", *map(_scheme, STAGES))}
        return {key: "test" for key in ("default", "official", _scheme(self.stage))}


def _scheme(stage: int) -> str:
    return f"stage_{stage}"


class RobustMIS(SourceBuilder):
    """`training_proctocolectomy_01` are the frames of one operation in the training part.

    Stage 1 tests on other frames of the training part's operations, so both are one operation here.
    A frame's folder is its number in the video.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks of instruments."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The annotated frames at their times.")
    ]
    EXPECTED = """
Training/Proctocolectomy/1/33000/raw.png                           procedure, operation, frame
Training/Proctocolectomy/1/33000/instrument_instances.png
Training/Rectal resection/...
Testing/Stage_1/Proctocolectomy/..., Stage_2/..., Stage_3/Sigmoid resection/...
(the 10s_video.zip beside them are not read; without them the folder is listed faster)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        images: dict[Case, dict[int, File]] = {}
        mask_files: dict[Case, dict[int, File]] = {}
        for file, match in tree.match(_FRAME):
            case = Case(int(match[2] or 0), procedure_of(match[3], file), int(match[4]))
            part = images if match[6].lower() == "raw" else mask_files
            found = part.setdefault(case, {})
            if found.setdefault(int(match[5]), file) is not file:
                raise tree.error(f"{found[int(match[5])]} and {file} are the same frame")
        if not images:
            raise tree.error("there are no frames")
        return [
            self._job(case, images.get(case, {}), mask_files.get(case, {}))
            for case in sorted(images.keys() | mask_files.keys())
        ]

    def _job(self, case: Case, images: dict[int, File], mask_files: dict[int, File]) -> VideoJob:
        facts = {
            "canonical": identity.canonical(SOURCE, case.operation),
            "procedure": ontology.label(SOURCE, "procedure", case.procedure).concept,
            "splits": case.splits(),
        }
        if not images:
            where = str(next(iter(mask_files.values())).folder)
            return self.lost(case.name, where, "masks are there, raw.png is not", **facts)
        stills = [Still(frame / FPS, file, frame) for frame, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        notes = [f"times are frame numbers at {FPS:g} fps, which the release does not state"]
        bare = len(images.keys() - mask_files.keys())
        alone = len(mask_files.keys() - images.keys())
        if bare:
            notes.append(f"{bare} of {len(images)} frames have no mask")
        if alone:
            notes.append(f"the images of {alone} of {len(mask_files)} masks are missing")
        return VideoJob(
            self.video(
                case.name, height=height, width=width, duration=stills[-1].time + 1 / FPS, **facts
            ),
            functools.partial(
                frame_readers.from_images, case.name, stills, functools.partial(_label, mask_files)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def procedure_of(folder: str, file: File) -> str:
    """The ontology's name of a folder of a procedure, which is told by its first word.

    "Sigmoid" and "sigmoid_resection" are both in circulation. Raises UnmappedLabelError.
    """
    names = [native for kind, native in ontology.table(SOURCE) if kind == "procedure"]
    for name in names:
        if _first_word(name) == _first_word(folder):
            return name
    raise ontology.UnmappedLabelError(
        f"{file}: '{folder}' is none of the procedures {', '.join(names)}"
    )


def _first_word(name: str) -> str:
    return re.split(r"[^a-z]", name.lower())[0]


def _label(
    mask_files: dict[int, File], frame: int, image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    if frame not in mask_files:
        return schema.FrameAnnotations()
    file = mask_files[frame]
    mask = masks.one_channel(masks.read_mask(file, image.shape[:2]), file)
    if mask.max() > 255:
        raise FrameError(f"{file}: the value {mask.max()} is no number of an instrument")
    name = ontology.label(SOURCE, "instrument", "instrument")
    # Any value but 0 is an instrument of its own: 1, 2, 3 in one packing, 50, 100, 150 in another.
    found = {value: name for value in np.unique(mask).tolist() if value}
    return (
        schema.FrameAnnotations(
            instruments=masks.instruments(mask, found, instances=True),
            derived={"instruments.box": masks.BOX_OF_MASK},
        ),
        {"instrument_mask": masks.encode(mask)},
    )
