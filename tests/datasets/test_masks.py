"""Masks against pycocotools and by hand."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from surgzoo.datasets import masks
from surgzoo.datasets.annotation_files import FrameError
from surgzoo.datasets.layout import File
from surgzoo.db import schema

FILE = File("m.png", None)


def write(tmp_path, array):
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), array if array.ndim == 2 else array[..., ::-1])
    return File("m.png", path)


@given(arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 12)] * 2), elements=st.integers(0, 1)))
def test_run_lengths_are_cocos(mask):
    packed = coco.encode(np.asfortranarray(mask))
    got = masks.run_lengths(packed["counts"].decode(), mask.shape)
    np.testing.assert_array_equal(got, mask.astype(bool))
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    plain = np.diff([0, *edges, flat.size]).tolist()
    np.testing.assert_array_equal(masks.run_lengths(plain, mask.shape), mask.astype(bool))
    if mask.any():
        x, y, w, h = coco.toBbox(packed)
        box = masks.box(mask.astype(bool))
        height, width = mask.shape
        expected = (x / width, y / height, (x + w) / width, (y + h) / height)
        assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(expected)
    else:
        assert masks.box(mask.astype(bool)) is None


def test_a_large_compressed_mask():
    mask = np.zeros((480, 854), np.uint8)
    cv2.circle(mask, (400, 200), 150, 1, -1)
    packed = coco.encode(np.asfortranarray(mask))
    np.testing.assert_array_equal(
        masks.run_lengths(packed["counts"].decode(), mask.shape), mask > 0
    )


@pytest.mark.parametrize("counts", [[3, 2], [-1, 10], "5", "~", "P"])
def test_wrong_run_lengths(counts):
    with pytest.raises(FrameError, match="run lengths"):
        masks.run_lengths(counts, (3, 3))


def test_reading(tmp_path):
    colors = np.zeros((4, 6, 3), np.uint8)
    colors[1:3, 2:5] = (255, 0, 128)
    got = masks.read_mask(write(tmp_path, colors), (4, 6))
    np.testing.assert_array_equal(got, colors)
    values = masks.by_color(got, {(0, 0, 0): 0, (255, 0, 128): 7}, FILE)
    assert values.sum() == 6 * 7 and values[1, 2] == 7
    with pytest.raises(FrameError, match=r"m\.png: no class has the colour \(255, 0, 128\)"):
        masks.by_color(got, {(0, 0, 0): 0}, FILE)
    with pytest.raises(FrameError, match="channels of the mask differ"):
        masks.one_channel(got, FILE)
    with pytest.raises(FrameError, match="the mask is 6x4, the image 6x5"):
        masks.read_mask(write(tmp_path, colors), (5, 6))
    with pytest.raises(FrameError, match="no class has the value 7"):
        masks.check_values(values, [0, 1], FILE)
    (tmp_path / "m.png").write_bytes(b"torn")
    with pytest.raises(FrameError, match=r"m\.png: not a readable mask"):
        masks.read_mask(File("m.png", tmp_path / "m.png"))
    deep = np.full((2, 2), 1000, np.uint16)
    assert masks.read_mask(write(tmp_path, deep)).dtype == np.uint16


def test_objects_of_a_mask():
    mask = np.zeros((10, 20), np.uint8)
    mask[2:4, 5:15] = 3
    mask[9, 19] = 4
    labels = {3: schema.Label("liver", "Liver"), 4: schema.Label("hook", "Hook")}
    one, two = masks.tissues(mask, labels)
    assert one == schema.Tissue(labels[3], schema.Box(0.25, 0.2, 0.75, 0.4), 3)
    assert two.box == schema.Box(0.95, 0.9, 1.0, 1.0)
    assert [i.box for i in masks.instruments(mask, labels, instances=False)] == [None, None]
    assert masks.instruments(mask, labels, instances=True)[0].box == one.box
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(masks.encode(mask), np.uint8), cv2.IMREAD_UNCHANGED), mask
    )
    with pytest.raises(ValueError, match="8 bits"):
        masks.encode(np.full((2, 2), 256))
    filled = masks.polygon([(5, 2), (14, 2), (14, 3), (5, 3)], (10, 20))
    np.testing.assert_array_equal(filled, mask == 3)
    with pytest.raises(FrameError, match="2 points"):
        masks.polygon([(0, 0), (1, 1)], (10, 20))
