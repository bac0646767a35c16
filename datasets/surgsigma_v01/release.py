"""The released JSON of SurgΣ-DB v0.1: id tables, and the repair of its known defects.

What is known of the layout comes from the release's discussion page and from third parties that
counted it: tables `videos`, `images`, `annos` with spaces in the keys; a task type that is a list
of codes; boxes as integers 0-1000. The name of the question's field is not known, so it is looked
for under several names, and a file that has none of them is refused with the keys that it has.

Repaired, and counted in `Release.repairs`: video names without zero padding (VID2 for VID02), stray
special tokens (`<|object_ref_start|>`) in answers, questions and reasoning.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

TABLES = {"videos": ("videos",), "images": ("images",), "annos": ("annos", "annotations")}
FIELDS = {
    "image path": ("image path", "path", "file name"),
    "images": ("images", "image ids", "image id"),
    "task type": ("task type", "task types", "task"),
    "question": ("question", "query", "prompt", "instruction", "problem"),
    "answer": ("answer", "response", "output"),
    "thinking": ("thinking", "reasoning", "think"),
    "label": ("gt label", "gt", "label"),
}
PADDING = "video names without zero padding"
TOKENS = "stray special tokens"

_PATH = re.compile(
    r"(?:.*/)?(?P<dataset>(?!videos/)[^/]+)/(?:videos/)?"
    r"(?:vid|video)_?(?P<number>\d+)/(?P<frame>\d+)\.\w+",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"<\|[a-z_]{1,40}\|>")
_DIGITS = 2  # of a video's number, zero padded


class ReleaseError(ValueError):
    """A file that is not the release, or a record of it that cannot be read; says where."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A frame: source dataset, number of the video, number of the frame (a second, at 1 fps)."""

    dataset: str
    number: int
    frame: int

    @property
    def video(self) -> str:
        return f"{self.dataset}_VID{self.number:0{_DIGITS}d}"


@dataclasses.dataclass(frozen=True)
class Anno:
    """One annotation about one or more images. `label` is the raw ground truth, if there is any."""

    id: Any
    codes: tuple[int, ...]
    images: tuple[Place, ...]
    question: str
    answer: str
    thinking: str | None
    label: Any
    repaired: tuple[str, ...]  # the kinds of repair that this one needed


@dataclasses.dataclass
class Release:
    """The file with its ids resolved.

    Attributes:
      paths: every image's place -> its path as the file spells it.
      annos: in the file's order. repairs: kind -> how many records needed it.
      videos: rows of the table as they are.
    """

    paths: dict[Place, str]
    annos: list[Anno]
    videos: list[Mapping[str, Any]]
    repairs: collections.Counter


def read(path: str | Path) -> Release:
    """Reads the whole file. Raises ReleaseError that names file, table and record."""
    path = Path(path)
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ReleaseError(f"{path} is not JSON ({error})") from None
    if not isinstance(whole, dict):
        raise ReleaseError(f"{path} holds a {type(whole).__name__}, not an object with tables")
    tables = {
        name: _pick(whole, names, f"{path}", f"the table '{name}'")
        for name, names in TABLES.items()
    }
    repairs: collections.Counter = collections.Counter()
    paths: dict[Place, str] = {}
    places: dict[Any, tuple[Place, bool]] = {}
    for number, row in enumerate(tables["images"]):
        where = f"{path}, images[{number}]"
        text = _pick(row, FIELDS["image path"], where, "a path")
        place, repaired = _place(text, where)
        repairs[PADDING] += repaired
        identity = _pick(row, ("id",), where, "an id")
        if identity in places:
            raise ReleaseError(f"{where}: the id {identity!r} is given twice")
        places[identity] = place, repaired
        paths.setdefault(place, text)
    annos = [
        _anno(row, places, repairs, f"{path}, annos[{number}]")
        for number, row in enumerate(tables["annos"])
    ]
    return Release(paths, annos, tables["videos"], +repairs)


def _anno(row: Any, places: Mapping, repairs: collections.Counter, where: str) -> Anno:
    ids = _pick(row, FIELDS["images"], where, "image ids")
    found = []
    for identity in ids if isinstance(ids, list) else [ids]:
        if identity not in places:
            raise ReleaseError(f"{where}: there is no image with the id {identity!r}")
        found.append(places[identity])
    codes = _pick(row, FIELDS["task type"], where, "a task type")
    question = _pick(row, FIELDS["question"], where, "a question")
    answer = _pick(row, FIELDS["answer"], where, "an answer")
    thinking = _pick(row, FIELDS["thinking"], where)
    texts, stray = [], 0
    for text in (question, answer, thinking):
        clean, count = _TOKEN.subn("", text) if isinstance(text, str) else (text, 0)
        texts.append(clean.strip() if isinstance(clean, str) else clean)
        stray += count
    repairs[TOKENS] += stray > 0
    if not all(isinstance(text, str) for text in texts[:2]):
        raise ReleaseError(f"{where}: question and answer must be text")
    kinds = [TOKENS] * (stray > 0) + [PADDING] * any(repaired for _, repaired in found)
    return Anno(
        id=_pick(row, ("id",), where, "an id"),
        codes=tuple(codes) if isinstance(codes, list) else (codes,),
        images=tuple(place for place, _ in found),
        question=texts[0],
        answer=texts[1],
        thinking=texts[2] or None,
        label=_pick(row, FIELDS["label"], where),
        repaired=tuple(kinds),
    )


def _pick(row: Any, names: Iterable[str], where: str, needed: str = "") -> Any:
    """The value under the first of the names, spaces, underscores and case apart.

    Without `needed` a missing one is None; with it, an error that lists the keys seen.
    """
    if not isinstance(row, dict):
        raise ReleaseError(f"{where}: a {type(row).__name__} stands where an object is expected")
    keys = {key.lower().replace("_", " ").replace("-", " "): key for key in row}
    for name in names:
        if name in keys:
            return row[keys[name]]
    if not needed:
        return None
    raise ReleaseError(
        f"{where}: {needed} is missing (looked for {', '.join(names)}); it has the keys "
        f"{', '.join(map(repr, row)) or 'none'}. If one of them is meant, add its name to FIELDS "
        "in datasets/surgsigma_v01/release.py"
    )


def _place(text: Any, where: str) -> tuple[Place, bool]:
    match = _PATH.fullmatch(text.replace("\\", "/")) if isinstance(text, str) else None
    if match is None:
        raise ReleaseError(
            f"{where}: the image path {text!r} is not of the form CholecT50/videos/VID02/000509.png"
        )
    place = Place(match["dataset"], int(match["number"]), int(match["frame"]))
    return place, len(match["number"]) < _DIGITS


def spellings(text: str) -> list[str]:
    """A path as the file spells it, and with its video's number padded or not."""
    match = _PATH.fullmatch(text)
    start, end = match.span("number")
    number = int(match["number"])
    names = [text[:start] + digits + text[end:] for digits in (f"{number:02d}", str(number))]
    return list(dict.fromkeys([text, *names]))
