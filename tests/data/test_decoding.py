"""Decoding at the size that a model takes: exact, fast, and never twice."""

import dataclasses
import io
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from footage_stub import Footage, jpeg, natural
from PIL import Image

from surgzoo.core.contract import Message
from surgzoo.data import model_reader
from surgzoo.data.frame_cache import FrameCache
from surgzoo.data.jpeg import MediaError, decode_resized
from surgzoo.data.media import MediaReader
from surgzoo.data.model_reader import ModelReader
from surgzoo.db.schema import Media

sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
from qwen_small import small_config

SIZES = [(480, 854), (576, 720), (97, 131), (30, 28), (1080, 1920), (56, 84)]
ASK = [Message("user", "Which phase is this?", 1)]


@pytest.fixture(scope="module")
def processor():
    return small_config().processor()


def image(index=0):
    return Media("toy", "fps1", "v1", index)


def patches_of(processor, pixels):
    """Rows of patches in an order that does not depend on the processor's."""
    return sorted(row.tobytes() for row in processor.patchify(pixels, fitted=True))


def files(height, width):
    """A picture as JPEGs of several makes."""
    pixels = natural(height, width)
    yield jpeg(pixels, "420")
    yield jpeg(pixels, "444")
    for options in ({"progressive": True, "subsampling": 1}, {"mode": "L"}):
        file, mode = io.BytesIO(), options.pop("mode", "RGB")
        Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=75, **options)
        yield file.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_exact_is_what_transformers_makes_of_the_file(processor, size):
    transformers = pytest.importorskip("transformers")
    options = processor.config.input
    theirs = transformers.Qwen2VLImageProcessorPil(
        min_pixels=options.min_pixels, max_pixels=options.max_pixels
    )
    for data in files(*size):
        ((pixels,), _) = ModelReader(Footage([data]), processor)([image()])
        expected = theirs(images=[Image.open(io.BytesIO(data))], return_tensors="np")
        assert list(processor.grid(*size)) == expected["image_grid_thw"][0].tolist()
        assert patches_of(processor, pixels) == sorted(
            row.tobytes() for row in expected["pixel_values"]
        )


@pytest.mark.parametrize("size", SIZES)
def test_fast_is_near_and_has_the_same_size(processor, size):
    """1.5 of 255 levels in the mean: what docs/train.md states."""
    store = Footage([jpeg(natural(*size))])
    exact = ModelReader(store, processor).read(image())
    fast = ModelReader(store, processor, decode="fast").read(image())
    assert fast.shape == exact.shape == (*processor.resized_size(*size), 3)
    difference = np.abs(fast.astype(float) - exact).mean()
    assert difference < 1.5
    if fast.shape[:2] != size:
        assert difference > 0  # it is another way, not the same under two names


def test_a_fixed_square_too(processor):
    square = dataclasses.replace(processor.config.input, image_size=112)
    square = dataclasses.replace(processor.config, input=square).processor()
    store = Footage([jpeg(natural(480, 854))])
    exact = ModelReader(store, square).read(image())
    fast = ModelReader(store, square, decode="fast").read(image())
    assert exact.shape == fast.shape == (112, 112, 3)
    assert 0 < np.abs(fast.astype(float) - exact).mean() < 1.5
    np.testing.assert_array_equal(
        square.encode(ASK, [exact], fitted=True)["patches"],
        square.encode(ASK, [MediaReader(store).read(image())])["patches"],
    )


@pytest.mark.parametrize("how", ["exact", "fast"])
@pytest.mark.parametrize("limits", [(28 * 28, 224 * 224), (6 * 784, 6 * 784)])
def test_rows_have_the_grid_of_the_stored_size(processor, how, limits):
    """Also where the fitted size, asked for its own fitted size, would give another one."""
    options = dataclasses.replace(
        processor.config.input, min_pixels=limits[0], max_pixels=limits[1]
    )
    processor = dataclasses.replace(processor.config, input=options).processor()
    store = Footage([jpeg(natural(*size)) for size in SIZES])
    again = []
    for index, size in enumerate(SIZES):
        plain = processor.encode(ASK, [MediaReader(store).read(image(index))])
        pixels = ModelReader(store, processor, decode=how).read(image(index))
        row = processor.encode(ASK, [pixels], fitted=True)
        for key in row:
            if key != "patches" or how == "exact":
                np.testing.assert_array_equal(row[key], plain[key], err_msg=f"{size} {key}")
        again.append(processor.resized_size(*pixels.shape[:2]) == pixels.shape[:2])
    assert all(again) == (limits[0] != limits[1])


@pytest.mark.parametrize("how", ["exact", "fast"])
@pytest.mark.parametrize("size", [(480, 854), (1080, 1920), (100, 90)])
def test_things_stay_where_they_are(processor, how, size):
    """A bright box has its centre at the same place relative to the sides."""
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    y, x = slice(height // 5, height // 2), slice(3 * width // 5, 4 * width // 5)
    pixels[y, x] = 255
    found = ModelReader(Footage([jpeg(pixels)]), processor, decode=how).read(image())
    weight = found[..., 0].astype(float) / found[..., 0].sum()
    for axis, part, full in ((0, y, height), (1, x, width)):
        centres = (np.arange(found.shape[axis]) + 0.5) / found.shape[axis]
        centre = (weight.sum(axis=1 - axis) * centres).sum()
        assert centre == pytest.approx((part.start + part.stop) / 2 / full, abs=1e-3)


def test_visuals_that_are_not_fitted_are_refused(processor):
    with pytest.raises(ValueError, match=r"visual 0 .*multiples of 28"):
        processor.encode(ASK, [np.zeros((56, 60, 3), np.uint8)], fitted=True)


@pytest.mark.parametrize("how", ["exact", "fast"])
def test_a_damaged_frame_is_named_every_time(processor, how):
    read = ModelReader(
        Footage([b"\xff\xd8 no", jpeg(natural(60, 60))[:700]]), processor, decode=how
    )
    for index in (0, 1, 1):
        with pytest.raises(MediaError, match=rf"toy/v1/{index} cannot be decoded.*--overwrite"):
            read([image(index)])


@pytest.fixture
def decoded(monkeypatch):
    """The names of the frames that are decoded, in order."""
    names = []

    def counting(data, height, width, how, resize, where):
        names.append(where)
        return decode_resized(data, height, width, how, resize, where)

    monkeypatch.setattr(model_reader, "decode_resized", counting)
    return names


def test_a_frame_is_decoded_once(processor, decoded):
    store = Footage([jpeg(natural(96, 128, n)) for n in range(6)])
    read = ModelReader(store, processor)
    for _ in range(3):
        read([image(2)])
    clip = Media("toy", "fps1", "v1", 1, count=4, kind="clip")
    (first,), _ = read([clip])
    (second,), _ = read([clip])
    np.testing.assert_array_equal(first, second)
    # Frame 2 as an image may have another size than in a clip.
    assert decoded == ["toy/v1/2", *(f"toy/v1/{n}" for n in range(1, 5))]
    assert store.reads == [2, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        read.read(image(2))[0] = 0


def test_pillow_keeps_memory_for_the_next_picture(processor):
    for before, after in ((0, 8), (20, 20)):
        Image.core.set_blocks_max(before)
        ModelReader(Footage([jpeg(natural(60, 60))]), processor).read(image())
        assert Image.core.get_blocks_max() == after
    Image.core.reset_stats()
    ModelReader(Footage([jpeg(natural(60, 60))]), processor).read(image())
    stats = Image.core.get_stats()
    assert stats["reused_blocks"] > 0 and stats["freed_blocks"] == 0


def test_threads_that_want_one_frame_share_it(processor, decoded):
    read = ModelReader(Footage([jpeg(natural(480, 854))]), processor)
    barrier, found = threading.Barrier(8), []

    def work():
        barrier.wait()
        found.append(read.read(image()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 8 and len(decoded) == 1
    assert all(pixels is found[0] for pixels in found)


def test_the_cache_is_bounded_and_forgets_the_oldest():
    cache, made = FrameCache(1000), []

    def get(key, size=400):
        return cache.get(key, lambda: made.append(key) or np.full(size, key, np.uint8))

    for key in (1, 2, 1, 3, 1, 2):  # 3 pushes out 2, which was used before 1
        assert (get(key) == key).all()
        assert cache.bytes <= 1000
    assert made == [1, 2, 3, 2]
    get(9, 5000)  # larger than all: given, not kept, and it takes the others with it
    assert cache.bytes == 0
    with pytest.raises(RuntimeError, match="once"):
        cache.get(7, lambda: (_ for _ in ()).throw(RuntimeError("once")))
    assert get(7)[0] == 7


def test_a_map_is_shown_as_a_picture_or_not_at_all(processor):
    store = Footage([])
    store.map = lambda video, index, name: jpeg(natural(60, 90))
    clean = ModelReader(store, processor).read(Media("toy", "fps1", "v1", 0, kind="clean"))
    assert clean.shape == (*processor.resized_size(60, 90), 3)
    grey = io.BytesIO()
    Image.fromarray(natural(60, 90)[..., 0]).save(grey, "PNG")
    store.map = lambda video, index, name: grey.getvalue()
    with pytest.raises(MediaError, match="cannot be shown the map 'depth'"):
        ModelReader(store, processor).read(Media("toy", "fps1", "v1", 0, kind="depth"))
