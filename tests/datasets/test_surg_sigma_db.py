"""The database: every task once, the same bytes each time, and a build that was killed goes on."""

import dataclasses
import json
import subprocess
import sys

import pytest
from fixtures_cholec import vector, write_cholect50

from surgzoo.core.registry import Card, UnknownNameError
from surgzoo.data.conversations import address, conversations
from surgzoo.datasets.cholect50.cholect50 import CholecT50
from surgzoo.datasets.source_builder import prepare
from surgzoo.datasets.surg_sigma_db import plan as plan_lib
from surgzoo.datasets.surg_sigma_db import spool, surg_sigma_db
from surgzoo.datasets.surg_sigma_db.surg_sigma_db import (
    BusyError,
    OtherBuildError,
    QualityError,
    SurgSigmaDB,
    build,
)
from surgzoo.db.conversation_store import DATABASE, ConversationStore, media_key
from surgzoo.db.derive.run import add_smoke
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.tasks import tasks
from surgzoo.tasks.phase_recognition import PhaseRecognition

SOURCE = "synthsurg.small"
TASKS = ("phase_recognition", "instrument_localization")


@pytest.fixture
def data_dir(small_data, tmp_path):
    (tmp_path / "synthsurg").symlink_to(small_data / "synthsurg")
    return tmp_path


@pytest.fixture(scope="module")
def built(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    (folder / "synthsurg").symlink_to(small_data / "synthsurg")
    build(plan_lib.make(folder, [SOURCE], TASKS), workers=1)
    return folder


def files(data_dir):
    """Relative path -> bytes of a whole database."""
    root = data_dir / DATABASE
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".config" not in path.parts
    }


@pytest.mark.parametrize("task", TASKS)
def test_the_rows_are_what_the_task_says_of_each_split(built, task):
    source = Store.open(built, "synthsurg", "small")
    store = ConversationStore.open(built, task)
    for split in ("train", "val", "test"):
        told = list(conversations(source, task, split, wording=plan_lib.WORDING))
        assert list(store.select(split)) == told and told
    assert store.counts() == store.meta["conversations"]


def test_rows_stand_by_video_frame_and_part(built):
    store = ConversationStore.open(built, "instrument_localization")
    videos = {v.video.id: i for i, v in enumerate(Store.open(built, "synthsurg", "small").videos)}
    places = [address(item.id) for item in store]
    order = [(videos[video], frame, part) for _, _, video, frame, _, part in places]
    assert order == sorted(order) and len(set(order)) == len(order)


def test_media_keys_tell_frames_apart(built):
    for name in TASKS:
        store = ConversationStore.open(built, name)
        assert store.media_keys.tolist() == [media_key(item.media) for item in store]
    assert len(set(store.media_keys.tolist())) == len({item.media for item in store})


def test_same_input_same_bytes_with_one_process_and_with_two(built, data_dir):
    build(plan_lib.make(data_dir, [SOURCE], TASKS), workers=2)
    again = files(data_dir)
    assert again == files(built)
    assert sum("array_record" in path for path in again) == len(TASKS)
    assert not (data_dir / DATABASE / "incomplete_spool").exists()


def test_several_shards_hold_the_same_rows(built, data_dir, monkeypatch):
    monkeypatch.setattr(surg_sigma_db, "SHARD_BYTES", 100_000)
    build(plan_lib.make(data_dir, [SOURCE], TASKS[1:]), workers=1)
    store = ConversationStore.open(data_dir, TASKS[1])
    assert len(list(store.path.glob("*.array_record*"))) > 3
    assert list(store) == list(ConversationStore.open(built, TASKS[1]))


def test_what_is_finished_is_left_alone(data_dir, monkeypatch):
    plan = plan_lib.make(data_dir, [SOURCE], TASKS[:1])
    build(plan, workers=1)
    before = {path: path.stat().st_mtime_ns for path in (data_dir / DATABASE).rglob("*.json")}
    monkeypatch.setattr(spool, "write", lambda *_: pytest.fail("the sources were read again"))
    stores = build(plan, workers=1)
    assert len(stores["phase_recognition"]) == 334
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_killed_build_goes_on_and_leaves_nothing_that_looks_finished(
    built, data_dir, monkeypatch
):
    plan = plan_lib.make(data_dir, [SOURCE], TASKS)
    write, encoded = spool.write, []

    def dies(job, *rest):
        if len(encoded) == 3:
            raise KeyboardInterrupt
        encoded.append(job.video)
        return write(job, *rest)

    monkeypatch.setattr(spool, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        build(plan, workers=1)
    with pytest.raises(NotPreparedError):
        ConversationStore.open(data_dir, TASKS[0])
    footage, read = Store.footage, []
    monkeypatch.setattr(spool, "write", write)
    monkeypatch.setattr(
        Store,
        "footage",
        lambda self, v, *rest, **more: read.append(v.video.id) or footage(self, v, *rest, **more),
    )
    build(plan, workers=1)
    assert len(encoded) == len(read) == 3 and not set(encoded) & set(read)
    assert files(data_dir) == files(built)


def test_another_build_is_not_taken_for_this_one(data_dir):
    build(plan_lib.make(data_dir, [SOURCE], TASKS[:1]), workers=1)
    wording = dataclasses.replace(plan_lib.WORDING, seed=1)
    other = plan_lib.make(data_dir, [SOURCE], TASKS[:1], wording=wording)
    with pytest.raises(
        OtherBuildError, match=r"phase_recognition: other wording(.|\n)*--overwrite"
    ):
        build(other, workers=1)
    before = [item.turns for item in ConversationStore.open(data_dir, TASKS[0])]
    store = build(other, workers=1, overwrite=True)[TASKS[0]]
    assert store.meta["wording"]["seed"] == 1 and [item.turns for item in store] != before
    assert [path.name for path in store.path.parent.iterdir()] == ["1.0.0"]


def test_a_failed_overwrite_keeps_what_was_there(data_dir, monkeypatch):
    plan = plan_lib.make(data_dir, [SOURCE], TASKS[:1])
    build(plan, workers=1)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(SurgSigmaDB, "_write_beside", lambda self: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="No space left"):
        build(plan, workers=1, overwrite=True)
    assert len(ConversationStore.open(data_dir, TASKS[0])) == 334


def test_the_other_tasks_of_a_build_do_not_matter(built):
    """One task of a build of two, asked for alone, is finished."""
    alone = plan_lib.make(built, [SOURCE], TASKS[1:])
    assert len(build(alone, workers=1)[TASKS[1]]) == 927


def test_a_scheme_or_a_mapping_decides_the_splits(data_dir):
    source = Store.open(data_dir, "synthsurg", "small")
    names = [stored.video.canonical for stored in source.videos]
    plan = plan_lib.make(
        data_dir, [SOURCE], TASKS[:1], splits={names[0]: "test", names[1]: "train"}
    )
    store = build(plan, workers=1)[TASKS[0]]
    assert plan.left_out == {SOURCE: 4}
    assert dict(zip(store.canonical.tolist(), store.splits.tolist(), strict=True)) == {
        names[0]: "test",
        names[1]: "train",
    }
    assert {item.split for item in store.select("test")} == {"test"}
    union = plan_lib.make(data_dir, [SOURCE], TASKS[:1], schemes={"*": "leak_free"})
    assert [job.split for job in union.jobs] == [v.video.splits["default"] for v in source.videos]
    with pytest.raises(ValueError, match="no split scheme 'rdv'; it has default, official"):
        plan_lib.make(data_dir, [SOURCE], TASKS, schemes={"synthsurg": "rdv"})
    with pytest.raises(ValueError, match="given for cholec80; the sources are synthsurg"):
        plan_lib.make(data_dir, [SOURCE], TASKS, schemes={"cholec80": "official"})


class Broken(PhaseRecognition):
    """Says nothing in every tenth answer."""

    name = "broken"

    def render(self, answer):
        return answer

    def encode(self, shot, context):
        made = super().encode(shot, context)
        if shot.frame.index % 10:
            return made
        return [dataclasses.replace(c, turns=(c.turns[0], c.turns[-1]), answer="") for c in made]


class Silent(PhaseRecognition):
    name = "silent"

    def encode(self, shot, context):
        return []


@pytest.fixture
def extra_tasks(monkeypatch):
    """Two tasks that came after the package was imported, as a plug-in's do."""
    monkeypatch.setattr(tasks, "_entries", dict(tasks._entries))
    for task in (Broken, Silent):
        tasks.register(task.name, task, Card(task.__name__, "-", "-"))


def test_what_a_gate_holds_back_is_written_with_its_reason(extra_tasks, data_dir):
    strict = plan_lib.make(data_dir, [SOURCE], ["broken"])
    with pytest.raises(QualityError, match=r"of 334 conversations(.|\n)*empty_answer: synthsurg"):
        build(strict, workers=1)
    assert not (data_dir / DATABASE / "broken" / "1.0.0").exists()
    limits = dataclasses.replace(plan_lib.LIMITS, quarantined=0.2)
    store = build(plan_lib.make(data_dir, [SOURCE], ["broken"], limits=limits), workers=1)["broken"]
    lines = (store.path / "quarantine.jsonl").read_text().splitlines()
    assert len(store) + len(lines) == 334
    assert store.meta["quarantined"] == {"empty_answer": len(lines)}
    held = json.loads(lines[0])
    assert set(held) == {"id", "task", "gate", "reason"} and held["gate"] == "empty_answer"
    assert all(address(item.id)[3] % 10 for item in store)


def test_a_task_without_labels_is_told_and_not_looked_for_again(extra_tasks, data_dir, monkeypatch):
    plan = plan_lib.make(data_dir, [SOURCE], ["silent", TASKS[0]])
    stores = build(plan, workers=1)
    assert stores["silent"] is None and len(stores[TASKS[0]]) == 334
    assert not (data_dir / DATABASE / "silent" / "1.0.0").exists()
    read = []
    footage = Store.footage
    monkeypatch.setattr(
        Store, "footage", lambda *args, **more: read.append(args) or footage(*args, **more)
    )
    assert build(plan, workers=1)["silent"] is None and not read
    wording = dataclasses.replace(plan_lib.WORDING, seed=1)
    other = plan_lib.make(data_dir, [SOURCE], ["silent"], wording=wording)
    assert build(other, workers=1) == {"silent": None} and len(read) == 6


def test_every_registered_task_is_a_config(extra_tasks):
    assert set(SurgSigmaDB.builder_configs) == set(tasks.names()) >= {"broken", "silent"}


def test_mistakes_get_a_way_out(data_dir):
    with pytest.raises(UnknownNameError, match="Did you mean phase_recognition"):
        plan_lib.make(data_dir, [SOURCE], ["phase_recogniton"])
    with pytest.raises(UnknownNameError, match="no source 'cholec08'"):
        plan_lib.make(data_dir, ["cholec08"], TASKS)
    with pytest.raises(NotPreparedError) as error:
        plan_lib.make(data_dir, ["cholec80", "cholect50", SOURCE], TASKS)
    assert "--source=cholec80" in str(error.value) and "--source=cholect50" in str(error.value)
    with pytest.raises(ValueError, match="named twice"):
        plan_lib.make(data_dir, [SOURCE, SOURCE], TASKS)


def prepare_cholect50(root, triplets, **options):
    """A data_dir with CholecT50's VID01, one triplet a frame."""
    rows = {second: [vector(triplet, 1)] for second, triplet in enumerate(triplets)}
    write_cholect50(root / "raw", 1, rows)
    prepare(CholecT50, root / "data", manual_dir=root / "raw", workers=1, **options)
    return root / "data"


def test_prepared_again_with_other_labels_is_another_build(tmp_path):
    """Labels of frames are in the records alone: the list of videos says nothing of them."""
    names = ["triplet_recognition"]
    data_dir = prepare_cholect50(tmp_path, (0, 0, 0))
    first = plan_lib.make(data_dir, ["cholect50"], names)
    before = [item.answer for item in build(first, workers=1)[names[0]]]
    store = Store.open(data_dir, "cholect50")
    videos, content = (store.path / "videos.jsonl").read_bytes(), store.content()
    prepare_cholect50(tmp_path, (0, 0, 0), overwrite=True)
    build(plan_lib.make(data_dir, ["cholect50"], names), workers=1)  # the same again
    prepare_cholect50(tmp_path, (0, 1, 0), overwrite=True)
    assert (store.path / "videos.jsonl").read_bytes() == videos
    other = plan_lib.make(data_dir, ["cholect50"], names)
    assert other.fingerprint != first.fingerprint
    with pytest.raises(OtherBuildError, match="triplet_recognition: other sources"):
        build(other, workers=1)
    assert [c.answer for c in build(other, workers=1, overwrite=True)[names[0]]] != before
    (store.path / "content.txt").unlink()  # prepared before there was such a file
    assert Store(store.path).content() == Store(store.path).content() != content


def test_what_was_derived_later_is_seen(tmp_path):
    data_dir = prepare_cholect50(tmp_path, (0, 0, 0))
    names = ["desmoking"]
    assert build(plan_lib.make(data_dir, ["cholect50"], names), workers=1) == {"desmoking": None}
    folder = add_smoke(Store.open(data_dir, "cholect50"))
    store = build(plan_lib.make(data_dir, ["cholect50"], names), workers=1)["desmoking"]
    assert len(store) == 3 and {item.media[0].kind for item in store} == {"smoke"}
    (folder / "VID01" / "000001.jpg").write_bytes(b"torn")
    with pytest.raises(QualityError, match=r"corrupt_image: .*000001.*frame 1: is neither JPEG"):
        build(plan_lib.make(data_dir, ["cholect50"], names), workers=1, overwrite=True)


KILLED = """
import os, signal, sys
from pathlib import Path
from surgzoo.datasets.surg_sigma_db import plan, spool, surg_sigma_db as db

place, overwrite, data_dir, seed = sys.argv[1], sys.argv[2] == "True", sys.argv[3], int(sys.argv[4])
import dataclasses
wording = dataclasses.replace(plan.WORDING, seed=seed)

def dies_at(owner, name, call):
    plain, calls = getattr(owner, name), []
    def function(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(*arguments, **keywords)
    setattr(owner, name, function)

if place == "video":
    dies_at(spool, "summary", 3)
elif place == "keys":
    dies_at(spool, "path_of", 12)
elif place == "rows":
    dies_at(db.SurgSigmaDB, "_rows", 2)
elif place == "place":
    rename = Path.rename
    def moves(self, target):
        if "written" in str(self) and "incomplete." not in str(self):
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)
    Path.rename = moves
tasks = ["phase_recognition", "instrument_localization"]
db.build(plan.make(data_dir, ["synthsurg.small"], tasks, wording=wording), workers=1,
         overwrite=overwrite)
"""


@pytest.mark.parametrize("place", ["video", "keys", "rows", "place"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_anywhere_and_run_again_gives_the_same_bytes(built, data_dir, place, overwrite):
    """SIGKILL between videos, in one, in the rows of the second task, before it is put in place."""
    script = data_dir / "killed.py"
    script.write_text(KILLED)
    if overwrite:
        wording = dataclasses.replace(plan_lib.WORDING, seed=1)
        build(plan_lib.make(data_dir, [SOURCE], TASKS, wording=wording), workers=1)
    old = files(data_dir) if overwrite else {}
    command = [sys.executable, str(script), place, str(overwrite), str(data_dir), "0"]
    assert subprocess.run(command).returncode == -9
    whole = {path: data for path, data in files(data_dir).items() if "/1.0.0/" in path}
    finished = {p: d for p, d in whole.items() if "incomplete_spool" not in p}
    for path, data in finished.items():  # old or new, and nothing in between
        assert data in (old.get(path), files(built)[path])
    build(plan_lib.make(data_dir, [SOURCE], TASKS), workers=1, overwrite=overwrite)
    assert files(data_dir) == files(built)


def test_a_build_that_ends_in_writing_keeps_what_it_has_read(built, data_dir, monkeypatch):
    """The disk is full at the second task: one is finished, the sources are not read again."""
    plan = plan_lib.make(data_dir, [SOURCE], TASKS)
    rows, begun = SurgSigmaDB._rows, []

    def full(self, *edges):
        begun.append(self.builder_config.name)
        if len(set(begun)) == 2:
            raise OSError(28, "No space left on device")
        return rows(self, *edges)

    monkeypatch.setattr(SurgSigmaDB, "_rows", full)
    with pytest.raises(OSError, match="No space left"):
        build(plan, workers=1)
    ConversationStore.open(data_dir, begun[0])
    monkeypatch.setattr(SurgSigmaDB, "_rows", rows)
    monkeypatch.setattr(Store, "footage", lambda *_: pytest.fail("the sources were read again"))
    build(plan, workers=1)
    assert files(data_dir) == files(built)


def test_a_spool_that_lost_its_end_is_written_again(built, data_dir, monkeypatch):
    """As after a power cut: the summary is there, the lines that it speaks of are not."""
    plan = plan_lib.make(data_dir, [SOURCE], TASKS)
    write = surg_sigma_db._write
    monkeypatch.setattr(surg_sigma_db, "_write", lambda *_: (_ for _ in ()).throw(OSError("cut")))
    with pytest.raises(OSError, match="cut"):
        build(plan, workers=1)
    spooled = sorted((data_dir / DATABASE / "incomplete_spool").rglob("*.jsonl"))
    spooled[1].write_bytes(spooled[1].read_bytes()[:-100])
    sorted(spooled[0].parent.glob("*.keys"))[2].unlink()
    monkeypatch.setattr(surg_sigma_db, "_write", write)
    build(plan, workers=1)
    assert files(data_dir) == files(built)


def test_one_process_builds_a_task(data_dir):
    plan = plan_lib.make(data_dir, [SOURCE], TASKS)
    other = plan_lib.make(data_dir, [SOURCE], TASKS[:1])
    with surg_sigma_db._locked(other):
        with pytest.raises(BusyError, match=f"another process is building the task '{TASKS[0]}'"):
            build(plan, workers=1)
        build(plan_lib.make(data_dir, [SOURCE], TASKS[1:]), workers=1)
    build(plan, workers=1)
    assert not (data_dir / DATABASE / "incomplete_spool").exists()


def test_a_task_that_lost_its_labels_is_gone_after_an_overwrite(extra_tasks, data_dir, monkeypatch):
    monkeypatch.setattr(Silent, "encode", PhaseRecognition.encode)
    assert build(plan_lib.make(data_dir, [SOURCE], ["silent"]), workers=1)["silent"] is not None
    monkeypatch.setattr(Silent, "encode", lambda *_: [])
    plan = plan_lib.make(data_dir, [SOURCE], ["silent"])
    assert build(plan, workers=1, overwrite=True) == {"silent": None}
    with pytest.raises(NotPreparedError):
        ConversationStore.open(data_dir, "silent")
    assert build(plan, workers=1) == {"silent": None}
