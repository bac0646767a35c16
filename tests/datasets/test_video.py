"""Which frames come out of a video file: alignment, strategies, rates, damage."""

import math
from fractions import Fraction

import numpy as np
import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number, write_video

from surgzoo.datasets import video
from surgzoo.datasets.video import Damaged, DecodedFrame, VideoError


def numbers(path, fps, **options):
    """The numbers in the pixels of all frames, after checking what the frames say of themselves."""
    out = []
    for item in video.decode(path, fps, **options):
        assert isinstance(item, DecodedFrame), item
        assert item.image.dtype == np.uint8 and item.image.shape == (HEIGHT, WIDTH, 3)
        assert item.original == read_number(item.image)
        assert item.time == pytest.approx(item.index / float(fps))
        out.append((item.index, item.original))
    assert [index for index, _ in out] == list(range(len(out)))
    return [number for _, number in out]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def wide(folder):
    """201 frames at 25 fps with one key frame at most every 250."""
    return write_video(folder / "wide.mp4", 201)


@pytest.fixture(scope="module")
def dense(folder):
    """As `wide`, with a key frame every 10 frames."""
    return write_video(folder / "dense.mp4", 201, gop=10)


@pytest.mark.parametrize("strategy", ["sequential", "seek", "auto"])
@pytest.mark.parametrize("name", ["wide", "dense"])
def test_frame_k_at_1_fps_is_frame_25_k_of_the_file(name, strategy, request):
    path = request.getfixturevalue(name)
    assert numbers(path, 1, strategy=strategy) == [0, 25, 50, 75, 100, 125, 150, 175, 200]


@pytest.mark.parametrize("strategy", ["sequential", "seek"])
@pytest.mark.parametrize("fps", [5, 16, 25, Fraction(1, 2), 0.4, 50])
def test_any_fps_takes_the_frame_at_or_before(dense, fps, strategy):
    got = numbers(dense, fps, strategy=strategy)
    count = math.ceil(201 * video.rational(fps) / 25)  # samples before the last frame's end
    assert got == [video.frame_at(k / fps, 25) for k in range(count)]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("strategy", ["sequential", "seek"])
def test_ntsc_rates_do_not_drift(folder, suffix, strategy):
    rate = Fraction(30000, 1001)
    path = write_video(folder / f"ntsc.{suffix}", 400, fps=rate, gop=15)
    expected = [video.frame_at(k, rate) for k in range(14)]
    assert expected[:5] == [0, 29, 59, 89, 119] and expected[-1] == 389
    assert numbers(path, 1, strategy=strategy) == expected


def test_a_variable_rate_goes_by_time(folder):
    """Frames 50 to 99 are missing: what was shown then is frame 49."""
    stamps = [*range(50), *range(100, 151)]
    path = write_video(folder / "variable.mp4", 101, stamps=stamps)
    got = [read_number(item.image) for item in video.decode(path, 1)]
    assert got == [0, 25, 49, 49, 50, 75, 100]


def test_a_seek_that_goes_too_far_is_repeated_further_back(dense, monkeypatch):
    stamp = video._Timeline.stamp
    monkeypatch.setattr(
        video._Timeline,
        "stamp",
        lambda self, index, early=0: stamp(self, index, early) + (early == 0) * 15360,  # 1.2 s
    )
    assert numbers(dense, 1, strategy="seek")[:6] == [0, 25, 50, 75, 100, 125]


@pytest.mark.parametrize("strategy", ["sequential", "seek"])
def test_the_clock_starts_with_the_first_frame(folder, strategy):
    path = write_video(folder / "late.mkv", 60, gop=10, stamps=range(40, 100))
    assert numbers(path, 1, strategy=strategy) == [0, 25, 50]


@pytest.mark.parametrize("strategy", ["sequential", "seek"])
@pytest.mark.parametrize("gop", [10, 250])
def test_avi_has_no_time_stamps_of_its_own(folder, strategy, gop):
    """FFmpeg makes them up, and wrong ones for reordered frames: the order is what counts."""
    path = write_video(folder / f"gop{gop}.avi", 100, gop=gop)
    assert numbers(path, 1, strategy=strategy) == [0, 25, 50, 75]
    assert numbers(path, 5, strategy=strategy) == list(range(0, 100, 5))


@pytest.mark.parametrize("strategy", ["sequential", "seek"])
def test_time_stamps_in_milliseconds_may_be_rounded_up(folder, strategy):
    """Matroska says 42 ms for the second frame at 24 fps, which is shown from 41.67 ms on."""
    path = write_video(folder / "milliseconds.mkv", 30, fps=24, gop=5)
    assert numbers(path, 24, strategy=strategy) == list(range(30))


def test_the_strategy_follows_from_the_key_frames(wide, dense, monkeypatch):
    used = []
    for name in ("_sequential", "_seeking"):
        real = getattr(video, name)
        monkeypatch.setattr(
            video, name, lambda *a, name=name, real=real: used.append(name) or real(*a)
        )
    for path, fps in ((wide, 1), (dense, 1), (dense, 5)):
        list(video.decode(path, fps))
    assert used == ["_sequential", "_seeking", "_sequential"]


def test_probe(wide, dense):
    info = video.probe(wide)
    assert (info.fps, info.width, info.height, info.frames) == (25, WIDTH, HEIGHT, 201)
    assert info.duration == pytest.approx(201 / 25)
    assert (info.gop, video.probe(dense).gop) == (201, 10)


def test_max_side_shrinks_and_never_enlarges(wide):
    sizes = {
        side: next(iter(video.decode(wide, 1, max_side=side))).image.shape for side in (96, 5000)
    }
    assert sizes == {96: (32, 96, 3), 5000: (HEIGHT, WIDTH, 3)}


def test_jpeg_keeps_the_picture():
    image = numbered_image(1234)
    data = video.encode_jpeg(image)
    assert np.abs(simplejpeg.decode_jpeg(data).astype(int) - image).max() < 24
    assert read_number(simplejpeg.decode_jpeg(data)) == 1234


# ---- damage --------------------------------------------------------------------------------------


def overwritten(path, source, start, stop):
    """A copy of `source` whose bytes between two shares of its length are noise."""
    data = bytearray(source.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, len(data), np.uint8).tobytes()
    a, b = int(start * len(data)), int(stop * len(data))
    data[a:b] = noise[a:b]
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("strategy", ["sequential", "seek"])
def test_a_file_that_ends_early_keeps_its_good_part(folder, dense, strategy):
    data = dense.read_bytes()
    path = folder / "short.mp4"
    path.write_bytes(data[: len(data) * 6 // 10])
    items = list(video.decode(path, 1, strategy=strategy))
    good = [item for item in items if isinstance(item, DecodedFrame)]
    assert [read_number(item.image) for item in good] == [25 * k for k in range(len(good))]
    assert 2 <= len(good) <= 6
    (damaged,) = items[len(good) :]
    assert (damaged.index, damaged.count) == (len(good), 9 - len(good))
    assert damaged.time == len(good) and damaged.reason


def test_noise_in_the_middle_leaves_out_the_frames_it_hit_and_no_others(folder, dense):
    path = overwritten(folder / "noise.mp4", dense, 0.5, 0.56)
    items = list(video.decode(path, 5, strategy="sequential"))
    damaged = [item for item in items if isinstance(item, Damaged)]
    good = [item for item in items if isinstance(item, DecodedFrame)]
    assert damaged and len(good) > 25
    assert len(good) + sum(item.count for item in damaged) == 41
    for item in good:
        assert item.original == 5 * item.index == read_number(item.image)


def test_a_video_without_a_readable_frame_is_an_error_that_names_it(folder, wide):
    for name, data in (("empty.mp4", b""), ("text.mp4", b"not a video" * 99)):
        (folder / name).write_bytes(data)
        with pytest.raises(VideoError, match=name):
            list(video.decode(folder / name, 1))
    with pytest.raises(VideoError, match=r"absent\.mp4"):
        video.probe(folder / "absent.mp4")
    path = overwritten(folder / "noise_all.mp4", wide, 0.45, 1.0)
    try:
        items = list(video.decode(path, 1))
    except VideoError as error:
        assert "noise_all.mp4" in str(error)
    else:
        assert any(isinstance(item, Damaged) for item in items)
