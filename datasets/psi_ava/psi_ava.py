"""PSI-AVA as released: eight prostatectomies at 1 fps, with boxes and actions every 35 seconds."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.psi_ava import labels
from surgzoo.datasets.psi_ava.labels import KeyFrame
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import schema

SOURCE = "psi_ava"

_FRAME = r"(?:.*/)?keyframes/(CASE\d+)/(\d+)\.(?:jpe?g|png)"
_COCO = r"(?:.*/)?coco_anns/(?:train|val)_coco_anns_\w+\.json"
_ROWS = r"(?:.*/)?annotations/(?:train|val)\.csv"
_LIST = r"(?:.*/)?frame_lists/(?:train|val)[^/]*\.csv"
_NAMES = r"(?:.*/)?annotations/surgery_(tools|actions|phases|steps)_list\.pbtxt"
_KINDS = {"tools": "instrument", "actions": "action", "phases": "phase", "steps": "step"}


class PsiAva(SourceBuilder):
    """All frames of a case are stored; key frames carry instruments, boxes and actions.

    Phase and step are there in every frame where the one-a-second labels (psi-ava_extended) are,
    else in the key frames only. Labels of a case without frames are read and then quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases, steps, instruments with boxes, actions."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = """
keyframes/CASE001/00000.jpg             one image a second, the number is the second
psi-ava/fold1/coco_anns/{train,val}_coco_anns_v3_35s.json
psi-ava/fold1/annotations/{train,val}.csv          compared with the JSON, or in its place
psi-ava_extended/fold1/annotations/{train,val}.csv optional: phase and step of every second
(the label folders are outputs/data_annotations of github.com/BCV-Uniandes/TAPIR; any folder above
them is fine, and fold2 holds the same labels)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        media: dict[str, dict[int, File]] = {}
        for file, match in tree.match(_FRAME):
            found = media.setdefault(match[1].upper(), {})
            if found.setdefault(int(match[2]), file) is not file:
                raise tree.error(f"{found[int(match[2])]} and {file} are the same frame")
        labelled = labels.by_case(_read(tree))
        if not labelled:
            raise tree.error("there is no label file (coco_anns/*.json or annotations/*.csv)")
        listed = labels.by_case(dict.fromkeys(_listed(tree)))
        strange = sorted(media.keys() - labelled.keys())
        if strange:
            raise tree.error(f"no label file mentions {', '.join(strange)}")
        for file, match in tree.match(_NAMES):
            labels.check_list(file, _KINDS[match[1].lower()])
        return [
            self._job(case, media.get(case, {}), labelled[case], listed.get(case, {}).keys())
            for case in sorted(labelled)
        ]

    def _job(
        self, case: str, media: dict[int, File], frames: dict[int, KeyFrame], listed: set[int]
    ) -> VideoJob:
        keys = {n for n, f in frames.items() if f.problem or f.annotations.instruments is not None}
        if not media:
            return self.lost(
                case,
                f"keyframes/{case}",
                f"the labels of {len(frames)} frames are there ({len(keys)} with instruments), the "
                f"frames are not: PSI-AVA's folder keyframes/{case} is missing",
            )
        stills = [Still(float(second), file, second) for second, file in sorted(media.items())]
        height, width = frame_readers.image_size(stills)
        label = functools.partial(_annotate, frames)
        dense = len(frames) > len(keys)
        notes = []
        missing = len(listed - media.keys())
        if missing:
            notes.append(f"{missing} of {len(listed)} listed frames have no image")
        without = len(keys - media.keys())
        if without:
            notes.append(f"{without} of {len(keys)} key frames have no image")
        if not dense:
            notes.append("phase and step in key frames only: psi-ava_extended is not there")
        elif media.keys() - frames.keys():
            notes.append(f"{len(media.keys() - frames.keys())} images have no label")
        seconds = {second: float(second) for second in frames}
        return VideoJob(
            self.video(
                case,
                height=height,
                width=width,
                duration=max(*media, *listed, *frames) + 1.0,
            ),
            functools.partial(frame_readers.from_images, case, stills, label),
            schema.VideoAnnotations(
                segments=labels.segments(frames, seconds, 1.0) if dense else (),
                notes=tuple(notes),
            ),
            frame_count=len(stills),
        )


def _read(tree: Tree) -> dict[labels.Key, KeyFrame]:
    """All label files; the two folds hold the same ones, so equal files are read once."""
    frames: dict[labels.Key, KeyFrame] = {}
    seen: set[bytes] = set()
    for pattern, reader in ((_COCO, labels.read_coco), (_ROWS, labels.read_rows)):
        for file, _ in tree.match(pattern):
            digest = hashlib.blake2b(file.read()).digest()
            if digest not in seen:
                seen.add(digest)
                labels.merged(frames, reader(file), file)
    return frames


def _listed(tree: Tree) -> list[labels.Key]:
    return [key for file, _ in tree.match(_LIST) for key in labels.read_frame_list(file)]


def _annotate(
    frames: dict[int, KeyFrame], second: int, image: np.ndarray
) -> schema.FrameAnnotations:
    del image
    found = frames.get(second)
    if found is None:
        return schema.FrameAnnotations()
    if found.problem:
        raise FrameError(found.problem)
    return found.annotations
