"""Whose operation a video shows: one canonical id across sources, and the leakage check on it.

Surgical datasets overlap: CholecT50's VID01, Cholec80's video01 and CholecSeg8k's video01 are one
patient. A split that is clean inside one dataset leaks when a mixture joins two. So every
`schema.Video` carries `canonical`, and `check_leakage` compares training and test videos by it.
Who shares what with whom is data: `db/ledger.py`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from surgzoo.db import records, schema
from surgzoo.db.ledger import CAMMA_NUMBERED, NAMINGS, OVERLAPS, SAME_IDS, SUSPECTED

_CAMMA_NUMBER = {(source, number): camma for source, number, camma, _ in OVERLAPS}
_OWN_NUMBERED = frozenset(source for source, *_ in OVERLAPS)
_HOME = {source: home for source, home, _ in SAME_IDS}
_NUMBER = re.compile(r"[A-Za-z_]*0*(?P<number>\d+)")  # 1, 01, VID01, video01, tool_video_01
_PATTERNS = {naming: re.compile(naming.pattern, re.IGNORECASE) for naming in NAMINGS}


def canonical(source: str, video_id: str) -> str:
    """The canonical id of a video of `source`.

    "cholec80/video01" for operations of Cholec80, "camma/VID92" for CAMMA's further ones, else
    "<home>/<name>", where home is the source itself or the one whose videos it shares.
    Raises ValueError when a source of the ledger has an id that cannot be read: a silent fall-back
    would hide its overlap.
    """
    return _read(source, video_id, whole=True)


def piece(source: str, video_id: str) -> str:
    """As `canonical`, but tells the pieces of one operation apart that are in different splits."""
    return _read(source, video_id, whole=False)


def suspected(sources: Iterable[str]) -> tuple[str, ...]:
    """Warnings on overlaps that are likely among the sources and not in the ledger by video."""
    given = set(sources)
    homes = given | {_HOME.get(source, source) for source in given}
    homes |= {"cholec80"} if given & CAMMA_NUMBERED else set()
    return tuple(
        f"{one} within itself: {evidence}" if one == other else f"{one} and {other}: {evidence}"
        for one, other, evidence in SUSPECTED
        if {one, other} <= homes
    )


def _read(source: str, video_id: str, *, whole: bool) -> str:
    home = _HOME.get(source, source)
    name = _named(source, video_id, whole)
    if home not in CAMMA_NUMBERED and home not in _OWN_NUMBERED:
        return f"{home}/{video_id if name is None else name}"
    match = _NUMBER.fullmatch(video_id if name is None else name)
    if match is None:
        raise ValueError(
            f"{source}: the video id '{video_id}' holds no number, so its operation cannot be "
            "told; expected something like 7, video07 or VID07"
        )
    number = int(match["number"])
    if home in _OWN_NUMBERED:
        if (home, number) not in _CAMMA_NUMBER:
            return f"{home}/{number}"
        number = _CAMMA_NUMBER[home, number]
    return f"cholec80/video{number:02d}" if 1 <= number <= 80 else f"camma/VID{number:02d}"


def _named(source: str, video_id: str, whole: bool) -> str | None:
    """The name by the source's namings; None where it has none."""
    namings = [naming for naming in NAMINGS if source in naming.sources]
    for naming in namings:
        match = _PATTERNS[naming].fullmatch(video_id)
        if match:
            groups = {key: (text or "").lower() for key, text in match.groupdict().items()}
            if "number" in groups:
                groups["number"] = int(groups["number"])
            return (naming.name if whole else naming.piece or naming.name).format(**groups)
    if not namings or (source in CAMMA_NUMBERED and _NUMBER.fullmatch(video_id)):
        return None
    patterns = " or ".join(naming.pattern for naming in namings)
    raise ValueError(
        f"{source}: the video id '{video_id}' is not of the form {patterns}, so its operation "
        "cannot be told; name the video so, or correct NAMINGS in surgzoo/db/ledger.py"
    )


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
