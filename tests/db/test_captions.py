import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.db import captions
from surgzoo.db.schema import FrameAnnotations, Instrument, Label, Triplet, Video

FACTS = ("s/v", "s", "hepatobiliary", "cholecystectomy", "x")
VIDEO = Video("v", *FACTS)


def label(concept):
    return Label(concept, concept)


def triplet(*concepts):
    return Triplet(*map(label, concepts))


@pytest.mark.parametrize(
    ("verb", "third"),
    [
        ("dissect", "dissects"),
        ("push", "pushes"),
        ("pass", "passes"),
        ("carry", "carries"),
        ("lay", "lays"),
        ("pick up", "picks up"),
        ("go", "goes"),
    ],
)
def test_third_person(verb, third):
    assert captions.third_person(verb) == third


def test_golden_captions():
    known = FrameAnnotations(
        phase=label("preparation"),
        step=label("adhesiolysis"),
        instruments=(Instrument(label("hook")), Instrument(label("specimen_bag"))),
        triplets=(
            triplet("hook", "dissect", "omentum"),
            triplet("grasper", "null_verb", "null_target"),
        ),
        flags={"smoke": 0.5},
    )
    assert captions.frame(VIDEO, known, 0) == (
        "Cholecystectomy: preparation, adhesiolysis. The hook dissects the omentum while the "
        "grasper is off the tissue. Also in view: the specimen bag. Smoke is in the view."
    )
    empty = FrameAnnotations(phase=label("preparation"), instruments=())
    assert (
        captions.frame(VIDEO, empty, 0) == "Cholecystectomy: preparation. No instrument is in view."
    )


def test_a_chain():
    assert captions.chain(["a cuts b", "c clips d"], ["e holds f"]) == (
        "E holds f while a cuts b, then c clips d."
    )
    assert captions.chain(["a cuts b"]) == "A cuts b."
    assert captions.chain([], ["e holds f"]) == "E holds f."


@given(st.integers(0, 1 << 60))
def test_every_variant_is_clean_text_with_all_names(variant):
    known = FrameAnnotations(
        phase=label("preparation"),
        instruments=(Instrument(label("hook")), Instrument(label("grasper"))),
    )
    text = captions.frame(VIDEO, known, variant)
    assert text == captions.frame(VIDEO, known, variant)
    assert all(
        name in text.lower() for name in ("cholecystectomy", "preparation", "hook", "grasper")
    )
    assert text[0].isupper() and text.endswith(".") and "  " not in text and "{" not in text


def test_two_kinds_are_needed():
    assert captions.frame(VIDEO, FrameAnnotations(phase=label("preparation")), 0) is None
    assert captions.frame(VIDEO, FrameAnnotations(instruments=(), triplets=()), 0) is not None
