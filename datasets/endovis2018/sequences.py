"""Where the left images of EndoVis 2018 lie, in its own release and in those built on it."""

from __future__ import annotations

import re

from surgzoo.datasets.layout import File, Tree

RATE = 2.0  # frames a second, as the challenge states; stretches without motion were taken out
SEQUENCE = r"(?P<above>(?:.*/)?)seq_0*(?P<number>\d+)/"

# "left_fr" is the folder's name in copies that the question sets' loaders read.
_IMAGE = SEQUENCE + r"left_fr(?:ames)?/frame(?P<frame>\d+)\.(?:png|jpe?g)"


def name_of(match: re.Match) -> str:
    """seq_N, or test_seq_N below a folder of the test: the test numbers its sequences anew."""
    tested = "test" in match["above"].lower()
    return f"{'test_' if tested else ''}seq_{int(match['number'])}"


def by_frame(tree: Tree, pattern: str, *, copies: bool = False) -> dict[str, dict[int, File]]:
    """Sequence -> frame number -> file.

    Raises LayoutError when one frame has two files, unless these are `copies`: then the first.
    """
    found: dict[str, dict[int, File]] = {}
    for file, match in tree.match(pattern):
        frames = found.setdefault(name_of(match), {})
        other = frames.setdefault(int(match["frame"]), file)
        if other is not file and not copies:
            raise tree.error(f"{other} and {file} are of the same frame")
    return found


def left_images(tree: Tree, *, copies: bool = False) -> dict[str, dict[int, File]]:
    """Sequence -> frame number -> image. See `by_frame`."""
    return by_frame(tree, _IMAGE, copies=copies)


def order(name: str) -> tuple[bool, int]:
    """Sorts the test's sequences last, all by number."""
    return name.startswith("test_"), int(name.rpartition("_")[2])
