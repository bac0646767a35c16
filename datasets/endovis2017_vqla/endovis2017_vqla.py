"""EndoVis-17-VQLA: questions with boxes about 97 frames of EndoVis 2017, a test set only."""

from __future__ import annotations

import tensorflow_datasets as tfds

from surgzoo.datasets.endovis2018.sequences import RATE
from surgzoo.datasets.layout import File, Tree
from surgzoo.datasets.source_builder import SourceConfig
from surgzoo.datasets.still_questions import Files, StillQuestions

SOURCE = "endovis2017_vqla"

# Not the folders of EndoVis-18-VQLA or of the challenges, which may lie beside this set's.
_ABOVE = r"(?:(?!seq_|instrument_)[^/]+/)*"
_FRAME = r"seq_?0*(?P<number>\d+)_frame(?P<frame>\d+)"


class EndoVis2017Vqla(StillQuestions):
    """All files are in one folder; their names tell the sequence."""

    name = source = SOURCE
    boxed = True
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Questions with answers of 18 classes and boxes."}
    BUILDER_CONFIGS = [SourceConfig(name="fps2", fps=RATE, description="As released.")]
    EXPECTED = """
EndoVis-17-VQLA/left_frames/seq1_frame000.jpg
EndoVis-17-VQLA/vqla/label/seq1_frame000_QA.txt
"""

    def images(self, tree: Tree) -> Files:
        return _by_sequence(tree, _ABOVE + "left_frames/", r"\.(?:png|jpe?g)")

    def asked(self, tree: Tree) -> Files:
        return _by_sequence(tree, _ABOVE + "vqla/label/", r"(?:_QA)?\.txt")


def _by_sequence(tree: Tree, folder: str, suffix: str) -> Files:
    """Sequence -> frame number -> file. Raises LayoutError for a name without its sequence."""
    found: dict[str, dict[int, File]] = {}
    matches = tree.match(folder + _FRAME + suffix)
    named = {file.path for file, _ in matches}
    strange = [f for f, _ in tree.match(rf"{folder}[^/]*{suffix}") if f.path not in named]
    if strange:
        raise tree.error(f"{strange[0]} does not tell its sequence, as seq1_frame000 does")
    for file, match in matches:
        frames = found.setdefault(f"seq_{int(match['number'])}", {})
        other = frames.setdefault(int(match["frame"]), file)
        if other is not file:
            raise tree.error(f"{other} and {file} are of the same frame")
    return found
