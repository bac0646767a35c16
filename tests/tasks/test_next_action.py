import pytest
from footage_records import encode, segment, spans, task

from surgzoo.tasks.base import Scored

TASK = task("next_action")
CHAIN = [
    segment("action", name, 3 * k, 3 * k + 2)
    for k, name in enumerate(
        ["dissection", "clipping", "clipping", "cutting", "dissection", "packaging"]
    )
]


def test_the_answer_is_the_label_of_the_following_clip():
    items = encode("next_action", segments=CHAIN)
    assert [item.answer for item in items] == [
        "clipping",
        "clipping",
        "cutting",
        "dissection",
        "packaging",
    ]
    assert {item.target for item in items} == {item.answer for item in items}


def test_the_current_clip_comes_after_at_most_three_before_it():
    items = encode("next_action", segments=CHAIN)
    assert spans(items[0]) == [(0, 2, "clip")]
    assert spans(items[2]) == [(0, 2, "clip"), (3, 2, "clip"), (6, 2, "clip")]
    assert spans(items[4]) == [(3, 2, "clip"), (6, 2, "clip"), (9, 2, "clip"), (12, 2, "clip")]
    assert [item.id.split("/")[2] for item in items[:2]] == ["000000", "000003"]


def test_what_runs_beside_the_current_clip_is_not_the_next():
    items = encode(
        "next_action",
        segments=[
            segment("action", "tissue_retraction", 0, 8),
            segment("action", "dissection", 2, 6),
            segment("action", "clipping", 8, 10),
        ],
    )
    assert [(item.answer, spans(item)[-1]) for item in items] == [
        ("clipping", (0, 8, "clip")),
        ("clipping", (2, 4, "clip")),
    ]


def test_clips_without_a_stored_frame():
    items = encode(
        "next_action",
        segments=[
            segment("action", "dissection", 0, 2),
            segment("action", "cutting", 3.2, 3.8),  # no frame: not asked, but it is an answer
            segment("action", "clipping", 5, 7),
            segment("action", "packaging", 8.2, 8.4),
        ],
    )
    assert [item.answer for item in items] == ["cutting", "packaging"]
    assert [len(item.media) for item in items] == [1, 2]


def test_parse():
    (item,) = encode("next_action", segments=CHAIN[:2])
    for text in ("clipping", "The next action is clipping.", "<answer>Clipping</answer>"):
        assert TASK.parse(text, item) == ("clipping", None)
        assert TASK.reward(item, text) == 1
    assert "two actions" in TASK.parse("clipping or cutting", item).error
    assert "no known action" in TASK.parse("something else", item).error
    with pytest.raises(TypeError, match="one name"):
        TASK.render(["clipping"])


def test_metrics_by_hand():
    items = encode("next_action", segments=CHAIN)
    said = ["clipping", "cutting", "cutting", None, "packaging"]
    found = TASK.metrics([Scored(c, a) for c, a in zip(items, said, strict=True)])
    assert found["accuracy"] == found["video_accuracy"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx((1 / 2 + 1 + 0 + 1) / 4)
    assert found["parsed"] == pytest.approx(0.8)


def test_relaxed_accuracy_takes_the_next_action_but_one():
    items = encode("next_action", segments=CHAIN)
    # The first that follows with another name: after clipping, clipping it is cutting.
    assert [item.also for item in items] == [
        ("cutting",),
        ("cutting",),
        ("dissection",),
        ("packaging",),
        (),
    ]
    said = ["cutting", "dissection", "dissection", None, "packaging"]
    found = TASK.metrics([Scored(c, a) for c, a in zip(items, said, strict=True)])
    assert found["accuracy"] == pytest.approx(1 / 5)
    assert found["relaxed_accuracy"] == pytest.approx(3 / 5)


def test_the_next_action_but_one_may_begin_with_the_next():
    first, *_ = encode(
        "next_action",
        segments=[
            segment("action", "dissection", 0, 2),
            segment("action", "clipping", 3, 5),
            segment("action", "tissue_retraction", 3, 8),
        ],
    )
    assert (first.answer, first.also) == ("clipping", ("tissue retraction",))
