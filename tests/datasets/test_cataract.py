"""CATARACTS (tools and steps a frame) and CaDIS (segmented frames of its training videos)."""

import cv2
import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import (
    HEIGHT,
    WIDTH,
    numbered_image,
    read_number,
    write_image,
    write_text,
    write_video,
)
from fuzzing import fuzz
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.cadis.cadis import CaDIS
from surgzoo.datasets.cataracts.cataracts import Cataracts
from surgzoo.datasets.layout import LayoutError
from surgzoo.db import ontology
from surgzoo.db.sources import sources

TOOLS = [native for kind, native in ontology.table("cataracts") if kind == "instrument"]


def tools_text(frames, tools, first=1, evaluated=None):
    """`tools(frame)`: {tool: value}."""
    extra = [] if evaluated is None else ["to_be_evaluated"]
    lines = [",".join(["Frame", *extra, *TOOLS])]
    for frame in range(frames):
        flag = [] if evaluated is None else [str(int(evaluated(frame)))]
        values = [str(tools(frame).get(name, 0)) for name in TOOLS]
        lines.append(",".join([str(frame + first), *flag, *values]))
    return "\n".join(lines) + "\n"


def steps_text(steps, first=1):
    return "Frame,Steps\n" + "".join(f"{n + first},{s}\n" for n, s in enumerate(steps))


def tools_of(frame):
    """Second 0: a cotton; second 1: disputed; then a knife and forceps."""
    if frame < 30:
        return {"Cotton": 1}
    return {"Cotton": 0.5} if frame < 60 else {"Bonn Forceps": 1, "Primary Incision Knife": 1}


def write_cataracts(folder, name="train01", seconds=4, first=1, evaluated=None, fps=30):
    part = name[:-2]
    count = fps * seconds
    write_video(folder / f"videos/{name}.mp4", count, fps=fps)
    text = tools_text(count, tools_of, first, evaluated)
    write_text(folder / f"tools/{part}/{name}.csv", text)
    steps = [0] * 30 + [3] * 45 + [10] * (count - 75)
    write_text(folder / f"steps/{part}/{name}.csv", steps_text(steps, first))
    return folder


@pytest.mark.parametrize("first", [0, 1])
def test_cataracts_labels_by_the_frame(tmp_path, first):
    write_cataracts(tmp_path / "raw", first=first)
    store = prepared(Cataracts, tmp_path)
    got = list(store.records(store.videos[0]))
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == [0, 30, 60, 90]
    found = [r.annotations for r in got]
    assert [a.step.native for a in found] == [
        "Idle",
        "Incision",
        "Incision",
        "Irrigation/Aspiration",
    ]
    instruments = [a.instruments and [i.label.native for i in a.instruments] for a in found]
    both = ["Bonn Forceps", "Primary Incision Knife"]
    assert instruments == [["Cotton"], None, both, both]
    stored = store.videos[0]
    assert [(s.label.concept, s.start, s.end) for s in stored.annotations.segments] == [
        ("idle", 0.0, 1.0),
        ("incision", 1.0, 2.5),
        ("lens_irrigation_and_aspiration", 2.5, 4.0),
    ]
    assert stored.annotations.notes == (
        "30 frames whose tools are disputed or not evaluated have no tools",
    )
    assert (stored.video.specialty, stored.video.splits["default"]) == ("ophthalmology", "train")


def test_cataracts_test_files_say_which_frames_count(tmp_path):
    write_cataracts(tmp_path / "raw", "test07", evaluated=lambda frame: frame < 75)
    store = prepared(Cataracts, tmp_path)
    got = [r.annotations.instruments for r in store.records(store.videos[0])]
    assert [i is None for i in got] == [False, True, False, True]
    assert store.videos[0].video.splits["default"] == "val"


def test_cataracts_numbers_in_folders_of_the_split(tmp_path):
    raw = tmp_path / "raw"
    write_video(raw / "train" / "05.mp4", 30, fps=30)
    write_text(raw / "train" / "labels" / "05.csv", steps_text([18] * 30))
    (stored,) = prepared(Cataracts, tmp_path).videos
    assert stored.video.id == "train05"
    assert stored.annotations.segments[0].label.native == "Wound Hydration"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Frame,Steps\n1,19\n", "line 2: there is no step 19"),
        ("Frame,Steps\n1,0\n3,0\n", "line 3: frame 3 where 2 should follow"),
        ("Frame,Steps\n7,0\n", "line 2: the first frame is 7"),
        (tools_text(2, lambda frame: {"Cotton": 0.3}), "line 2: tools are not all"),
        ("Frame,Phase\n1,2\n", "the header is"),
    ],
)
def test_cataracts_errors_name_the_line(tmp_path, text, message):
    write_video(tmp_path / "raw" / "train01.mp4", 30, fps=30)
    write_text(tmp_path / "raw" / "train01.csv", text)
    with pytest.raises(AnnotationFileError, match=rf"train01\.csv.*{message}"):
        prepared(Cataracts, tmp_path)


def test_cataracts_incomplete_folders(tmp_path):
    raw = tmp_path / "raw"
    write_video(raw / "train01.mp4", 30, fps=30)
    with pytest.raises(LayoutError, match=r"no label file(.|\n)*train/train01\.csv"):
        prepared(Cataracts, tmp_path)
    write_text(raw / "train02.csv", steps_text([1] * 30))
    with pytest.raises(LayoutError, match="label files are missing: train01"):
        prepared(Cataracts, tmp_path)
    write_text(raw / "a" / "train02.csv", steps_text([1] * 30))
    with pytest.raises(LayoutError, match="are labels of the same video"):
        prepared(Cataracts, tmp_path)


# ---- CaDIS ---------------------------------------------------------------------------------------


def cadis_mask():
    """Pupil everywhere; a blade (12) and its handle (28) in rectangles; a corner ignored."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:32, 48:96] = 12
    mask[32:48, 48:96] = 28
    mask[48:, 96:] = 4  # Iris
    mask[:8, :8] = 255
    return mask


def write_cadis(folder, number=5, mask=None, frames=(90, 120)):
    for frame in frames:
        name = f"Video{number}_frame{frame:06d}.png"
        write_image(folder / f"segmentation/Video{number:02d}/Images/{name}", numbered_image(frame))
    mask = cadis_mask() if mask is None else mask
    path = folder / f"segmentation/Video{number:02d}/Labels/Video{number}_frame000090.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)
    return folder


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("channels", [1, 3])
def test_cadis_masks(tmp_path, channels):
    mask = cadis_mask()
    write_cadis(tmp_path / "raw", mask=mask if channels == 1 else np.stack([mask] * 3, -1))
    store = prepared(CaDIS, tmp_path)
    first, second = store.records(store.videos[0])
    (knife,) = first.annotations.instruments
    # The handle is the knife's: one value, that of class 12 plus one.
    assert (knife.label.concept, knife.mask, knife.box) == ("primary_incision_knife", 13, None)
    tools = decoded(first.dense["instrument_mask"])
    np.testing.assert_array_equal(tools == 13, np.isin(mask, (12, 28)))
    assert set(np.unique(tools)) == {0, 13}
    pupil, iris = first.annotations.tissues
    assert (pupil.label.concept, pupil.mask, iris.label.concept, iris.mask) == (
        "pupil",
        1,
        "iris",
        5,
    )
    assert (iris.box.x1, iris.box.y1, iris.box.x2, iris.box.y2) == (0.5, 0.75, 1.0, 1.0)
    tissue = decoded(first.dense["tissue_mask"])
    np.testing.assert_array_equal(tissue == 1, mask == 0)
    assert tissue[0, 0] == 0  # ignored is no pupil
    assert first.annotations.derived["tissues.box"] == "the box around the mask"
    assert (first.frame.time, second.frame.time) == (3.0, 4.0)
    assert second.annotations.instruments is None and not second.dense
    video = store.videos[0]
    assert video.video.splits["default"] == "val"
    assert video.video.canonical == "cataracts/train05"
    assert "1 of 2 images have no mask" in video.annotations.notes


def test_cadis_every_class_has_its_kind(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask.ravel()[: 36 * 20] = np.repeat(np.arange(36), 20)
    write_cadis(tmp_path / "raw", mask=mask)
    store = prepared(CaDIS, tmp_path)
    found = next(store.records(store.videos[0])).annotations
    assert [t.label.native for t in found.tissues] == ["Pupil", "Iris", "Skin", "Cornea"]
    assert len(found.instruments) == 36 - 4 - 8  # eight handles are no instruments of their own
    assert found.instruments[0].label.native == "Surgical Tape"
    assert found.instruments[-1].label.native == "Iris Hooks" and found.instruments[-1].mask == 36


def test_cadis_a_wrong_mask_is_quarantined(tmp_path):
    write_cadis(tmp_path / "raw", 1, frames=range(90, 130))
    write_cadis(tmp_path / "raw", 2, mask=np.full((HEIGHT, WIDTH), 77, np.uint8))
    write_cadis(tmp_path / "raw", 3, mask=np.zeros((8, 8), np.uint8))
    store = prepared(CaDIS, tmp_path)
    value, size = (item.reason for item in store.quarantined())
    assert "no class has the value 77" in value and "the mask is 8x8" in size
    assert [v.count for v in store.videos] == [40, 1, 1]


def test_cadis_wrong_folder(tmp_path):
    write_text(tmp_path / "raw" / "x.txt", "")
    with pytest.raises(LayoutError, match=r"no Video01(.|\n)*Labels/Video1_frame000090"):
        prepared(CaDIS, tmp_path)
    assert sources.get("cadis") is CaDIS and sources.get("cataracts") is Cataracts


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tools", "steps"])
def test_damaged_label_files(tmp_path, kind):
    write_cataracts(tmp_path, seconds=1, fps=5)
    fuzz(Cataracts, tmp_path, f"{kind}/train/train01.csv")
