"""CaDIS: frames of CATARACTS's training videos, segmented into anatomy and instruments."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets import masks
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import ontology, schema

SOURCE = "cadis"
FPS = 30.0  # of CATARACTS's videos, about: turns the frame numbers of the files into seconds
IGNORED = 255
KINDS = ("instrument", "tissue")


class CaDIS(SourceBuilder):
    """Class ids are those of the ontology's rows in their order (0 Pupil .. 35 Iris Hooks).

    A handle is the instrument that it belongs to. As 0 is a class here and the background of our
    maps, values are stored plus one; an instrument's is that of its first class.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Masks of instruments and anatomy."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="The segmented frames.")]
    EXPECTED = """
segmentation/Video01/Images/Video1_frame000090.png
segmentation/Video01/Labels/Video1_frame000090.png     class ids 0 .. 35, 255 ignored
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        tree = tree.descend("Video01", *(f"Video{n:02d}" for n in range(2, 26)))
        media, labels = (_by_video(tree, kind) for kind in ("Images", "Labels"))
        if not media:
            raise tree.error("there are no images")
        return [self._job(n, media[n], labels.get(n, {})) for n in sorted(media)]

    def _job(self, number: int, images: dict[int, File], labels: dict[int, File]) -> VideoJob:
        name = f"Video{number:02d}"
        stills = [Still(frame / FPS, file, frame) for frame, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        bare = len(images.keys() - labels.keys())
        lost = len(labels.keys() - images.keys())
        notes = [f"times are frame numbers at {FPS:g} fps, which the release does not state"]
        if bare:
            notes.append(f"{bare} of {len(images)} images have no mask")
        if lost:
            notes.append(f"{lost} of {len(labels)} masks have no image")
        return VideoJob(
            self.video(name, height=height, width=width, duration=(max(images) + 1) / FPS),
            functools.partial(
                frame_readers.from_images, name, stills, functools.partial(_label, labels)
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )


def _by_video(tree: Tree, folder: str) -> dict[int, dict[int, File]]:
    out: dict[int, dict[int, File]] = {}
    for file, match in tree.match(rf"Video_?(\d+)/{folder}/.*?frame_?(\d+)\.png"):
        out.setdefault(int(match[1]), {})[int(match[2])] = file
    return out


@functools.cache
def _classes() -> dict[int, tuple[str, schema.Label, int]]:
    """Class id -> (kind, label, value in our map)."""
    found: dict[int, tuple[str, schema.Label, int]] = {}
    values: dict[tuple[str, str], int] = {}
    rows = [(kind, native) for kind, native in ontology.table(SOURCE) if kind in KINDS]
    for number, (kind, native) in enumerate(rows):
        label = ontology.label(SOURCE, kind, native)
        value = values.setdefault((kind, label.concept), number + 1)
        found[number] = kind, label, value
    return found


@functools.cache
def _tables() -> dict[str, tuple[np.ndarray, dict[int, schema.Label]]]:
    """Kind -> (class id -> value, 0 for classes of other kinds; value -> label)."""
    out = {}
    for kind in KINDS:
        values, labels = np.zeros(256, np.uint8), {}
        for number, (k, label, value) in _classes().items():
            if k == kind:
                values[number] = value
                labels.setdefault(value, label)
        out[kind] = values, labels
    return out


def _label(
    labels: dict[int, File], frame: int, image: np.ndarray
) -> schema.FrameAnnotations | tuple[schema.FrameAnnotations, dict[str, bytes]]:
    if frame not in labels:
        return schema.FrameAnnotations()
    file = labels[frame]
    mask = masks.one_channel(masks.read_mask(file, image.shape[:2]), file)
    masks.check_values(mask, [*_classes(), IGNORED], file)
    (tool_values, tools), (tissue_values, tissues) = (_tables()[kind] for kind in KINDS)
    tool_mask, tissue_mask = tool_values[mask], tissue_values[mask]
    return (
        schema.FrameAnnotations(
            instruments=masks.instruments(tool_mask, tools, instances=False),
            tissues=masks.tissues(tissue_mask, tissues),
            derived={"tissues.box": masks.BOX_OF_MASK},
        ),
        {"instrument_mask": masks.encode(tool_mask), "tissue_mask": masks.encode(tissue_mask)},
    )
