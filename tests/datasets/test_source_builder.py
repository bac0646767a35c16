"""What all builders share: bad input, workers, overwriting, and a disk that is full."""

import dataclasses
import functools
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds

from surgzoo.datasets import source_builder
from surgzoo.datasets.frames import Lost, Quarantined
from surgzoo.datasets.inspection import inspect, summary, text
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.datasets.source_builder import SourceBuilder, SourceConfig, VideoJob, prepare
from surgzoo.db import records, schema
from surgzoo.db.store import NotPreparedError, Store

IMAGE = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))


def frames(video, good, bad, error=None):
    for index in range(good):
        yield records.FrameRecord(
            schema.Frame(video, index, float(index)), schema.FrameAnnotations(), IMAGE
        )
    for index in range(bad):
        yield Quarantined(video, f"{video}.mp4, frame {good + index}", "broken")
    if error:
        raise error


class Sample(SourceBuilder):
    source = "sample"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [SourceConfig(name="fps1", description="")]
    plan = (("a", 5, 0), ("b", 3, 0), ("c", 4, 0))

    def jobs(self, manual_dir):
        for name, *rest in self.plan:
            video = schema.Video(name, f"sample/{name}", "sample", "", "", "", {"default": "train"})
            yield VideoJob(video, functools.partial(frames, name, *rest))


class Licensed(Sample):
    source = "licensed"
    EXPECTED = "videos/NAME.mp4"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_keep_the_order(tmp_path, workers):
    prepare(Sample, tmp_path, workers=workers)
    store = Store.open(tmp_path, "sample")
    seen = [(store[i].frame.video, store[i].frame.index) for i in range(len(store))]
    assert seen == [(name, i) for name, count, _ in Sample.plan for i in range(count)]
    assert [(v.first, v.count) for v in store.videos] == [(0, 5), (5, 3), (8, 4)]


def test_quarantine_is_written_and_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(Sample, "plan", (("a", 60, 1), ("b", 60, 0)))
    path = prepare(Sample, tmp_path, workers=1)
    (line,) = (path / records.QUARANTINE_FILE).read_text().splitlines()
    assert json.loads(line) == {"video": "a", "where": "a.mp4, frame 60", "reason": "broken"}
    monkeypatch.setattr(Sample, "plan", (("a", 6, 1), ("b", 6, 1)))
    with pytest.raises(
        ValueError, match=r"2 of 14 frames or videos could not be used(.|\n)*a.mp4, frame 6"
    ):
        prepare(Sample, tmp_path / "other", workers=1)
    with pytest.raises(NotPreparedError, match="surgzoo prepare --source=sample"):
        Store.open(tmp_path / "other", "sample")


# ---- a part of a release -------------------------------------------------------------------------


class Partial(Sample):
    """`held` of twenty videos, with `bad` frames each; the labels of the others are there alone."""

    source = "partial"
    held, bad, absent = 1, 0, True

    def jobs(self, manual_dir):
        for number in range(20):
            name = f"v{number:02d}"
            read = functools.partial(frames, name, 20, self.bad)
            if number >= self.held:
                read = Lost(Quarantined(name, f"{name}.mp4", "it is not there", self.absent))
            yield VideoJob(schema.Video(name, name, self.source, "", "", ""), read)


def test_missing_videos_are_listed_and_stop_nothing(tmp_path):
    store = Store(prepare(Partial, tmp_path, workers=1))
    assert [v.video.id for v in store.videos] == ["v00"]
    absent = store.quarantined()
    assert [item.video for item in absent] == [f"v{n:02d}" for n in range(1, 20)]
    assert absent[0] == Quarantined("v01", "v01.mp4", "it is not there", absent=True)
    assert summary(store).splitlines()[-2:] == [
        "  absent: 19 videos have labels and no media (v01, v02, v03, v04, v05, …)",
        "  quarantined: 0, notes of the reader: 0",
    ]
    found = inspect(Partial, None)
    assert (found.videos, len(found.lost), found.broken) == (1, 19, {})
    assert "not there: v01.mp4: it is not there" in text(found)
    assert "19 videos have labels and no media; the others are prepared" in text(found)


def test_broken_frames_count_against_what_is_there_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Partial, "bad", 1)
    assert len(Store(prepare(Partial, tmp_path, workers=1)).quarantined()) == 20
    monkeypatch.setattr(Partial, "bad", 2)
    with pytest.raises(ValueError, match=r"2 of 22 frames or videos .* 5%(.|\n)*frame 20: broken"):
        prepare(Partial, tmp_path, workers=1, overwrite=True)


def test_a_source_of_which_nothing_is_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Partial, "held", 0)
    with pytest.raises(
        ValueError, match=r"but the media of no video(.|\n)*v00.mp4: it is not there"
    ):
        prepare(Partial, tmp_path, workers=1)
    assert "20 videos have labels and no media; nothing is left" in text(inspect(Partial, None))


def test_media_that_do_not_fit_their_labels_are_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(Partial, "absent", False)
    with pytest.raises(ValueError, match="19 of 39 frames or videos could not be used"):
        prepare(Partial, tmp_path, workers=1)
    assert len(inspect(Partial, None).broken) == 19


def test_a_failed_overwrite_keeps_what_was_there(tmp_path, monkeypatch):
    path = prepare(Sample, tmp_path, workers=1)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(Sample, "plan", (("a", 5, 0, full),))
    with pytest.raises(OSError, match="No space left"):
        prepare(Sample, tmp_path, workers=1, overwrite=True)
    assert len(Store(path)) == 12
    monkeypatch.setattr(Sample, "plan", (("z", 2, 0),))
    assert len(Store(prepare(Sample, tmp_path, workers=1))) == 12  # finished: left as it is
    assert len(Store(prepare(Sample, tmp_path, workers=1, overwrite=True))) == 2
    assert [p.name for p in path.parent.iterdir()] == ["1.0.0"]


def test_manual_dir_is_asked_for_and_checked(tmp_path):
    with pytest.raises(ValueError, match="--manual_dir"):
        prepare(Licensed, tmp_path)
    with pytest.raises(LayoutError, match=r"nowhere is not a folder(.|\n)*videos/NAME.mp4"):
        prepare(Licensed, tmp_path, manual_dir=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match="is empty"):
        prepare(Licensed, tmp_path, manual_dir=tmp_path / "empty")


# ---- a build that was stopped --------------------------------------------------------------------


def counted(video, log, file, stop):
    """Frames of one video; notes in `log` that it was read, and waits when `stop` names it."""
    with open(log, "a") as notes:
        notes.write(f"{video}\n")
    yield from frames(video, 3, 0)
    while stop == video:
        time.sleep(0.05)


class Stopped(Sample):
    """Four videos whose jobs mention a file each."""

    source = "stopped"
    folder: Path
    stop = ""

    def jobs(self, manual_dir):
        for name in "abcd":
            file = File.at(self.folder / name)
            video = schema.Video(name, f"stopped/{name}", "stopped", "", "", "")
            log = self.folder / "log"
            yield VideoJob(video, functools.partial(counted, name, str(log), file, self.stop))


def build_stopped(folder, stop):
    Stopped.folder, Stopped.stop = Path(folder), stop
    prepare(Stopped, Path(folder) / "out", workers=2)


def test_a_killed_build_goes_on_and_reads_changed_files_again(tmp_path):
    for name in "abcd":
        (tmp_path / name).write_text("1")
    process = multiprocessing.get_context("spawn").Process(
        target=build_stopped, args=(tmp_path, "d")
    )
    process.start()
    staged = tmp_path / "out" / "stopped" / "fps1" / "incomplete_1.0.0"
    deadline = time.time() + 60
    while len(list(staged.glob("*.json"))) < 3 and time.time() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert sorted((tmp_path / "log").read_text().split()) == list("abcd")
    with pytest.raises(NotPreparedError):
        Store.open(tmp_path / "out", "stopped")
    (tmp_path / "log").unlink()
    (tmp_path / "b").write_text("other")
    Stopped.folder, Stopped.stop = tmp_path, ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_builder, "_fingerprint", _without_stop(source_builder._fingerprint))
        prepare(Stopped, tmp_path / "out", workers=1)
    assert sorted((tmp_path / "log").read_text().split()) == ["b", "d"]
    store = Store.open(tmp_path / "out", "stopped")
    assert [v.count for v in store.videos] == [3, 3, 3, 3]
    assert not staged.exists()


def _without_stop(fingerprint):
    def call(job, code):
        name, log, file, _ = job.frames.args
        frames = functools.partial(counted, name, log, file, "d")
        return fingerprint(dataclasses.replace(job, frames=frames), code)

    return call


def test_two_videos_of_one_id_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Sample, "plan", (("a", 5, 0), ("a", 3, 0)))
    with pytest.raises(ValueError, match="a is the id of two videos"):
        prepare(Sample, tmp_path, workers=1)


@pytest.mark.parametrize("name", ["../a", "..", "a/b", ".a", ""])
def test_a_video_that_cannot_be_a_folder_is_refused(tmp_path, monkeypatch, name):
    """Exports and derived maps have a folder a video, whoever named it."""
    monkeypatch.setattr(Sample, "plan", (("a", 5, 0), (name, 3, 0)))
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        prepare(Sample, tmp_path, workers=1)


def test_the_content_is_that_of_the_records(tmp_path, monkeypatch):
    one, two = (Store(prepare(Sample, tmp_path / str(n), workers=n)).content() for n in (1, 2))
    monkeypatch.setattr(Sample, "plan", (("a", 5, 0), ("b", 3, 0), ("c", 5, 0)))
    other = Store(prepare(Sample, tmp_path / "other", workers=1)).content()
    assert one == two != other
