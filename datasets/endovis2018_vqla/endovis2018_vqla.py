"""EndoVis-18-VQLA: questions about frames of EndoVis 2018, answered by a label and a box."""

from __future__ import annotations

import tensorflow_datasets as tfds

from surgzoo.datasets.endovis2018.sequences import RATE, SEQUENCE, by_frame
from surgzoo.datasets.layout import Tree
from surgzoo.datasets.source_builder import SourceConfig
from surgzoo.datasets.still_questions import Files, StillQuestions

SOURCE = "endovis2018_vqla"


class EndoVis2018Vqla(StillQuestions):
    name = source = SOURCE
    boxed = True
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Questions with answers of 18 classes and boxes."}
    BUILDER_CONFIGS = [SourceConfig(name="fps2", fps=RATE, description="As released.")]
    EXPECTED = """
seq_N/vqla/label/frame000_QA.txt    (N = 1 .. 7, 9 .. 12, 14 .. 16)
seq_N/left_frames/frame000.png      EndoVis 2018's images, here or in its own folders
"""

    def asked(self, tree: Tree) -> Files:
        return by_frame(tree, SEQUENCE + r"vqla/label/frame(?P<frame>\d+)(?:_QA)?\.txt")
