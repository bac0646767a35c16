import dataclasses

import numpy as np
import pytest

from surgzoo.core.contract import Message
from surgzoo.data import pipeline, turns
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import address, conversations
from surgzoo.data.media import MediaError, MediaReader, decode_jpeg
from surgzoo.db.schema import Media
from surgzoo.tasks.wording import Wording
from tests.data.toy_mixture import TASKS, draw, parts, same, take


def config(weights=(1.0, 1.0, 1.0), **changes):
    return DataConfig(
        **{"mixture": parts(weights), "batch_size": 4, "bucket": (192, 64), **changes}
    )


@pytest.mark.parametrize("group", [True, False])
def test_resume_is_exact(stores, processor, group):
    whole = take(pipeline.training_batches(config(group=group), processor, stores), 6)
    rest = take(pipeline.training_batches(config(group=group), processor, stores, start=12), 3)
    assert all(same(a, b) for a, b in zip(whole[3:], rest, strict=True))
    other = take(pipeline.training_batches(config(group=group, seed=1), processor, stores), 1)
    assert not same(whole[0], other[0])


def test_ungrouped_rows_are_plain_segments(stores, processor):
    """They leave `prefix` out, and their tokens see what they saw with it."""
    from surgzoo.models.qwen2_5_vl.model import _segment_mask

    rows = take(pipeline.training_batches(config(group=False), processor, stores), 1)[0]
    assert "prefix" not in rows and set(np.unique(rows["segments"])) == {0, 1}
    assert (rows["vision_index"] >= 0).any()
    image = np.zeros((56, 56, 3), np.uint8)
    talk = [Message("user", "Which?", 1), Message("assistant", "the hook")]
    group = pipeline.stack([processor.encode_group([talk], [image])[0]])
    assert set(np.unique(group["segments"])) == {0, 1, 2}
    plain = turns.without_prefix(group)
    np.testing.assert_array_equal(
        _segment_mask(plain["segments"], None), _segment_mask(group["segments"], group["prefix"])
    )


def test_the_number_of_processes_changes_nothing(stores, processor):
    (whole,) = take(pipeline.training_batches(config(), processor, stores, start=4), 1)
    shares = [
        take(
            pipeline.training_batches(
                config(), processor, stores, start=4, process_index=i, process_count=2
            ),
            1,
        )[0]
        for i in range(2)
    ]
    for key, value in whole.items():
        np.testing.assert_array_equal(value[0::2], shares[0][key], err_msg=key)
        np.testing.assert_array_equal(value[1::2], shares[1][key], err_msg=key)
    with pytest.raises(ValueError, match="not a multiple"):
        take(pipeline.training_batches(config(), processor, stores, process_count=3), 1)


def test_weights_set_the_shares_of_the_tasks(stores):
    stream, sizes = draw(config((1.0, 1.0, 6.0), group=False), stores)
    drawn = [stream[i][0].task for i in range(800)]
    share = drawn.count("instrument_localization") / len(drawn)
    assert share == pytest.approx(0.75, abs=0.02)
    assert set(sizes) == {f"synthsurg.small/{task}/train" for task in TASKS}


def test_a_group_is_one_frame_and_every_question_of_it(stores):
    stream, sizes = draw(config(), stores)
    store = stores("synthsurg", "small")
    frames = sum(stored.count for stored in store.select("train"))
    seen = {}
    for i in range(frames):
        assert len({item.media for item in stream[i]}) == 1
        for item in stream[i]:
            seen[item.id] = seen.get(item.id, 0) + 1
    assert set(seen.values()) == {1} and len(seen) == sum(sizes.values())
    # Another visit of the same frame asks in another order.
    first = next(stream[i] for i in range(frames) if len(stream[i]) > 4)
    later = [stream[i] for i in range(frames, 4 * frames)]
    again = [unit for unit in later if unit[0].media == first[0].media]
    assert any([c.id for c in unit] != [c.id for c in first] for unit in again)


def test_heavier_tasks_come_first_in_a_group(stores):
    stream, _ = draw(config((20.0, 1.0, 1.0)), stores)
    first = [stream[i][0].task for i in range(100)]
    assert first.count("phase_recognition") > 70


def test_empty_parts_and_mixtures_are_errors(stores, processor):
    with pytest.raises(ValueError, match="empty mixture"):
        draw(DataConfig(), stores)
    part = Part("synthsurg", "phase_recognition", config="small", split="validation")
    with pytest.raises(ValueError, match="no conversation"):
        draw(DataConfig(mixture=(part,)), stores)


def test_a_row_that_no_bucket_holds_names_the_conversation(stores, processor):
    small = dataclasses.replace(config(), bucket=(24, 64))
    with pytest.raises(ValueError, match=r"synthsurg.small/synth_.*does not fit"):
        take(pipeline.training_batches(small, processor, stores), 1)


def test_media_are_images_and_clips(stores):
    store = stores("synthsurg", "small")
    video = store.videos[0].video
    read = MediaReader(stores)
    (image, clip), fps = read(
        [
            Media("synthsurg", "small", video.id, 3),
            Media("synthsurg", "small", video.id, 3, count=4, kind="clip"),
        ]
    )
    assert image.shape == (128, 128, 3) and clip.shape == (4, 128, 128, 3) and fps == [1.0, 1.0]
    np.testing.assert_array_equal(clip[0], image)
    with pytest.raises(IndexError, match=rf"{video.id}: frame 100000"):
        read([Media("synthsurg", "small", video.id, 100000)])


def test_a_corrupt_image_names_its_record():
    with pytest.raises(MediaError, match=r"cholec80/video01/7 cannot be decoded"):
        decode_jpeg(b"\xff\xd8 not a jpeg", "cholec80/video01/7")


def test_ids_can_be_taken_apart(stores):
    store = stores("synthsurg", "small")
    item = next(conversations(store, "phase_recognition", "test"))
    source, name, video, frame, task, part = address(item.id)
    assert (source, name, task, part) == ("synthsurg", "small", "phase_recognition", 0)
    assert (video, frame) == (item.media[0].video, item.media[0].first)
    with pytest.raises(ValueError, match="not a conversation id"):
        address("something/else")


def test_wording_changes_with_the_seed_and_nothing_else(stores):
    store = stores("synthsurg", "small")
    a, b = (
        list(conversations(store, "phase_recognition", "train", wording=Wording(seed=s)))
        for s in (0, 1)
    )
    assert [x.id for x in a] == [x.id for x in b] and [x.answer for x in a] == [x.answer for x in b]
    assert any(x.prompt != y.prompt for x, y in zip(a, b, strict=True))
