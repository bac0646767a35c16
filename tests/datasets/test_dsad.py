"""DSAD: a folder an organ, presence of the others, all organs in one image."""

import numpy as np
import pytest
from fixtures_cholec import write_image, write_text
from fuzzing import fuzz
from prepared_sources import asked, frames, mask, prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.dsad.dsad import DSAD
from surgzoo.datasets.dsad.labels import organs, read_presence
from surgzoo.datasets.inspection import inspect
from surgzoo.datasets.layout import File, LayoutError
from surgzoo.db.schema import Box
from surgzoo.db.sources import sources

HEIGHT, WIDTH = 40, 80
LIVER = organs()["liver"]
BOX = Box(8 / 80, 4 / 40, 16 / 80, 12 / 40)  # of `square()`


def square(x=8, y=4, side=8, value=255):
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    out[y : y + side, x : x + side] = value
    return out


def picture(number):
    return np.full((HEIGHT, WIDTH, 3), 40 + number, np.uint8)


def write(folder, organ="liver", operation="02", images=(0, 1), masks=None):
    """`masks`: name of a file -> its array; by default one of the organ for each image."""
    place = folder / organ / operation
    for number in images:
        write_image(place / f"image{number:02d}.png", picture(number))
    if masks is None:
        masks = {f"mask{number:02d}": square() for number in images}
    for name, array in masks.items():
        write_image(place / f"{name}.png", array)
    return folder


def presence(rows, columns=None, first="image"):
    """rows: (image, organs in view)."""
    columns = columns or [*organs(), "uterus"]
    lines = [",".join([first, *columns])]
    for image, seen in rows:
        lines.append(",".join([image, *("1" if name in seen else "0" for name in columns)]))
    return "\n".join(lines) + "\n"


def told(annotations):
    return [(t.label.concept, t.box, t.mask) for t in annotations.tissues]


def test_the_organ_of_the_folder(tmp_path):
    write(tmp_path / "raw", masks={"mask00": square(), "mask01": square(side=0)})
    # Those of the annotators are not read.
    write_image(tmp_path / "raw/liver/02/anno_1/mask00.png", square(side=30))
    write_text(
        tmp_path / "raw/liver/02/weak_labels.csv",
        presence([("image00.png", ["stomach", "liver", "uterus"]), ("image01.png", [])]),
    )
    store = prepared(DSAD, tmp_path)
    first, empty = frames(store, "liver_02")
    assert told(first.annotations) == [("liver", BOX, LIVER), ("stomach", None, 0)]
    assert empty.annotations.tissues == ()
    assert np.array_equal(mask(first, "tissue_mask"), np.where(square()[..., 0], LIVER, 0))
    assert first.annotations.derived == {"tissues.box": "the box around the mask"}
    assert [r.frame.time for r in (first, empty)] == [0.0, 1.0]
    video = store.videos[0].video
    assert (video.canonical, video.splits) == ("dsad/02", {"usual": "test", "default": "test"})
    assert (video.specialty, video.procedure) == ("gastrointestinal", "colorectal_surgery")
    assert (video.height, video.width) == (HEIGHT, WIDTH)


def test_without_the_table_of_presence(tmp_path):
    write(tmp_path / "raw", masks={"mask00": square(value=1), "mask01": square()})
    store = prepared(DSAD, tmp_path)
    first, second = frames(store, "liver_02")
    assert told(first.annotations) == told(second.annotations) == [("liver", BOX, LIVER)]
    assert first.annotations.derived["tissues"].startswith("the organ of the folder")
    assert "other organs may be in view" in store.videos[0].annotations.notes[-1]


@pytest.mark.parametrize("name", ["mask{}_{}", "mask_{1}{0}", "mask_{1}_{0}", "mask{0} {1}"])
def test_all_organs_of_an_image(tmp_path, name):
    files = {
        name.format("00", "abdominal_wall"): square(0, 0, 20),
        name.format("00", "small_intestine"): square(10, 10, 20),
        name.format("00", "colon"): square(side=0),
        "overview00": square(),
    }
    write(tmp_path / "raw", "multilabel", "03", (0,), files)
    store = prepared(DSAD, tmp_path)
    (record,) = frames(store, "multilabel_03")
    wall, bowel = organs()["abdominal_wall"], organs()["small_intestine"]
    assert told(record.annotations) == [
        ("abdominal_wall", Box(0, 0, 20 / 80, 20 / 40), wall),
        ("small_intestine", Box(10 / 80, 10 / 40, 30 / 80, 30 / 40), bowel),
    ]
    values = mask(record, "tissue_mask")
    assert (values[5, 5], values[15, 15], values[35, 5]) == (wall, bowel, 0)
    assert "tissues" not in record.annotations.derived
    assert store.videos[0].video.splits["default"] == "val"


def test_masks_that_name_no_organ(tmp_path):
    write(tmp_path / "raw", "multilabel", "03", (0,), {"mask00": square()})
    write(tmp_path / "raw")
    store = prepared(DSAD, tmp_path)
    (record,) = frames(store, "multilabel_03")
    assert record.annotations.tissues is None and not record.dense
    assert store.video("multilabel_03").annotations.notes[1:] == (
        "1 of 1 images have no mask",
        "1 masks are of no organ by their names",
    )


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (square()[:20], "the mask is 80x20, the image 80x40"),
        (square(value=7), "is no mask of one organ, it has 2 values"),
        (np.dstack([square()[..., 0], picture(0)[..., 0], picture(0)[..., 0]]), "channels"),
        (b"", "not a readable mask"),
    ],
)
def test_masks_that_are_wrong(tmp_path, array, reason):
    write(tmp_path / "raw", images=range(30))
    write_image(tmp_path / "raw/liver/02/mask07.png", array)
    store = prepared(DSAD, tmp_path)
    (line,) = store.quarantined()
    assert line.where.endswith("liver/02/image07.png") and reason in line.reason
    assert store.videos[0].count == 29


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (presence([("image00.png", [])], ["liver", "colon"]), "line 2: the columns .*abdominal"),
        (presence([("image00.png", [])], [*organs(), "spine"]), "line 2: the columns .*spine"),
        (presence([("first", [])]), "line 2: 'first' names no image"),
        (presence([("image00.png", []), ("0", [])]), "line 3: image 0 is given twice"),
        (presence([("image00.png", [])]).replace("0,0\n", "0,2\n"), "uterus is '2', not 0 or 1"),
    ],
)
def test_presence_tables_that_are_wrong(tmp_path, text, message):
    path = tmp_path / "weak_labels.csv"
    write_text(path, text)
    with pytest.raises(AnnotationFileError, match=rf"weak_labels\.csv.*{message}"):
        read_presence(File.at(path))


def test_columns_are_found_by_name(tmp_path):
    path = tmp_path / "weak_labels.csv"
    names = [name.replace("_", " ").title() for name in reversed(organs())]
    write_text(path, presence([("image12.png", ["Small Intestine"])], names, first=""))
    assert read_presence(File.at(path)) == {12: frozenset({"small_intestine"})}


def test_what_is_missing(tmp_path):
    write(tmp_path / "raw", images=range(40), masks={"mask00": square(), "mask77": square()})
    write(tmp_path / "raw", "spleen", "05", (), {"mask00": square()})
    store = prepared(DSAD, tmp_path)
    assert store.videos[0].annotations.notes[1:3] == (
        "39 of 40 images have no mask",
        "the images of 1 of 2 masks are missing",
    )
    assert frames(store, "liver_02")[1].annotations.tissues is None
    (line,) = store.quarantined()
    assert (line.video, line.where) == ("spleen_05", "spleen/05/image*.png")
    found = inspect(DSAD, tmp_path / "raw")
    assert (found.videos, found.frames) == (1, 40)


def test_a_wrong_folder(tmp_path):
    write(tmp_path / "raw", "brain")
    shown = r"brain/02/image00\.png is in no folder of an organ(.|\n)*liver/02(.|\n)*brain/"
    with pytest.raises(LayoutError, match=shown):
        prepared(DSAD, tmp_path)
    write_text(tmp_path / "two/raw/readme.txt", "x")
    with pytest.raises(LayoutError, match="there are no images"):
        prepared(DSAD, tmp_path / "two")
    write(tmp_path / "three/raw")
    write(tmp_path / "three/raw/copy")
    with pytest.raises(LayoutError, match="are the same image"):
        prepared(DSAD, tmp_path / "three")
    write(tmp_path / "four/raw", masks={"mask00": square(), "mask_00": square()})
    with pytest.raises(LayoutError, match="are masks of one organ in one image"):
        prepared(DSAD, tmp_path / "four")


def test_the_tasks_of_the_card(tmp_path):
    write(tmp_path / "raw")
    found = asked(prepared(DSAD, tmp_path))
    assert set(found) == set(sources.entry("dsad").card.details["tasks"])
    assert found["tissue_recognition"][0].answer == ["liver"]
    assert sources.get("dsad") is DSAD


@pytest.mark.slow
def test_damaged_presence_tables(tmp_path):
    write(tmp_path)
    text = presence([("image00.png", ["stomach"]), ("image01.png", [])])
    write_text(tmp_path / "liver/02/weak_labels.csv", text)
    fuzz(DSAD, tmp_path, "liver/02/weak_labels.csv", ordered=False)
