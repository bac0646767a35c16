"""SurgΣ-DB v0.1 as released: its questions, reasoning and boxes about CholecT50's frames."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import cv2
import tensorflow_datasets as tfds

from surgzoo.datasets.frames import Quarantined
from surgzoo.datasets.layout import LayoutError, Tree
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob
from surgzoo.datasets.surgsigma_v01 import release
from surgzoo.datasets.surgsigma_v01.release import Anno, Place, Release
from surgzoo.datasets.video import encode_jpeg
from surgzoo.db import identity, ontology, records, schema, splits
from surgzoo.tasks.instrument_localization import InstrumentLocalization

SOURCE = "surgsigma_v01"
LICENCE = "CC BY-NC-SA 4.0"
LOCALIZATION = 1  # the one task code that is known
DATASETS = {"cholect50": "cholect50", "cholec80": "cholec80"}  # `source dataset`, lower case
FOLDERS = ("", "raw_data")  # users assemble the frames themselves

EXPECTED = """
SurgSigma_v0.1_T50subset.json          or any one JSON file with videos, images and annos
CholecT50/videos/VID02/000509.png      the frames, as the JSON's image paths say;
raw_data/CholecT50/videos/...          or below raw_data
"""


class SurgSigmaV01(SourceBuilder):
    """Builder of the released records.

    Boxes of the localization answers become instruments; every record is kept as a question with
    its answer and reasoning. A record that cannot be read is quarantined, its frame is not.
    """

    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [SourceConfig(name="fps1", fps=1.0, description="As released.")]
    EXPECTED = EXPECTED

    def jobs(self, tree: Tree) -> list[VideoJob]:
        manual_dir = tree.root
        files = sorted(manual_dir.glob("*.json"))
        if len(files) != 1:
            problem = f"there are {len(files)} JSON files; exactly one is the release"
            raise LayoutError(SOURCE, manual_dir, EXPECTED, problem)
        whole = release.read(files[0])
        return [
            _job(manual_dir, files[0].name, whole, video, places)
            for video, places in sorted(_by_video(whole).items())
        ]


@dataclasses.dataclass(frozen=True)
class _Frame:
    """What a worker needs of one frame."""

    place: Place
    file: Path
    annos: tuple[Anno, ...]


def _by_video(whole: Release) -> dict[str, list[Place]]:
    out: dict[str, list[Place]] = {}
    for place in sorted(whole.paths, key=lambda p: (p.dataset, p.number, p.frame)):
        out.setdefault(place.video, []).append(place)
    return out


def _job(root: Path, json_name: str, whole: Release, video: str, places: list[Place]) -> VideoJob:
    annos: dict[Place, list[Anno]] = collections.defaultdict(list)
    repairs: collections.Counter = collections.Counter()
    for anno in whole.annos:
        for place in anno.images:
            if place.video == video:
                annos[place].append(anno)
        if anno.images and anno.images[0].video == video:
            repairs.update(anno.repaired)
    first = places[0]
    home = DATASETS.get(first.dataset.lower())
    if home is None:
        raise release.ReleaseError(
            f"{json_name}: frames of '{first.dataset}' are not known; known are "
            f"{', '.join(DATASETS)}. Add it to DATASETS in datasets/surgsigma_v01/surgsigma_v01.py"
        )
    native = f"VID{first.number:02d}"
    frames = [
        _Frame(place, _find(root, whole.paths[place]), tuple(annos[place])) for place in places
    ]
    return VideoJob(
        schema.Video(
            id=video,
            canonical=identity.canonical(home, native),
            source=SOURCE,
            specialty="hepatobiliary",
            procedure="cholecystectomy",
            licence=LICENCE,
            splits=splits.official(home, native),
            duration=places[-1].frame + 1.0,
            url="https://surgsigma.github.io",
        ),
        functools.partial(_frames, video, json_name, home, frames),
        schema.VideoAnnotations(
            notes=tuple(f"{count} records: {kind}" for kind, count in sorted(repairs.items()))
        ),
    )


def _find(root: Path, text: str) -> Path:
    """The file of an image path; where none is there, where it was looked for first."""
    tried = [root / folder / name for folder in FOLDERS for name in release.spellings(text)]
    return next((path for path in tried if path.exists()), tried[0])


def _frames(
    video: str, json_name: str, home: str, frames: list[_Frame]
) -> Iterator[records.FrameRecord | Quarantined]:
    stored = 0
    for frame in frames:
        image = cv2.imread(str(frame.file)) if frame.file.exists() else None
        if image is None:
            what = "not a readable image" if frame.file.exists() else "the image is missing"
            yield Quarantined(video, str(frame.file), what)
            continue
        annotations, broken = _annotations(frame.annos, home)
        for anno, reason in broken:
            yield Quarantined(video, f"{json_name}, annotation {anno.id}", reason)
        time = float(frame.place.frame)
        yield records.FrameRecord(
            schema.Frame(video, stored, time), annotations, encode_jpeg(image[..., ::-1])
        )
        stored += 1


def _annotations(
    annos: tuple[Anno, ...], home: str
) -> tuple[schema.FrameAnnotations, list[tuple[Anno, str]]]:
    """The frame's annotations, and the records that could not be read, each with the reason."""
    instruments: tuple[schema.Instrument, ...] | None = None
    questions, broken = [], []
    for anno in annos:
        if not anno.question or not anno.answer:
            broken.append((anno, "the question or the answer is empty"))
            continue
        if LOCALIZATION in anno.codes:
            found, error = _instruments(anno.answer, home)
            if error:
                broken.append((anno, error))
                continue
            if instruments is not None and instruments != found:
                broken.append((anno, "gives other boxes than an earlier record of the same frame"))
                continue
            instruments = found
        kind = "task " + ",".join(str(code) for code in anno.codes)
        questions.append(
            schema.Question(anno.question, anno.answer, kind=kind, thinking=anno.thinking)
        )
    return schema.FrameAnnotations(instruments=instruments, questions=tuple(questions)), broken


def _instruments(answer: str, home: str) -> tuple[tuple[schema.Instrument, ...], str | None]:
    """The boxes of a localization answer, or () and the reason why it cannot be read."""
    concepts = {ontology.name("instrument", c): c for c in ontology.ids(home, "instrument")}
    parsed = _LOCALIZATION.parse(answer, _question(tuple(concepts)))
    if parsed.error:
        return (), parsed.error
    strangers = sorted({name for name, _ in parsed.answer if name not in concepts})
    if strangers:
        return (), f"{', '.join(strangers)}: no instrument of {home}'s table"
    return tuple(
        schema.Instrument(schema.Label(concepts[name], name), schema.Box(*box))
        for name, box in parsed.answer
    ), None


_LOCALIZATION = InstrumentLocalization()


@functools.cache
def _question(options: tuple[str, ...]) -> schema.Conversation:
    return schema.Conversation("", _LOCALIZATION.name, (), (), [], options=options)
