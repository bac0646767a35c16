"""Stored features: written whole or not at all, refused when they are of something else."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from surgzoo.data import features
from surgzoo.data.features import FeatureStore, FeatureStores, FeatureWriter
from surgzoo.data.media import Stores
from surgzoo.db.store import NotPreparedError, Store

WIDTH = 5


@pytest.fixture
def data_dir(tmp_path, small_data):
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    return tmp_path


@pytest.fixture
def store(data_dir):
    return Store.open(data_dir, "synthsurg", "small")


def meta(store, **changes):
    encoder = features.Encoder("toy", "toy/a@1", {}, {"width": WIDTH}, "hash", "0")
    fields = {
        "source": store.source,
        "config": store.config,
        "version": store.path.name,
        "content": features.content(store),
        "width": WIDTH,
        "dtype": "float32",
        "encoder": encoder,
    }
    return features.Meta(**fields | changes)


def other_encoder(store):
    encoder = dataclasses.replace(meta(store).encoder, name="toy/b@2", parameters="other")
    return meta(store, encoder=encoder)


def numbers(stored, width=WIDTH):
    rng = np.random.default_rng(stored.first)
    return rng.standard_normal((stored.count, width)).astype(np.float32)


def test_what_is_written_is_read(data_dir, store):
    writer = FeatureWriter(data_dir, "toy", meta(store))
    for stored in store.videos[:2]:
        writer.write(stored, numbers(stored))
    found = FeatureStore(store, data_dir, "toy")
    for stored in store.videos[:2]:
        np.testing.assert_array_equal(found.read(stored.video.id), numbers(stored))
    assert found.meta == meta(store)
    with pytest.raises(NotPreparedError, match=r"record is missing or cut short.*goes on where"):
        found.read(store.videos[2].video.id)
    assert FeatureStores(Stores(data_dir), "toy")("synthsurg.small").has(store.videos[0].video.id)


def test_half_precision_is_half_as_large_and_says_what_it_cannot_hold(data_dir, store):
    first, second = store.videos[:2]
    width = 2048  # files are filled up to blocks of 64 KiB
    values = 1e4 * numbers(first, width)
    sizes = []
    for dtype in ("float32", "float16"):
        writer = FeatureWriter(data_dir, dtype, meta(store, dtype=dtype, width=width))
        writer.write(first, values)
        found = FeatureStore(store, data_dir, dtype).read(first.video.id)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values, rtol=1e-3 if dtype == "float16" else 0)
        sizes.append((writer.path / f"{first.video.id}.array_record").stat().st_size)
    assert sizes[1] < sizes[0]
    large = numbers(second, width)
    large[3, 1] = 1e6
    with pytest.raises(ValueError, match="frame 3 are not finite in float16; try --dtype=float32"):
        writer.write(second, large)
    with pytest.raises(ValueError, match=r"of \d+ frames, 2048 each"):
        writer.write(second, large[:, :4])
    assert not writer.has(second)


def test_a_second_start_keeps_whole_videos_and_throws_away_torn_ones(data_dir, store):
    first, second, third = store.videos[:3]
    writer = FeatureWriter(data_dir, "toy", meta(store))
    writer.write(first, numbers(first))
    writer.write(second, numbers(second))
    path = writer.path / f"{second.video.id}.array_record"
    path.write_bytes(path.read_bytes()[:-100])  # as a machine without power may leave it
    torn = writer.path / f"{third.video.id}.array_record.part"
    torn.write_bytes(b"half")
    writer = FeatureWriter(data_dir, "toy", meta(store))
    assert [writer.has(stored) for stored in (first, second, third)] == [True, False, False]
    for stored in (second, third):
        writer.write(stored, numbers(stored))
        found = FeatureStore(store, data_dir, "toy").read(stored.video.id)
        np.testing.assert_array_equal(found, numbers(stored))
    assert not torn.exists()


def test_several_write_one_folder_at_once(data_dir, store):
    first, second, third = store.videos[:3]
    one = FeatureWriter(data_dir, "toy", meta(store))
    half = one.path / f"{second.video.id}.array_record.part"
    half.write_bytes(b"half")  # what one is busy with
    before = (one.path / "meta.json").stat()
    two = FeatureWriter(data_dir, "toy", meta(store))
    two.write(third, numbers(third))
    after = (one.path / "meta.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert half.read_bytes() == b"half"
    one.write(second, numbers(second))
    assert [one.has(stored) for stored in (first, second, third)] == [False, True, True]
    names = {path.name for path in one.path.iterdir()}
    assert names == {"meta.json", *(f"{v.video.id}.array_record" for v in (second, third))}


def test_who_writes_notices_that_another_began_anew(data_dir, store):
    first = store.videos[0]
    writer = FeatureWriter(data_dir, "toy", meta(store))
    FeatureWriter(data_dir, "toy", other_encoder(store), overwrite=True)
    with pytest.raises(ValueError, match=r"made otherwise: encoder\.name, encoder\.parameters"):
        writer.write(first, numbers(first))
    assert not writer.has(first)
    (writer.path / "meta.json").unlink()
    with pytest.raises(ValueError, match=r"meta\.json was removed meanwhile"):
        writer.write(first, numbers(first))


def test_a_full_disk_is_said_and_keeps_what_is_done(data_dir, store):
    first, second = store.videos[:2]
    writer = FeatureWriter(data_dir, "toy", meta(store))
    writer.write(first, numbers(first))
    (writer.path / f"{second.video.id}.array_record.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device.*make room and run the same"):
        writer.write(second, numbers(second))
    names = sorted(path.name for path in writer.path.iterdir())
    assert names == ["meta.json", f"{first.video.id}.array_record"]
    writer.write(second, numbers(second))
    assert FeatureStore(store, data_dir, "toy").has(second.video.id)


def test_features_of_another_encoder_are_not_mixed(data_dir, store):
    FeatureWriter(data_dir, "toy", meta(store)).write(store.videos[0], numbers(store.videos[0]))
    changed = r"made otherwise: encoder\.name, encoder\.parameters differ.*--overwrite"
    with pytest.raises(ValueError, match=changed):
        FeatureWriter(data_dir, "toy", other_encoder(store))
    elsewhere = dataclasses.replace(other_encoder(store), config="fps1")
    with pytest.raises(ValueError, match=r"synthsurg\.small by another encoder, toy/a@1"):
        FeatureWriter(data_dir, "toy", elsewhere)
    writer = FeatureWriter(data_dir, "toy", other_encoder(store), overwrite=True)
    assert not writer.has(store.videos[0])


def test_features_of_other_frames_are_refused(data_dir, store, tmp_path_factory):
    FeatureWriter(data_dir, "toy", meta(store))
    moved = tmp_path_factory.mktemp("again")
    shutil.copytree(data_dir / "features", moved / "features")
    place = store.path.relative_to(data_dir)
    shutil.copytree(store.path, moved / place)
    FeatureStore(Store(moved / place), moved, "toy")
    (moved / place / "content.txt").write_text("other pictures\n")
    with pytest.raises(ValueError, match=r"made of other frames.*has another content.*--overwrite"):
        FeatureStore(Store(moved / place), moved, "toy")


def test_maps_that_are_derived_later_change_nothing(data_dir, store, monkeypatch):
    class Map:
        def content(self):
            return b"depth"

    before = store.content(), features.content(store)
    monkeypatch.setitem(store.__dict__, "_derived", {"depth": Map()})
    assert store.content() != before[0] and features.content(store) == before[1]


def test_where_there_are_none(data_dir, store):
    with pytest.raises(NotPreparedError, match=r"no features 'toy' of synthsurg\.small in .*data"):
        FeatureStore(store, data_dir / "data", "toy")
    FeatureWriter(data_dir, "first", meta(store))
    with pytest.raises(NotPreparedError, match=r"\(there: first\)\. Run `surgzoo extract_features"):
        FeatureStore(store, data_dir, "toy")
    with pytest.raises(ValueError, match=r"data\.features=NAME"):
        FeatureStores(Stores(data_dir), "")
    path = data_dir / "features" / "first" / "synthsurg.small" / "meta.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"meta\.json is damaged"):
        FeatureStore(store, data_dir, "first")


def test_what_the_encoder_was_trained_on(data_dir, store):
    trained_on = {"synthsurg/synth_0001": ("synthsurg/synth_0001",), "camma/VID92": ("c50/VID92",)}
    known = meta(store, trained_on=trained_on, unclear=("of the web",))
    writer = FeatureWriter(data_dir, "toy", known)
    assert json.loads((writer.path / "meta.json").read_text())["encoder"]["name"] == "toy/a@1"
    videos, unclear = features.encoder_videos(data_dir, "toy")
    assert [(v.source, v.id, v.canonical) for v in videos] == [
        ("c50", "VID92", "camma/VID92"),
        ("synthsurg", "synth_0001", "synthsurg/synth_0001"),
    ]
    assert unclear == ["features 'toy': of the web"]
    assert features.encoder_videos(data_dir, "") == ([], [])
