"""What holds for every planning, caption and pixel task, on the rendered source."""

import json
import random

import pytest
from hypothesis import given, settings
from task_records import texts

from surgzoo.db import schema
from surgzoo.db.store import Store
from surgzoo.evaluate.pixels import Judge
from surgzoo.evaluate.predictions import Prediction
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context, Scored
from surgzoo.tasks.pixels import PixelTask
from surgzoo.tasks.wording import Wording

HEADLINES = {
    "action_remaining": "within_20_percent",
    "next_action": "accuracy",
    "image_captioning": "fact_f1",
    "video_captioning": "fact_f1",
    "instrument_segmentation": "dice",
    "tissue_segmentation": "dice",
    "depth_estimation": "delta1",
    "desmoking": "psnr",
    "next_frame": "ssim",
    "video_generation": "ssim",
}
TEXT = ("action_remaining", "next_action", "image_captioning", "video_captioning")
PIXELS = tuple(name for name in HEADLINES if name not in TEXT)
TOP = {"psnr": 100.0}  # dB, of equal images
BOTTOM = {"mae", "abs_rel", "rmse", "video_accuracy_std", "flicker"}  # 0 is perfect
NEARLY = {"meteor": (0.99, 1), "cider_d": (5, 10)}  # the truth itself stays below the top
OFFICIAL = {
    "action_remaining": 14,
    "next_action": 15,
    "image_captioning": 12,
    "video_captioning": 13,
    "depth_estimation": 10,
    "desmoking": 16,
    "next_frame": 17,
    "video_generation": 18,
}
FEW = 24  # conversations a task that are compared in pixels


def task(name):
    return tasks.get(name)()


@pytest.fixture(scope="module")
def store(small_data):
    return Store.open(small_data, "synthsurg", "small")


@pytest.fixture(scope="module")
def footages(store):
    return [store.footage(stored) for stored in store.select("test")]


def asked(name, footages, **wording):
    return [
        conversation
        for footage in footages
        for conversation in task(name).encode_video(
            footage, Context("small", footage.video, "test", Wording(**wording))
        )
    ]


@pytest.fixture(scope="module")
def data(footages):
    return {name: asked(name, footages) for name in HEADLINES}


@pytest.fixture(scope="module")
def judge(store):
    return Judge({"synthsurg.small": store}, None)


def graded(name, conversations, answers, judge):
    """Scored items, with the comparison in the place of an answer in pixels."""
    if name in TEXT:
        return [Scored(c, a) for c, a in zip(conversations, answers, strict=True)]
    return [
        Scored(c, judge.grade(task(name), c, Prediction(c.id, answer=a)).answer)
        for c, a in zip(conversations, answers, strict=True)
    ]


@pytest.mark.parametrize("name", HEADLINES)
def test_registered_with_its_number_and_headline(name):
    assert task(name).name == name
    assert task(name).headline == HEADLINES[name]
    assert task(name).number == OFFICIAL.get(name)


@pytest.mark.parametrize("name", HEADLINES)
def test_every_video_has_conversations_with_their_own_ids(name, data):
    assert len({c.video for c in data[name]}) == 2
    assert len({c.id for c in data[name]}) == len(data[name]) >= 20


@pytest.mark.parametrize("name", HEADLINES)
def test_media_are_stored_frames(name, data, store):
    for conversation in data[name]:
        assert conversation.media or name == "video_generation"
        for media in conversation.media:
            count = store.video(media.video).count
            assert media.count >= 1 and media.first >= 0 and media.first + media.count <= count


@pytest.mark.parametrize("name", HEADLINES)
def test_truth_as_prediction_is_perfect(name, data, judge):
    some = data[name][:: max(1, len(data[name]) // FEW)]
    metrics = task(name).metrics(graded(name, some, [c.answer for c in some], judge))
    assert next(iter(metrics)) == HEADLINES[name]
    for key, value in metrics.items():
        if key in NEARLY:
            assert NEARLY[key][0] < value <= NEARLY[key][1], key
            continue
        lowest = key in BOTTOM or key.endswith("_std")
        expected = TOP.get(key, 0.0 if lowest else 1.0)
        assert value == pytest.approx(expected, abs=1e-6), key


@pytest.mark.parametrize("name", HEADLINES)
def test_shuffled_truth_is_clearly_worse(name, data, judge):
    some = data[name][:: max(1, len(data[name]) // FEW)]
    answers = [c.answer for c in some]
    random.Random(1).shuffle(answers)
    value = task(name).metrics(graded(name, some, answers, judge))[HEADLINES[name]]
    assert value < 0.85 * TOP.get(HEADLINES[name], 1.0)


@pytest.mark.parametrize("name", HEADLINES)
def test_no_answer_is_worst(name, data):
    metrics = task(name).metrics([Scored(c, None) for c in data[name]])
    assert metrics[HEADLINES[name]] == metrics["parsed"] == 0
    with pytest.raises(ValueError, match="no scored answers"):
        task(name).metrics([])


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("protocol", ["open", "mixed"])
def test_what_is_said_parses_back(name, protocol, footages):
    for conversation in asked(name, footages, protocol=protocol):
        assert task(name).parse(conversation.target, conversation) == (conversation.answer, None)
        assert task(name).reward(conversation, conversation.target) == pytest.approx(1)


@pytest.mark.parametrize("name", HEADLINES)
def test_wording_changes_nothing_but_the_words(name, data, footages):
    other = asked(name, footages, seed=1, protocol="mixed")
    assert asked(name, footages) == data[name]
    assert [(c.id, c.answer, c.options, c.media, c.derived) for c in other] == [
        (c.id, c.answer, c.options, c.media, c.derived) for c in data[name]
    ]
    assert len({c.prompt for c in data[name]}) > 6


@pytest.mark.parametrize("name", HEADLINES)
def test_conversations_survive_json(name, data):
    for conversation in data[name]:
        line = schema.to_json(conversation)
        assert schema.from_json(schema.Conversation, line) == conversation
        json.dumps(conversation.answer, allow_nan=False)


@pytest.mark.parametrize("name", HEADLINES)
@settings(deadline=None, max_examples=80)
@given(text=texts)
def test_parse_never_raises_and_says_why(name, text):
    conversation = schema.Conversation("i", name, (), (), 3, options=("hook", "grasper"))
    answer, error = task(name).parse(text, conversation)
    assert (answer is None) == bool(error)


@pytest.mark.parametrize("name", PIXELS)
def test_pixel_answers_are_tokens_in_text(name, data):
    conversation = data[name][0]
    assert isinstance(task(name), PixelTask)
    assert conversation.target == ("<video>" if name == "video_generation" else "<image>")
    assert task(name).parse(conversation.target, conversation).error == "names no file"
    for text in (
        "out/a b.png",
        "`out/a b.png`",
        "![it](out/a b.png)",
        "<answer>out/a b.png</answer>",
    ):
        assert task(name).parse(text, conversation) == ({"path": "out/a b.png"}, None)
    with pytest.raises(TypeError, match="answered in pixels"):
        task(name).reward(conversation, "out.png")
    with pytest.raises(ValueError, match="needs"):
        task(name).render("out.png")


def test_derived_labels_say_so(data):
    assert {c.derived for c in data["next_frame"]} == {
        None,
        "motion direction from instrument masks",
    }
    assert {c.derived for c in data["action_remaining"]} == {
        "remaining time from the end of the action"
    }
    for name in ("image_captioning", "video_captioning", "video_generation", "desmoking"):
        assert {c.derived for c in data[name]} == {None}  # the rendered source annotates them
