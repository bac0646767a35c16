"""A small source through the whole base: written by TFDS, read back by arithmetic."""

import copy
import dataclasses
import functools
import json
import pickle

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds

from surgzoo.datasets import source_builder
from surgzoo.datasets.source_builder import Quarantined, SourceBuilder, SourceConfig, VideoJob
from surgzoo.db import records, schema
from surgzoo.db.store import NotPreparedError, Store

COUNTS = {"a": 4, "b": 3, "c": 5}


def toy_frames(video, count, bad=()):
    """Frame i is grey 10 i; `bad` numbers are quarantined."""
    label = schema.Label("grasper", "Grasper")
    index = 0
    for number in range(count):
        if number in bad:
            yield Quarantined(video, f"{video}.png, frame {number}", "torn")
            continue
        yield records.FrameRecord(
            schema.Frame(video, index, number / 5),
            schema.FrameAnnotations(instruments=(schema.Instrument(label),) * (number % 2)),
            simplejpeg.encode_jpeg(np.full((16, 24, 3), 10 * number, np.uint8)),
            {"depth": b"png bytes"} if number == 1 else {},
        )
        index += 1


class Toy(SourceBuilder):
    name = source = "toy"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        SourceConfig(name="fps5", fps=5.0),
        SourceConfig(name="lenient", fps=5.0, max_quarantined=0.5),
    ]
    counts = COUNTS
    bad = ()

    def jobs(self, manual_dir):
        splits = dict(zip(self.counts, ("train", "val", "test"), strict=False))
        for name, count in self.counts.items():
            yield VideoJob(
                schema.Video(name, f"toy/{name}", "toy", "s", "p", "l", {"default": splits[name]}),
                functools.partial(toy_frames, name, count, self.bad),
                schema.VideoAnnotations(notes=(f"note of {name}",)),
            )


class TornToy(Toy):
    name = source = "torn_toy"
    bad = (1, 2)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    source_builder.prepare(Toy, folder, workers=1)
    return folder


@pytest.fixture
def store(data_dir):
    return Store.open(data_dir, "toy", "fps5")


def test_every_frame_is_where_arithmetic_says(store):
    assert len(store) == 12
    assert [(v.video.id, v.first, v.count) for v in store.videos] == [
        ("a", 0, 4),
        ("b", 4, 3),
        ("c", 7, 5),
    ]
    for stored in store.videos:
        for index, record in enumerate(store.records(stored)):
            assert record.frame == schema.Frame(stored.video.id, index, index / 5)
            grey = simplejpeg.decode_jpeg(record.image)
            assert grey.shape == (16, 24, 3) and np.abs(grey.astype(int) - 10 * index).max() <= 1
            assert len(record.annotations.instruments) == index % 2
            assert record.dense == ({"depth": b"png bytes"} if index == 1 else {})
            assert store.frame(stored.video.id, index) == record


def test_video_annotations_and_splits(store):
    assert store.video("b").annotations.notes == ("note of b",)
    assert [v.video.id for v in store.select("val")] == ["b"]
    assert [v.video.id for v in store.select("all")] == ["a", "b", "c"]


def test_maps_that_are_held_are_not_read_again(store, monkeypatch):
    stored = store.videos[0]
    held = store.footage(stored, hold=len(b"png bytes"))
    tight = store.footage(stored, hold=len(b"png bytes") - 1)
    read = []
    of = type(store).frame
    monkeypatch.setattr(
        type(store), "frame", lambda self, *place: read.append(place) or of(self, *place)
    )
    assert held.dense(1, "depth") == b"png bytes" and read == []
    assert tight.dense(1, "depth") == b"png bytes" and read == [(stored.video.id, 1)]
    with pytest.raises(KeyError, match="frame 0 has no map 'depth'"):
        held.dense(0, "depth")


def test_a_store_travels_to_a_worker_without_its_reader(store):
    first = store[0]
    assert pickle.loads(pickle.dumps(store))[0] == first


def test_errors_name_what_is_missing(store, data_dir):
    with pytest.raises(KeyError, match="toy has no video 'z'"):
        store.video("z")
    with pytest.raises(IndexError, match="toy/a: frame 4 of 4"):
        store.frame("a", 4)
    with pytest.raises(ValueError, match=r"no split scheme 'official'; it has default"):
        store.select("train", "official")
    unsplit = copy.copy(store)
    unsplit.videos = [
        dataclasses.replace(v, video=dataclasses.replace(v.video, splits={})) for v in store.videos
    ]
    with pytest.raises(ValueError, match=r"nobody has split its videos.*\*=leak_free"):
        unsplit.select("train")
    with pytest.raises(NotPreparedError, match="surgzoo prepare --source=cholec80"):
        Store.open(data_dir, "cholec80")
    with pytest.raises(NotPreparedError, match="prepared configs: fps5"):
        Store.open(data_dir, "toy", "fps16")


def test_an_unfinished_preparation_is_told(tmp_path):
    with pytest.raises(NotPreparedError, match="did not end"):
        Store(tmp_path / "toy" / "fps5" / "1.0.0")


def test_two_workers_write_the_same_as_one(store, tmp_path):
    source_builder.prepare(Toy, tmp_path, workers=2)
    other = Store.open(tmp_path, "toy", "fps5")
    assert other.videos == store.videos
    assert [other[i] for i in range(12)] == [store[i] for i in range(12)]


def test_overwrite_writes_again_and_without_it_nothing_changes(tmp_path):
    path = source_builder.prepare(Toy, tmp_path, workers=1)
    (path / records.VIDEOS_FILE).write_text("")
    source_builder.prepare(Toy, tmp_path, workers=1)
    assert not Store.open(tmp_path, "toy", "fps5").videos
    source_builder.prepare(Toy, tmp_path, workers=1, overwrite=True)
    assert len(Store.open(tmp_path, "toy", "fps5")) == 12


def test_too_many_bad_frames_fail_the_build(tmp_path):
    with pytest.raises(ValueError, match=r"6 of 12 frames.*\n.*frame 1: torn"):
        source_builder.prepare(TornToy, tmp_path, workers=1)
    with pytest.raises(NotPreparedError):
        Store.open(tmp_path, "torn_toy", "fps5")


def test_a_few_bad_frames_are_quarantined_with_their_reason(tmp_path):
    path = source_builder.prepare(TornToy, tmp_path, config="lenient", workers=1)
    lines = (path / records.QUARANTINE_FILE).read_text().splitlines()
    assert len(lines) == 6
    assert json.loads(lines[0]) == {"video": "a", "where": "a.png, frame 1", "reason": "torn"}
    store = Store.open(tmp_path, "torn_toy", "lenient")
    assert [v.count for v in store.videos] == [2, 1, 3]
    assert [r.frame.time for r in store.records(store.videos[2])] == [0.0, 0.6, 0.8]


def test_an_unknown_dense_map_is_an_error():
    record = records.FrameRecord(
        schema.Frame("a", 0, 0.0), schema.FrameAnnotations(), b"", {"thermal": b""}
    )
    with pytest.raises(ValueError, match="unknown dense map thermal"):
        records.encode(record)
