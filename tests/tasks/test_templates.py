"""The phrasings of the questions."""

import string

import pytest
from task_records import NAMES, dataset, task

from surgzoo.tasks import templates

GROUPS = {key: value for key, value in vars(templates).items() if key.isupper()}


def test_no_phrasing_stands_twice():
    seen = {}
    for group, phrasings in GROUPS.items():
        for phrasing in phrasings:
            key = "".join(c for c in phrasing.lower() if c.isalnum() or c in " {}").strip()
            assert key not in seen, f"'{phrasing}' of {group} stands in {seen.get(key)} already"
            seen[key] = group


@pytest.mark.parametrize("group", GROUPS)
def test_enough_short_clean_phrasings(group):
    phrasings = GROUPS[group]
    assert len(phrasings) >= 12
    lengths = [len(phrasing.split()) for phrasing in phrasings]
    assert sum(lengths) / len(lengths) < 8
    assert max(lengths) <= 10
    for phrasing in phrasings:
        assert phrasing == " ".join(phrasing.split())
        assert phrasing[0].isupper() and phrasing[-1] in "?."


def test_fields_are_those_that_the_task_fills():
    for group, phrasings in GROUPS.items():
        fields = {f for p in phrasings for _, f, _, _ in string.Formatter().parse(p) if f}
        wanted = {"instrument"} if group == "INSTRUMENT_LOCALIZATION" else set()
        assert fields == wanted, group
        assert all(("{instrument}" in p) == bool(wanted) for p in phrasings)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_asks_with_its_own_phrasings(name):
    phrasings = task(name).templates
    for conversation in dataset(name, frames=20):
        instrument = conversation.options[0]
        filled = {p.replace("{instrument}", instrument) for p in phrasings}
        assert conversation.prompt in filled
