"""Motion by hand, the physics of smoke, and derived maps beside a prepared source."""

import json
import shutil

import cv2
import numpy as np
import pytest

from surgzoo.core.registry import Card, UnknownNameError
from surgzoo.data.conversations import conversations
from surgzoo.data.media import MediaReader
from surgzoo.db import store as stores
from surgzoo.db.derive import depth, maps, motion, run, smoke
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.schema import Frame, FrameAnnotations, Instrument, Label, Video

# ---- motion ----


def square(x, y, side=10, size=(60, 80)):
    mask = np.zeros(size, bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.mark.parametrize(
    ("dx", "dy", "expected"),
    [
        (10, 0, "right"),
        (10, -10, "upper right"),
        (0, -10, "up"),
        (-10, -10, "upper left"),
        (-10, 0, "left"),
        (-10, 10, "lower left"),
        (0, 10, "down"),
        (10, 10, "lower right"),
        (10, 4, "right"),  # 21.8 degrees
        (10, 5, "lower right"),  # 26.6 degrees
        (0, 0, "still"),
        (1, 1, "still"),  # 1.4 of 100 pixels of diagonal
        (2, 1, "lower right"),  # 2.2 of 100, 26.6 degrees
    ],
)
def test_direction(dx, dy, expected):
    found = motion.direction(square(30, 25), square(30 + dx, 25 + dy))
    assert found == expected
    assert motion.shift(square(30, 25), square(30 + dx, 25 + dy)) == pytest.approx(
        (dx / 80, dy / 60)
    )


def test_an_empty_mask_moves_nowhere():
    with pytest.raises(ValueError, match="empty mask"):
        motion.direction(square(0, 0), np.zeros((60, 80), bool))


def test_instruments_that_share_a_mask_value_are_left_out():
    """A mask of classes: two graspers are one patch of 3, the hook is 4."""

    def dense(index, name):
        mask = np.zeros((40, 60), np.uint8)
        mask[2:6, 2:6] = mask[30:34, 10 + 8 * index : 14 + 8 * index] = 3
        mask[10:14, 10 + 8 * index : 14 + 8 * index] = 4
        return cv2.imencode(".png", mask)[1].tobytes()

    def graspers(*tracks):
        items = [Instrument(Label("grasper", "grasper"), mask=3, track=t) for t in tracks]
        hook = Instrument(Label("hook", "hook"), mask=4, track=9 if tracks[0] else None)
        return FrameAnnotations(instruments=(*items, hook))

    for tracks in ((None, None), (1, 2)):
        shots = [Shot(Frame("v", i, float(i)), graspers(*tracks)) for i in range(2)]
        film = Footage(Video("v", "v", "s", "", "", ""), shots, dense=dense)
        found = motion.of_instruments(film, 0, 1, lambda i, film=film: motion.mask(film, i))
        assert found == [("hook", "moves to the right")]


# ---- smoke ----

PHOTO = np.random.default_rng(0).integers(20, 255, (48, 64, 3)).astype(np.uint8)


def test_smoke_is_the_scattering_of_its_own_transmission():
    drawn = smoke.drawn("patient")
    t = smoke.transmission(drawn, 48, 64, 3.0)
    assert t.shape == (48, 64) and 0 < t.min() < t.max() <= 1
    light = 255 * np.array(drawn.light)
    expected = PHOTO * t[..., None] + light * (1 - t[..., None])
    assert np.abs(smoke.over(PHOTO, drawn, 3.0) - expected).max() <= 0.51


def test_no_density_is_no_smoke_and_much_of_it_is_all_smoke():
    assert (smoke.over(PHOTO, smoke.Smoke(1, density=0), 1.0) == PHOTO).all()
    t = smoke.transmission(smoke.Smoke(1, density=1e4), 48, 64, 1.0)
    dense = smoke.over(PHOTO, smoke.Smoke(1, density=1e4, light=(0.5, 0.6, 0.7)), 1.0)
    assert np.abs(dense[t < 1e-3] - 255 * np.array([0.5, 0.6, 0.7])).max() <= 0.6


def test_smoke_moves_smoothly_and_the_same_every_time():
    drawn = smoke.drawn("patient", 3)
    assert drawn == smoke.drawn("patient", 3) != smoke.drawn("patient", 4)

    def change(seconds):
        starts = range(0, 30, 3)
        return np.mean([np.abs(at(k + seconds) - at(k)).mean() for k in starts])

    def at(time):
        return smoke.transmission(drawn, 48, 64, time)

    assert (at(2.0) == at(2.0)).all()
    assert change(1 / 25) < 0.1 * change(10)
    assert change(1 / 25) < change(0.5) < change(10)


def test_the_black_around_the_view_stays_black():
    photo = PHOTO.copy()
    photo[:, :20] = 3
    photo[20:25, 40:45] = 0  # a dark spot inside the view
    found = smoke.over(photo, smoke.Smoke(1, density=3), 0.0)
    assert (found[:, :20] == 3).all()
    assert smoke.outside(photo).sum() == 48 * 20
    with pytest.raises(ValueError, match="uint8 RGB"):
        smoke.over(photo[..., 0], smoke.Smoke(1), 0.0)


# ---- depth ----


def test_depth_maps_are_stretched():
    found = depth.stretched(np.array([[1.0, 2.0], [3.0, 5.0]]))
    assert found.dtype == np.uint16
    assert found.tolist() == [[0, 16384], [32768, 65535]]
    assert (depth.stretched(np.ones((2, 2))) == 32767).all()
    with pytest.raises(ValueError, match="finite"):
        depth.stretched(np.array([[np.nan]]))


def test_a_model_may_work_at_its_own_size():
    found = depth.from_model(lambda image: image[::4, ::4, 0].astype(float), PHOTO)
    assert found.shape == (48, 64) and found.min() < 3000 and found.max() == 65535
    with pytest.raises(ValueError, match=r"shape \(48, 64, 3\)"):
        depth.from_model(lambda image: image, PHOTO)


# ---- beside a source ----


@pytest.fixture
def data_dir(small_data, tmp_path):
    """The prepared source by link, so that what is derived stays in this test."""
    (tmp_path / "synthsurg" / "small").mkdir(parents=True)
    for version in (small_data / "synthsurg" / "small").glob("*.*.*"):
        shutil.copytree(version, tmp_path / "synthsurg" / "small" / version.name)
    return tmp_path


def opened(data_dir):
    return stores.Store.open(data_dir, "synthsurg", "small")


def test_smoke_makes_pairs_for_desmoking(data_dir):
    before = opened(data_dir)
    own = list(conversations(before, "desmoking", "test"))
    folder = run.add_smoke(before, seed=7)
    after = opened(data_dir)
    pairs = [c for c in conversations(after, "desmoking", "test") if c.derived]
    assert len(pairs) + len(own) == sum(v.count for v in after.select("test"))
    assert [c for c in conversations(after, "desmoking", "test") if not c.derived] == own
    read = MediaReader(lambda source, config: after)
    manifest = json.loads((folder / maps.MANIFEST).read_text())
    for item in pairs[:5]:
        (question,) = item.media
        assert question.kind == "smoke" and item.answer["media"].get("kind", "image") == "image"
        assert item.derived == manifest["how"]
        assert "synthetic smoke" in item.derived
        smoky, clear = read.read(question), read.read(question.__class__(**item.answer["media"]))
        parameters = manifest["parameters"]["videos"][question.video]
        again = smoke.over(
            clear,
            smoke.Smoke(**{**parameters, "light": tuple(parameters["light"])}),
            question.first,
        )
        assert np.abs(smoky.astype(int) - again).mean() < 4  # JPEG


def test_depth_from_files_goes_where_depth_is_lacking(data_dir, tmp_path):
    store = opened(data_dir)
    video = store.videos[0].video.id
    given = tmp_path / "given" / video
    given.mkdir(parents=True)
    value = np.full((128, 128), 777, np.uint16)
    cv2.imwrite(str(given / "000004.png"), value)
    run.add_depth_files(store, tmp_path / "given")
    after = opened(data_dir)
    assert after._derived["depth"].has(video) == {4}
    # The rendered source has depth of its own, which wins.
    assert after.map(video, 4, "depth") == store.frame(video, 4).dense["depth"]
    assert "depth" not in after.footage(after.videos[0]).shots[4].annotations.derived
    with pytest.raises(KeyError, match="frame 4 has no map 'smoke'"):
        after.map(video, 4, "smoke")


def test_depth_from_a_registered_model(data_dir):
    depth.depth_models.register(
        "brightness", lambda image: image.mean(-1), Card("a stand-in", "none", "this test")
    )
    folder = run.add_depth_model(opened(data_dir), "brightness")
    found = next(maps.find(opened(data_dir).path))
    assert found.manifest.how == "pseudo-label of the depth model brightness"
    assert len(list(folder.glob("*/*.png"))) == len(opened(data_dir))
    with pytest.raises(UnknownNameError, match="brightness"):
        run.add_depth_model(opened(data_dir), "brightnes")


def test_maps_from_before_stay_until_there_are_new_ones(data_dir, tmp_path):
    store = opened(data_dir)
    video = store.videos[0].video.id
    given = tmp_path / "given" / video
    given.mkdir(parents=True)
    cv2.imwrite(str(given / "000004.png"), np.full((128, 128), 777, np.uint16))
    folder = run.add_depth_files(store, tmp_path / "given")
    (folder / video / "thumbs.png").write_bytes(b"")  # not ours, and no reason to fail
    assert run.add_depth_files(opened(data_dir), folder) == folder  # its own maps once more
    assert opened(data_dir)._derived["depth"].has(video) == {4}
    cv2.imwrite(str(given / "000005.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="16-bit grey PNG"):
        run.add_depth_files(store, tmp_path / "given")
    assert opened(data_dir)._derived["depth"].has(video) == {4}


def test_mistakes_get_a_way_out(data_dir, tmp_path):
    store = opened(data_dir)
    with pytest.raises(FileNotFoundError, match=r"expected files like synth_0001/000000.png"):
        run.add_depth_files(store, tmp_path)
    bad = tmp_path / "bad" / store.videos[0].video.id
    bad.mkdir(parents=True)
    cv2.imwrite(str(bad / "000000.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="16-bit grey PNG"):
        run.add_depth_files(store, tmp_path / "bad")
    assert not opened(data_dir)._derived  # what was left of it is not seen
    run.add_smoke(store)
    folder = maps.place(store.path, "smoke")
    text = (folder / maps.MANIFEST).read_text().replace(store.path.name, "0.0.1")
    (folder / maps.MANIFEST).write_text(text)
    with pytest.raises(ValueError, match=r"version 0.0.1 .*surgzoo derive --what=smoke"):
        opened(data_dir).map(store.videos[0].video.id, 0, "smoke")
