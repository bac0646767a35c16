"""AutoLaparo as released: 21 hysterectomies with phases, 300 clips with motions, 1,800 masks."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow_datasets as tfds

from surgzoo.datasets import frames as frame_readers
from surgzoo.datasets.autolaparo.labels import (
    CLIP_END,
    FPS,
    ClipLabel,
    read_mask,
    read_motions,
    read_phases,
)
from surgzoo.datasets.frame_runs import Runs
from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.video import frame_at
from surgzoo.db import schema

SOURCE = "autolaparo"

_VIDEO = r"(?:.*/)?videos/0*(\d+)\.mp4"
_PHASES = r"(?:.*/)?labels/label_0*(\d+)\.txt"
_CLIP = r"(?:.*/)?clips/0*(\d+)\.mp4"
_MOTIONS = r"(?:.*/)?laparoscope_motion_label\.txt"
_IMAGE = r"(?:.*/)?imgs/(\d{3})(\d{3})\.jpe?g"
_MASK = r"(?:.*/)?masks/(\d{3})(\d{3})\.png"
_CLIP_PHASE = "the phase of the clip"


class AutoLaparo(SourceBuilder):
    """The three tasks side by side, as three kinds of videos.

    `01` .. `21` are the videos of task 1, `clip_001` .. `clip_300` the clips of task 2 at the
    config's fps, `clip_001_images` .. the masked images of task 3 at their own moments of the clip.
    Each task may be missing. Labels without media are quarantined; media without labels are an
    error.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Phases, motions of the camera, masks."}
    BUILDER_CONFIGS = [
        SourceConfig(name="fps1", fps=1.0, description="The rate of the phases."),
        SourceConfig(name="fps5", fps=5.0, description="For clips."),
    ]
    EXPECTED = """
Task 1 Surgical workflow recognition/videos/01.mp4                 .. 21.mp4
Task 1 Surgical workflow recognition/labels/label_01.txt
Task 2 Laparoscope motion prediction/clips/001.mp4                 .. 300.mp4
Task 2 Laparoscope motion prediction/laparoscope_motion_label.txt
Task 3 Instrument and key anatomy segmentation/imgs/001001.jpg     clip, frame of the clip
Task 3 Instrument and key anatomy segmentation/masks/001001.png
(one task is enough; the folders' names do not matter, those of the last folder do)
"""

    def jobs(self, tree: Tree) -> list[VideoJob]:
        motions: dict[int, ClipLabel] = {}
        files = [file for file, _ in tree.match(_MOTIONS)]
        if len(files) > 1:
            raise tree.error(f"{files[0]} and {files[1]} are the same file")
        if files:
            motions = read_motions(files[0])
        videos, phases = _numbered(tree, _VIDEO), _numbered(tree, _PHASES)
        clips = _numbered(tree, _CLIP)
        images, masks = _by_clip(tree, _IMAGE), _by_clip(tree, _MASK)
        if not (videos or clips or images):
            raise tree.error("there is no video, no clip and no image")
        for what, media, labels in (
            ("labels/label_NN.txt of the videos", videos, phases),
            ("rows of laparoscope_motion_label.txt for the clips", clips, motions),
            ("masks of the clips", images, masks),
        ):
            missing = sorted(media.keys() - labels.keys())
            if missing:
                more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
                shown = ", ".join(map(str, missing[:5]))
                raise tree.error(f"the {what} {shown}{more} are missing")
        return [
            *(self._video(n, videos.get(n), phases[n]) for n in sorted(phases)),
            *(self._clip(n, clips.get(n), motions[n]) for n in sorted(motions)),
            *(self._images(n, images.get(n, {}), masks[n], motions.get(n)) for n in sorted(masks)),
        ]

    def _video(self, number: int, file: File | None, label_file: File) -> VideoJob:
        name = f"{number:02d}"
        if file is None:
            return self.lost(name, f"videos/{name}.mp4", "labels are there, the video is not")
        phases = read_phases(label_file)
        info, notes = frame_readers.probe(file), []
        if info and abs(phases.rows - info.duration) > 1:
            notes.append(f"{phases.rows} seconds are labelled, the video has {info.duration:.1f}")
        annotations = schema.VideoAnnotations(
            segments=phases.segments("phase", 1), notes=tuple(notes)
        )
        return self.of_file(name, file, info, functools.partial(_phase_at, phases), annotations)

    def _clip(self, number: int, file: File | None, label: ClipLabel) -> VideoJob:
        name = f"clip_{number:03d}"
        if file is None:
            return self.lost(name, f"clips/{number:03d}.mp4", "labels are there, the clip is not")
        info, notes = frame_readers.probe(file), []
        if info and info.duration < CLIP_END - 1:
            notes.append(
                f"the file has {info.duration:.1f} of {CLIP_END:g} s; the motion is at its end"
            )
        annotations = schema.VideoAnnotations(segments=(label.segment(),), notes=tuple(notes))
        return self.of_file(name, file, info, functools.partial(_phase_of, label), annotations)

    def _images(
        self,
        clip: int,
        images: dict[int, File],
        masks: dict[int, File],
        label: ClipLabel | None,
    ) -> VideoJob:
        name = f"clip_{clip:03d}"
        if not images:
            return dataclasses.replace(
                self.lost(name, f"imgs/{clip:03d}*.jpg", "masks are there, the images are not"),
                video=self._of_images(name),
            )
        # Frames of a clip count from 1.
        stills = [Still((frame - 1) / FPS, file, frame) for frame, file in sorted(images.items())]
        height, width = frame_readers.image_size(stills)
        notes = []
        without = len(images.keys() - masks.keys())
        if without:
            notes.append(f"{without} of {len(images)} images have no mask")
        alone = len(masks.keys() - images.keys())
        if alone:
            notes.append(f"{alone} of {len(masks)} masks have no image")
        return VideoJob(
            self._of_images(name, height=height, width=width, duration=stills[-1].time + 1 / FPS),
            functools.partial(
                frame_readers.from_images,
                f"{name}_images",
                stills,
                functools.partial(_masked, masks, label),
            ),
            schema.VideoAnnotations(notes=tuple(notes)),
            frame_count=len(stills),
        )

    def _of_images(self, name: str, **facts) -> schema.Video:
        return self.video(f"{name}_images", splits_of=name, **facts)


def _numbered(tree: Tree, pattern: str) -> dict[int, File]:
    return tree.one_each(pattern, lambda match: int(match[1]), "have the same number")


def _by_clip(tree: Tree, pattern: str) -> dict[int, dict[int, File]]:
    out: dict[int, dict[int, File]] = {}
    for file, match in tree.match(pattern):
        found = out.setdefault(int(match[1]), {})
        if found.setdefault(int(match[2]), file) is not file or int(match[2]) < 1:
            raise tree.error(f"{file} is not the only file of a frame counted from 1")
    return out


def _phase_at(phases: Runs, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del image
    return schema.FrameAnnotations(phase=phases.at(frame_at(time, 1)))


def _phase_of(label: ClipLabel, time: float, image: np.ndarray) -> schema.FrameAnnotations:
    del time, image
    return schema.FrameAnnotations(phase=label.phase, derived={"phase": _CLIP_PHASE})


def _masked(
    masks: dict[int, File], label: ClipLabel | None, frame: int, image: np.ndarray
) -> tuple[schema.FrameAnnotations, dict[str, bytes]]:
    found, dense = schema.FrameAnnotations(), {}
    if frame in masks:
        found, dense = read_mask(masks[frame], image.shape[:2])
    if label is not None:
        derived = {**found.derived, "phase": _CLIP_PHASE}
        found = dataclasses.replace(found, phase=label.phase, derived=derived)
    return found, dense
