"""The split of the union: one side an operation, whatever the sources say and in whatever order."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.db import identity, records, schema, splits
from surgzoo.db.leak_free import SCHEME, leak_free


def video(source, name, found=None):
    found = splits.official(source, name) if found is None else found
    return schema.Video(
        name,
        identity.canonical(source, name),
        source,
        "hepatobiliary",
        "cholecystectomy",
        "x",
        found,
    )


def every(source):
    """All videos that the official schemes of a source name."""
    ids = dict.fromkeys(
        name
        for parts in splits.schemes(source).values()
        for names in parts.values()
        for name in names
        if name != splits.EVERY
    )
    return [video(source, name) for name in ids]


@st.composite
def unions(draw):
    """Videos of three made-up sources that share operations, each with its own opinion."""
    out = []
    for source in ("one", "two", "three"):
        for number in draw(st.lists(st.integers(1, 12), unique=True, max_size=10)):
            split = draw(st.sampled_from(["train", "val", "test", None]))
            out.append(
                schema.Video(
                    str(number),
                    f"op/{number}",
                    source,
                    "s",
                    "p",
                    "l",
                    {} if split is None else {"default": split},
                )
            )
    return out


@given(unions())
def test_each_operation_has_the_strictest_split_that_any_source_gives_it(videos):
    result = leak_free(videos)
    assert set(result.splits) == {v.canonical for v in videos}  # every video assigned
    for canonical, split in result.splits.items():
        said = {v.splits.get("default") for v in videos if v.canonical == canonical}
        expected = "test" if "test" in said else "val" if "val" in said else "train"
        assert split == expected
        assert (canonical in result.unsplit) == (said == {None})


@given(unions())
def test_no_operation_is_on_two_sides(videos):
    result = leak_free(videos)
    sides = {
        split: [v for v in videos if result.split(v.canonical) == split] for split in splits.SPLITS
    }
    assert sum(map(len, sides.values())) == len(videos)
    for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
        assert identity.check_leakage(sides[one], sides[other]) == identity.Leakage()


@given(unions(), st.randoms(use_true_random=False))
def test_the_order_of_the_videos_changes_nothing(videos, rng):
    shuffled = list(videos)
    rng.shuffle(shuffled)
    result = leak_free(videos)
    assert leak_free(shuffled) == result == leak_free([*videos, *shuffled])
    assert list(result.splits) == sorted(result.splits)


@given(unions())
def test_changed_lists_exactly_the_videos_that_moved_and_who_moved_them(videos):
    result = leak_free(videos)
    moved = {(m.video, m.official, m.split) for m in result.changed}
    assert moved == {
        (f"{v.source}/{v.id}", v.splits["default"], result.split(v.canonical))
        for v in videos
        if "default" in v.splits and v.splits["default"] != result.split(v.canonical)
    }
    official = {f"{v.source}/{v.id} (default)": v.splits.get("default") for v in videos}
    for m in result.changed:
        assert m.because and all(official[name] == m.split for name in m.because)
        assert not any(name.startswith(f"{m.video} ") for name in m.because)


def test_cammas_own_list_of_conflicts_is_found():
    """What CAMMA takes out of Cholec80 (40/8/32) for use with CholecT50 and Endoscapes.

    The list is CAMMA's, made without this code. Train and val: operations that the others test on.
    Test: operations that the others train or validate on.
    """
    videos = [v for source in ("cholec80", "cholect50", "endoscapes") for v in every(source)]
    result = leak_free(videos, {"cholec80": "camma_40_8_32"})

    def numbers(condition):
        found = {m.canonical for m in result.changed if condition(m)}
        return sorted(int(canonical.removeprefix("cholec80/video")) for canonical in found)

    def of_cholec80(before):
        return lambda m: (
            m.video.startswith("cholec80/") and (m.official, m.split) == (before, "test")
        )

    assert numbers(of_cholec80("train")) == [6, 10, 14, 32]
    assert numbers(of_cholec80("val")) == [42]
    assert numbers(lambda m: not m.video.startswith("cholec80/") and any(
        name.startswith("cholec80/") for name in m.because
    ) and m.split == "test") == [
        49, 50, 52, 56, 57, 60, 62, 65, 66, 67, 68, 70, 71, 72, 75, 78, 79,
    ]  # fmt: skip


def test_the_union_of_all_sources_has_no_leak():
    videos = [v for source in splits.sources() for v in every(source)]
    result = leak_free(videos)
    for source in splits.sources():
        name = splits.default(source)
        tested = [v for v in videos if v.source == source and v.splits.get(name) == "test"]
        assert all(result.split(v.canonical) == "test" for v in tested), source
    rng = random.Random(0)
    rng.shuffle(videos)
    assert leak_free(videos) == result
    assert len(result.warnings) == 2
    assert "m2cai16_workflow and cholec80" in result.summary()


def test_the_scheme_can_be_chosen_counted_in_full_or_left_out():
    videos = [*every("cholec80"), *every("cholect50")]
    assert leak_free(videos).schemes == {"cholec80": ("default",), "cholect50": ("default",)}
    challenge = leak_free(videos, {"cholect50": ("challenge",)})
    assert challenge.split("camma/VID111") == "test"
    assert challenge.split("cholec80/video06") == "train"
    silent = leak_free(videos, {"cholect50": ()})
    assert silent.split("cholec80/video06") == "train"  # as Cholec80 has it
    assert "camma/VID111" in silent.unsplit
    every_fold = leak_free(videos, {"cholect50": "*"})
    assert all(every_fold.split(v.canonical) == "test" for v in videos if v.source == "cholect50")
    assert every_fold.schemes["cholect50"][0] == "challenge"
    assert "default" not in every_fold.schemes["cholect50"]


def test_a_source_without_default_is_asked_for_one():
    one = schema.Video("1", "lab/1", "lab", "s", "p", "l", {"a": "train", "b": "test"})
    with pytest.raises(ValueError, match="lab has the split schemes a, b and no default"):
        leak_free([one])
    assert leak_free([one], {"lab": "b"}).splits == {"lab/1": "test"}
    with pytest.raises(ValueError, match="lab has no split scheme c; it has a, b"):
        leak_free([one], {"lab": "c"})
    with pytest.raises(ValueError, match="given for cholec08; the videos are of lab"):
        leak_free([one], {"cholec08": "40_40"})
    with pytest.raises(ValueError, match="lab/2 has no canonical id"):
        leak_free([schema.Video("2", "", "lab", "s", "p", "l")])


def test_use_beside_a_store():
    videos = [records.StoredVideo(v, 0, 5) for v in (*every("cholec80"), *every("cholect50"))]
    result = leak_free(videos)
    cholec80 = [v for v in videos if v.video.source == "cholec80"]
    test = result.select(cholec80, "test")
    assert {v.video.canonical for v in test} >= {"cholec80/video06", "cholec80/video41"}
    assert sum(len(result.select(cholec80, split)) for split in splits.SPLITS) == 80
    assert result.select(cholec80, "all") == cholec80
    marked = result.marked(cholec80[5])
    assert marked.video.splits == {**cholec80[5].video.splits, SCHEME: "test"}
    again = leak_free([result.marked(v) for v in videos])  # its own mark is no vote
    assert again == result
    with pytest.raises(ValueError, match="no split 'tests'"):
        result.select(cholec80, "tests")
    with pytest.raises(KeyError, match="'endoscapes/5' was not among the 85"):
        result.split("endoscapes/5")
    assert json.loads(schema.to_json(result))["splits"]["cholec80/video06"] == "test"


def test_with_every_camma_set_no_operation_of_cholec80_is_left_to_train_on():
    """The module says so, as a user would else wonder where the training set went."""
    camma = [source for source in splits.sources() if source in identity.CAMMA_NUMBERED]
    result = leak_free([v for source in camma for v in every(source)])
    assert not [
        canonical
        for canonical, split in result.splits.items()
        if canonical.startswith("cholec80/") and split == "train"
    ]
