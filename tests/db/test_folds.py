"""Cross-validation as split schemes: every operation tested once, none in two folds, errors."""

import pytest

from surgzoo.db import folds, records, schema
from surgzoo.db.store import Store


def videos(count=23):
    """Two recordings of every seventh operation; a rare action in every fifth video."""
    out = []
    for number in range(count):
        label = schema.Label("action/clipping", "clipping")
        segments = [schema.Segment("action", label, at, at + 1.0) for at in range(1 + number % 3)]
        if number % 5 == 0:
            rare = schema.Label("action/packaging", "packaging")
            segments.append(schema.Segment("action", rare, 9.0, 10.0))
        for part in range(2 if number % 7 == 0 else 1):
            video = schema.Video(f"v{number}_{part}", f"own/patient{number}", "own", "s", "p", "l")
            notes = schema.VideoAnnotations(segments=tuple(segments))
            out.append(records.StoredVideo(video, 0, 1, notes))
    return out


@pytest.mark.parametrize("count", [3, 5, 10])
def test_every_operation_is_tested_once_and_in_one_fold(count):
    found = videos()
    canonical = {v.video.id: v.video.canonical for v in found}
    tested, validated = [], []
    for scheme in folds.schemes(f"cv{count}"):
        parts = folds.of_videos(found, scheme)
        assert set(parts) == set(canonical)
        sides = {
            split: {canonical[video] for video, of in parts.items() if of == split}
            for split in ("train", "val", "test")
        }
        assert all(sides.values())
        assert sum(map(len, sides.values())) == len(set(canonical.values()))  # nothing shared
        tested += [video for video, of in parts.items() if of == "test"]
        validated += [video for video, of in parts.items() if of == "val"]
    assert sorted(tested) == sorted(validated) == sorted(canonical)


def test_the_order_of_videos_does_not_matter_and_labels_are_spread():
    found = videos()
    assert folds.of_videos(found, "cv5.2") == folds.of_videos(found[::-1], "cv5.2")
    rare = {v.video.canonical for v in found if len({s.label for s in v.annotations.segments}) > 1}
    assert len(rare) == 5
    for scheme in folds.schemes("cv5"):
        parts = folds.of_videos(found, scheme)
        tested = {v.video.canonical for v in found if parts[v.video.id] == "test"}
        assert len(rare & tested) == 1


def test_a_whole_cross_validation_tests_all():
    found = videos()
    assert set(folds.of_videos(found, "cv10").values()) == {"test"}
    assert folds.schemes("cv3") == ("cv3.1", "cv3.2", "cv3.3")
    assert folds.schemes("cv3.1") == folds.schemes("default") == ()
    assert folds.is_scheme("cv3.1") and not folds.is_scheme("cv") and not folds.is_scheme("xcv3")


def test_errors():
    for scheme in ("cv10.0", "cv10.11", "cv2.1", "cv0"):
        with pytest.raises(ValueError, match=f"'{scheme}': take three or more folds"):
            folds.of_videos(videos(), scheme)
    with pytest.raises(ValueError, match=r"'cv30.1': 23 operations cannot be cut into 30"):
        folds.of_videos(videos(), "cv30.1")
    with pytest.raises(ValueError, match=r"cv10\.3 is the third fold of ten"):
        folds.of_videos(videos(), "default")


def test_a_store_selects_by_them(small_data):
    store = Store.open(small_data, "synthsurg", "small")
    tested = [v.video.id for k in (1, 2, 3) for v in store.select("test", f"cv3.{k}")]
    assert sorted(tested) == sorted(v.video.id for v in store.videos)
    assert store.select("test", "cv3") == list(store.videos)
    assert store.select("train", "cv3") == []
    one = store.select("test", "cv3.1")[0]
    assert store.split_of(one, "cv3.1") == "test"
    assert store.split_of(one, "cv3.2") != "test"
    assert store.split_of(one, "default") == one.video.splits["default"]
    with pytest.raises(ValueError, match="6 operations cannot be cut into 7"):
        store.select("test", "cv7.1")
