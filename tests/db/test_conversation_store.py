"""Reading the database: rows by number, by split, source and video."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from surgzoo.data.conversations import address, conversations
from surgzoo.db.conversation_store import INDEX_FILE, META_FILE, ConversationStore, media_key
from surgzoo.db.schema import Media
from surgzoo.db.store import NotPreparedError, Store

TASK = "instrument_localization"


@pytest.fixture(scope="module")
def store(small_database):
    return ConversationStore.open(small_database, TASK)


@pytest.fixture(scope="module")
def told(small_database):
    """What the task itself says, split by split; the stored order is that of the videos."""
    source = Store.open(small_database, "synthsurg", "small")
    return {s: list(conversations(source, TASK, s)) for s in ("train", "val", "test")}


def test_rows_by_number(store, told):
    everything = [item for split in ("train", "val", "test") for item in told[split]]
    assert len(store) == len(everything)
    assert list(store) == everything
    assert store[0] == everything[0] and store[-1] == everything[-1]
    assert store[np.int64(7)] == everything[7]
    for row in (len(store), -len(store) - 1):
        with pytest.raises(IndexError, match=rf"{TASK}: row {row} of {len(store)}"):
            store[row]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_is_a_sequence(store, told, split):
    chosen = store.select(split)
    assert len(chosen) == len(told[split]) == store.counts()[split]
    assert list(chosen) == told[split]
    assert [chosen[i] for i in (0, 5, -1)] == [told[split][i] for i in (0, 5, -1)]
    assert chosen.rows().tolist() == [chosen.row(i) for i in range(len(chosen))]
    with pytest.raises(IndexError):
        chosen[len(chosen)]


def test_ranges_that_do_not_touch(store):
    """Every second video."""
    from surgzoo.db.conversation_store import Selection

    chosen = Selection(store, np.arange(0, len(store.first), 2))
    rows = chosen.rows()
    assert len(rows) == len(chosen) == store.count[::2].sum()
    names = {store.videos[i] for i in range(0, len(store.first), 2)}
    assert {address(store[row].id)[2] for row in rows[:: len(rows) // 20]} <= names
    assert rows.tolist() == [chosen.row(i) for i in range(len(chosen))]
    assert [name for _, _, name in chosen.videos()] == store.videos[::2].tolist()


def test_sources_and_videos(store, told):
    video = address(told["val"][0].id)[2]
    chosen = store.select("val", source="synthsurg", video=video)
    assert list(chosen) == [item for item in told["val"] if address(item.id)[2] == video]
    assert len(store.select(source="synthsurg.small")) == len(store)
    with pytest.raises(ValueError, match="of the split 'validation'; it has those of test, train"):
        store.select("validation")
    with pytest.raises(ValueError, match=r"source 'cholec80'; it has those of synthsurg.small"):
        store.select(source="cholec80")
    with pytest.raises(ValueError, match=f"video '{video}x'"):
        store.select(video=f"{video}x")
    assert len(store.select("train", video=video)) == 0


def test_a_store_travels_to_a_worker_without_its_reader(store):
    first, key = store[0], int(store.media_keys[0])
    again = pickle.loads(pickle.dumps(store))
    assert again[0] == first and int(again.media_keys[0]) == key


def test_media_keys_are_the_same_in_every_process():
    """Of a fixed pointer: a change would make old databases and new ones disagree."""
    a, b = Media("s", "fps1", "v", 3), Media("s", "fps1", "v", 4)
    program = (
        "from surgzoo.db.conversation_store import media_key; from surgzoo.db.schema import Media; "
        "print(media_key((Media('s', 'fps1', 'v', 3),)))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(said.stdout) == media_key((a,))
    assert len({media_key(m) for m in ((a,), (b,), (a, b), (b, a), ())}) == 5


def test_conversations_in_words_alone_share_nothing():
    """With one key for all of them, training would take them for questions about one frame."""
    assert media_key((), "a/0") != media_key((), "a/1")
    frame = (Media("s", "fps1", "v", 3),)
    assert media_key(frame, "a/0") == media_key(frame, "a/1") == media_key(frame)


def test_the_newest_version_is_opened(store, tmp_path):
    for version in ("1.0.0", "1.2.0", "1.10.0"):
        folder = tmp_path / "surg_sigma_db" / TASK / version
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").touch()
        (folder / META_FILE).write_text(json.dumps({"version": version}))
        (folder / INDEX_FILE).write_text((store.path / INDEX_FILE).read_text())
    # What TFDS is writing, or had not finished when it was killed, may look whole.
    unfinished = tmp_path / "surg_sigma_db" / TASK / "incomplete.AB12CD_1.11.0"
    unfinished.mkdir()
    (unfinished / "dataset_info.json").touch()
    assert ConversationStore.open(tmp_path, TASK).meta == {"version": "1.10.0"}
    (tmp_path / "surg_sigma_db" / TASK / "1.10.0" / META_FILE).unlink()
    with pytest.raises(NotPreparedError, match="did not end"):
        ConversationStore.open(tmp_path, TASK)


def test_what_is_not_built_says_what_to_run(small_database):
    with pytest.raises(
        NotPreparedError,
        match=r"built tasks: instrument_localization, phase_recognition.*\n?.*--tasks=triplet_rec",
    ):
        ConversationStore.open(small_database, "triplet_recognition")


def test_reading_needs_neither_builder_nor_tensorflow(small_database):
    program = (
        "import sys; from surgzoo.db.conversation_store import ConversationStore as C; "
        f"print(C.open({str(small_database)!r}, {TASK!r})[3].id); "
        "print([m for m in ('tensorflow', 'jax', 'surgzoo.datasets.surg_sigma_db.surg_sigma_db') "
        "if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.splitlines()[1:] == ["[]"], said.stderr


def test_a_config_that_is_not_prepared_is_named_in_the_command(small_data):
    with pytest.raises(NotPreparedError, match="--source=synthsurg --builder_config=sparse --data"):
        Store.open(small_data, "synthsurg", "sparse")
    with pytest.raises(NotPreparedError, match="--source=synthsurg --data"):
        Store.open(small_data, "synthsurg", "fps1")
