"""Rows of frames and maps, against the stored records read in another way."""

import dataclasses
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from surgzoo.data import feed
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.media import Stores
from surgzoo.data.mixture import Pools
from surgzoo.data.rows.frames import IGNORED, FrameRows
from surgzoo.db import ontology
from surgzoo.db.derive.depth import FARTHEST
from surgzoo.models import models
from surgzoo.models.depth_anything_v2.config import InputConfig
from surgzoo.tasks.pixels import media_of

SIDE = 112
NAMES = ontology.names("synthsurg", "instrument")
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def data(*tasks, **fields):
    return DataConfig(
        mixture=tuple(Part("synthsurg", task, config="small") for task in tasks),
        **{"batch_size": 3, "prefetch": 2} | fields,
    )


def made(small_data, name, config, **changes):
    """The rows of a model, opened, and the units of its mixture."""
    architecture = dataclasses.replace(models.get(name)(), **changes)
    rows = FrameRows(config, architecture, architecture.processor())
    stores = Stores(small_data)
    pools = Pools(config, stores, rows.by)
    rows.open(stores, pools)
    (units,) = pools._units.values()
    return rows, [[item for item, _ in units[i]] for i in range(len(units))], stores


def record(stores, media):
    return stores(media.source, media.config).frame(media.video, media.first)


def nearest(values):
    """A square map in the model's size: of each pixel the stored one that its centre lies in."""
    at = (2 * np.arange(SIDE) + 1) * len(values) // (2 * SIDE)
    return values[at][:, at]


def bicubic(jpeg):
    """RGB from 0 to 1 in the model's size, by PIL."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255


def png(encoded):
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_one_mask_of_all_instruments(small_data):
    rows, units, stores = made(
        small_data, "instrument-segmentation-tiny", data("instrument_segmentation")
    )
    assert rows.labels == () and rows.meta() == {"labels": [], "task": "instrument_segmentation"}
    seen = set()
    for unit in units[::9]:
        stored = record(stores, unit[0].media[0])
        row = rows.row(unit, rng())
        pixels = row["images"] * STD + MEAN
        np.testing.assert_allclose(pixels, bicubic(stored.image), atol=1e-5)
        wanted = nearest(png(stored.dense["instrument_mask"])) > 0
        np.testing.assert_array_equal(row["labels"], wanted)
        seen |= set(np.unique(row["labels"]))
    assert seen == {0, 1}


def test_a_class_has_its_number_in_the_order_of_the_source(small_data):
    config = data("instrument_segmentation")
    rows, units, stores = made(
        small_data, "instrument-segmentation-tiny", config, classes=len(NAMES) + 1
    )
    assert rows.labels == NAMES
    seen = set()
    for unit in units[::7]:
        stored = record(stores, unit[0].media[0])
        values = png(stored.dense["instrument_mask"])
        wanted = np.zeros(values.shape, int)
        for item in stored.annotations.instruments:
            name = ontology.name("instrument", item.label.concept)
            wanted[values == item.mask] = NAMES.index(name) + 1
        row = rows.row(unit[::-1], rng())  # the order in a unit is drawn
        np.testing.assert_array_equal(row["labels"], nearest(wanted))
        seen |= set(np.unique(row["labels"]))
    assert len(seen) > 4 and IGNORED not in seen


def test_the_classes_that_are_named_alone(small_data):
    config = data("instrument_segmentation", labels=("hook", "grasper"))
    rows, units, _ = made(small_data, "instrument-segmentation-tiny", config, classes=3)
    assert rows.labels == ("hook", "grasper")
    both, _, _ = made(
        small_data, "instrument-segmentation-tiny", data("instrument_segmentation"), classes=10
    )
    numbers = np.zeros(10, int)
    numbers[NAMES.index("hook") + 1], numbers[NAMES.index("grasper") + 1] = 1, 2
    for unit in units[::11]:
        whole = both.row(unit, rng())["labels"]
        np.testing.assert_array_equal(rows.row(unit, rng())["labels"], numbers[whole])


def test_what_has_no_mask_says_nothing(small_data):
    """An instrument without a mask makes no question, and none about all."""
    config = data("instrument_segmentation")
    one, units, _ = made(small_data, "instrument-segmentation-tiny", config)
    all_classes, _, _ = made(small_data, "instrument-segmentation-tiny", config, classes=10)
    unit = next(unit for unit in units if len(unit) == 3)  # two classes and all
    known = [item for item in unit if len(item.options) == 1][:1]
    stored = one.read(media_of(known[0].answer))
    said = nearest(np.isin(stored, known[0].answer["values"]).astype(int)).astype(bool)
    mask = one.row(known, rng())["labels"]
    assert set(np.unique(mask)) == {1, IGNORED}
    np.testing.assert_array_equal(mask == 1, said)
    labels = all_classes.row(known, rng())["labels"]
    np.testing.assert_array_equal(labels == NAMES.index(known[0].options[0]) + 1, said)
    assert set(np.unique(labels[~said])) == {IGNORED}
    # Pixels that no question names, in a frame whose other instruments are all known.
    named = [item for item in unit if item is not known[0]]
    labels = all_classes.row(named, rng())["labels"]
    np.testing.assert_array_equal(labels == IGNORED, said)


def test_tissues_have_numbers_too(small_data):
    names = ontology.names("synthsurg", "tissue")
    config = data("tissue_segmentation")
    rows, units, stores = made(
        small_data, "tissue-segmentation-tiny", config, classes=len(names) + 1
    )
    assert rows.labels == names and rows.meta()["task"] == "tissue_segmentation"
    for unit in units[::25]:
        stored = record(stores, unit[0].media[0])
        values = png(stored.dense["tissue_mask"])
        wanted = np.zeros(values.shape, int)
        for item in stored.annotations.tissues:
            wanted[values == item.mask] = (
                names.index(ontology.name("tissue", item.label.concept)) + 1
            )
        np.testing.assert_array_equal(rows.row(unit, rng())["labels"], nearest(wanted))


def test_depth_is_nearness(small_data):
    rows, units, stores = made(small_data, "depth-anything-v2-tiny", data("depth_estimation"))
    for unit in units[::20]:
        stored = nearest(png(record(stores, unit[0].media[0]).dense["depth"]))
        row = rows.row(unit, rng())
        np.testing.assert_allclose(row["depth"], 1 - stored / FARTHEST, atol=1e-6)
        np.testing.assert_array_equal(row["valid"], stored > 0)


def test_the_clear_frame_is_the_target(small_data):
    rows, units, stores = made(small_data, "desmoking-tiny", data("desmoking"))
    for unit in units[::5]:
        stored = record(stores, unit[0].media[0])
        row = rows.row(unit, rng())
        np.testing.assert_allclose(row["targets"], bicubic(stored.dense["clean"]), atol=1e-5)
        np.testing.assert_allclose(row["images"] * STD + MEAN, bicubic(stored.image), atol=1e-5)


def test_the_later_frame_is_the_target(small_data):
    rows, units, stores = made(small_data, "next-frame-tiny", data("next_frame"))
    item = units[0][0]
    later = media_of(item.answer)
    assert later.first > item.media[0].first
    row = rows.row([item], rng())
    np.testing.assert_allclose(row["targets"], bicubic(record(stores, later).image), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("instrument-segmentation-tiny", "instrument_segmentation"),
        ("depth-anything-v2-tiny", "depth_estimation"),
        ("desmoking-tiny", "desmoking"),
    ],
)
def test_batches_have_the_shapes_that_are_planned(small_data, name, task):
    config = data(task, data_dir=str(small_data), augment=True)
    architecture = models.get(name)()
    planned = feed.batch_shapes(config, architecture)
    stores = Stores(small_data)
    batches = feed.batches(config, architecture, architecture.processor(), stores)
    first, second = next(batches), next(batches)
    assert {key: (x.shape, x.dtype) for key, x in first.items()} == planned
    assert batches.size(first) == 3 and batches.unit == "row"
    # Example number n is a function of (config, n), what is drawn for it included.
    again = feed.batches(config, architecture, architecture.processor(), stores, start=3)
    again = next(again)
    assert all((again[key] == second[key]).all() for key in second)


def test_augmentation_moves_frame_and_truth_together(small_data):
    config = data("desmoking", augment=True)
    rows, units, _ = made(small_data, "desmoking-tiny", config)
    plain, _, _ = made(small_data, "desmoking-tiny", data("desmoking"))
    still = plain.row(units[0], rng())
    flipped = {key: value[:, ::-1] for key, value in still.items()}
    found = []
    for seed in range(8):
        row = rows.row(units[0], rng(seed))
        same, other = (
            all((row[key] == wanted[key]).all() for key in row) for wanted in (still, flipped)
        )
        assert same != other
        found.append(same)
    assert len(set(found)) == 2

    config = data("instrument_segmentation", augment=True)
    rows, units, _ = made(small_data, "instrument-segmentation-tiny", config)
    plain, _, _ = made(small_data, "instrument-segmentation-tiny", data("instrument_segmentation"))
    still = plain.row(units[5], rng())
    gains = []
    for seed in range(8):
        row = rows.row(units[5], rng(seed))
        straight = (row["labels"] == still["labels"]).all()
        images = row["images"] if straight else row["images"][:, ::-1]
        assert straight or (row["labels"][:, ::-1] == still["labels"]).all()
        lit, before = (x * STD + MEAN for x in (images, still["images"]))
        clear = (before > 0.2) & (before < 0.6)
        gains.append(np.median((lit / before)[clear]))
    assert 0.6 < min(gains) < 0.95 and 1.05 < max(gains) < 1.6


def test_an_oblong_frame_is_cut_to_a_square(small_data):
    oblong = InputConfig(size=48, square=False)
    rows, units, _ = made(small_data, "desmoking-tiny", data("desmoking"), input=oblong)
    frame = rng(1).integers(0, 256, (60, 110, 3), np.uint8)
    pictures = {"image": frame, "clean": frame[::-1]}
    rows.read = lambda media: pictures[media.kind]
    row = rows.row(units[0], rng())
    assert row["images"].shape == rows.spec()["images"][0] == (48, 48, 3)
    whole = rows.processor.encode(frame)
    assert whole.shape == (48, 88, 3)
    np.testing.assert_array_equal(row["images"], whole[:, 20:68])
    drawn = dataclasses.replace(rows.config, augment=True)
    rows = FrameRows(drawn, rows.architecture, rows.processor)
    rows.open(Stores(small_data), [])
    rows.read = lambda media: pictures[media.kind]
    places = set()
    for seed in range(20):
        images = rows.row(units[0], rng(seed))["images"]
        for left in range(41):
            cut = whole[:, left : left + 48]
            if (images == cut).all() or (images == cut[:, ::-1]).all():
                places.add(left)
    assert len(places) > 8


def test_what_does_not_go_together_is_refused(small_data):
    for name, tasks, message in (
        ("desmoking-tiny", ("desmoking", "next_frame"), "desmoking and next_frame.*for each"),
        (
            "depth-anything-v2-tiny",
            ("desmoking",),
            "learns from depth_estimation, not from desmoking",
        ),
        ("desmoking-tiny", ("depth_estimation",), "from desmoking, next_frame, not from depth_est"),
        ("desmoking-tiny", ("phase_recognition",), "learns from .*, not from phase_recognition"),
    ):
        architecture = models.get(name)()
        with pytest.raises(ValueError, match=message):
            FrameRows(data(*tasks), architecture, architecture.processor())
    metric = dataclasses.replace(models.get("depth-anything-v2-tiny")(), max_depth=20.0)
    with pytest.raises(ValueError, match="makes metres"):
        FrameRows(data("depth_estimation"), metric, metric.processor())
    segmenter, config = "instrument-segmentation-tiny", data("instrument_segmentation")
    for classes, labels, message in (
        (4, (), "has 4 classes, the data 10 with the background.*classes=10"),
        (2, ("hok",), "no question is about hok; there are grasper"),
        (1, ("hook",), "one mask for all: set model.overrides classes=2"),
    ):
        with pytest.raises(ValueError, match=message):
            made(small_data, segmenter, dataclasses.replace(config, labels=labels), classes=classes)


@pytest.mark.parametrize(
    ("name", "task", "truth", "message"),
    [
        ("depth-anything-v2-tiny", "depth_estimation", np.zeros((8, 9), np.uint8), "not 16 bit"),
        (
            "instrument-segmentation-tiny",
            "instrument_segmentation",
            np.zeros((8, 9, 3), np.uint8),
            "no labels",
        ),
        ("desmoking-tiny", "desmoking", np.zeros((8, 9), np.uint8), "not one frame"),
    ],
)
def test_truth_of_another_kind_is_refused(small_data, name, task, truth, message):
    rows, units, _ = made(small_data, name, data(task))
    rows.read = lambda media: np.zeros((8, 9, 3), np.uint8) if media.kind == "image" else truth
    with pytest.raises(ValueError, match=message):
        rows.row(units[0], rng())


def test_truth_of_another_size_is_refused_and_named(small_data, monkeypatch):
    config = data("depth_estimation", data_dir=str(small_data), threads=0)
    architecture = models.get("depth-anything-v2-tiny")()
    rows, units, _ = made(small_data, "depth-anything-v2-tiny", config)
    rows.read = lambda media: np.zeros((8, 9, 3) if media.kind == "image" else (8, 8), np.uint8)
    with pytest.raises(ValueError, match="8 x 9 pixels, and its truth 8 x 8"):
        rows.row(units[0], rng())
    monkeypatch.setattr(FrameRows, "_frame", lambda *_: np.zeros((4, 4, 3), np.uint8))
    batches = feed.batches(config, architecture, architecture.processor(), Stores(small_data))
    with pytest.raises(
        ValueError, match=r"synthsurg\.small/synth_\d+/\d+/depth_estimation/0: the f"
    ):
        next(batches)
