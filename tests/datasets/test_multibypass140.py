"""MultiBypass140: milliseconds, flags on top of phases, split pickles that may not run code."""

import json
import os
import pickle

import pytest
import simplejpeg
from fixtures_cholec import read_number, write_text, write_video
from fuzzing import fuzz
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.multibypass140.multibypass140 import MultiBypass140
from surgzoo.datasets.source_builder import prepare
from surgzoo.db import ontology
from surgzoo.db.sources import sources

PHASES = [
    ("preparation", 0, 1800, 0),
    ("out_of_body", 900, 2100, 12),
    ("disassembling", 1800, 4000, 10),
    ("severe_index", 2500, 3500, 13),
]
STEPS = [("s0_null_step", 0, 1000, 0), ("s24_ink_injection", 1000, 3000, 24)]


def intervals(rows):
    return [
        {"start": start, "end": end, "label_name": name, "label_id": number}
        for name, start, end, number in rows
    ]


def write(folder, name="BBP02", phases=PHASES, steps=STEPS, seconds=4):
    centre, videos = ("bern", "BernBypass70") if name[0] == "B" else ("strasbourg", "StrasBypass70")
    data = {"phases": intervals(phases), "steps": intervals(steps)}
    write_text(folder / f"labels/{centre}/labels_by70/{name}.mp4.json", json.dumps(data, indent=1))
    if seconds:
        write_video(folder / f"{videos}/videos/{name}.mp4", 25 * seconds + 1)
    return folder


def write_pickle(folder, centre, split, name, value):
    path = folder / f"labels/{centre}/labels_by70_splits/labels/{split}/{name}.pickle"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


def test_labels_by_the_millisecond(tmp_path):
    write(tmp_path / "raw")
    store = prepared(MultiBypass140, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [0, 25, 50, 75, 100]
    found = [r.annotations for r in got]
    phases = [a.phase and a.phase.native for a in found]
    # Second 1 is out of the body and in its phase all the same; the last frame has no label.
    assert phases == ["preparation", "preparation", "disassembling", "disassembling", None]
    steps = [a.step and a.step.concept for a in found]
    assert steps == ["null_step", "ink_injection", "ink_injection", None, None]
    outside, severe = {"out_of_body": 1.0}, {"severe_index": 1.0}
    assert [a.flags for a in found] == [{}, outside, outside, severe, {}]
    segments = [
        (s.kind, s.label.native, s.start, s.end) for s in store.videos[0].annotations.segments
    ]
    assert ("flag", "out_of_body", 0.9, 2.1) in segments and len(segments) == 6
    assert ("flag", "severe_index", 2.5, 3.5) in segments
    video = store.videos[0].video
    assert (video.specialty, video.procedure) == ("gastrointestinal", "gastric_bypass")
    assert video.splits["default"] == video.splits["bern_fold1"] == "test"
    assert video.duration == pytest.approx(101 / 25)


def test_folds_come_from_the_pickles(tmp_path):
    raw = write(write(tmp_path / "raw"), "SBP01")
    record = {"Frame_id": "SBP01_00000005", "Original_frame_id": 125, "Phase_gt": 0, "Step_gt": 1}
    write_pickle(raw, "strasbourg", "train", "1fps_100_0", {"SBP01": [record]})
    write_pickle(raw, "strasbourg", "val", "1fps_3", {"SBP01": [record]})
    write_pickle(raw, "bern", "test", "1fps_1", {"BBP02": []})
    bern, strasbourg = (stored.video for stored in prepared(MultiBypass140, tmp_path).videos)
    assert strasbourg.splits == {"strasbourg_fold0": "train", "strasbourg_fold3": "val"}
    assert bern.splits["bern_fold1"] == "test"


@pytest.mark.parametrize("name", ["1fps_0_with_iae", "1fps_with_iae_0"])
def test_pickles_with_adverse_events_are_no_folds(tmp_path, name):
    """They are of other labels, and not read."""
    raw = write(tmp_path / "raw", "SBP01")
    write_pickle(raw, "strasbourg", "test", "1fps_0", {"SBP01": []})
    # Of the later folder: it would replace what the other says.
    write_pickle(raw, "strasbourg", "val", name, {"SBP01": []})
    assert prepared(MultiBypass140, tmp_path).videos[0].video.splits == {"strasbourg_fold0": "test"}


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"SBP01": Harmful()}, "system, which is no plain value"),
        ([1], "not a dict"),
        (7, "not a dict"),
    ],
)
def test_a_pickle_cannot_run_code(tmp_path, monkeypatch, value, message):
    monkeypatch.chdir(tmp_path)
    write_pickle(write(tmp_path / "raw"), "bern", "val", "1fps_0", value)
    with pytest.raises(AnnotationFileError, match=rf"1fps_0\.pickle.*{message}"):
        prepared(MultiBypass140, tmp_path)
    assert not (tmp_path / "harmed").exists()


def test_a_torn_pickle_is_named(tmp_path):
    write_pickle(write(tmp_path / "raw"), "bern", "val", "1fps_0", {"BBP02": list(range(99))})
    path = tmp_path / "raw/labels/bern/labels_by70_splits/labels/val/1fps_0.pickle"
    for size in range(len(path.read_bytes()) - 1):
        path.write_bytes(path.read_bytes()[: -1 - size % 2])
        if not path.read_bytes():
            break
        with pytest.raises(AnnotationFileError, match="1fps_0"):
            prepared(MultiBypass140, tmp_path)


def test_what_is_missing(tmp_path):
    write(tmp_path / "raw", "BBP02", seconds=40)
    write(tmp_path / "raw", "SBP01", seconds=0)
    store = prepared(MultiBypass140, tmp_path)
    (line,) = store.quarantined()
    assert (line.where, line.reason) == ("SBP01.mp4", "labels are there, the video is not")
    found = inspect(MultiBypass140, tmp_path / "raw")
    assert (found.videos, found.segments["phase"][0]) == (1, 4)
    write_video(tmp_path / "raw" / "SBP09.mp4", 26)
    with pytest.raises(LayoutError, match="label files are missing: SBP09"):
        prepared(MultiBypass140, tmp_path, overwrite=True)


def test_errors_name_the_place(tmp_path):
    write(tmp_path / "raw", phases=[("lunch", 0, 10, 3)])
    with pytest.raises(ontology.UnmappedLabelError, match=r"BBP02\.mp4\.json, phases\[0\].*lunch"):
        prepared(MultiBypass140, tmp_path)
    write(tmp_path / "raw", phases=[("preparation", 10, 10, 0)])
    with pytest.raises(AnnotationFileError, match=r"phases\[0\]: segment phase/preparation"):
        prepared(MultiBypass140, tmp_path)
    write(tmp_path / "raw", phases=[], steps=[])
    with pytest.raises(AnnotationFileError, match="neither a phase nor a step"):
        prepared(MultiBypass140, tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.mp4").write_bytes(b"")
    with pytest.raises(LayoutError, match=r"no label files(.|\n)*BernBypass70(.|\n)*x\.mp4"):
        prepare(MultiBypass140, tmp_path / "out2", manual_dir=tmp_path / "other")


def test_the_registry_finds_the_builder():
    assert sources.get("multibypass140") is MultiBypass140


@pytest.mark.slow
def test_damaged_label_files(tmp_path):
    fuzz(MultiBypass140, write(tmp_path, seconds=1), "labels/bern/labels_by70/BBP02.mp4.json")
