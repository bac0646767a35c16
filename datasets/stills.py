"""Picture sets without a clock: series of stills that are no video."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from surgzoo.datasets.frames import Still
from surgzoo.datasets.layout import File

# Seconds between neighbours: so far apart that no task takes two of them for a clip.
SPACING = 10.0
NO_CLOCK = f"pictures without times: set {SPACING:g} s apart, in the order of their names"


def series(files: Mapping[Hashable, File]) -> list[Still]:
    """Key -> picture to stills in the order of the keys. Say `NO_CLOCK` in the video's notes."""
    return [
        Still(SPACING * place, file, key) for place, (key, file) in enumerate(sorted(files.items()))
    ]
