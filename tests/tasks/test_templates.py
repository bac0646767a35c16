"""The phrasings of the questions."""

import itertools
import re
import string

import pytest
from task_records import NAMES, dataset, task

from surgzoo.tasks import grammar, templates

GROUPS = {name: getattr(templates, name) for name in templates.__all__}
FIELDS = {  # those that every phrasing of a group has
    "INSTRUMENT_LOCALIZATION": {"instrument"},
    "INSTRUMENT_SEGMENTATION": {"instrument"},
    "TISSUE_LOCALIZATION": {"tissue"},
    "TISSUE_SEGMENTATION": {"tissue"},
    "TISSUE_AREA_LOCALIZATION": {"tissue", "area"},
    "SAFETY_ASSESSMENT": {"view"},
    "ACTION_REMAINING": {"action"},
    "ACTOR_ACTION_RECOGNITION": {"actor"},
    "NEXT_FRAME": {"seconds", "facts"},
    "VIDEO_GENERATION": {"caption"},
    "VIDEO_CONTINUATION": {"caption"},
}
MORE_FIELDS = {"SAFETY_ASSESSMENT": {"criteria"}}  # those that some have


def fields(phrasing):
    return {field for _, field, _, _ in string.Formatter().parse(phrasing) if field}


def test_no_phrasing_stands_twice():
    """Not even with the names of fields left out."""
    seen = {}
    for group, phrasings in GROUPS.items():
        for phrasing in phrasings:
            key = grammar.plain(phrasing.format(**dict.fromkeys(fields(phrasing), "{}")))
            assert key not in seen, f"'{phrasing}' of {group} stands in {seen.get(key)} already"
            seen[key] = group


@pytest.mark.parametrize("group", GROUPS)
def test_enough_phrasings(group):
    assert 100 <= len(GROUPS[group]) <= 200


@pytest.mark.parametrize("group", GROUPS)
def test_clean_phrasings_and_the_first_are_short(group):
    phrasings = GROUPS[group]
    for phrasing in phrasings:
        assert phrasing == " ".join(phrasing.split())
        assert phrasing[0].isupper() or phrasing.startswith(("{facts}", "{caption}"))
        assert phrasing[-1] in "?." or phrasing.endswith(("{facts}", "{caption}"))
        assert not set("()[]|") & set(phrasing)
        assert len(phrasing.split()) <= 25
        words = phrasing.lower().split()
        assert all(a != b for a, b in itertools.pairwise(words)), phrasing
    lengths = [len(phrasing.split()) for phrasing in grammar.first(phrasings, 14)]
    assert 4 <= len(lengths) <= 14
    assert sum(lengths) / len(lengths) < 9
    assert max(lengths) <= 12


@pytest.mark.parametrize("group", GROUPS)
def test_fields_are_those_that_the_task_fills(group):
    always = FIELDS.get(group, set())
    for phrasing in GROUPS[group]:
        assert always <= fields(phrasing) <= always | MORE_FIELDS.get(group, set()), phrasing


@pytest.mark.parametrize(
    ("group", "count", "first", "last"),
    [
        ("INSTRUMENT_RECOGNITION", 14, "Which instruments are in view?", "List the tools in"),
        ("INSTRUMENT_LOCALIZATION", 13, "Where is the {instrument}?", "Return the coordinates"),
        ("ALL_INSTRUMENTS_LOCALIZATION", 12, "Locate all the instruments.", "Give the position"),
        ("PHASE_RECOGNITION", 14, "Which surgical phase is shown?", "Name the workflow phase."),
        ("TRIPLET_RECOGNITION", 14, "Which instrument does what", "Name every tool-tissue"),
    ],
)
def test_a_small_model_is_asked_as_before(group, count, first, last):
    """The draw of a phrasing depends on how many there are."""
    few = grammar.first(GROUPS[group], 14)
    assert len(few) == count
    assert few[0].startswith(first) and few[-1].startswith(last)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_asks_with_its_own_phrasings(name):
    patterns = [asks(phrasing) for phrasing in task(name).templates]
    for conversation in dataset(name, frames=20):
        assert any(pattern(conversation.prompt) for pattern in patterns), conversation.prompt


def asks(phrasing):
    """Whether a question is the phrasing with something in its fields."""
    parts = [re.escape(text) for text, *_ in string.Formatter().parse(phrasing)]
    ends_with_field = phrasing.endswith("}")
    return re.compile(".+".join(parts) + (".+" if ends_with_field else "")).fullmatch
