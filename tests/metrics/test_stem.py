"""Porter's stemmer against nltk's."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer

from surgzoo.metrics.stem import stem

ORACLE = PorterStemmer()
SUFFIXES = re.findall(
    r"\w+",
    """
ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism iveness
fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er
ic able ible ant ement ment ent ion ou ism ate iti ous ive ize e ll s es ies ied eed ed ing y sses
ss at bl iz
""",
)
starts = st.text("abcdeilostyuwxz", max_size=5)
made = st.builds(
    lambda start, ends: start + "".join(ends),
    starts,
    st.lists(st.sampled_from(SUFFIXES), max_size=3),
)


@settings(max_examples=1000, deadline=None)
@given(made | st.text("aeiouybcdlst", max_size=8))
def test_is_that_of_nltk(word):
    assert stem(word) == ORACLE.stem(word)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("dissecting", "dissect"),
        ("dissection", "dissect"),
        ("dissects", "dissect"),
        ("retracts", "retract"),
        ("clipped", "clip"),
        ("dying", "die"),
        ("ties", "tie"),
        ("gallbladder", "gallbladd"),
        ("controlling", "control"),
        ("of", "of"),
        ("", ""),
    ],
)
def test_by_hand(word, wanted):
    assert stem(word) == wanted
