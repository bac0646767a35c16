"""Cholec80's and CholecT50's annotation files, damaged in 500 ways each."""

import pytest
from fixtures_cholec import vector, write_cholec80, write_cholect50
from fuzzing import fuzz

from surgzoo.datasets.cholec80.cholec80 import Cholec80
from surgzoo.datasets.cholect50.cholect50 import CholecT50


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["phase", "tool"])
def test_cholec80(tmp_path, kind):
    write_cholec80(tmp_path, seconds=2, packing="png")
    # Rows of the tool file name their frame; those of the phase file have to follow each other.
    path = f"{kind}_annotations/video01-{kind}.txt"
    fuzz(Cholec80, tmp_path, path, ordered=kind == "phase")


@pytest.mark.slow
def test_cholect50(tmp_path):
    write_cholect50(tmp_path, 1, {0: [vector(17, 0)], 1: [vector(60, 3, (0.25, 0.25, 0.25, 0.5))]})
    fuzz(CholecT50, tmp_path, "labels/VID01.json")
