"""Rows of several questions, and their static lengths."""

import numpy as np
import pytest

from surgzoo.data import prompts
from surgzoo.db.schema import Conversation, Media, Turn

IMAGE = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)


def question(number, frame, text="Which phase?", role="user"):
    media = () if frame is None else (Media("toy", "fps1", "v", frame),)
    return Conversation(
        f"toy.fps1/v/{number:06d}/phase_recognition/0", "phase_recognition", media,
        (Turn(role, text), Turn("assistant", "dissection")), None,
    )  # fmt: skip


def read(media):
    return [IMAGE] * len(media), [1.0] * len(media)


read.fitted = False


def test_units_are_questions_about_one_frame():
    items = [question(n, frame) for n, frame in enumerate((0, 1, 0, None, 1, 0, None))]
    items.append(question(7, 0, role="assistant"))  # begins differently
    numbers = [[int(item.id.split("/")[2]) for item in unit] for unit in prompts.units(items, 2)]
    assert numbers == [[0, 2], [5], [1, 4], [3], [6], [7]]


@pytest.mark.parametrize("count, slots", [(1, 1), (2, 2), (3, 4), (5, 8)])
def test_a_row_holds_its_questions(processor, count, slots):
    unit = [question(n, 0, "Which phase is it? " * (n + 1)) for n in range(count)]
    (encoded,) = prompts.encode_unit(unit, processor, read)
    row = encoded.row
    assert encoded.items == unit and encoded.error is None
    assert len(row["ends"]) == slots and (row["ends"][count:] == -1).all()
    ends = row["ends"][:count]
    assert (np.diff(ends) > 0).all() and ends[-1] + 1 == (row["segments"] > 0).sum()
    # Each prompt ends where its segment ends, after the opening of the assistant's turn.
    assert (row["segments"][ends] == np.arange(2, count + 2)).all()
    opening = processor.tokenizer.encode("assistant\n").ids
    assert all(row["tokens"][end - len(opening) + 1 : end + 1].tolist() == opening for end in ends)
    assert len(row["tokens"]) == prompts.static_length(int(ends[-1]) + 1)
    assert len(row["patches"]) == len(row["patch_hw"]) == 64
    assert row["positions"].shape == (3, len(row["tokens"]))


def test_what_does_not_fit_goes_to_further_rows(processor):
    unit = [question(n, 0, "Which phase is it? " * 20) for n in range(6)]
    rows = prompts.encode_unit(unit, processor, read)
    assert len(rows) > 1 and [item for row in rows for item in row.items] == unit
    assert all(len(row.row["tokens"]) <= processor.buckets[-1].tokens for row in rows)


def test_words_alone_have_no_patches(processor):
    (encoded,) = prompts.encode_unit([question(0, None)], processor, read)
    assert encoded.row["patches"].shape == (0, 1176) and encoded.row["ends"].shape == (1,)


def test_media_that_cannot_be_read_are_named_for_all(processor):
    def broken(media):
        raise ValueError("frame 3 is broken")

    unit = [question(n, 0) for n in range(3)]
    assert prompts.encode_unit(unit, processor, broken) == [(unit, None, "frame 3 is broken")]


def test_resize_moves_padding_alone(processor):
    (encoded,) = prompts.encode_unit([question(n, 0) for n in range(3)], processor, read)
    row = encoded.row
    larger = prompts.resize(row, 200, 8)
    assert larger["tokens"].shape == (200,) and larger["positions"].shape == (3, 200)
    assert larger["ends"].tolist() == row["ends"].tolist() + [-1] * 4
    assert not larger["segments"][len(row["segments"]) :].any()
    assert (larger["vision_index"][len(row["segments"]) :] == -1).all()
    back = prompts.resize(larger, len(row["tokens"]), 4)
    assert all(np.array_equal(back[key], row[key]) for key in row)


def test_static_lengths_are_few_and_near():
    lengths = {n: prompts.static_length(n) for n in range(1, 5000)}
    assert all(n <= static <= max(32, 1.3 * n) for n, static in lengths.items())
    assert sorted(set(lengths.values()))[:8] == [32, 40, 52, 64, 80, 104, 128, 160]
    assert len(set(lengths.values())) == 23
