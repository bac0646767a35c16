"""Durations in the words of models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.tasks import reading_seconds

READ = {
    "10 seconds": 10,
    "10": 10,
    "10s": 10,
    "about 10 s": 10,
    "The action will last another 12 seconds.": 12,
    "approximately 7.5 sec left": 7.5,
    "1 second": 1,
    "0 seconds": 0,
    "ten seconds": 10,
    "twenty-five seconds": 25,
    "a hundred and five seconds": 105,
    "1 min 5 s": 65,
    "1m5s": 65,
    "2 minutes and 10 seconds": 130,
    "two minutes, ten seconds": 130,
    "a minute": 60,
    "half a minute": 30,
    "a minute and a half": 90,
    "one and a half minutes": 90,
    "1:05": 65,
    "00:01:05": 65,
    "1 hour 1 minute": 3660,
    "5-10 seconds": 7.5,
    "between 10 and 20 seconds": 15,
    "5 to 15 s": 10,
    "5-10": 7.5,
    "between 10 and 20": 15,
    "10 ± 2 seconds": 10,
    "10 s +/- 2 s": 10,
    "7,5 seconds": 7.5,
    "1,200 seconds": 1200,
    "1 minute 30": 90,
    "$10$": 10,
    "around 8 more": 8,
    "~ 8": 8,
    "10-second": 10,
    "There are 12 seconds remaining, so 12 seconds.": 12,
}
UNREAD = {
    "": "no duration",
    "soon": "no duration",
    "10 frames": "no duration",
    "30 %": "no duration",
    "5-10 frames": "no duration",
    "10°": "no duration",
    "500 ms": "no duration",
    "4 seconds ago, and 9 seconds left": "several",
    "-5 seconds": "impossible",
    "90000000 seconds": "impossible",
    "step 3 of 4, 10 s and 20 s": "several",
}


@pytest.mark.parametrize(("text", "seconds"), READ.items())
def test_read(text, seconds):
    assert reading_seconds.parse(text) == (pytest.approx(seconds), None)


@pytest.mark.parametrize(("text", "reason"), UNREAD.items())
def test_unread(text, reason):
    value, error = reading_seconds.parse(text)
    assert value is None and reason in error


@given(st.integers(0, 86400))
def test_whole_seconds_round_trip(seconds):
    assert reading_seconds.parse(reading_seconds.render(seconds)) == (seconds, None)


@given(st.floats(0, 86400).map(lambda x: round(x, 2)))
def test_hundredths_round_trip(seconds):
    assert reading_seconds.parse(reading_seconds.render(seconds))[0] == pytest.approx(seconds)


WORDS = "10 1:05 min s and a half hundred five to - between , . of frames É ² ٣ 1e9 left"


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS.split()), max_size=30).map(" ".join)))
def test_never_raises(text):
    value, error = reading_seconds.parse(text)
    assert (value is None) == bool(error)
    assert value is None or 0 <= value <= reading_seconds.LONGEST


def test_long_nonsense_is_read_in_time():
    for text in ("5 " * 20000, "5 s and " * 5000, "five hundred and " * 5000, "1:" * 9000):
        reading_seconds.parse(text)
