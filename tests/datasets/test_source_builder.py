"""What all builders share: bad input, workers, overwriting, and a disk that is full."""

import functools
import json

import numpy as np
import pytest
import simplejpeg
import tensorflow_datasets as tfds

from surgzoo.datasets.source_builder import (
    LayoutError,
    Quarantined,
    SourceBuilder,
    SourceConfig,
    VideoJob,
    prepare,
)
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
    MANUAL_DOWNLOAD_INSTRUCTIONS = "videos/NAME.mp4"


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
    with pytest.raises(ValueError, match=r"2 of 14 frames could not be used(.|\n)*a.mp4, frame 6"):
        prepare(Sample, tmp_path / "other", workers=1)
    with pytest.raises(NotPreparedError, match="surgzoo prepare --source=sample"):
        Store.open(tmp_path / "other", "sample")


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
