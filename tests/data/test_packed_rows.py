"""Packed rows of a prepared source: complete, exact to resume, the same for any process count."""

import itertools

import numpy as np
import pytest

from surgzoo.core.contract import Bucket, GroupSize
from surgzoo.data import pipeline, turns
from surgzoo.data.config import DataConfig
from surgzoo.data.model_reader import ModelReader
from surgzoo.data.packed import PackedRows, pieces
from surgzoo.db.schema import Media
from tests.data.toy_mixture import draw, parts, same, take


def config(weights=(1.0, 1.0, 1.0), **changes):
    fields = {"mixture": parts(weights), "batch_size": 4, "bucket": (512, 320), "pack": True}
    return DataConfig(**fields | {"pack_window": 16, "prefetch": 2} | changes)


def packed(config, processor, stores, **keywords):
    stream, _ = draw(config, stores)
    read = turns.reader(config, processor, stores)
    return PackedRows(
        stream,
        lambda unit: turns.measure(unit, processor, read),
        Bucket(*config.bucket),
        window=config.pack_window,
        seed=config.seed,
        **keywords,
    )


@pytest.mark.parametrize("group", [True, False])
def test_resume_is_exact_with_a_place_and_without(stores, processor, group):
    settings = config(group=group)
    batches = pipeline.training_batches(settings, processor, stores)
    whole = take(batches, 6)
    place = batches.place(12)
    assert place[0] > 0, "the test is to begin in a later window"
    for known in (place, None):
        again = pipeline.training_batches(settings, processor, stores, start=12, place=known)
        assert all(same(a, b) for a, b in zip(whole[3:], take(again, 3), strict=True))
        assert again.place(20) == batches.place(20)
    other = take(pipeline.training_batches(config(seed=1, group=group), processor, stores), 1)
    assert not same(whole[0], other[0])


def test_the_number_of_processes_changes_nothing(stores, processor):
    (whole,) = take(pipeline.training_batches(config(), processor, stores, start=8), 1)
    for index in range(2):
        batches = pipeline.training_batches(
            config(), processor, stores, start=8, process_index=index, process_count=2
        )
        (share,) = take(batches, 1)
        for key, value in whole.items():
            np.testing.assert_array_equal(value[index::2], share[key], err_msg=key)


def by_window(rows, count):
    """The rows of the first `count` windows."""
    out = [[] for _ in range(count)]
    for number in itertools.count():
        window = rows.place(number).window
        if window == count:
            return out
        out[window].append(rows[number])


@pytest.mark.parametrize("bucket", [(512, 320), (112, 320)])  # the second: frames asked in parts
def test_a_window_asks_every_question_of_its_units_once(stores, processor, bucket):
    settings = config(bucket=bucket)
    stream, _ = draw(settings, stores)
    read = ModelReader(stores, processor)
    split = 0
    for window, rows in enumerate(by_window(packed(settings, processor, stores), 3)):
        asked = [item.id for row in rows for piece in row for item in piece.items]
        units = [stream[n] for n in range(window * 16, (window + 1) * 16)]
        assert sorted(asked) == sorted(item.id for unit in units for item in unit)
        split += sum(map(len, rows)) - len(units)
        for row in rows:
            assert (np.sum([piece.size for piece in row], axis=0) <= bucket).all()
    assert (split > 0) == (bucket == (112, 320))
    # And the row that comes out asks what was planned, about the pictures that were planned.
    example = turns.packed_row(rows[0], processor, read, Bucket(*bucket))
    assert example["tokens"].shape == (bucket[0],)
    length = sum(piece.size.tokens for piece in rows[0])
    assert (example["segments"][:length] > 0).all() and not example["segments"][length:].any()
    text = processor.tokenizer.decode(example["tokens"][:length].tolist())
    for piece in rows[0]:
        for item in piece.items:
            assert f"{item.turns[0].text}\nassistant\n{item.turns[-1].text}" in text


def test_weights_set_the_shares_of_the_tasks(stores, processor):
    settings = config((1.0, 1.0, 6.0), group=False, pack_window=64)
    windows = by_window(packed(settings, processor, stores), 12)
    asked = [item for rows in windows for row in rows for piece in row for item in piece.items]
    assert len(asked) == 12 * 64
    share = sum(item.task == "instrument_localization" for item in asked) / len(asked)
    assert share == pytest.approx(0.75, abs=0.02)


def test_rows_can_be_asked_for_in_any_order(stores, processor):
    ordered = packed(config(), processor, stores)
    wanted = {n: ordered[n] for n in range(40)}
    rows = packed(config(), processor, stores, in_flight=3)  # forgets, and plans again
    for number in np.random.default_rng(0).permutation(40).tolist():
        assert rows[number] == wanted[number]
    late = packed(config(), processor, stores, place=ordered.place(39))
    assert late[39] == wanted[39]
    with pytest.raises(IndexError, match="row 0 is before row"):
        late[0]


def test_rows_say_nothing_about_size_by_their_place(stores, processor):
    """A window is shuffled: as packed, its rows would go from large pieces to small ones."""
    rows = by_window(packed(config(bucket=(192, 128), pack_window=64), processor, stores), 6)
    places, largest = [], []
    for window in rows:
        for number, row in enumerate(window):
            places.append(number / len(window))
            largest.append(max(piece.size.tokens for piece in row))
    assert abs(np.corrcoef(places, largest)[0, 1]) < 0.25
    assert np.std(largest) > 0


@pytest.mark.parametrize("segments", [2, 4])
def test_a_row_has_no_more_segments_than_the_kernel_is_told_of(
    stores, processor, monkeypatch, segments
):
    settings = config(group=False)
    free = max(map(len, by_window(packed(settings, processor, stores), 1)[0]))
    assert free > 3, "there is to be room for more"
    monkeypatch.setattr(processor, "most_segments", segments)
    counts = []
    for batch in take(pipeline.training_batches(settings, processor, stores), 6):
        assert "prefix" not in batch
        runs = (np.diff(batch["segments"], axis=1) != 0).sum(axis=1) + 1
        counts += runs.tolist()
    assert max(counts) == segments
    # Of grouped rows, which no such kernel reads, nothing is taken.
    (batch,) = take(pipeline.training_batches(config(), processor, stores), 1)
    assert batch["segments"].max() > segments


def test_a_unit_in_parts(stores, processor):
    items = draw(config(), stores)[0][0] * 2
    items = items[:4]
    size = GroupSize(10, (5, 6, 7, 20), 16)
    assert pieces(items, size, Bucket(48, 16)) == [(items, Bucket(48, 16))]
    assert pieces(items, size, Bucket(30, 20)) == [
        (items[:3], Bucket(28, 16)),
        (items[3:], Bucket(30, 16)),
    ]
    with pytest.raises(ValueError, match=rf"{items[3].id}: 30 tokens and 16 patches do not fit"):
        pieces(items, size, Bucket(29, 16))
    with pytest.raises(ValueError, match=rf"{items[0].id}: 15 tokens and 16 patches do not fit"):
        pieces(items, size, Bucket(48, 12))


def test_bad_settings_and_units_that_fit_no_row_are_errors(stores, processor):
    with pytest.raises(ValueError, match=r"synthsurg.small/synth_.*do not fit a row of 24 tokens"):
        pipeline.training_batches(config(bucket=(24, 320)), processor, stores)
    with pytest.raises(ValueError, match="pack_window is 0"):
        pipeline.training_batches(config(pack_window=0), processor, stores)


def test_a_processor_that_measures_wrongly_is_found_out(stores, processor):
    row = packed(config(), processor, stores)[0]
    items, (tokens, patches) = row[0]
    read = ModelReader(stores, processor)
    for wrong, complaint in ((tokens + 1, "disagree"), (tokens - 1, "does not fit|disagree")):
        piece = row[0]._replace(size=Bucket(wrong, patches))
        with pytest.raises(ValueError, match=rf"{items[0].id}: .*({complaint})"):
            turns.packed_row([piece], processor, read, Bucket(512, 320))


def test_outlines_are_the_shapes_of_the_pixels(stores, processor):
    video = stores("synthsurg", "small").videos[0].video
    media = [
        Media("synthsurg", "small", video.id, 3),
        Media("synthsurg", "small", video.id, 3, count=4, kind="clip"),
        Media("synthsurg", "small", video.id, 3, count=2),
    ]
    read = ModelReader(stores, processor)
    pixels, rates = read(media)
    outlines, again = read.outlines(media)
    assert [o.shape for o in outlines] == [p.shape for p in pixels] and rates == again
    assert all(o.strides == (0,) * o.ndim for o in outlines)
