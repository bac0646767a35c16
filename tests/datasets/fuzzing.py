"""Damage to annotation files, in the ways of real disks and editors, and what a reader may do then.

A reader may raise one of `CLEAR` (they name file and place) or quarantine; it may not fail in
another way, and a file that is only encoded otherwise must give the very same labels.
"""

from __future__ import annotations

import codecs
import dataclasses
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgzoo.datasets.annotation_files import AnnotationFileError, FrameError
from surgzoo.datasets.frames import Quarantined
from surgzoo.datasets.layout import LayoutError, Tree
from surgzoo.db.ontology import UnmappedLabelError

CASES = 500
CLEAR = (LayoutError, AnnotationFileError, FrameError, UnmappedLabelError)


def read(builder_class, folder: Path, config: str | None = None):
    """All videos and frames of a folder without pixels: (video, frames, quarantined) a job."""
    builder = builder_class(data_dir=str(folder / "unused"), config=config)
    out = []
    for job in builder.jobs(Tree.open(folder, builder.source, builder.EXPECTED)):
        items = list(job.frames())
        frames = [
            (i.frame, i.annotations, i.dense) for i in items if not isinstance(i, Quarantined)
        ]
        bad = [item for item in items if isinstance(item, Quarantined)]
        out.append((job.video, job.annotations, frames, bad))
    return out


@dataclasses.dataclass(frozen=True)
class Damage:
    """New bytes of a file. `harmless`: every label must come out as before."""

    name: str
    data: bytes
    harmless: bool = False


def damages(data: bytes, ordered: bool) -> st.SearchStrategy[Damage]:
    """`ordered`: whether lines mean something by their order, so that shuffling them may matter."""
    whole = data.decode("utf-8-sig")
    lines = whole.splitlines(keepends=True)
    head, body = lines[:1], lines[1:]

    def encoded(codec: str) -> Damage:
        bom = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(codec, b"")
        return Damage(codec, bom + whole.encode(codec), harmless=True)

    unix = whole.replace("\r\n", "\n")
    same = [
        encoded("utf-16-le"),
        encoded("utf-16-be"),
        encoded("utf-8-sig"),
        Damage("CRLF", unix.replace("\n", "\r\n").encode(), harmless=True),
        Damage("CR", unix.replace("\n", "\r").encode(), harmless=True),
        Damage("blank lines at the end", (unix + "\n\n").encode(), harmless=True),
    ]
    gone = [Damage("emptied", b""), Damage("blank", b"\n \n"), Damage("zeros", bytes(len(data)))]
    gone.append(Damage("UTF-16 without mark", whole.encode("utf-16-le")))
    position = st.integers(0, max(0, len(data) - 1))
    return st.one_of(
        st.sampled_from(same),
        st.sampled_from(gone),
        position.map(lambda n: Damage(f"cut at {n}", data[:n])),
        st.tuples(position, st.binary(min_size=1, max_size=4)).map(
            lambda p: Damage(f"bytes at {p[0]}", data[: p[0]] + p[1] + data[p[0] + len(p[1]) :])
        ),
        st.tuples(position, st.sampled_from(list(",;|\t\n\"'-0.e{}[]:<>/"))).map(
            lambda p: Damage(f"{p[1]!r} at {p[0]}", data[: p[0]] + p[1].encode() + data[p[0] :])
        ),
        st.permutations(body).map(
            lambda p: Damage("shuffled", "".join([*head, *p]).encode(), harmless=not ordered)
        ),
        st.integers(0, max(0, len(lines) - 1)).map(
            lambda n: Damage(f"line {n} twice", "".join([*lines[: n + 1], *lines[n:]]).encode())
        ),
        st.integers(0, max(0, len(lines) - 1)).map(
            lambda n: Damage(f"line {n} gone", "".join([*lines[:n], *lines[n + 1 :]]).encode())
        ),
    )


def fuzz(
    builder_class,
    folder: Path,
    path: str,
    *,
    ordered: bool = True,
    config: str | None = None,
    cases: int = CASES,
) -> None:
    """Damages one annotation file of a fixture in `cases` ways. AssertionError names the damage."""
    file = folder / path
    original = file.read_bytes()
    baseline = read(builder_class, folder, config)
    assert any(frames for _, _, frames, _ in baseline), "the fixture must be readable as it is"

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(damages(original, ordered))
    def run(damage: Damage) -> None:
        file.write_bytes(damage.data)
        try:
            got = read(builder_class, folder, config)
        except CLEAR as error:
            assert not damage.harmless, f"{damage.name}: {error}"
            assert file.name in str(error) or builder_class.source in str(error), str(error)
            return
        if damage.harmless:
            assert got == baseline, damage.name

    try:
        run()
    finally:
        file.write_bytes(original)
