"""Every label of every source can be said and read back."""

import itertools
from pathlib import Path

import pytest
from task_records import concepts, encode, instrument, label, task, tissue, triplet

from surgzoo.db import ontology
from surgzoo.db.schema import Criterion, FrameAnnotations

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


@pytest.mark.parametrize("source", SOURCES)
def test_tissues(source):
    box = (0.1, 0.2, 0.3, 0.4)
    for concept in concepts("tissue", source):
        annotations = FrameAnnotations(tissues=(tissue(concept, box),))
        check("tissue_recognition", annotations, source)
        check("tissue_localization", annotations, source)
    everything = tuple(tissue(concept, box) for concept in concepts("tissue", source))
    if everything:
        check("tissue_recognition", FrameAnnotations(tissues=everything), source)


@pytest.mark.parametrize("source", SOURCES)
def test_steps_and_actions(source):
    for concept in concepts("step", source):
        check("step_recognition", FrameAnnotations(step=label("step", concept)), source)
    for concept in concepts("action", source):
        check("action_recognition", FrameAnnotations(actions=(label("action", concept),)), source)


@pytest.mark.parametrize("source", SOURCES)
def test_criteria(source):
    """Every yes and no of every source's criteria: each set of criteria has a view."""
    names = list(dict.fromkeys(concepts("criterion", source)))
    for scores in itertools.product((0.0, 1.0), repeat=len(names)):
        criteria = tuple(
            Criterion(label("criterion", name), score)
            for name, score in zip(names, scores, strict=True)
        )
        check("safety_assessment", FrameAnnotations(criteria=criteria or None), source)
