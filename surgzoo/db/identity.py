"""Whose operation a video shows: one canonical id across sources, and the leakage check on it.

Surgical datasets overlap: CholecT50's VID01, Cholec80's video01 and CholecSeg8k's video01 are one
patient. A split that is clean inside one dataset leaks when a mixture joins two. So every
`schema.Video` carries `canonical`, and `check_leakage` compares training and test videos by it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from surgzoo.db import records, schema

# Sources that use CAMMA's common numbering: the same number is the same operation
# (docs/README-Splits.md of github.com/CAMMA-public/cholect50). Numbers up to 80 are Cholec80's.
CAMMA_NUMBERED = frozenset(
    {
        "cholec80",
        "cholec80_cvs",
        "cholec80_vqa",
        "cholecseg8k",
        "cholect45",
        "cholect50",
        "cholectrack20",
        "ssg_vqa",
    }
)

_ENDOSCAPES = "CAMMA's dataset overlap tables"
_M2CAI = "CAMMA's dataset overlap tables; the order of the five test videos is not verified"

# Sources that number CAMMA's operations anew: source, number there, CAMMA number, evidence.
OVERLAPS: tuple[tuple[str, int, int, str], ...] = (
    ("endoscapes", 1, 67, _ENDOSCAPES),
    ("endoscapes", 2, 68, _ENDOSCAPES),
    ("endoscapes", 3, 70, _ENDOSCAPES),
    ("endoscapes", 4, 71, _ENDOSCAPES),
    ("endoscapes", 7, 72, _ENDOSCAPES),
    ("endoscapes", 10, 96, _ENDOSCAPES),
    ("endoscapes", 33, 110, _ENDOSCAPES),
    ("endoscapes", 121, 66, _ENDOSCAPES),
    ("endoscapes", 127, 103, _ENDOSCAPES),
    *(("m2cai16_tool", number, 66 + number, _M2CAI) for number in range(1, 11)),
    ("m2cai16_tool", 11, 61, _M2CAI),
    ("m2cai16_tool", 12, 62, _M2CAI),
    ("m2cai16_tool", 13, 64, _M2CAI),
    ("m2cai16_tool", 14, 65, _M2CAI),
    ("m2cai16_tool", 15, 66, _M2CAI),
)

# Sources whose videos are named as in another source: source, that source, evidence.
SAME_IDS: tuple[tuple[str, str, str], ...] = (
    (
        "psi_ava",
        "grasp",
        "GraSP extends PSI-AVA (arXiv 2401.11174); both name its cases CASE001 ...",
    ),
)

_CAMMA_NUMBER = {(source, number): camma for source, number, camma, _ in OVERLAPS}
_OWN_NUMBERED = frozenset(source for source, *_ in OVERLAPS)
_HOME = {source: home for source, home, _ in SAME_IDS}
_NUMBER = re.compile(r"[A-Za-z_]*0*(\d+)")  # 1, 01, VID01, video01, tool_video_01


def canonical(source: str, video_id: str) -> str:
    """The canonical id of a video of `source`.

    "cholec80/video01" for operations of Cholec80, "camma/VID92" for CAMMA's further ones, and
    "<source>/<video_id>" for a source that shares no operation with another.
    Raises ValueError when a numbered source has an id without a number: a silent fall-back would
    hide its overlap.
    """
    if source not in CAMMA_NUMBERED and source not in _OWN_NUMBERED:
        return f"{_HOME.get(source, source)}/{video_id}"
    match = _NUMBER.fullmatch(video_id)
    if match is None:
        raise ValueError(
            f"{source}: the video id '{video_id}' holds no number, so its operation cannot be "
            "told; expected something like 7, video07 or VID07"
        )
    number = int(match[1])
    if source in _OWN_NUMBERED:
        if (source, number) not in _CAMMA_NUMBER:
            return f"{source}/{number}"
        number = _CAMMA_NUMBER[source, number]
    return f"cholec80/video{number:02d}" if 1 <= number <= 80 else f"camma/VID{number:02d}"


@dataclasses.dataclass(frozen=True)
class SharedVideo:
    """One operation on both sides; videos are written "source/id"."""

    canonical: str
    training: tuple[str, ...]
    testing: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Leakage:
    """What `check_leakage` found. `overridden` says that training went on in spite of it.

    `schema.to_jsonable` turns it into what a checkpoint's meta and a report hold.
    """

    shared: tuple[SharedVideo, ...] = ()
    overridden: bool = False


class LeakageError(ValueError):
    """A training mixture holds operations that a benchmark tests on; `leakage` lists them."""

    def __init__(self, leakage: Leakage):
        self.leakage = leakage
        groups: dict[tuple[str, str], list[str]] = {}
        for shared in leakage.shared:
            for train in shared.training:
                for test in shared.testing:
                    pair = train.partition("/")[0], test.partition("/")[0]
                    groups.setdefault(pair, []).append(shared.canonical)
        lines = [
            f"  trained in {train}, tested in {test} ({len(set(found))}): "
            + ", ".join(sorted(set(found)))
            for (train, test), found in sorted(groups.items())
        ]
        super().__init__(
            f"{len(leakage.shared)} operations are in the training mixture and in an enabled "
            "benchmark's test set:\n"
            + "\n".join(lines)
            + "\nTake them out of the mixture (another split scheme) or disable the benchmark. An "
            "override is possible and is written into the checkpoint and the report."
        )


def check_leakage(
    training: Iterable[schema.Video | records.StoredVideo],
    testing: Iterable[schema.Video | records.StoredVideo],
    *,
    allow: bool = False,
) -> Leakage:
    """Compares operations, not names. Raises LeakageError when one is shared and not `allow`.

    With `allow` the finding is returned, marked as overridden, for the caller to record.
    """
    trained, tested = _by_canonical(training), _by_canonical(testing)
    leakage = Leakage(
        tuple(
            SharedVideo(key, tuple(trained[key]), tuple(tested[key]))
            for key in sorted(trained.keys() & tested.keys())
        ),
        overridden=allow and bool(trained.keys() & tested.keys()),
    )
    if leakage.shared and not allow:
        raise LeakageError(leakage)
    return leakage


def _by_canonical(
    videos: Iterable[schema.Video | records.StoredVideo],
) -> dict[str, list[str]]:
    out: dict[str, dict[str, None]] = {}
    for video in videos:
        if isinstance(video, records.StoredVideo):
            video = video.video
        if not video.canonical:
            raise ValueError(
                f"{video.source}/{video.id} has no canonical id; see identity.canonical"
            )
        out.setdefault(video.canonical, {})[f"{video.source}/{video.id}"] = None
    return {key: list(names) for key, names in out.items()}
