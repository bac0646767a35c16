import math

import pytest
from footage_records import encode, footage, label, segment, spans, task
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.db.schema import FrameAnnotations
from surgzoo.tasks import action_remaining
from surgzoo.tasks.action_remaining import DERIVED
from surgzoo.tasks.base import Scored
from surgzoo.tasks.clips import FROM_FRAMES

TASK = task("action_remaining")


def test_the_only_cut_that_is_allowed():
    # [3, 7) lasts 4 s: cuts lie in [3.8, 6.2]. At frames 0, 5, 10 that is frame 1 alone.
    (item,) = encode(
        "action_remaining",
        4,
        times=[2.5, 3.0, 5.0, 6.5],
        segments=[segment("action", "dissection", 3, 7)],
    )
    assert spans(item) == [(1, 2, "clip")]
    assert (item.answer, item.target) == (2, "2 seconds")
    assert "dissection" in item.prompt
    assert item.options == ("dissection",)
    assert item.id.endswith("/v/000001/action_remaining/0")
    assert item.derived == DERIVED


def test_too_short_for_a_cut():
    assert encode("action_remaining", segments=[segment("action", "cutting", 3.1, 3.9)]) == []
    assert encode("action_remaining", segments=[segment("action", "cutting", 3.0, 3.9)]) == []
    assert encode("action_remaining", segments=[segment("phase", "preparation", 0, 19)]) == []


@given(start=st.floats(0, 300), length=st.floats(0.5, 200), fps=st.sampled_from([1, 2, 5]))
def test_what_is_shown_and_what_is_left_make_the_segment(start, length, fps):
    film = footage(fps * 510, times=[i / fps for i in range(fps * 510)])
    whole = segment("action", "dissection", start, start + length)
    seen = action_remaining.cut(film, whole, "s.c")
    if seen is None:
        assert length < 4 / fps
        return
    last = film.shots[seen.first + seen.count - 1].frame.time
    assert seen.count >= 1 and seen.end == last
    assert 0.2 * length - 1e-6 <= last - start <= 0.8 * length + 1e-6
    assert film.shots[seen.first].frame.time >= start - 1e-5
    assert abs(action_remaining.whole(whole.end - last) - (start + length - last)) <= 0.5 + 1e-6


def test_cuts_are_spread_over_the_segment():
    items = encode(
        "action_remaining",
        900,
        segments=[segment("action", "dissection", 30 * k, 30 * k + 20) for k in range(30)],
    )
    shown = {item.media[0].count for item in items}
    assert len(items) == 30 and len(shown) > 6 and min(shown) <= 7 and max(shown) >= 14


def test_actions_that_begin_together_have_their_own_ids():
    items = encode(
        "action_remaining",
        segments=[
            segment("action", "dissection", 2, 12, "hook"),
            segment("action", "tissue_retraction", 2, 16, "grasper"),
        ],
    )
    assert [item.id[-2:] for item in items] == ["/0", "/1"]
    assert [item.options[0] for item in items] == ["dissection", "tissue retraction"]


def test_one_action_of_two_actors_is_named_with_its_actor():
    both = [
        segment("action", "dissection", 2, 12, "needle_driver"),
        segment("action", "dissection", 5, 16, "left hand"),
        segment("action", "tissue_retraction", 2, 16, "grasper"),
    ]
    items = encode("action_remaining", segments=both)
    said = ["tissue retraction", "dissection with the needle driver", "dissection with the left"]
    assert len(items) == 3
    for item in items:
        (phrase,) = [text for text in said if text in item.prompt]
        said.remove(phrase)
    assert {item.options[0] for item in items} == {"dissection", "tissue retraction"}
    # Nothing tells these apart.
    for actors in (("hook", "hook"), ("hook", None)):
        pair = [segment("action", "dissection", 2, 12 + k, actor) for k, actor in enumerate(actors)]
        assert encode("action_remaining", segments=pair) == []


def test_frame_labels_make_segments_and_say_so():
    yes, no = FrameAnnotations(actions=(label("cutting"),)), FrameAnnotations(actions=())
    (item,) = encode(
        "action_remaining", annotations={i: yes if 4 <= i < 14 else no for i in range(20)}
    )
    assert item.derived == f"{DERIVED}; {FROM_FRAMES}"
    assert item.media[0].first == 4
    assert item.answer == 14 - (4 + item.media[0].count - 1)


def test_metrics_by_hand():
    items = encode(
        "action_remaining",
        99,
        segments=[segment("action", "cutting", 10 * k, 10 * k + 9) for k in range(4)],
    )
    truth = [item.answer for item in items]
    said = [truth[0], truth[1] + 4, None, truth[3] + 9]
    found = TASK.metrics([Scored(c, a) for c, a in zip(items, said, strict=True)])
    assert found["within_20_percent"] == 0.25
    assert (found["within_2s"], found["within_5s"], found["within_10s"]) == (0.25, 0.5, 0.75)
    assert found["mae"] == pytest.approx(13 / 3)
    assert found["parsed"] == 0.75
    assert math.isnan(TASK.metrics([Scored(items[0], None)])["mae"])


def test_reward():
    (item,) = encode("action_remaining", segments=[segment("action", "cutting", 0, 15)])
    assert TASK.reward(item, f"<answer>about {item.answer} s</answer>") == 1
    assert TASK.reward(item, f"{item.answer + 5} seconds") == pytest.approx(0.5)
    assert TASK.reward(item, "no idea") == TASK.reward(item, "90 minutes") == 0


@pytest.mark.parametrize("answer", ["10", True, None, [3]])
def test_render_takes_numbers_alone(answer):
    with pytest.raises(TypeError, match="number of seconds"):
        TASK.render(answer)
