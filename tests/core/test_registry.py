import pytest

from surgzoo.core.registry import Card, Registry, UnknownNameError, resolve

CARD = Card(summary="a thing", licence="Apache-2.0", source="here")


def make() -> Registry:
    registry = Registry("model")
    registry.register("surgvlm-tiny", "collections:OrderedDict", CARD)
    registry.register("surgvlm-7b", "no.such.module:Thing", CARD)
    registry.register("object", {"an": "object"}, CARD)
    return registry


def test_entries_are_lazy_and_resolved_when_asked_for():
    import collections

    registry = make()
    assert registry.get("surgvlm-tiny") is collections.OrderedDict
    assert registry.get("object") == {"an": "object"}
    assert registry.entry("surgvlm-7b").card is CARD  # listing does not import the missing module
    with pytest.raises(ModuleNotFoundError):
        registry.get("surgvlm-7b")


def test_duplicate_is_an_error_that_names_both():
    with pytest.raises(ValueError, match=r"registered twice: by surgzoo .* and by my_lab"):
        make().register("object", "a:b", CARD, origin="my_lab")


def test_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no model 'surgvlm-tyni'.*surgvlm-tiny"):
        make().get("surgvlm-tyni")


def test_wildcards():
    assert make().names("surgvlm-*") == ["surgvlm-7b", "surgvlm-tiny"]
    assert "object" in make() and "objects" not in make()
    assert [entry.name for entry in make()] == ["object", "surgvlm-7b", "surgvlm-tiny"]


def test_resolve_needs_an_attribute():
    with pytest.raises(ValueError, match="module:attribute"):
        resolve("collections")
