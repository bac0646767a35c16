"""Rows of clips with labels and of histories: against whole decoding and the stored segments."""

import dataclasses
import itertools

import numpy as np
import pytest

from surgzoo.core.contract import LabelledClip
from surgzoo.data import feed
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import conversations
from surgzoo.data.histories import seen
from surgzoo.data.media import MediaReader, Stores
from surgzoo.data.mixture import Pools
from surgzoo.data.rows import clips, rows_of
from surgzoo.data.rows.balance import balanced_weights
from surgzoo.db import ontology
from surgzoo.db.schema import Skill
from surgzoo.models.bsa.config import PlannerConfig, tiny

MODEL = dataclasses.replace(tiny(), actions=12)
PLANNER = PlannerConfig(actions=12, longest=30)


def config(small_data, **changes):
    part = Part("synthsurg", "action_recognition", config="small")
    return DataConfig(
        **{"mixture": (part,), "data_dir": str(small_data), "batch_size": 4, **changes}
    )


def opened(small_data, architecture=MODEL, **changes):
    data = config(small_data, **changes)
    rows = rows_of(data, architecture, architecture.processor())
    stores = Stores(small_data)
    rows.open(stores, Pools(data, stores, rows.by))
    return rows


def asked(small_data, task="action_recognition", split="train"):
    return list(conversations(Stores(small_data)("synthsurg", "small"), task, split))


def test_a_clip_is_what_the_processor_makes_of_all_its_frames(small_data):
    rows, stores = opened(small_data), Stores(small_data)
    items = asked(small_data)
    read, processor = MediaReader(stores), MODEL.processor()
    for item in items[::5]:
        row = rows.row([item], np.random.default_rng(0))
        (whole,), _ = read(item.media)
        np.testing.assert_array_equal(row["video"], processor(whole))
        assert rows.labels[row["action"]] == item.answer
        assert row["skill"] == -1  # nobody rated these operations
    spec = rows.spec()
    assert set(row) == set(spec) == set(LabelledClip.__annotations__)
    for name, (shape, dtype) in spec.items():
        assert (row[name].shape, row[name].dtype) == (shape, dtype)


def test_only_the_frames_that_are_picked_are_decoded_and_each_once(small_data, monkeypatch):
    rows, decoded = opened(small_data), []
    original = clips.decode_jpeg
    monkeypatch.setattr(
        clips, "decode_jpeg", lambda data, where: decoded.append(where) or original(data, where)
    )
    item = max(asked(small_data), key=lambda item: item.media[0].count)
    (media,) = item.media
    longer = dataclasses.replace(item, media=(dataclasses.replace(media, first=0, count=20),))
    for _ in range(2):
        rows.row([longer], np.random.default_rng(0))
    assert decoded == [f"synthsurg/{media.video}/{number}" for number in (2, 7, 12, 17)]


def test_labels_are_counted_and_balanced(small_data):
    rows, items = opened(small_data), asked(small_data)
    assert rows.labels == tuple(ontology.names("synthsurg", "action"))
    counts = [sum(item.answer == name for item in items) for name in rows.labels]
    assert sum(counts) == len(items) > 20
    assert rows.meta() == {
        "labels": list(rows.labels), "counts": dict(zip(rows.labels, counts, strict=True))
    }  # fmt: skip
    weights = balanced_weights(counts)
    for item in items[:6]:
        row = rows.row([item], np.random.default_rng(0))
        assert row["balance"] == weights[rows.labels.index(item.answer)]
    # In the config's order, where it gives one.
    turned = opened(small_data, labels=rows.labels[::-1])
    assert turned.row(items[:1], np.random.default_rng(0))["action"] == rows.labels[::-1].index(
        items[0].answer
    )


def test_balanced_weights_by_hand():
    counts = (1000, 10, 0)
    found = balanced_weights(counts)
    effective = [(1 - 0.9999**n) / (1 - 0.9999) for n in (1000, 10, 1)]
    np.testing.assert_allclose(found[1] / found[0], effective[0] / effective[1], rtol=1e-5)
    np.testing.assert_allclose(found[2] / found[0], effective[0] / effective[2], rtol=1e-5)
    assert (found * np.array([1000, 10, 1])).sum() / 1011 == pytest.approx(1)


def test_augmented_rows_follow_from_the_number_of_the_example(small_data):
    rows, items = opened(small_data, augment=True), asked(small_data)
    one, same, other = (
        rows.row(items[:1], np.random.default_rng(seed))["video"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 0.05
    plain = opened(small_data).row(items[:1], np.random.default_rng(1))["video"]
    assert np.abs(one - plain).mean() > 0.05


def test_all_frames_are_cut_and_mirrored_alike():
    ramp = np.tile(np.arange(80, dtype=np.uint8), (80, 1))  # columns tell their place
    frames = np.stack([ramp, ramp.T])[..., None].repeat(3, -1)
    widths, mirrored = set(), set()
    for seed in range(60):
        across, down = clips.cut_and_mirror(frames, 64, np.random.default_rng(seed))
        assert across.shape == (64, 64, 3)
        row, column = across[:, :, 0].astype(int), down[:, :, 0].astype(int)
        assert (row == row[0]).all() and (column == column[:, :1]).all()
        steps = np.diff(row[0])
        mirrored.add(bool(steps.sum() < 0))
        assert (np.diff(column[:, 0]) >= 0).all()  # never upside down
        extent = abs(int(row[0, -1]) - int(row[0, 0]))
        assert abs(extent - int(column[-1, 0] - column[0, 0])) <= 1  # still square
        widths.add(extent)
    assert mirrored == {True, False}
    assert min(widths) < 66 < 76 < max(widths)


def test_skill_is_a_rating_in_as_many_steps_as_the_head_has():
    experience = Skill("self_declared_experience", 2, 0, 2)
    score = Skill("global_rating_score", 17, 6, 30)
    assert clips.skill_level([score, experience], 3) == 2
    assert clips.skill_level([score], 3) == -1
    assert clips.skill_level([], 3) == -1
    assert clips.skill_level([Skill("grs", 4, 1, 5), experience], 5) == 3
    assert clips.skill_level([experience, Skill("other", 1, 1, 3)], 3) == -1  # which one?
    assert clips.skill_level([Skill("mean", 1.5, 1, 3)], 3) == -1


def test_batches_start_anywhere_and_carry_the_labels(small_data):
    data = config(small_data, augment=True)
    processor, stores = MODEL.processor(), Stores(small_data)
    batches = feed.batches(data, MODEL, processor, stores)
    first = [next(batches) for _ in range(3)]
    later = next(feed.batches(data, MODEL, processor, stores, start=8))
    for name, value in first[2].items():
        np.testing.assert_array_equal(later[name], value)
        assert value.shape == feed.batch_shapes(data, MODEL)[name][0]
    assert batches.meta["labels"] == list(ontology.names("synthsurg", "action"))
    assert (batches.unit, batches.size(first[0])) == ("row", 4)


def test_mistakes_say_the_numbers_and_the_way_out(small_data):
    with pytest.raises(ValueError, match=r"10 classes, the data 12.*overrides actions=12"):
        opened(small_data, tiny())
    with pytest.raises(ValueError, match=r"answers that are no classes: .*aspiration.*data.labels"):
        opened(small_data, dataclasses.replace(MODEL, actions=1), labels=("dissection",))
    part = Part("synthsurg", "phase_recognition", config="small")
    with pytest.raises(ValueError, match="learns from action_recognition, not from phase_recog"):
        opened(small_data, mixture=(part,))
    rows, item = opened(small_data), asked(small_data)[0]
    frame = dataclasses.replace(item.media[0], kind="image", count=1)
    with pytest.raises(ValueError, match="reads one clip, and the question shows image"):
        rows.row([dataclasses.replace(item, media=(frame,))], np.random.default_rng(0))


def segments(store, stored):
    """Names of the actions of a video and the stored frames of each, by start; None where one
    lies between two frames."""
    found = sorted(
        (s for s in stored.annotations.segments if s.kind == "action"), key=lambda s: s.start
    )
    footage = store.footage(stored)
    shown = [(footage.clip(s.start, s.end), s) for s in found]
    return [(ontology.name("action", s.label.concept), clip) for clip, s in shown]


def test_a_history_is_the_actions_of_a_video_in_order(small_data):
    rows = opened(small_data, PLANNER)
    store = Stores(small_data)("synthsurg", "small")
    items = asked(small_data)
    for stored in store.select("train"):
        unit = [item for item in items if item.media[0].video == stored.video.id]
        names = [name for name, clip in segments(store, stored) if clip]
        assert 10 < len(names) <= 30
        row = rows.row(unit[::-1], np.random.default_rng(0))["actions"]
        assert row.shape == rows.spec()["actions"][0] == (30,)
        assert [rows.labels[n] for n in row if n >= 0] == names
        assert (row[len(names) :] == -1).all()

        short = opened(small_data, dataclasses.replace(PLANNER, longest=5))
        places = {tuple(short.row(unit, np.random.default_rng(s))["actions"]) for s in range(40)}
        numbers = [short.labels.index(name) for name in names]
        stretches = {tuple(numbers[at : at + 5]) for at in range(len(numbers) - 4)}
        assert places <= stretches and len(places) > 3


def test_an_augmented_history_is_doubted(small_data):
    rows = opened(small_data, PLANNER, augment=True)
    videos = {item.media[0].video for item in asked(small_data)}
    unit = [item for item in asked(small_data) if item.media[0].video == min(videos)]
    found = [rows.row(unit, np.random.default_rng(seed)) for seed in range(60)]
    row = found[0]
    assert row["history"].shape == rows.spec()["history"][0] == (30, 12)
    known = row["actions"] >= 0
    np.testing.assert_allclose(row["history"].sum(-1), known, atol=1e-6)
    # Mostly right, now and then mistaken, never certain for long.
    taken = np.concatenate([f["history"][known].argmax(-1) == f["actions"][known] for f in found])
    assert 0.75 < taken.mean() < 0.95
    sure = np.concatenate([f["history"][known].max(-1) for f in found])
    assert sure.min() < 0.4 and sure.max() > 0.95 and (sure < 1).all()
    np.testing.assert_array_equal(
        rows.row(unit, np.random.default_rng(0))["history"], row["history"]
    )


def test_what_a_question_about_the_next_action_has_seen(small_data):
    """The clips shown are the end of the history, and the answer is never in it."""
    store = Stores(small_data)("synthsurg", "small")
    actions, questions = asked(small_data), asked(small_data, "next_action")
    for stored in store.select("train"):
        mine = [item for item in actions if item.media[0].video == stored.video.id]
        found = segments(store, stored)
        for item in (q for q in questions if q.media[0].video == stored.video.id):
            history = seen(item, mine[::-1])
            assert [h.media[0] for h in history[-len(item.media) :]] == list(item.media)
            assert [(h.answer, h.media[0].first) for h in history] == [
                (name, clip.first) for name, clip in found if clip
            ][: len(history)]
            now = item.media[-1].first + item.media[-1].count
            assert all(h.media[0].first + h.media[0].count <= now for h in history)
            (at,) = (n for n, (_, c) in enumerate(found) if c and c.first == item.media[-1].first)
            assert found[at + 1][0] == item.answer


def test_a_parallel_action_that_goes_on_is_not_in_the_history(small_data):
    item, *_ = (q for q in asked(small_data, "next_action") if q.media[-1].count >= 2)
    (now,) = item.media[-1:]

    def action(first, count):
        media = dataclasses.replace(now, first=first, count=count)
        number = f"{item.id.rsplit('/', 3)[0]}/{first:06d}/action_recognition/0"
        return dataclasses.replace(item, id=number, media=(media,))

    spans = [(now.first, now.count), (now.first, now.count + 1), (now.first + 1, 1)]
    spans += [(max(now.first - 1, 0), now.count + 9)]
    kept = seen(item, [action(*span) for span in spans])
    assert [(k.media[0].first, k.media[0].count) for k in kept] == [(now.first, now.count)]
    assert list(itertools.chain(seen(item, []))) == []
