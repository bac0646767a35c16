"""One split of the union of sources, in which no operation is on two sides.

Every source has its own official split, and sources share operations (`db/identity.py`): Cholec80
trains on video06, CholecT50 tests on it. `leak_free` gives each operation one split:

  test   if any of the sources tests on it,
  val    else, if any of them validates on it,
  train  else, also when no source says anything.

So an operation that is tested anywhere is moved to test, not dropped: its labels in the sources
that train on it are then test data too. The result does not depend on the order of the videos, and
every move is in `changed` with the sources that caused it. The more sources take part, the fewer
operations are left in train: with every CAMMA set at its default scheme, none of Cholec80's is. So
name the sources and schemes that count.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from surgzoo.db import identity, records, schema
from surgzoo.db.schema import Split
from surgzoo.db.splits import DEFAULT, EVERY, SPLITS

SCHEME = "leak_free"

_OFFICIAL = "official"
_STRICTEST = ("test", "val", "train")

Videos = Iterable[schema.Video | records.StoredVideo]
Schemes = Mapping[str, str | tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Moved:
    """A video whose official split is not its split in the union.

    `video` is "source/id"; `because` names the videos that have the operation where it is now, as
    "source/id (scheme)".
    """

    video: str
    canonical: str
    scheme: str
    official: Split
    split: Split
    because: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class LeakFree:
    """The split of the union; `schema.to_jsonable` turns it into what a report holds.

    Attributes:
      splits: canonical id -> split, sorted by id.
      schemes: source -> the schemes that were counted, () for a source without any.
      changed: videos whose official split changed, sorted.
      unsplit: canonical ids that no scheme mentions; they are in train.
      warnings: overlaps that are likely and not in the ledger by video.
    """

    splits: dict[str, Split]
    schemes: dict[str, tuple[str, ...]]
    changed: tuple[Moved, ...]
    unsplit: tuple[str, ...]
    warnings: tuple[str, ...]

    def split(self, canonical: str) -> Split:
        """The split of an operation. Raises KeyError for one that was not in the union."""
        try:
            return self.splits[canonical]
        except KeyError:
            raise KeyError(
                f"the operation '{canonical}' was not among the {len(self.splits)} of which this "
                "split was made; make it of all sources together"
            ) from None

    def select(
        self, videos: Iterable[records.StoredVideo], split: str
    ) -> list[records.StoredVideo]:
        """The stored videos of a split, in their order; `all` selects every one."""
        if split not in (*SPLITS, "all"):
            raise ValueError(f"there is no split '{split}'; choose {', '.join(SPLITS)} or all")
        return [v for v in videos if split in ("all", self.split(v.video.canonical))]

    def marked(self, stored: records.StoredVideo) -> records.StoredVideo:
        """The video with this split as the scheme "leak_free", for `Store.select`."""
        splits = {**stored.video.splits, SCHEME: self.split(stored.video.canonical)}
        return dataclasses.replace(stored, video=dataclasses.replace(stored.video, splits=splits))

    def summary(self) -> str:
        """Counts, moves by source, and warnings, in a few lines."""
        count = collections.Counter(self.splits.values())
        lines = [
            f"{len(self.splits)} operations: "
            + ", ".join(f"{count[split]} {split}" for split in SPLITS)
        ]
        moves = collections.Counter(
            (moved.video.partition("/")[0], moved.scheme, moved.official, moved.split)
            for moved in self.changed
        )
        lines += [
            f"  {source} ({scheme}): {number} from {before} to {after}"
            for (source, scheme, before, after), number in sorted(moves.items())
        ]
        if self.unsplit:
            lines.append(f"  in train as no scheme mentions them: {len(self.unsplit)}")
        return "\n".join([*lines, *(f"  not in the ledger: {text}" for text in self.warnings)])


def leak_free(videos: Videos, schemes: Schemes | None = None) -> LeakFree:
    """The split of the union of all `videos`.

    Args:
      videos: those of all prepared sources. A video may come more than once (frame rates).
      schemes: source -> scheme, or several, that count; "*" counts every scheme of the source (of a
        cross-validation that tests every video), and () none: the source follows the others. By
        default the scheme "default" of a source, else "official", else the only one.

    Raises ValueError for a video without canonical id, a source that is not among the videos, a
    scheme that a source does not have, and a source with several schemes of which none is the
    default.
    """
    unique = {
        (video.source, video.id): video
        for video in (v.video if isinstance(v, records.StoredVideo) else v for v in videos)
    }
    counted = _counted(unique.values(), schemes or {})
    votes: dict[str, dict[Split, list[str]]] = {}
    said: list[tuple[schema.Video, str, Split]] = []
    for _, video in sorted(unique.items()):
        if not video.canonical:
            raise ValueError(
                f"{video.source}/{video.id} has no canonical id; see identity.canonical"
            )
        vote = votes.setdefault(video.canonical, {})
        for scheme in counted[video.source]:
            if scheme in video.splits:
                split = video.splits[scheme]
                vote.setdefault(split, []).append(f"{video.source}/{video.id} ({scheme})")
                said.append((video, scheme, split))
    splits: dict[str, Split] = {
        canonical: next((split for split in _STRICTEST if split in votes[canonical]), "train")
        for canonical in sorted(votes)
    }
    return LeakFree(
        splits=splits,
        schemes=counted,
        changed=tuple(
            Moved(
                f"{video.source}/{video.id}",
                video.canonical,
                scheme,
                split,
                splits[video.canonical],
                tuple(votes[video.canonical][splits[video.canonical]]),
            )
            for video, scheme, split in said
            if split != splits[video.canonical]
        ),
        unsplit=tuple(canonical for canonical in splits if not votes[canonical]),
        warnings=identity.suspected(counted),
    )


def _counted(videos: Iterable[schema.Video], wanted: Schemes) -> dict[str, tuple[str, ...]]:
    """Source -> the schemes that count."""
    known: dict[str, set[str]] = {}
    for video in videos:
        known.setdefault(video.source, set()).update(video.splits)
    strangers = sorted(set(wanted) - set(known))
    if strangers:
        raise ValueError(
            f"schemes are given for {', '.join(strangers)}; the videos are of "
            f"{', '.join(sorted(known)) or 'no source'}"
        )
    out = {}
    for source, names in sorted(known.items()):
        asked = wanted.get(source)
        if asked is None:
            out[source] = _default(source, names)
            continue
        asked = (asked,) if isinstance(asked, str) else tuple(asked)
        # "default" and the split of an earlier union repeat what other schemes say
        every = sorted(names - {DEFAULT, SCHEME}) or sorted(names - {SCHEME})
        asked = tuple(every) if asked == (EVERY,) else asked
        missing = sorted(set(asked) - names)
        if missing:
            raise ValueError(
                f"{source} has no split scheme {', '.join(missing)}; it has "
                f"{', '.join(sorted(names)) or 'none'}"
            )
        out[source] = asked
    return out


def _default(source: str, names: set[str]) -> tuple[str, ...]:
    names = names - {SCHEME}
    for name in (DEFAULT, _OFFICIAL):
        if name in names:
            return (name,)
    if len(names) > 1:
        raise ValueError(
            f"{source} has the split schemes {', '.join(sorted(names))} and no default; say which "
            "counts"
        )
    return tuple(names)
