"""Kvasir-Instrument: lists are videos, boxes are instruments, one mask for all of them."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import write_image, write_text
from fuzzing import fuzz
from prepared_sources import asked, frames, mask, prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.kvasir_instrument.kvasir_instrument import KvasirInstrument
from surgzoo.datasets.kvasir_instrument.labels import read_boxes, read_list
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

HEIGHT, WIDTH = 40, 80
TOOL = (8, 4, 16, 12)  # x1, y1, x2, y2
OTHER = (40, 20, 60, 30)


def white(*boxes):
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        out[y1:y2, x1:x2] = 255
    return out


def entry(*boxes, size=(HEIGHT, WIDTH)):
    keys = "xmin", "ymin", "xmax", "ymax"
    found = [{"label": "instrument", **dict(zip(keys, box, strict=True))} for box in boxes]
    return {"height": size[0], "width": size[1], "bbox": found}


def write(folder, train=("a", "b"), test=("c",), boxes=None, masks=None):
    """`boxes` and `masks`: by image; by default each image shows `TOOL`."""
    names = *train, *test
    for number, name in enumerate(names):
        image = np.full((HEIGHT, WIDTH, 3), 40 + number, np.uint8)
        path = folder / f"images/{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(simplejpeg.encode_jpeg(image))
    for name, array in ({name: white(TOOL) for name in names} if masks is None else masks).items():
        write_image(folder / f"masks/{name}.png", array)
    boxes = {name: entry(TOOL) for name in names} if boxes is None else boxes
    write_text(folder / "bboxes.json", json.dumps(boxes, indent=0))
    write_text(folder / "train.txt", "".join(f"{name}\n" for name in train))
    write_text(folder / "test.txt", "".join(f"{name}\n" for name in test))
    return folder


def box(corners):
    x1, y1, x2, y2 = corners
    return Box(x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT)


def test_boxes_and_masks(tmp_path):
    raw = tmp_path / "raw/kvasir-instrument"
    names = "two", "bare", "none", "boxless", "maskless"
    write(
        raw,
        names,
        ("t",),
        {"two": entry(TOOL, OTHER), "none": entry(), "maskless": entry(OTHER)},
        {"two": white(TOOL, OTHER), "none": white(), "boxless": white(TOOL)},
    )
    write_image(raw / "images/stray.png", white())
    store = prepared(KvasirInstrument, tmp_path)
    assert [s.video.id for s in store.videos] == ["train", "test", "unlisted"]
    two, bare, none, boxless, maskless = (r for r in frames(store, "train"))

    def told(record):
        return [(i.label.concept, i.box, i.mask) for i in record.annotations.instruments]

    tool = "any_instrument"
    assert told(two) == [(tool, box(TOOL), 1), (tool, box(OTHER), 1)]
    assert np.array_equal(mask(two, "instrument_mask"), white(TOOL, OTHER)[..., 0] // 255)
    assert bare.annotations.instruments is None and not bare.dense
    assert told(none) == [] and not mask(none, "instrument_mask").any()
    assert told(boxless) == [(tool, None, 1)]
    assert told(maskless) == [(tool, box(OTHER), 0)] and not maskless.dense
    assert store.video("train").annotations.notes == (
        "single images; a time is the image's place in the list",
        "2 of 5 images have no mask",
        "2 of 5 images are not in bboxes.json",
    )
    splits = [s.video.splits for s in store.videos]
    assert splits == [dict.fromkeys(("official", "default"), s) for s in ("train", "test")] + [{}]
    video = store.videos[0].video
    assert (video.specialty, video.procedure) == ("gastrointestinal", "gastrointestinal_endoscopy")


def test_lists_with_endings_and_windows_line_ends(tmp_path):
    raw = write(tmp_path / "raw")
    write_text(raw / "train.txt", "\ufeffB.jpg\r\na.jpg\r\n\r\n")
    store = prepared(KvasirInstrument, tmp_path)
    got = [int(simplejpeg.decode_jpeg(r.image).mean()) for r in frames(store, "train")]
    assert got == [41, 40]  # in the order of the list


def test_what_is_missing(tmp_path):
    raw = write(tmp_path / "raw", [f"i{k}" for k in range(40)], ["x"])
    (raw / "images/i3.jpg").unlink()
    (raw / "images/x.jpg").unlink()
    store = prepared(KvasirInstrument, tmp_path)
    assert "1 of 40 listed images are missing" in store.videos[0].annotations.notes
    (line,) = store.quarantined()
    assert (line.video, line.reason) == ("test", "none of the listed images is there")
    found = inspect(KvasirInstrument, raw)
    assert (found.videos, found.frames) == (1, 39)


@pytest.mark.parametrize(
    ("boxes", "array", "reason"),
    [
        (entry(TOOL, size=(80, 40)), white(TOOL), "the boxes are of an image of 40x80"),
        (entry((16, 4, 8, 12)), white(TOOL), "empty or inverted"),
        (entry((8, 4, 160, 12)), white(TOOL), "outside"),
        (entry(TOOL), white(TOOL)[:20], "the mask is 80x20, the image 80x40"),
    ],
)
def test_labels_that_contradict_the_image(tmp_path, boxes, array, reason):
    names = [f"i{k:02d}" for k in range(40)]
    raw = write(tmp_path / "raw", names, boxes={"i07": boxes})
    write_image(raw / "masks/i07.png", array)
    (line,) = prepared(KvasirInstrument, tmp_path).quarantined()
    assert line.where == "images/i07.jpg" and reason in line.reason


def test_a_box_over_the_border_by_rounding_is_cut(tmp_path):
    write(tmp_path / "raw", boxes={"a": entry((60, 30, 80.4, 40.2))})
    (first, _) = frames(prepared(KvasirInstrument, tmp_path), "train")
    assert first.annotations.instruments[0].box == Box(0.75, 0.75, 1, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "top level.*not an object"),
        ({"a": {"width": 8, "bbox": []}}, "a: the key 'height' is missing"),
        ({"a": entry(size=(0, 80))}, "a: 80x0 is no size"),
        ({"a": entry(), "A.jpg": entry()}, "the image a is given twice"),
        ({"a": entry() | {"bbox": [{"xmin": 1}]}}, r"a\.bbox\[0\]: the key 'ymin' is missing"),
    ],
)
def test_box_files_that_are_wrong(tmp_path, value, message):
    write_text(tmp_path / "bboxes.json", json.dumps(value))
    with pytest.raises(AnnotationFileError, match=rf"bboxes\.json.*{message}"):
        read_boxes(File.at(tmp_path / "bboxes.json"))


def test_lists_that_are_wrong(tmp_path):
    write(tmp_path / "raw", test=("c", "a"))
    with pytest.raises(AnnotationFileError, match=r"test\.txt: a is in train\.txt too"):
        prepared(KvasirInstrument, tmp_path)
    for content, message in (("a\nA.jpg\n", "a is listed twice"), ("\n", "lists no image")):
        write_text(tmp_path / "train.txt", content)
        with pytest.raises(AnnotationFileError, match=rf"train\.txt: {message}"):
            read_list(File.at(tmp_path / "train.txt"))


def test_a_wrong_folder(tmp_path):
    raw = write(tmp_path / "raw")
    (raw / "bboxes.json").unlink()
    with pytest.raises(LayoutError, match=r"bboxes\.json is missing(.|\n)*masks/\*(.|\n)*images/"):
        prepared(KvasirInstrument, tmp_path)
    write(tmp_path / "two/raw")
    write_image(tmp_path / "two/raw/images/a.png", white())
    with pytest.raises(LayoutError, match="are the same image"):
        prepared(KvasirInstrument, tmp_path / "two")
    for name in ("images.tar.gz", "masks.tar.gz", "bboxes.json"):
        write_text(tmp_path / "packed/raw" / name, "{}")
    with pytest.raises(LayoutError, match=r"no images\. images\.tar\.gz .* unpack it"):
        prepared(KvasirInstrument, tmp_path / "packed")


def test_the_tasks_of_the_card(tmp_path):
    write(tmp_path / "raw")
    found = asked(prepared(KvasirInstrument, tmp_path))
    assert set(found) == set(sources.entry("kvasir_instrument").card.details["tasks"])
    assert sources.get("kvasir_instrument") is KvasirInstrument


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bboxes.json", "train.txt"])
def test_damaged_label_files(tmp_path, name):
    fuzz(KvasirInstrument, write(tmp_path), name)
