"""Official splits: which videos of a source train, validate and test, with the evidence of each.

The data is in splits.tsv beside this file, so that a correction needs no code. Builders put
`official(source, video_id)` into `schema.Video.splits`. A source whose release carries the split
file by file (OphNet2024, PmLR50, MultiBypass140's folds, ROBUST-MIS, the Kvasir sets,
m2cai16-tool-locations) is read by its builder; CholecSeg8k, HeiChole and the image sets publish
none by video.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

from surgzoo.db import identity
from surgzoo.db.schema import Split

SPLITS: tuple[Split, ...] = get_args(Split)
TABLE = Path(__file__).with_name("splits.tsv")
DEFAULT = "default"
EVERY = "*"  # in place of a list: all videos of the source

# In a cross-validation one fold is tested. Of the others, joined in order, the last five videos
# validate: that is what dataloader_pth.py of github.com/CAMMA-public/cholect50 does.
VALIDATING = 5

_FOLD = re.compile(r"fold\d+")
_RANGE = re.compile(r"(?P<before>.*)\{(?P<first>\d+)-(?P<last>\d+)\}(?P<after>.*)")
_PLAIN_RANGE = re.compile(r"\d+-\d+")

Parts = Mapping[Split, tuple[str, ...]]


def sources() -> tuple[str, ...]:
    """Sources with an official split, in the order of the table."""
    return tuple(_table())


def schemes(source: str) -> dict[str, Parts]:
    """Scheme -> split -> video ids, in the order of the table; {} for a source without any.

    A cross-validation `name` of n folds becomes the schemes name1 .. name<n>. "default" is not
    among them: see `default`.
    """
    return dict(_table().get(source, ({}, ""))[0])


def default(source: str) -> str:
    """The name of the source's default scheme. Raises KeyError for a source without a split."""
    if source not in _table():
        raise KeyError(f"{source} has no official split in {TABLE.name}")
    return _table()[source][1]


def folds(source: str, name: str) -> tuple[tuple[str, ...], ...]:
    """The folds of a cross-validation, in the order of the official loader."""
    parts = {part: ids for (s, n, part), (ids, _) in _rows().items() if (s, n) == (source, name)}
    return tuple(ids for part, ids in parts.items() if _FOLD.fullmatch(part))


def evidence(source: str) -> dict[tuple[str, str], str]:
    """(scheme, part) -> where the row of the table comes from."""
    return {(name, part): text for (s, name, part), (_, text) in _rows().items() if s == source}


def official(source: str, video_id: str) -> dict[str, Split]:
    """Scheme -> split of one video, "default" among them; {} for a video that no scheme names.

    Raises ValueError as `identity.canonical` does, for an id that cannot be read.
    """
    found: dict[str, Split] = {}
    key = identity.piece(source, video_id)
    for scheme, members in _members(source).items():
        split = members.get(EVERY) or members.get(key)
        if split:
            found[scheme] = split
    if found and default(source) in found:
        found[DEFAULT] = found[default(source)]
    return found


VideoName = tuple[str, str]  # source, video id


def cross_validation(
    videos: Mapping[VideoName, Sequence[int]],
    count: int = 10,
    seed: int = 0,
    operation: Callable[[str, str], str] = identity.canonical,
) -> tuple[tuple[VideoName, ...], ...]:
    """Folds of operations over any sources, for a set that has no official ones (BSA's has none).

    All videos of one operation (`identity.canonical`) are in one fold. Labels are spread as evenly
    as a greedy pass can: the operation with the largest share of any label is placed first, each
    into the fold where its labels are rarest. The same videos give the same folds in any order.

    Args:
      videos: (source, video id) -> how often each label occurs in it, in the same order for all;
        () where that is of no matter.
      count: folds. Each is tested once, the next one validates: see `fold_splits`.
      seed: which of the operations that are alike comes first.
      operation: (source, video id) -> canonical id of what the video shows.

    Raises ValueError when there are fewer operations than folds, when videos count different
    labels, and as `identity.canonical` does.
    """
    lengths = {len(counts) for counts in videos.values()}
    if len(lengths) > 1:
        raise ValueError(f"some videos count {min(lengths)} labels, others {max(lengths)}")
    operations: dict[str, list[VideoName]] = {}
    for name in sorted(videos):
        operations.setdefault(operation(*name), []).append(name)
    if not 2 <= count <= len(operations):
        raise ValueError(
            f"{len(operations)} operations cannot be cut into {count} folds; give from 2 to "
            f"{len(operations)}"
        )
    totals = [sum(column) for column in zip(*videos.values(), strict=True)]
    shares = {}  # of all operations, then of each label that occurs
    for shown, names in operations.items():
        sums = [sum(column) for column in zip(*(videos[name] for name in names), strict=True)]
        of_labels = [own / all_ for own, all_ in zip(sums, totals, strict=True) if all_]
        shares[shown] = [1 / len(operations), *of_labels]

    def first(shown: str) -> tuple[float, str]:
        chance = hashlib.sha256(f"{seed} {shown}".encode()).hexdigest()
        return -max(shares[shown]), chance

    loads = [[0.0] * (1 + sum(map(bool, totals))) for _ in range(count)]
    folds: list[list[VideoName]] = [[] for _ in range(count)]
    for placed in sorted(operations, key=first):
        share = shares[placed]

        def crowd(fold: int, share=share) -> float:
            return sum(load * own for load, own in zip(loads[fold], share, strict=True))

        fold = min(range(count), key=crowd)
        folds[fold] += operations[placed]
        loads[fold] = [load + own for load, own in zip(loads[fold], share, strict=True)]
    return tuple(tuple(sorted(fold)) for fold in folds)


def fold_splits(
    folds: Sequence[Sequence[VideoName]], number: int
) -> dict[Split, tuple[VideoName, ...]]:
    """Train, val and test when fold `number`, from 0 on, is tested and the next one validates.

    Raises ValueError for fewer than three folds, and IndexError for a fold that is not there.
    """
    if len(folds) < 3:
        raise ValueError(f"{len(folds)} folds leave nothing to train on; take three or more")
    if not 0 <= number < len(folds):
        raise IndexError(f"fold {number} of {len(folds)}, which are numbered from 0")
    val = (number + 1) % len(folds)
    rest = [fold for place, fold in enumerate(folds) if place not in (number, val)]
    return {
        "train": tuple(name for fold in rest for name in fold),
        "val": tuple(folds[val]),
        "test": tuple(folds[number]),
    }


@functools.cache
def _members(source: str) -> dict[str, dict[str, Split]]:
    """Scheme -> piece -> split."""
    out: dict[str, dict[str, Split]] = {}
    for scheme, parts in schemes(source).items():
        members = out.setdefault(scheme, {})
        for split, ids in parts.items():
            for video_id in ids:
                key = EVERY if video_id == EVERY else identity.piece(source, video_id)
                if members.setdefault(key, split) != split:
                    raise ValueError(
                        f"{TABLE}: {source}, scheme {scheme}: {key} is in {members[key]} and in "
                        f"{split}"
                    )
    return out


@functools.cache
def _table() -> dict[str, tuple[dict[str, Parts], str]]:
    """Source -> (schemes, name of the default one)."""
    raw: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}
    defaults: dict[str, str] = {}
    for (source, scheme, part), (ids, _) in _rows().items():
        if part == DEFAULT:
            if source in defaults:
                raise ValueError(f"{TABLE}: {source} has two default schemes")
            defaults[source] = scheme
        else:
            raw.setdefault(source, {}).setdefault(scheme, {})[part] = ids
    out = {}
    for source, found in raw.items():
        all_schemes: dict[str, Parts] = {}
        for scheme, parts in found.items():
            all_schemes |= _expand(scheme, parts)
        name = defaults.get(source, "")
        if not name and len(all_schemes) == 1:
            name = next(iter(all_schemes))
        if name not in all_schemes:
            raise ValueError(
                f"{TABLE}: {source} has the schemes {', '.join(all_schemes)}; say which is the "
                f"default with a row of the part '{DEFAULT}' (found: {name or 'none'})"
            )
        out[source] = (all_schemes, name)
    return out


def _expand(scheme: str, parts: Mapping[str, tuple[str, ...]]) -> dict[str, Parts]:
    names = [part for part in parts if _FOLD.fullmatch(part)]
    if not names:
        return {scheme: parts}
    out: dict[str, Parts] = {}
    for number, tested in enumerate(names, start=1):
        rest = [video for name in names if name != tested for video in parts[name]]
        out[f"{scheme}{number}"] = {
            "train": tuple(rest[:-VALIDATING]),
            "val": tuple(rest[-VALIDATING:]),
            "test": parts[tested],
        }
    return out


@functools.cache
def _rows() -> dict[tuple[str, str, str], tuple[tuple[str, ...], str]]:
    """(source, scheme, part) -> (video ids, evidence). ValueError names file and line."""
    out: dict[tuple[str, str, str], tuple[tuple[str, ...], str]] = {}
    with open(TABLE, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.reader(file, delimiter="\t"), start=1):
            if not row or row[0].startswith("#"):
                continue
            where = f"{TABLE}, line {number}"
            if len(row) != 5 or not all((*row[:3], row[4])):
                raise ValueError(f"{where}: need source, scheme, part, videos and evidence: {row}")
            source, scheme, part, videos, text = row
            if part not in (*SPLITS, DEFAULT) and not _FOLD.fullmatch(part):
                raise ValueError(
                    f"{where}: the part '{part}' is none of {', '.join(SPLITS)}, fold1 .. and "
                    f"{DEFAULT}"
                )
            if (source, scheme, part) in out:
                raise ValueError(f"{where}: {source}, {scheme}, {part} is given twice")
            if (part == DEFAULT) != (not videos):
                raise ValueError(f"{where}: videos belong in every part but '{DEFAULT}'")
            out[source, scheme, part] = (_videos(videos, where), text)
    return out


def _videos(spec: str, where: str) -> tuple[str, ...]:
    """Ids of a list with ranges. An id given twice is an error."""
    out: list[str] = []
    for item in spec.split(",") if spec else []:
        match = _RANGE.fullmatch(f"{{{item}}}" if _PLAIN_RANGE.fullmatch(item) else item)
        if match is None:
            out.append(item)
            continue
        first, last = int(match["first"]), int(match["last"])
        if first > last:
            raise ValueError(f"{where}: the range {item} ends before it begins")
        out += [f"{match['before']}{number}{match['after']}" for number in range(first, last + 1)]
    if len(set(out)) < len(out):
        twice = sorted({video for video in out if out.count(video) > 1})
        raise ValueError(f"{where}: {', '.join(twice)} is given twice")
    return tuple(out)
