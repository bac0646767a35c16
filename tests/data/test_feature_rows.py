"""Rows of whole videos: every frame with its features and its label."""

import dataclasses

import numpy as np
import pytest

from surgzoo.data import feed
from surgzoo.data.config import DataConfig, Part
from surgzoo.data.media import Stores
from surgzoo.db import ontology
from surgzoo.db.store import NotPreparedError, Store
from surgzoo.models.build import model_config
from tests.train import phase_features

PHASES = phase_features.PHASES


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, small_data):
    folder = tmp_path_factory.mktemp("features")
    (folder / "synthsurg").symlink_to(small_data / "synthsurg")
    return folder


@pytest.fixture(scope="module")
def rows(data_dir):
    return phase_features.write(data_dir, "drawn")


def config(data_dir, *, tasks=("phase_recognition",), split="train", **changes):
    mixture = tuple(Part("synthsurg", task, config="small", split=split) for task in tasks)
    fields = {"features": "drawn", "longest": 64, "batch_size": 2, "data_dir": str(data_dir)}
    return DataConfig(mixture=mixture, **fields | changes)


def model(**overrides):
    return model_config("tecno-tiny", {"features": PHASES, "classes": PHASES} | overrides)


def batches(data, architecture=None, **place):
    return feed.batches(data, architecture or model(), None, Stores(data.data_dir), **place)


def test_a_row_is_a_video_with_the_phase_of_every_frame(data_dir, rows):
    data = config(data_dir)
    found = batches(data)
    batch = next(found)
    shapes = feed.batch_shapes(data, model())
    assert {name: (a.shape, a.dtype) for name, a in batch.items()} == shapes
    labels = ontology.names("synthsurg", "phase")
    assert found.meta == {"labels": list(labels), "task": "phase_recognition", "encoder": "hash"}
    assert found.size(batch) == 2 and found.unit == "row"
    # The records themselves are the oracle. Two videos: one epoch is one batch.
    store = Store.open(data_dir, "synthsurg", "small")
    expected = {}
    for stored in store.select("train"):
        phases = [record.annotations.phase.concept for record in store.records(stored)]
        expected[stored.video.id] = [labels.index(ontology.name("phase", p)) for p in phases]
    seen = set()
    for features, numbers in zip(batch["features"], batch["labels"], strict=True):
        (video,) = [v for v in expected if np.array_equal(features[: len(expected[v])], rows[v])]
        count = len(expected[video])
        assert numbers[:count].tolist() == expected[video]
        assert not features[count:].any() and (numbers[count:] == -1).all()
        seen.add(video)
    assert seen == set(expected)


def test_a_start_in_the_middle_goes_on_with_the_same_rows(data_dir, rows):
    data = config(data_dir, batch_size=1)
    whole = batches(data)
    expected = [next(whole) for _ in range(5)]
    later = batches(data, start=3)
    for batch in expected[3:]:
        found = next(later)
        assert all(np.array_equal(found[name], batch[name]) for name in batch)


def test_labels_by_name_and_steps_too(data_dir, rows):
    names = ontology.names("synthsurg", "phase")
    data = config(data_dir, labels=tuple(reversed(names)))
    forward, backward = next(batches(config(data_dir))), next(batches(data))
    known = forward["labels"] >= 0
    assert (backward["labels"][known] == PHASES - 1 - forward["labels"][known]).all()
    steps = ontology.names("synthsurg", "step")
    found = batches(config(data_dir, tasks=["step_recognition"]), model(classes=len(steps)))
    assert found.meta["task"] == "step_recognition" and found.meta["labels"] == list(steps)


@pytest.mark.parametrize(
    ("changes", "overrides", "message"),
    [
        ({"longest": 8}, {}, r"has \d+ frames, a row has room for 8: raise data\.longest"),
        ({}, {"features": 64}, r"14 features a frame.*model\.overrides features=14"),
        ({}, {"classes": 7}, r"7 classes, the data 14.*classes=14"),
        ({"labels": ("preparation",)}, {"classes": 1}, r"is not among data\.labels \(preparation"),
        ({"tasks": ("phase_recognition", "step_recognition")}, {}, "learns one task"),
        ({"tasks": ("triplet_recognition",)}, {}, "not from triplet_recognition"),
        ({"features": ""}, {}, r"data\.features=NAME"),
        ({"features": "nobody"}, {}, r"no features 'nobody' of synthsurg\.small.*there: drawn"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_step(
    data_dir, rows, changes, overrides, message
):
    with pytest.raises((ValueError, NotPreparedError), match=message):
        batches(config(data_dir, **changes), model(**overrides))


def test_a_video_without_features_is_said_before_the_first_step(data_dir):
    phase_features.write(data_dir, "unfinished", videos=1)
    with pytest.raises(NotPreparedError, match="did not end, or was for another split"):
        batches(config(data_dir, features="unfinished"))


def test_sources_by_different_encoders_are_refused(data_dir, rows, tmp_path, small_data):
    """The writer does not make such a folder; a copied one is found too."""
    (tmp_path / "synthsurg").mkdir()
    for name in ("small", "copy"):
        (tmp_path / "synthsurg" / name).symlink_to(small_data / "synthsurg" / "small")
    phase_features.write(tmp_path, "drawn")
    store = Store.open(tmp_path, "synthsurg", "copy")
    path = tmp_path / "features" / "drawn" / "synthsurg.small"
    text = (path / "meta.json").read_text()
    copy = path.with_name("synthsurg.copy")
    copy.mkdir()
    (copy / "meta.json").write_text(
        text.replace('"config": "small"', '"config": "copy"').replace('"hash"', '"another"')
    )
    for stored in store.videos:
        file = f"{stored.video.id}.array_record"
        (copy / file).symlink_to(path / file)
    both = dataclasses.replace(
        config(tmp_path),
        mixture=tuple(Part("synthsurg", "phase_recognition", config=c) for c in ("small", "copy")),
    )
    with pytest.raises(ValueError, match="come from different encoders"):
        batches(both)
