"""Words of texts: stems, places."""

import pytest

from surgzoo.db.words import stem, tokens


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (("clip", "clips", "clipping", "clipped"), "clip"),
        (("artery", "arteries"), "artery"),
        (("carry", "carries", "carried"), "carry"),
        (("aspirate", "aspirates", "aspirating", "aspirated"), "aspirat"),
        (("plexus",), "plexus"),
        (("pancreatitis",), "pancreatitis"),
    ],
)
def test_endings_fall_away(forms, expected):
    assert {stem(form) for form in forms} == {expected}


def test_tokens_keep_their_places():
    text = "The hook isn't at 0.5 (CalotTriangle)."
    found = tokens(text)
    assert " ".join(t.text for t in found) == "the hook isnt at 0.5 ( calot triangle ) ."
    assert [text[t.start : t.end].lower() for t in found][2] == "isn't"
