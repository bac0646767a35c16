"""How answers are decoded, as one value: what goes together, and what is said of it."""

import dataclasses

import pytest

from surgzoo.decode.settings import Decoding
from surgzoo.train.experiment import EvalConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -1.0}, "temperature must be 0"),
        ({"top_p": 0.9}, "top_p=0.9 does nothing without sampling: set a temperature"),
        ({"top_k": 5}, "top_k=5 does nothing"),
        ({"min_p": 0.1}, "min_p=0.1 does nothing"),
        ({"temperature": 1.0, "top_p": 1.1}, "top_p must be above 0"),
        ({"beams": 4, "temperature": 0.5}, "beams=4 searches .* temperature=0.5 draws"),
        ({"beams": 0}, "beams must be 1"),
        ({"length_penalty": 2.0}, "length_penalty=2.0 is for a beam search"),
    ],
)
def test_what_does_not_go_together(values, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**values)


def test_words_and_tags():
    assert (Decoding().words(False), Decoding().tag()) == ("greedy", "")
    strict = Decoding(constrained=True)
    assert (strict.words(True), strict.words(False)) == ("greedy, constrained", "greedy")
    assert strict.tag() == "-constrained"
    beams = Decoding(beams=4, length_penalty=0.5)
    assert beams.words(False) == "beam search of 4, length penalty 0.5"
    assert beams.tag() == "-beams4-length_penalty0.5"
    drawn = Decoding(temperature=0.7, top_k=50, top_p=0.9, min_p=0.05, seed=3)
    expected = "sampled at temperature 0.7, top-k 50, top-p 0.9, min-p 0.05, seed 3"
    assert drawn.words(False) == expected
    assert drawn.tag() == "-temperature0.7-top_k50-top_p0.9-min_p0.05-seed3"


def test_a_run_config_has_every_setting_with_the_same_default():
    """They stand in `EvalConfig` a second time, flat, because --config.eval.beams names them."""
    there = {field.name: (field.type, field.default) for field in dataclasses.fields(EvalConfig)}
    for field in dataclasses.fields(Decoding):
        assert there[field.name] == (field.type, field.default), field.name
