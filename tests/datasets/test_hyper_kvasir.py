"""HyperKvasir: findings as questions; masks of either polarity."""

import json

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import write_image, write_text
from fuzzing import fuzz
from prepared_sources import asked, frames, mask, prepared

from surgzoo.datasets.hyper_kvasir.hyper_kvasir import HyperKvasir, polyps
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db import ontology
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

HEIGHT, WIDTH = 64, 96
SQUARE = (24, 16, 48, 32)  # x1, y1, x2, y2
QUESTION = "What does the endoscopic image show?"
POLYPS = "lower-gi-tract/pathological-findings/polyps"
Z_LINE = "upper-gi-tract/anatomical-landmarks/z-line"


def write_jpeg(path, image, quality=95):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality))


def write_labeled(folder, **counts):
    """Folder of a class -> number of images."""
    for place, count in counts.items():
        for k in range(count):
            image = np.full((HEIGHT, WIDTH, 3), 30 + k, np.uint8)
            write_jpeg(folder / f"labeled-images/{place}/{k:03d}.jpg", image)
    return folder


def shape(square=SQUARE, inverted=False):
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    x1, y1, x2, y2 = square
    out[y1:y2, x1:x2] = 255
    return 255 - out if inverted else out


def write_segmented(folder, masks, boxes=None, images=None):
    """`masks`: name -> array; an image for each, unless `images` names them."""
    for k, name in enumerate(images or masks):
        image = np.full((HEIGHT, WIDTH, 3), 30 + k, np.uint8)
        write_jpeg(folder / f"segmented-images/images/{name}.jpg", image)
    for name, array in masks.items():
        write_jpeg(folder / f"segmented-images/masks/{name}.jpg", array)
    if boxes is not None:
        write_text(folder / "segmented-images/bounding-boxes.json", json.dumps(boxes, indent=0))
    return folder


def entry(*boxes):
    keys = "xmin", "ymin", "xmax", "ymax"
    found = [{"label": "polyp", **dict(zip(keys, box, strict=True))} for box in boxes]
    return {"height": HEIGHT, "width": WIDTH, "bbox": found}


def box(square=SQUARE):
    x1, y1, x2, y2 = square
    return Box(x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT)


def test_findings_are_questions(tmp_path):
    write_labeled(tmp_path / "raw", **{POLYPS: 2, Z_LINE: 1})
    store = prepared(HyperKvasir, tmp_path)
    assert [(s.video.id, s.count) for s in store.videos] == [
        ("lower_polyps", 2),
        ("upper_z_line", 1),
    ]
    (found,) = (r.annotations for r in frames(store, "upper_z_line"))
    (question,) = found.questions
    assert (question.kind, question.text, question.answer) == ("finding", QUESTION, "z-line")
    assert found.derived == {"questions": "the folder of the image, put as a question"}
    assert found.tissues is None
    video = store.videos[0].video
    assert (video.specialty, video.procedure) == ("gastrointestinal", "gastrointestinal_endoscopy")
    assert (video.canonical, video.splits) == ("hyper_kvasir/lower_polyps", {})


def test_every_class_is_read(tmp_path):
    names = [native for kind, native in ontology.table("hyper_kvasir") if kind == "finding"]
    write_labeled(tmp_path / "raw", **{f"lower-gi-tract/any/{name}": 1 for name in names})
    store = prepared(HyperKvasir, tmp_path)
    got = {s.video.id: next(iter(store.records(s))).annotations for s in store.videos}
    assert {name: a.questions[0].answer for name, a in got.items()} == {
        f"lower_{name.replace('-', '_')}": ontology.name(
            "finding", ontology.table("hyper_kvasir")["finding", name]
        )
        for name in names
    }
    assert len(got) == 23


def test_the_border_tells_the_background(tmp_path):
    write_segmented(
        tmp_path / "raw",
        {"a": shape(), "b": shape(inverted=True), "c": shape((0, 0, 0, 0))},
        images=("a", "b", "c", "d"),
    )
    store = prepared(HyperKvasir, tmp_path)
    white, black, none, bare = frames(store, "segmented_polyps")
    for record in (white, black):
        (polyp,) = record.annotations.tissues
        assert (polyp.label.concept, polyp.box, polyp.mask) == ("polyp", box(), 1)
        assert np.array_equal(mask(record, "tissue_mask"), shape()[..., 0] // 255)
        assert record.annotations.questions[0].answer == "polyps"
    assert "tissue_mask" not in white.annotations.derived
    assert black.annotations.derived["tissue_mask"].startswith("the dark part of the file")
    assert black.annotations.derived["tissues.box"] == "the box around the mask"
    assert none.annotations.tissues == () and not mask(none, "tissue_mask").any()
    assert bare.annotations.tissues is None and not bare.dense
    (stored,) = store.videos
    assert stored.annotations.notes[1:] == (
        "which of black and white is the polyp is told by the border of each mask",
        "1 of 4 images have no mask",
    )
    assert stored.video.canonical == "hyper_kvasir/lower_polyps"


def test_a_polyp_at_the_border(tmp_path):
    # A third of the border is polyp, in either polarity.
    for inverted in (False, True):
        path = tmp_path / "mask.png"
        write_image(path, shape((0, 0, 60, 40), inverted))
        region, dark = polyps(File.at(path), (HEIGHT, WIDTH))
        assert dark is inverted and region.sum() == 60 * 40


def test_boxes_of_the_release(tmp_path):
    two = shape() | shape((60, 40, 70, 50))
    write_segmented(
        tmp_path / "raw", {"a": two, "b": shape()}, {"a": entry(SQUARE, (60, 40, 70, 50))}
    )
    first, second = frames(prepared(HyperKvasir, tmp_path), "segmented_polyps")
    assert [(t.box, t.mask) for t in first.annotations.tissues] == [
        (box(), 1),
        (box((60, 40, 70, 50)), 1),
    ]
    assert "tissues.box" not in first.annotations.derived
    assert [t.box for t in second.annotations.tissues] == [box()]


@pytest.mark.parametrize(
    ("array", "boxes", "reason"),
    [
        # The polyp covers all of the border but its own box's corner.
        (shape((0, 0, 96, 60)), {"i07": entry((0, 0, 96, 60))}, "outside of its boxes"),
        (shape((0, 0, 48, 64)), None, "half of the border is bright"),
        (shape()[:32], None, "the mask is 96x32, the image 96x64"),
        (shape(), {"i07": entry((48, 16, 24, 32))}, "empty or inverted"),
    ],
)
def test_masks_that_cannot_be_told(tmp_path, array, boxes, reason):
    masks = {f"i{k:02d}": shape() for k in range(40)} | {"i07": array}
    write_segmented(tmp_path / "raw", masks, boxes)
    (line,) = prepared(HyperKvasir, tmp_path).quarantined()
    assert line.where.endswith("images/i07.jpg") and reason in line.reason


def test_what_is_missing(tmp_path):
    raw = write_labeled(tmp_path / "raw", **{POLYPS: 40})
    write_segmented(raw, {"a": shape()})
    (raw / "segmented-images/images/a.jpg").unlink()
    store = prepared(HyperKvasir, tmp_path)
    (line,) = store.quarantined()
    assert (line.video, line.reason) == (
        "segmented_polyps",
        "masks are there, images are not",
    )
    found = inspect(HyperKvasir, raw)
    assert (found.videos, found.frames) == (1, 40)
    write_segmented(raw, {}, images=("b",))
    (raw / "segmented-images/masks/a.jpg").unlink()
    with pytest.raises(LayoutError, match="the masks of the segmented images are missing"):
        prepared(HyperKvasir, tmp_path, overwrite=True)


def test_a_wrong_folder(tmp_path):
    write_text(tmp_path / "raw/pictures/readme.txt", "x")
    shown = r"no labeled and no segmented images(.|\n)*lower-gi-tract(.|\n)*pictures/"
    with pytest.raises(LayoutError, match=shown):
        prepared(HyperKvasir, tmp_path)
    write_labeled(tmp_path / "two/raw", **{"lower-gi-tract/any/lunch": 1})
    with pytest.raises(ontology.UnmappedLabelError, match=r"any/lunch/000\.jpg: .*lunch"):
        prepared(HyperKvasir, tmp_path / "two")
    write_segmented(tmp_path / "three/raw", {"a": shape()})
    write_image(tmp_path / "three/raw/segmented-images/masks/a.png", shape())
    with pytest.raises(LayoutError, match="are the same image"):
        prepared(HyperKvasir, tmp_path / "three")


def test_the_tasks_of_the_card(tmp_path):
    write_segmented(write_labeled(tmp_path / "raw", **{Z_LINE: 2}), {"a": shape()})
    found = asked(prepared(HyperKvasir, tmp_path))
    assert set(found) == set(sources.entry("hyper_kvasir").card.details["tasks"])
    assert found["tissue_recognition"][0].answer == ["polyp"]
    assert sources.get("hyper_kvasir") is HyperKvasir


@pytest.mark.slow
def test_damaged_box_files(tmp_path):
    write_segmented(tmp_path, {"a": shape()}, {"a": entry(SQUARE)})
    fuzz(HyperKvasir, tmp_path, "segmented-images/bounding-boxes.json")
