"""Annotation files of the robotic sets, damaged in 500 ways each."""

import json

import pytest
from fixtures_cholec import write_text
from fixtures_robotic import (
    CLASSIFICATION,
    EV18_LABELS,
    LOCALIZED,
    ev18_mask,
    write_ev18_sequence,
    write_questions,
    write_sar_video,
    write_stills,
)
from fuzzing import fuzz

from surgzoo.datasets.endovis2018.endovis2018 import EndoVis2018
from surgzoo.datasets.endovis2018_vqa.endovis2018_vqa import EndoVis2018Vqa
from surgzoo.datasets.endovis2018_vqla.endovis2018_vqla import EndoVis2018Vqla
from surgzoo.datasets.sar_rarp50.sar_rarp50 import SarRarp50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["action_discrete.txt", "action_continuous.txt"])
def test_sar_rarp50(tmp_path, name):
    write_sar_video(tmp_path / "video_01", media="rgb", masks={})
    fuzz(SarRarp50, tmp_path, f"video_01/{name}")


@pytest.mark.slow
def test_the_classes_of_endovis2018(tmp_path):
    write_ev18_sequence(tmp_path / "seq_2", {0: ev18_mask("instrument-shaft", "intestine")})
    write_text(tmp_path / "labels.json", json.dumps(EV18_LABELS, indent=1))
    fuzz(EndoVis2018, tmp_path, "labels.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("builder", "below", "text"),
    [
        (EndoVis2018Vqa, "vqa/Classification", CLASSIFICATION),
        (EndoVis2018Vqla, "vqla/label", LOCALIZED),
    ],
)
def test_question_files(tmp_path, builder, below, text):
    write_stills(write_questions(tmp_path / "seq_2", {0: text}, below), (0,))
    fuzz(builder, tmp_path, f"seq_2/{below}/frame000_QA.txt")
