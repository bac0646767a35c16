"""Training from the built database, and `surgzoo.load`: the same rows as from the sources."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surgzoo
from surgzoo.data import mixture
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.conversations import conversations
from surgzoo.data.media import Stores
from surgzoo.data.units import Units
from surgzoo.datasets.surg_sigma_db import plan
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import build
from surgzoo.db.schema import Media
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.tasks.wording import Wording
from tests.data.toy_mixture import draw

TASKS = ("phase_recognition", "instrument_localization")


def config(data_dir, source, builder_config, **changes):
    parts = tuple(
        Part(source, task, weight, config=builder_config)
        for task, weight in zip(TASKS, (1.0, 3.0), strict=True)
    )
    return DataConfig(**{"mixture": parts, "data_dir": str(data_dir), **changes})


@pytest.mark.parametrize("group", [True, False])
def test_the_same_rows_from_the_sources_and_from_the_database(small_database, group):
    stores = Stores(small_database)
    made, sizes = draw(config(small_database, "synthsurg", "small", group=group), stores)
    read, counts = draw(config(small_database, "surg_sigma_db", "fps1", group=group), stores)
    assert list(sizes.values()) == list(counts.values())
    assert set(counts) == {f"surg_sigma_db/{task}/train" for task in TASKS}
    assert [made[i] for i in range(200)] == [read[i] for i in range(200)]
    assert any(len(read[i]) > 1 for i in range(20)) == group


@pytest.mark.parametrize("source", ["synthsurg", "surg_sigma_db"])
def test_questions_in_words_alone_come_one_by_one(small_data, tmp_path, source):
    """Nothing is shared that could be encoded once for several of them."""
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    wording = Wording()
    if source == "surg_sigma_db":
        build(plan.make(tmp_path, ["synthsurg.small"], ["video_generation"], wording=wording))
    part = Part(source, "video_generation", config="small" if source == "synthsurg" else "fps1")
    stream, _ = draw(DataConfig((part,), str(tmp_path)), Stores(tmp_path))
    sizes = {len(stream[i]) for i in range(40) if not stream[i][0].media}
    assert sizes == {1}


def test_the_database_is_not_held_in_memory(small_database):
    part = Part("surg_sigma_db", TASKS[0])
    items, keys = mixture._items(part, DataConfig(data_dir=str(small_database)), None, "media")
    assert not isinstance(items, list) and keys.dtype == np.uint64 and len(keys) == len(items)


def test_what_was_decided_at_building_cannot_be_changed_after_it(small_database):
    stores = Stores(small_database)
    good = config(small_database, "surg_sigma_db", "fps1")
    with pytest.raises(ValueError, match="wording was chosen when the database was built"):
        draw(dataclasses.replace(good, wording=Wording(seed=1)), stores)
    other = dataclasses.replace(good.mixture[0], scheme="official")
    with pytest.raises(ValueError, match="scheme and config were chosen"):
        draw(dataclasses.replace(good, mixture=(other,)), stores)


def test_videos_of_a_part(small_database):
    stores = Stores(small_database)
    for split in ("train", "test"):
        made = mixture.videos(Part("synthsurg", TASKS[0], config="small", split=split), stores)
        assert mixture.videos(Part("surg_sigma_db", TASKS[0], split=split), stores) == made != []


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=4))
def test_units_are_what_a_dict_says(parts):
    """Against the plain way: a dict of lists in the order of first appearance."""
    units, expected = Units(), {}
    for number, keys in enumerate(parts):
        items = [f"{number}/{i}" for i in range(len(keys))]
        units.add(items, np.array(keys, np.uint64), float(number))
        for item, key in zip(items, keys, strict=True):
            expected.setdefault(key, []).append((item, float(number)))
    assert [units[i] for i in range(len(units))] == list(expected.values())


def test_units_of_one():
    units = Units()
    units.add(["a", "b"], None, 1.0)
    units.add(["c"], None, 2.0)
    assert [units[i] for i in range(len(units))] == [[("a", 1.0)], [("b", 1.0)], [("c", 2.0)]]
    with pytest.raises(ValueError, match="all parts of a pool"):
        units.add(["d"], np.zeros(1, np.uint64), 1.0)
    with pytest.raises(ValueError, match="1 conversations with 2 media keys"):
        Units().add(["d"], np.zeros(2, np.uint64), 1.0)


def test_load(small_database):
    items = surgzoo.load("phase_recognition", split="val", data_dir=small_database)
    store = Store.open(small_database, "synthsurg", "small")
    told = list(conversations(store, "phase_recognition", "val"))
    assert len(items) == len(told) and [item.conversation for item in items] == told
    item = items[3]
    assert (item.id, item.task, item.turns) == (told[3].id, told[3].task, told[3].turns)
    assert (item.answer, item.thinking) == (told[3].answer, None)
    (image,) = item.images
    assert image.shape == (128, 128, 3) and image.dtype == np.uint8
    assert item.images is item.images
    video = told[0].media[0].video
    one = surgzoo.load("phase_recognition", data_dir=small_database, video=video)
    assert {i.conversation.media[0].video for i in one} == {video}


def test_load_reads_no_picture_before_it_is_asked_for(small_database, tmp_path):
    (tmp_path / "surg_sigma_db").symlink_to(small_database / "surg_sigma_db")
    items = surgzoo.load("phase_recognition", split="val", data_dir=tmp_path)
    assert items[0].answer
    with pytest.raises(NotPreparedError, match="surgzoo prepare --source=synthsurg"):
        items[0].images  # noqa: B018


def test_a_clip_has_a_time_axis(small_database):
    item = surgzoo.load("phase_recognition", data_dir=small_database)[0]
    media = item.conversation.media[0]
    clip = Media(media.source, media.config, media.video, 2, 5, "clip")
    item = dataclasses.replace(
        item, conversation=dataclasses.replace(item.conversation, media=(clip,))
    )
    assert item.images[0].shape == (5, 128, 128, 3)


def test_load_needs_no_jax(small_database):
    program = (
        "import sys, surgzoo; "
        f"surgzoo.load('phase_recognition', data_dir={str(small_database)!r})[0].images; "
        "print([m for m in ('jax', 'tensorflow', 'torch') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        surgzoo.lod  # noqa: B018
