import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reasoning_records import SOURCES, random_labels

from surgzoo.db import captions, ontology
from surgzoo.db.footage import Footage
from surgzoo.db.reasoning import Labels, verify
from surgzoo.db.schema import FrameAnnotations, Instrument, Label, Triplet, Video

FACTS = ("s/v", "s", "hepatobiliary", "cholecystectomy", "x")
VIDEO = Video("v", *FACTS)


def label(concept):
    return Label(concept, concept)


def triplet(*concepts):
    return Triplet(*map(label, concepts))


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


@pytest.mark.parametrize("source", SOURCES)
def test_captions_of_every_source_hold(source):
    """They go through the check that traces go through, and it catches another phase in them."""
    rng = random.Random(source)
    told = caught = 0
    phases = [c for (kind, _), c in ontology.table(source).items() if kind == "phase"]
    for _ in range(40):
        labels = random_labels(rng, source, rng.choice((1, 4)))
        first = Labels(labels.video, labels.shots[:1])
        text = captions.frame(labels.video, labels.shots[0].annotations, rng.randrange(1 << 40))
        chain = captions.stretch(Footage(labels.video, labels.shots), 0, 99, rng.randrange(9))
        assert text is None or verify(text, first, labels.video) == [], text
        assert chain is None or verify(chain, labels, labels.video) == [], chain
        phase = labels.shots[0].annotations.phase
        if text is None or phase is None:
            continue
        other = rng.choice([c for c in phases if c != phase.concept])
        text += f" The phase is {ontology.name('phase', other)}."
        told += 1
        caught += verify(text, first, labels.video) != []
    assert caught == told
