"""ROBUST-MIS 2019: frames of colorectal operations with a mask of each instrument, untyped."""

from __future__ import annotations

import functools
import re

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.stills import NO_CLOCK, series
from surgzoo.db import ontology, schema

SOURCE = "robust_mis"
RAW, MASK = "raw.png", "instrument_instances.png"

_FRAME = rf"(Training|Testing/Stage_?(\d))/([^/]+)/([^/]+)/([^/]+)/({RAW}|{MASK})"


class RobustMIS(SourceBuilder):
    """A folder `<part>/<procedure>/<case>` is a series of pictures.

    Training is train, the three stages of Testing are test; the scheme `stages` tells them apart:
    stage 1 tests on the operations of the training, 2 on others, 3 on another procedure.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Instances of instruments."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The annotated frames.")]
    EXPECTED = """
Training/<procedure>/<case>/<frame>/raw.png
Training/<procedure>/<case>/<frame>/instrument_instances.png    0 background, 1 .. instances
Testing/Stage_1/<procedure>/<case>/<frame>/...                  stages 1 to 3
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("Training", "Testing")
        found: dict[tuple[str, str, str], dict[str, dict[str, File]]] = {}
        for file, match in tree.match(_FRAME):
            part = f"stage{match[2]}" if match[2] else "training"
            frames = found.setdefault((part, match[3], match[4]), {RAW: {}, MASK: {}})
            frames[match[6].lower()][match[5]] = file
        if not any(frames[RAW] for frames in found.values()):
            raise tree.error(f"there is no {RAW}")
        return [self._job(tree, key, found[key]) for key in sorted(found)]

    def _job(
        self, tree: Tree, key: tuple[str, str, str], frames: dict[str, dict[str, File]]
    ) -> VideoJob:
        part, folder, case = key
        procedure = _procedure(tree, folder)
        operation = f"{procedure}_{case}".lower()
        name = f"{part}_{operation}"
        if not frames[RAW]:
            where = f"{part}/{folder}/{case}"
            return self._without(name, procedure, where)
        stills = series({_order(frame): file for frame, file in frames[RAW].items()})
        found = {_order(frame): file for frame, file in frames[MASK].items()}
        height, width = frame_readers.image_size(stills)
        notes = [NO_CLOCK]
        bare = len(frames[RAW].keys() - frames[MASK].keys())
        if bare:
            notes.append(f"{bare} of {len(stills)} images have no mask")
        split = "train" if part == "training" else "test"
        splits = {"default": split, "official": split}
        if split == "test":
            splits[part] = "test"
        return VideoJob(
            self.video(
                name,
                canonical=f"{SOURCE}/{operation}",
                procedure=procedure,
                splits=splits,
                height=height,
                width=width,
                duration=stills[-1].time + 1,
            ),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, found)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )

    def _without(self, name: str, procedure: str, where: str) -> VideoJob:
        item = frame_readers.Quarantined(name, where, "masks are there, the images are not")
        return VideoJob(self.video(name, procedure=procedure), frame_readers.Lost(item))


def _order(frame: str) -> tuple[int, str]:
    """Folders of frames are numbers; compared as such."""
    digits = re.sub(r"\D", "", frame)
    return int(digits) if digits else 0, frame


def _procedure(tree: Tree, folder: str) -> str:
    """The concept of a procedure's folder, however it is spelt ("Rectal_resection", "Rectal")."""
    key = re.sub(r"[\W_]+", "", folder).lower()
    for (kind, native), concept in ontology.table(SOURCE).items():
        whole = re.sub(r"[\W_]+", "", native).lower()
        if kind == "procedure" and (key == whole or whole == f"{key}resection"):
            return concept
    raise tree.error(f"the folder {folder} is of no known procedure")


def _label(
    found: dict[tuple[int, str], File], frame: tuple[int, str], image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    if frame not in found:
        return schema.FrameAnnotations()
    file = found[frame]
    mask = masks.one_channel(masks.read_mask(file, image.shape[:2]), file)
    masks.check_values(mask, range(256), file)
    label = ontology.label(SOURCE, "instrument", "instrument")
    labels = dict.fromkeys(range(1, 256), label)
    return (
        schema.FrameAnnotations(
            instruments=masks.instruments(mask, labels, instances=True),
            derived={"instruments.box": masks.BOX_OF_MASK},
        ),
        {"instrument_mask": masks.encode(mask)},
    )
