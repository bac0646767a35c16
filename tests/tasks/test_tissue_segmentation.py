"""Tissue segmentation is instrument segmentation of another map."""

import pytest
from footage_records import encode, instrument, label, task

from surgzoo.db.schema import FrameAnnotations, Tissue

TASK = task("tissue_segmentation")
MAP = ("tissue_mask",)


def asked(*tissues, maps=MAP, **annotations):
    return encode(
        "tissue_segmentation",
        1,
        annotations=FrameAnnotations(tissues=tissues, **annotations),
        maps=maps,
    )


def tissue(concept, mask=0):
    return Tissue(label(concept), mask=mask)


def test_a_question_a_tissue_and_one_for_all():
    items = asked(tissue("gut", 4), tissue("liver", 2), instruments=(instrument("hook", 9),))
    assert [(item.options, item.answer["values"]) for item in items[:2]] == [
        (("liver",), [2]),
        (("gut",), [4]),
    ]
    assert items[2].answer["values"] == [2, 4] and "hook" not in items[2].options
    assert {"liver", "gut", "gallbladder"} < set(items[2].options)
    assert "liver" in items[0].prompt and items[0].answer["media"]["kind"] == "tissue_mask"
    assert [TASK.about_all(item) for item in items] == [False, False, True]


def test_what_has_no_mask_is_not_asked():
    assert asked(tissue("gut", 4), maps=("instrument_mask",)) == []
    assert encode("tissue_segmentation", 1, maps=MAP) == []
    assert [item.options for item in asked(tissue("gut", 4), tissue("liver"))] == [("gut",)]
    (nothing,) = asked()
    assert nothing.answer["values"] == []


def test_of_one_class_there_is_no_question_about_all(monkeypatch):
    """The question about the class holds all then."""
    from surgzoo.db import ontology

    monkeypatch.setattr(ontology, "names", lambda source, kind: ("liver",))
    (item,) = asked(tissue("liver", 2))
    assert TASK.about_all(item) and item.options == ("liver",)


def test_a_derived_mask_says_so():
    items = asked(tissue("gut", 4), derived={"tissue_mask": "a segmenter"})
    assert {item.derived for item in items} == {"a segmenter"}


@pytest.mark.parametrize("form", ["of_one", "of_all"])
def test_the_question_tells_the_task(form):
    other = task("instrument_segmentation")
    assert not set(getattr(TASK, form)) & set(getattr(other, form))
