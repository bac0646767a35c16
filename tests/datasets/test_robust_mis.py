"""ROBUST-MIS: instances without type, stages, procedures by their first word."""

import zipfile

import cv2
import numpy as np
import pytest
from fixtures_cholec import write_image, write_text
from prepared_sources import asked, frames, mask, prepared

from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.robust_mis.robust_mis import RobustMIS
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

HEIGHT, WIDTH = 40, 80


def instances(first=1, second=2):
    """Two tools, side by side."""
    out = np.zeros((HEIGHT, WIDTH), np.uint8)
    out[4:12, 8:16], out[20:30, 40:60] = first, second
    return out


def write(folder, place, number=100, values=None):
    write_image(
        folder / place / "raw.png", np.full((HEIGHT, WIDTH, 3), number % 200 + 20, np.uint8)
    )
    if values is not None:
        stored = values if isinstance(values, bytes) else np.repeat(values[..., None], 3, axis=2)
        write_image(folder / place / "instrument_instances.png", stored)
    return folder


BOXES = [Box(8 / 80, 4 / 40, 16 / 80, 12 / 40), Box(40 / 80, 20 / 40, 60 / 80, 30 / 40)]


@pytest.mark.parametrize("values", [(1, 2), (50, 100)])
def test_every_value_is_an_instrument(tmp_path, values):
    raw = tmp_path / "raw"
    write(raw, "Training/Proctocolectomy/1/100", 100, instances(*values))
    write(raw, "Training/Proctocolectomy/1/35310", 101, instances(0, 0))
    write(raw, "Training/Proctocolectomy/1/250", 102)
    with zipfile.ZipFile(raw / "Training/Proctocolectomy/1/100/10s_video.zip", "w") as archive:
        archive.writestr("0.png", b"x")
    store = prepared(RobustMIS, tmp_path)
    found, bare, empty = frames(store, "training_proctocolectomy_01")
    assert [(i.label.concept, i.box, i.mask) for i in found.annotations.instruments] == [
        ("any_instrument", box, value) for box, value in zip(BOXES, values, strict=True)
    ]
    assert np.array_equal(mask(found, "instrument_mask"), instances(*values))
    assert found.annotations.derived == {"instruments.box": "the box around the mask"}
    assert empty.annotations.instruments == () and not mask(empty, "instrument_mask").any()
    assert bare.annotations.instruments is None and not bare.dense
    assert [r.frame.time for r in (found, bare, empty)] == [4.0, 10.0, 1412.4]
    notes = store.videos[0].annotations.notes
    assert "25 fps" in notes[0] and notes[1:] == ("1 of 3 frames have no mask",)


def test_stages_and_procedures(tmp_path):
    for place in (
        "Training/Proctocolectomy/1",
        "Training/rectal_resection/10",
        "Testing/Stage_1/Proctocolectomy/1",
        "Testing/Stage 2/Rectal resection/5",
        "Testing/Stage_3/Sigmoid/2",
    ):
        write(tmp_path / "raw/ROBUST-MIS", f"{place}/100", 100, instances())
    videos = {stored.video.id: stored.video for stored in prepared(RobustMIS, tmp_path).videos}
    assert list(videos) == [
        "training_proctocolectomy_01",
        "training_rectal_resection_10",
        "stage_1_proctocolectomy_01",
        "stage_2_rectal_resection_05",
        "stage_3_sigmoid_resection_02",
    ]
    # Stage 1 is of the operations of the training part.
    same = videos["training_proctocolectomy_01"], videos["stage_1_proctocolectomy_01"]
    assert {video.canonical for video in same} == {"robust_mis/proctocolectomy_01"}
    assert len({video.canonical for video in videos.values()}) == 4
    assert same[0].splits == dict.fromkeys(
        ("default", "official", "stage_1", "stage_2", "stage_3"), "train"
    )
    assert videos["stage_2_rectal_resection_05"].splits == dict.fromkeys(
        ("default", "official", "stage_2"), "test"
    )
    assert [video.procedure for video in videos.values()][1:4] == [
        "rectal_resection",
        "proctocolectomy",
        "rectal_resection",
    ]
    assert same[0].specialty == "gastrointestinal"


def test_what_is_missing_or_torn(tmp_path):
    raw = tmp_path / "raw"
    for frame in range(100, 150):
        write(raw, f"Training/Proctocolectomy/1/{frame}", frame, instances())
    write(raw, "Training/Proctocolectomy/1/107", 107, instances()[:20])
    (raw / "Training/Proctocolectomy/1/109/raw.png").unlink()
    write(raw, "Testing/Stage_1/Proctocolectomy/2/100", 100, instances())
    (raw / "Testing/Stage_1/Proctocolectomy/2/100/raw.png").unlink()
    store = prepared(RobustMIS, tmp_path)
    torn, lost = store.quarantined()
    assert "1/107/" in torn.where
    assert "the mask is 80x20, the image 80x40" in torn.reason
    assert lost.where == "Testing/Stage_1/Proctocolectomy/2/100"
    assert lost.reason == "masks are there, raw.png is not"
    notes = store.videos[0].annotations.notes
    assert notes[1:] == ("the images of 1 of 50 masks are missing",)
    found = inspect(RobustMIS, raw)
    assert (found.videos, found.frames) == (1, 49)


def test_a_mask_in_color_is_quarantined(tmp_path):
    for frame in range(45):
        write(tmp_path / "raw", f"Training/Proctocolectomy/1/{frame}", frame, instances())
    colors = np.dstack([instances(), instances(3, 4), instances(5, 6)])
    write_image(tmp_path / "raw/Training/Proctocolectomy/1/3/instrument_instances.png", colors)
    wide = np.where(instances() > 0, 3000, 0).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "raw/Training/Proctocolectomy/1/4/instrument_instances.png"), wide)
    store = prepared(RobustMIS, tmp_path)
    assert store.videos[0].count == 43
    reasons = [line.reason for line in store.quarantined()]
    assert "the channels of the mask differ" in reasons[0]
    assert "3000 is no number of an instrument" in reasons[1]


def test_a_wrong_folder(tmp_path):
    write_text(tmp_path / "raw/data/readme.txt", "x")
    with pytest.raises(LayoutError, match=r"there are no frames(.|\n)*Training/Procto(.|\n)*data/"):
        prepared(RobustMIS, tmp_path)
    write(tmp_path / "two/raw", "Training/Appendectomy/1/100", 100, instances())
    with pytest.raises(ontology.UnmappedLabelError, match=r"Appendectomy/1/100.*none of the proc"):
        prepared(RobustMIS, tmp_path / "two")
    write(tmp_path / "three/raw", "Training/Proctocolectomy/1/100", 100, instances())
    write(tmp_path / "three/raw", "Training/Proctocolectomy/01/100", 100, instances())
    with pytest.raises(LayoutError, match="are the same frame"):
        prepared(RobustMIS, tmp_path / "three")


def test_the_tasks_of_the_card(tmp_path):
    write(tmp_path / "raw", "Training/Proctocolectomy/1/100", 100, instances())
    found = asked(prepared(RobustMIS, tmp_path))
    assert set(found) == set(sources.entry("robust_mis").card.details["tasks"])
    assert len(found["instrument_localization"][0].answer) == 2
    assert sources.get("robust_mis") is RobustMIS
