"""Every label of every source can be said and read back."""

from pathlib import Path

import pytest
from task_records import concepts, encode, instrument, label, task, triplet

from surgzoo.db import ontology
from surgzoo.db.schema import FrameAnnotations

SOURCES = sorted(
    path.stem for path in Path(ontology.__file__).parent.glob("*.tsv") if path.stem != "concepts"
)


def check(name, annotations, source):
    for conversation in encode(name, annotations, source=source):
        for text in (conversation.target, f"The answer is: {conversation.target.upper()}."):
            answer, error = task(name).parse(text, conversation)
            assert (answer, error) == (conversation.answer, None), (source, text)


@pytest.mark.parametrize("source", SOURCES)
def test_phases(source):
    for concept in concepts("phase", source):
        check("phase_recognition", FrameAnnotations(phase=label("phase", concept)), source)


@pytest.mark.parametrize("source", SOURCES)
def test_instruments(source):
    box = (0.1, 0.2, 0.3, 0.4)
    for concept in concepts("instrument", source):
        annotations = FrameAnnotations(instruments=(instrument(concept, box),))
        check("instrument_recognition", annotations, source)
        check("instrument_localization", annotations, source)
    everything = tuple(instrument(concept, box) for concept in concepts("instrument", source))
    check("instrument_recognition", FrameAnnotations(instruments=everything), source)


@pytest.mark.parametrize("source", SOURCES)
def test_triplets(source):
    valid = tuple(triplet(*parts) for parts in ontology.triplets(source))
    for one in valid:
        check("triplet_recognition", FrameAnnotations(triplets=(one,)), source)
    if valid:
        check("triplet_recognition", FrameAnnotations(triplets=valid), source)
