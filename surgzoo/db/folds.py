"""Cross-validation as split schemes of any source, computed when they are asked for.

  cv10.3  the third of ten folds is tested, the fourth validates, the others train
  cv10    what all ten folds test: every video once; for scoring their answers together

All videos of one operation are in one fold. Segments with the same label are spread over the folds
as evenly as `splits.cross_validation` can. The folds depend on the videos of the source alone: the
same prepared source gives the same ones everywhere. Two sources that share operations are cut apart
from each other; a mixture that then trains on what is tested is refused, as any other.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence

from surgzoo.db import splits
from surgzoo.db.records import StoredVideo
from surgzoo.db.schema import Split

_SCHEME = re.compile(r"cv(?P<count>\d+)(?:\.(?P<fold>\d+))?")


def is_scheme(scheme: str) -> bool:
    """Whether a split scheme is a cross-validation of this module, whole or one fold of it."""
    return _SCHEME.fullmatch(scheme) is not None


def schemes(scheme: str) -> tuple[str, ...]:
    """The schemes of the folds that a whole cross-validation joins; () for any other scheme."""
    match = _SCHEME.fullmatch(scheme)
    if match is None or match["fold"]:
        return ()
    return tuple(f"{scheme}.{number}" for number in range(1, int(match["count"]) + 1))


def of_videos(videos: Sequence[StoredVideo], scheme: str) -> dict[str, Split]:
    """Video id -> split, of the videos of one source.

    Raises ValueError, naming the scheme, for a fold that there is not, for less than three folds,
    and for more folds than operations.
    """
    match = _SCHEME.fullmatch(scheme)
    if match is None:
        raise ValueError(f"'{scheme}' is no cross-validation; cv10.3 is the third fold of ten")
    count, fold = int(match["count"]), int(match["fold"] or 1)
    if count < 3 or not 1 <= fold <= count:
        raise ValueError(
            f"split scheme '{scheme}': take three or more folds, numbered from 1, such as "
            f"cv{max(count, 3)}.1"
        )
    if not match["fold"]:
        return {stored.video.id: "test" for stored in videos}
    operations = {(v.video.source, v.video.id): v.video.canonical for v in videos}
    try:
        folds = splits.cross_validation(
            _labels(videos), count, operation=lambda *name: operations[name]
        )
    except ValueError as error:
        raise ValueError(f"split scheme '{scheme}': {error}") from error
    parts = splits.fold_splits(folds, fold - 1)
    return {video: split for split, names in parts.items() for _, video in names}


def _labels(videos: Sequence[StoredVideo]) -> dict[splits.VideoName, tuple[int, ...]]:
    """How many segments of each label a video has."""
    counts = {
        (stored.video.source, stored.video.id): collections.Counter(
            (segment.kind, segment.label.concept) for segment in stored.annotations.segments
        )
        for stored in videos
    }
    labels = sorted(set().union(*counts.values()))
    return {name: tuple(found[label] for label in labels) for name, found in counts.items()}
