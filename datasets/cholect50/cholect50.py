"""CholecT50 as released: frames at 1 fps with action triplets and phases, boxes in some videos."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import tensorflow_datasets as tfds

from surgzoo.datasets.cholect50.labels import (
    LONGEST_GAP,
    FrameLabelError,
    LabelFile,
    LabelFileError,
    check_mapping,
    read_labels,
)
from surgzoo.datasets.cholect50.splits import splits
from surgzoo.datasets.source_builder import (
    LayoutError,
    Quarantined,
    SourceBuilder,
    SourceConfig,
    VideoJob,
)
from surgzoo.datasets.video import encode_jpeg
from surgzoo.db import identity, records, schema

SOURCE = "cholect50"
LICENCE = "CC BY-NC-SA 4.0"

EXPECTED = """
videos/VIDNN/000000.png     one image a second, the number is the second
labels/VIDNN.json
label_mapping.txt           optional; compared with the known triplets when it is there
"""

BLACK = 8  # no pixel above it: an anonymised frame, also after lossy re-encoding by a mirror

_VIDEO = re.compile(r"VID0*(\d+)")


class CholecT50(SourceBuilder):
    """Builder of CholecT50 and of its challenge subset (sparse frames, with boxes).

    A video's frames are stored one after the other; `Frame.time` keeps the second that the file
    name says. A folder of frames without labels is an error, labels without frames are quarantined.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Triplets, instruments, boxes and phases."}
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Ask for CholecT50 with the form on https://camma.unistra.fr/datasets/ (CC BY-NC-SA 4.0) "
        f"and unpack it so that manual_dir holds\n{EXPECTED}"
    )
    description = (
        "50 laparoscopic cholecystectomies at 1 fps, with 100 classes of action triplets "
        "(instrument, verb, target), seven phases, and boxes of instrument tips in five videos."
    )
    homepage = "https://github.com/CAMMA-public/cholect50"
    citation = (
        "C. I. Nwoye, T. Yu, C. Gonzalez, B. Seeliger, P. Mascagni, D. Mutter, J. Marescaux, "
        "N. Padoy: Rendezvous: Attention Mechanisms for the Recognition of Surgical Action "
        "Triplets in Endoscopic Videos. Medical Image Analysis 78, 102433, 2022."
    )

    def jobs(self, manual_dir: Path) -> list[VideoJob]:
        media = _numbered(manual_dir, "videos/VID*", directory=True)
        labelled = _numbered(manual_dir, "labels/VID*.json", directory=False)
        missing = [f"labels/{media[n].name}.json" for n in sorted(media.keys() - labelled.keys())]
        if missing:
            problem = f"label files are missing: {', '.join(missing)}"
            raise LayoutError(SOURCE, manual_dir, EXPECTED, problem)
        if not media:
            raise LayoutError(SOURCE, manual_dir, EXPECTED, "there is no folder of frames")
        if (manual_dir / "label_mapping.txt").exists():
            check_mapping(manual_dir / "label_mapping.txt")
        return [_job(manual_dir, n, media.get(n), labelled[n]) for n in sorted(labelled)]


def _numbered(folder: Path, pattern: str, *, directory: bool) -> dict[int, Path]:
    """Video number -> path. VID2 and VID02 are one video, and both together an error."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob(pattern)):
        match = _VIDEO.fullmatch(path.stem)
        if match is None or path.is_dir() != directory:
            continue
        if int(match[1]) in found:
            problem = f"{found[int(match[1])].name} and {path.name} are the same video"
            raise LayoutError(SOURCE, folder, EXPECTED, problem)
        found[int(match[1])] = path
    return found


def _job(root: Path, number: int, folder: Path | None, label_file: Path) -> VideoJob:
    name = f"VID{number:02d}"
    facts = {
        "id": name,
        "canonical": identity.canonical(SOURCE, name),
        "source": SOURCE,
        "specialty": "hepatobiliary",
        "procedure": "cholecystectomy",
        "licence": LICENCE,
        "splits": splits(number),
        "url": "https://camma.unistra.fr/datasets/",
    }
    if folder is None:
        lost = Quarantined(name, f"videos/{name}", "labels are there, the frames are not")
        return VideoJob(schema.Video(**facts), functools.partial(iter, (lost,)))
    labels = read_labels(label_file)
    if labels.number != number:
        raise LabelFileError(f"{label_file}: says that it is of video {labels.number}")
    files = _files(root, folder)
    height, width = _size(files)
    return VideoJob(
        schema.Video(
            **facts,
            height=height,
            width=width,
            duration=max((*files, *labels.frames), default=-1) + 1.0,
        ),
        functools.partial(_frames, name, files, label_file),
        schema.VideoAnnotations(segments=labels.segments(), notes=_notes(files, labels)),
    )


def _files(root: Path, folder: Path) -> dict[int, Path]:
    """Second -> image, in order."""
    found: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg") or path.name.startswith("."):
            continue
        if not path.stem.isdecimal() or int(path.stem) in found:
            problem = f"{path.relative_to(root)} is not the only image of one second"
            raise LayoutError(SOURCE, root, EXPECTED, problem)
        found[int(path.stem)] = path
    return dict(sorted(found.items()))


def _size(files: dict[int, Path]) -> tuple[int, int]:
    """(height, width) of the first readable frame."""
    for path in files.values():
        image = cv2.imread(str(path))
        if image is not None:
            return image.shape[0], image.shape[1]
    return 0, 0


def _notes(files: dict[int, Path], labels: LabelFile) -> tuple[str, ...]:
    vectors = [vector for vectors in labels.frames.values() for vector in vectors]
    partial = sum(v[0] < 0 and max(v[1], v[7], v[8]) >= 0 for v in vectors)
    seconds = sorted(labels.frames)
    sparse = any(b - a > 1 for a, b in itertools.pairwise(seconds))
    without_image = len(labels.frames.keys() - files)
    without_labels = len(files.keys() - labels.frames.keys())
    notes = []
    if without_image:
        notes.append(f"{without_image} of {len(seconds)} annotated frames have no image")
    if without_labels:
        notes.append(f"{without_labels} of {len(files)} images have no annotation")
    if partial:
        notes.append(f"{partial} of {len(vectors)} vectors have components but no triplet")
    if sparse:
        notes.append(f"sparse labels: phase segments bridge gaps of up to {LONGEST_GAP:g} s")
    return tuple(notes)


def _frames(
    name: str, files: dict[int, Path], label_file: Path
) -> Iterator[records.FrameRecord | Quarantined]:
    labels = read_labels(label_file)
    stored = 0
    for second, path in files.items():
        where = f"videos/{path.parent.name}/{path.name}"
        image = cv2.imread(str(path))
        if image is None:
            yield Quarantined(name, where, "not a readable image")
            continue
        try:
            annotations = labels.annotate(second, image.shape[:2])
        except FrameLabelError as error:
            yield Quarantined(name, f"labels/{label_file.name}, frame {second}", str(error))
            continue
        if image.max() <= BLACK:
            annotations = _out_of_body(annotations)
        yield records.FrameRecord(
            schema.Frame(name, stored, float(second)),
            annotations,
            encode_jpeg(image[..., ::-1]),
        )
        stored += 1


def _out_of_body(annotations: schema.FrameAnnotations) -> schema.FrameAnnotations:
    """The release blackens frames from outside the body, to keep people unknown."""
    return dataclasses.replace(
        annotations,
        flags={"out_of_body": 1.0},
        derived={**annotations.derived, "flags.out_of_body": "the image is black"},
    )
