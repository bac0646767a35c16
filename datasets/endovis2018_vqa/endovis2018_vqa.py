"""EndoVis-18-VQA: questions about frames of EndoVis 2018, answered by a label or a sentence."""

from __future__ import annotations

import dataclasses
from typing import Literal

import tensorflow_datasets as tfds

from surgzoo.datasets.endovis2018.sequences import RATE, SEQUENCE, by_frame
from surgzoo.datasets.layout import Tree
from surgzoo.datasets.source_builder import SourceConfig
from surgzoo.datasets.still_questions import Files, KindOf, StillQuestions, kind_of_question

SOURCE = "endovis2018_vqa"


@dataclasses.dataclass
class VqaConfig(SourceConfig):
    """`answers` is the folder that questions are read from: both ask the same."""

    answers: Literal["Classification", "Sentence"] = "Classification"


class EndoVis2018Vqa(StillQuestions):
    name = source = SOURCE
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Questions with answers of 18 classes, or in sentences."}
    BUILDER_CONFIGS = [
        VqaConfig(name="fps2", fps=RATE, description="Answers of 18 classes."),
        VqaConfig(
            name="fps2_sentence", fps=RATE, answers="Sentence", description="Answers in sentences."
        ),
    ]
    EXPECTED = """
seq_N/vqa/Classification/frame000_QA.txt    (N = 1 .. 7, 9 .. 12, 14 .. 16)
seq_N/vqa/Sentence/frame000_QA.txt          (config fps2_sentence)
seq_N/left_frames/frame000.png              EndoVis 2018's images, here or in its own folders
"""

    def asked(self, tree: Tree) -> Files:
        folder = self.builder_config.answers
        found = by_frame(tree, rf"{SEQUENCE}vqa/{folder}/frame(?P<frame>\d+)(?:_QA)?\.txt")
        if not found:
            raise tree.error(f"there is no question file in a folder seq_N/vqa/{folder}")
        return found

    def kind_of(self) -> KindOf:
        sentences = self.builder_config.answers == "Sentence"
        return kind_of_question if sentences else super().kind_of()
