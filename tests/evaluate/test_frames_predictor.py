"""Models that map a frame to pixels: what they are asked, what is written, what is scored."""

import dataclasses
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surgzoo.core import parallel
from surgzoo.data.config import DataConfig
from surgzoo.data.media import MediaReader, Stores
from surgzoo.db import ontology
from surgzoo.db.store import Store
from surgzoo.evaluate.predictions import PredictionsError
from surgzoo.evaluate.predictors import local
from surgzoo.evaluate.predictors.questions import questions
from surgzoo.evaluate.score import score
from surgzoo.models import models
from surgzoo.models.depth_anything_v2.config import InputConfig
from surgzoo.train.experiment import EvalConfig

SOURCE = "synthsurg.small"
NAMES = ontology.names("synthsurg", "instrument")


@dataclasses.dataclass(eq=False)
class Rule:
    """A model that is a function of the pixels; keeps the shapes that it was compiled for."""

    config: object
    rule: object
    shapes: list = dataclasses.field(default_factory=list)

    def image_to_image(self, params, images):
        self.shapes.append(images.shape)
        return self.rule(images)


def restored(name, task, rule, labels=(), **changes):
    config = dataclasses.replace(models.get(name)(), **changes)
    return local.Restored(
        name=f"{name}/rule@1",
        step=1,
        meta={"rows": {"labels": list(labels), "task": task}},
        model=Rule(config, rule),
        params={},
        processor=config.processor(),
        mesh=parallel.make_mesh(data=2, devices=jax.devices()[:2]),
        data=DataConfig(prefetch=4),
    )


def ask(found, small_data, folder, task, split="val", limit=20, **settings):
    stores = Stores(small_data)
    items = questions(stores, [SOURCE], [task], split, limit=limit)
    path = folder / "predictions.jsonl"
    settings = EvalConfig(batch_size=4, **settings)
    did = local.answer(found, items, stores, path, settings)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return items, lines, did, MediaReader(stores).read


def red(images):
    """1 where a pixel is red, 0 where it is not, of normalised pixels."""
    return (images[..., :1] > 0.3).astype(jnp.float32)


def test_depth_is_written_near_dark(small_data, tmp_path):
    found = restored("depth-anything-v2-tiny", "depth_estimation", lambda x: x.sum(-1)[..., None])
    items, lines, did, read = ask(found, small_data, tmp_path, "depth_estimation")
    assert did.questions == len(items) == len(lines) == 20
    assert {line["id"] for line in lines} == {item.id for item in items}
    for item in items[::5]:
        line = next(line for line in lines if line["id"] == item.id)
        assert line["text"].startswith(f"images/{SOURCE}/synth_") and line["latency"] >= 0
        said = cv2.imread(str(tmp_path / line["text"]), cv2.IMREAD_UNCHANGED)
        assert said.dtype == np.uint16 and (said.min(), said.max()) == (0, 65535)
        frame = read(item.media[0])
        assert said.shape == frame.shape[:2]
        bright = frame.astype(float) @ (1 / np.array([0.229, 0.224, 0.225]))
        assert np.corrcoef(said.ravel(), bright.ravel())[0, 1] < -0.97
    # Two devices: batches of 4 rows, of one shape, however many frames there are.
    assert set(found.model.shapes) == {(4, 112, 112, 3)}
    assert score(tmp_path / "predictions.jsonl", small_data, split="val").tasks


def test_one_mask_answers_every_question(small_data, tmp_path):
    found = restored(
        "instrument-segmentation-tiny", "instrument_segmentation", lambda x: red(x) - 0.5
    )
    items, lines, _, read = ask(found, small_data, tmp_path, "instrument_segmentation", limit=None)
    frames = {item.media for item in items}
    assert len(frames) < len(items) == len(lines)
    lines = {line["id"]: line for line in lines}
    for item in items[::9]:
        line = lines[item.id]
        said = cv2.imread(str(tmp_path / line["text"]), cv2.IMREAD_UNCHANGED)
        assert said.dtype == np.uint8 and set(np.unique(said)) <= {0, 255}
        pixels = (read(item.media[0])[..., 0] / 255 - 0.485) / 0.229
        clear = np.abs(pixels - 0.3) > 0.5  # scaled down and up again, edges move
        assert ((said > 0) == (pixels > 0.3))[clear].mean() > 0.97


def test_what_is_open_is_the_class_and_not_whether_there_is_one(small_data, tmp_path):
    """On red pixels no class alone is likelier than nothing, but all three together are."""
    logits = jnp.asarray([[2.0, -9.0, -9.0, -9.0], [1.0, 0.5, 0.7, 0.6]])  # not red, red

    def rule(images):
        return logits[red(images)[..., 0].astype(int)]

    given = "instrument-segmentation-tiny", "instrument_segmentation", rule, NAMES[:3]
    found = restored(*given, classes=4)
    items, lines, _, read = ask(found, small_data, tmp_path, "instrument_segmentation", limit=None)
    lines = {line["id"]: line for line in lines}
    whole = [item for item in items if len(item.options) > 1]
    second = [item for item in items if item.options == NAMES[1:2]]
    first = [item for item in items if item.options == NAMES[:1]]
    assert whole and first and second
    for item in whole[::5] + second[::5]:
        said = cv2.imread(str(tmp_path / lines[item.id]["text"]), cv2.IMREAD_UNCHANGED) > 0
        pixels = (read(item.media[0])[..., 0] / 255 - 0.485) / 0.229
        clear = np.abs(pixels - 0.3) > 0.5
        assert (said == (pixels > 0.3))[clear].mean() > 0.95
    for item in first[::5]:
        said = cv2.imread(str(tmp_path / lines[item.id]["text"]), cv2.IMREAD_UNCHANGED)
        assert not said.any()


def test_a_question_about_a_class_gets_that_class(small_data, tmp_path):
    """Red is the first class, the rest of the left half the second, and there is no third."""

    def rule(images):
        inside = red(images)[..., 0]
        left = jnp.broadcast_to(jnp.arange(images.shape[2]) < images.shape[2] // 2, inside.shape)
        second = jnp.where(inside > 0, 0.0, left)
        nothing = jnp.full_like(inside, 0.5) * (1 - inside) * (1 - second)
        return 9 * jnp.stack([nothing, inside, second], -1)

    some = NAMES[:2]
    found = restored(
        "instrument-segmentation-tiny", "instrument_segmentation", rule, some, classes=3
    )
    items, lines, _, read = ask(found, small_data, tmp_path, "instrument_segmentation", limit=None)
    lines = {line["id"]: line for line in lines}
    asked = set()
    for item in items[::3]:
        line = lines[item.id]
        asked |= set(item.options)
        if len(item.options) == 1 and item.options[0] not in some:
            assert line["text"] is None
            assert f"knows {some[0]}, {some[1]}, not '{item.options[0]}'" in line["error"]
            continue
        said = cv2.imread(str(tmp_path / line["text"]), cv2.IMREAD_UNCHANGED) > 0
        pixels = (read(item.media[0])[..., 0] / 255 - 0.485) / 0.229
        clear = np.abs(pixels - 0.3) > 0.5
        first = pixels > 0.3
        second = ~first & (np.arange(first.shape[1]) < first.shape[1] // 2)
        wanted = dict(zip(some, (first, second), strict=True))
        wanted = wanted[item.options[0]] if len(item.options) == 1 else first | second
        assert (said == wanted)[clear].mean() > 0.95
    assert set(some) < asked


def test_a_frame_again_has_its_colours(small_data, tmp_path):
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    found = restored("desmoking-tiny", "desmoking", lambda x: x * std + mean)
    items, lines, _, read = ask(found, small_data, tmp_path, "desmoking", limit=6)
    for item, line in zip(items, lines, strict=True):
        said = cv2.imread(str(tmp_path / line["text"]))[..., ::-1].astype(float)
        seen = read(item.media[0]).astype(float)
        assert np.abs(said - seen).mean() < 6  # less sharp
        np.testing.assert_allclose(said.mean((0, 1)), seen.mean((0, 1)), atol=2)


def test_killed_it_goes_on_and_keeps_what_is_there(small_data, tmp_path):
    found = restored("depth-anything-v2-tiny", "depth_estimation", lambda x: x[..., :1])
    _, whole, _, _ = ask(found, small_data, tmp_path, "depth_estimation", limit=10)
    path = tmp_path / "predictions.jsonl"
    kept = path.read_text().splitlines(keepends=True)
    path.write_text("".join(kept[:6]) + kept[6][:20])
    lost = [line["text"] for line in whole[6:]]
    before = {name: (tmp_path / name).read_bytes() for name in lost}
    (tmp_path / lost[1]).unlink()
    _, again, did, _ = ask(found, small_data, tmp_path, "depth_estimation", limit=10)
    assert did.questions == 4
    assert {line["id"]: line["text"] for line in again} == {
        line["id"]: line["text"] for line in whole
    }
    assert {name: (tmp_path / name).read_bytes() for name in lost} == before
    _, _, did, _ = ask(found, small_data, tmp_path, "depth_estimation", limit=10)
    assert did.questions == 0
    other = dataclasses.replace(found, name="another")
    with pytest.raises(PredictionsError, match="not of 'another'"):
        ask(other, small_data, tmp_path, "depth_estimation", limit=10)


def test_a_corrupt_frame_costs_its_answers_alone(small_data, tmp_path, monkeypatch):
    original = Store.frame

    def frame(self, video_id, index):
        found = original(self, video_id, index)
        return dataclasses.replace(found, image=b"broken") if index == 0 else found

    monkeypatch.setattr(Store, "frame", frame)
    found = restored("instrument-segmentation-tiny", "instrument_segmentation", red)
    items, lines, _, _ = ask(found, small_data, tmp_path, "instrument_segmentation", limit=None)
    assert len(lines) == len(items)
    wrong = [line for line in lines if line["text"] is None]
    assert {line["id"].split("/")[2] for line in wrong} == {"000000"} and len(wrong) > 1
    assert all("cannot be decoded" in line["error"] for line in wrong)


def test_maps_that_are_no_numbers_are_no_answer(small_data, tmp_path):
    found = restored(
        "depth-anything-v2-tiny", "depth_estimation", lambda x: x[..., :1] / jnp.zeros(())
    )
    _, lines, _, _ = ask(found, small_data, tmp_path, "depth_estimation", limit=2)
    assert [line["text"] for line in lines] == [None, None]
    assert all("not finite" in line["error"] for line in lines)


def test_frames_of_several_shapes(small_data, tmp_path, monkeypatch):
    """A processor that keeps the aspect ratio gives batches of several shapes."""
    original = MediaReader.read
    monkeypatch.setattr(
        MediaReader, "read", lambda self, m: original(self, m)[: 128 if m.first % 3 else 64]
    )
    found = restored(
        "depth-anything-v2-tiny",
        "depth_estimation",
        lambda x: x[..., :1],
        input=InputConfig(size=64, square=False),
    )
    items, lines, _, _ = ask(found, small_data, tmp_path, "depth_estimation", limit=23)
    shapes = set()
    for item in items:
        line = next(line for line in lines if line["id"] == item.id)
        shape = cv2.imread(str(tmp_path / line["text"]), cv2.IMREAD_UNCHANGED).shape
        assert shape == (128 if item.media[0].first % 3 else 64, 128)
        shapes.add(shape)
    assert set(found.model.shapes) == {(4, 64, 64, 3), (4, 64, 128, 3)} and len(shapes) == 2


def test_other_tasks_are_refused(small_data, tmp_path):
    found = restored("desmoking-tiny", "next_frame", lambda x: x)
    with pytest.raises(ValueError, match="answers next_frame, not desmoking: set eval"):
        ask(found, small_data, tmp_path, "desmoking")
    assert not list(tmp_path.iterdir())
