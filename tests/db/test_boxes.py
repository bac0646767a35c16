"""Box codecs: every convention goes there and back within its quantisation bound."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.db import boxes
from surgzoo.db.schema import Box

SIDE = st.integers(1, 4000)
SIZES = st.tuples(SIDE, SIDE)  # height, width


@st.composite
def some_boxes(draw, smallest=1e-6):
    def span():
        low = draw(st.floats(0, 1 - smallest))
        return low, draw(st.floats(min(low + smallest, 1.0), 1.0))

    (x1, x2), (y1, y2) = span(), span()
    return Box(x1, y1, x2, y2)


def corners(box):
    return box.x1, box.y1, box.x2, box.y2


def assert_close(a, b, bound_x, bound_y=None):
    bounds = (bound_x, bound_y or bound_x) * 2
    for one, other, bound in zip(corners(a), corners(b), bounds, strict=True):
        assert abs(one - other) <= bound + 1e-9


@given(some_boxes())
def test_thousand_is_off_by_half_a_unit_or_one_when_widened(box):
    x1, y1, x2, y2 = boxes.to_thousand(box)
    assert 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000
    bound_x = 0.5e-3 if round(box.x1 * 1000) < round(box.x2 * 1000) else 1e-3
    bound_y = 0.5e-3 if round(box.y1 * 1000) < round(box.y2 * 1000) else 1e-3
    assert_close(boxes.from_thousand((x1, y1, x2, y2)), box, bound_x, bound_y)


@given(some_boxes(), SIZES)
def test_pixels_stay_inside_and_round_trip(box, size):
    height, width = size
    x1, y1, x2, y2 = boxes.to_pixels(box, size)
    assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
    assert_close(boxes.from_pixels((x1, y1, x2, y2), size), box, 1 / width, 1 / height)


@given(some_boxes(), SIZES)
def test_quantisation_happens_once(box, size):
    again = boxes.from_pixels(boxes.to_pixels(box, size), size)
    assert boxes.to_pixels(again, size) == boxes.to_pixels(box, size)
    assert boxes.from_text(boxes.to_text(box)) == boxes.from_thousand(boxes.to_thousand(box))


@given(some_boxes(), st.none() | SIZES)
def test_float_conventions_lose_nothing(box, size):
    assert_close(boxes.from_xywh(boxes.to_xywh(box, size), size), box, 1e-9)
    assert_close(boxes.from_cxcywh(boxes.to_cxcywh(box, size), size), box, 1e-9)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(0.5, 0.5, 0.5002, 0.5002), (500, 500, 501, 501)),
        (Box(0.4998, 0.4998, 0.5, 0.5), (499, 499, 500, 500)),
        (Box(0.0, 0.0, 0.0001, 0.0001), (0, 0, 1, 1)),
        (Box(0.9999, 0.9999, 1.0, 1.0), (999, 999, 1000, 1000)),
    ],
)
def test_a_speck_is_widened_not_lost(box, expected):
    assert boxes.to_thousand(box) == expected


def test_known_values():
    box = Box(0.25, 0.5, 0.75, 1.0)
    assert boxes.to_xywh(box, (100, 200)) == (50, 50, 100, 50)
    assert boxes.to_cxcywh(box, (100, 200)) == (100, 75, 100, 50)
    assert boxes.to_pixels(box, (100, 200)) == (50, 50, 150, 100)
    assert boxes.to_text(box) == "(250,500),(750,1000)"
    assert boxes.from_text(" (250, 500), (750,1000) ") == box
    assert boxes.from_xywh((50, 50, 100, 50), (100, 200)) == box


def test_a_slight_overshoot_is_cut_only_on_request():
    values = (0.5, 0.5, 0.5115, 0.25)  # x + w = 1.0115
    with pytest.raises(ValueError, match="clip=True"):
        boxes.from_xywh(values)
    assert boxes.from_xywh(values, clip=True) == Box(0.5, 0.5, 1.0, 0.75)
    assert boxes.from_xyxy((-3, 5, 50, 60), (100, 200), clip=True) == Box(0.0, 0.05, 0.25, 0.6)


def test_a_large_overshoot_is_an_error_even_when_clipping():
    with pytest.raises(ValueError, match=r"more than 0\.02 outside"):
        boxes.from_xywh((0.5, 0.5, 0.6, 0.1), clip=True)
    with pytest.raises(ValueError, match="height 100 and width 200"):
        boxes.from_xyxy((0, 0, 250, 50), (100, 200), clip=True)


@pytest.mark.parametrize("values", [(0.5, 0.5, 0.0, 0.2), (0.5, 0.5, -0.1, 0.2), (math.nan,) * 4])
def test_empty_inverted_and_nan_boxes_are_errors(values):
    with pytest.raises(ValueError):
        boxes.from_xywh(values, clip=True)


@pytest.mark.parametrize(
    "text", ["", "(1,2)", "(1,2),(3,4) and", "(a,2),(3,4)", "(500,500),(400,600)"]
)
def test_bad_text_is_an_error(text):
    with pytest.raises(ValueError):
        boxes.from_text(text)


def test_the_nine_cells():
    assert len(boxes.CELLS) == 9
    assert (boxes.CELLS[0], boxes.CELLS[4], boxes.CELLS[8]) == (
        "top left",
        "middle center",
        "bottom right",
    )
    for name in boxes.CELLS:
        assert boxes.cell(boxes.cell_box(name)) == name
        assert boxes.cells(boxes.cell_box(name), share=0.01) == (name,)
    with pytest.raises(ValueError, match="middle center"):
        boxes.cell_box("centre")


@given(some_boxes(), st.floats(0, 1))
def test_cells_hold_the_box(box, share):
    names = boxes.cells(box, share)
    assert boxes.cell(box) in names
    everything = [boxes.cell_box(name) for name in boxes.cells(box)]
    assert min(part.x1 for part in everything) <= box.x1
    assert max(part.x2 for part in everything) >= box.x2 - 1e-9


def test_a_wide_box_lies_in_a_row_of_cells():
    assert boxes.cells(Box(0.0, 0.4, 1.0, 0.6)) == ("middle left", "middle center", "middle right")
    assert boxes.cells(Box(0.0, 0.3, 0.3, 0.6), share=0.2) == ("middle left",)
