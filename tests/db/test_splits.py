"""The official split tables: sizes as published, no video in two parts, errors name the line."""

import itertools

import pytest

from surgzoo.db import identity, splits

# (train, val, test) of every source's default scheme, as its paper, code or README counts them.
SIZES = {
    "cholec80": (32, 8, 40),
    "cholec80_cvs": (50, 15, 15),
    "cholec80_vqa": (32, 8, 0),
    "cholect50": (35, 5, 10),
    "cholect45": (31, 5, 9),
    "cholectrack20": (10, 2, 8),
    "cholecinstanceseg": (55, 18, 22),  # sequences, of 85 operations
    "ssg_vqa": (35, 5, 5),
    "endoscapes": (120, 41, 40),
    "m2cai16_workflow": (27, 0, 14),
    "m2cai16_tool": (10, 0, 5),
    "endovis2017": (8, 0, 10),
    "endovis2018": (15, 0, 4),
    "endovis2018_vqa": (11, 3, 0),
    "endovis2018_vqla": (11, 3, 0),
    "endovis2017_vqla": (0, 0, 1),  # "every video"
    "psi_ava": (4, 4, 0),
    "grasp": (8, 0, 5),
    "autolaparo": (10 + 170, 4 + 57, 7 + 73),
    "surgvu24": (122 + 22, 7, 11),
    "sar_rarp50": (40, 0, 10),
    "multibypass140": (40, 10, 20),  # of Bern's 70
    "pitvis": (20, 5, 0),
    "pitvqa": (20, 5, 0),
    "cadis": (19, 3, 3),
    "cataracts": (25, 5, 20),
    "dsad": (21, 3, 8),
    "egosurgery_phase": (13, 2, 5),
}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table in place of the shipped one."""
    path = tmp_path / "splits.tsv"
    monkeypatch.setattr(splits, "TABLE", path)
    caches = (splits._rows, splits._table, splits._members)
    for cached in caches:
        cached.cache_clear()
    yield path
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def test_sizes_are_the_published_ones():
    assert set(splits.sources()) == set(SIZES)
    for source, sizes in SIZES.items():
        parts = splits.schemes(source)[splits.default(source)]
        assert tuple(len(parts.get(split, ())) for split in splits.SPLITS) == sizes, source


# The smaller parts, video by video: a size is right also where two videos have changed places.
HELD_OUT = [
    ("cholec80_cvs", "val", (1, 2, 10, 16, 17, 28, 32, 46, 47, 57, 59, 63, 65, 67, 70)),
    ("cholec80_cvs", "test", (5, 6, 7, 9, 14, 22, 24, 26, 29, 33, 35, 39, 53, 55, 61)),
    ("cholec80_vqa", "val", (5, 11, 12, 17, 19, 26, 27, 31)),
    ("cholectrack20", "val", (30, 110)),
    ("cholectrack20", "test", (1, 6, 7, 12, 25, 39, 92, 111)),
    ("ssg_vqa", "val", (1, 18, 31, 35, 48)),
    ("ssg_vqa", "test", (2, 22, 43, 60, 74)),
    ("endovis2018_vqa", "val", (1, 5, 16)),
    ("endovis2018_vqla", "val", (1, 5, 16)),
    ("pitvis", "val", (2, 6, 12, 13, 24)),
    ("pitvqa", "val", (2, 6, 12, 13, 24)),
    ("cadis", "val", (5, 7, 16)),
    ("cadis", "test", (2, 12, 22)),
    ("dsad", "val", (3, 21, 26)),
    ("dsad", "test", (2, 7, 11, 13, 14, 18, 20, 32)),
]


@pytest.mark.parametrize(("source", "part", "numbers"), HELD_OUT)
def test_held_out_videos_are_the_published_ones(source, part, numbers):
    assert splits.schemes(source)[splits.default(source)][part] == tuple(map(str, numbers))


@pytest.mark.parametrize("source", SIZES)
def test_every_video_has_one_split_a_scheme_and_is_found_by_its_name(source):
    for scheme, parts in splits.schemes(source).items():
        for one, other in itertools.combinations(parts.values(), 2):
            assert not set(one) & set(other), scheme
        for split, ids in parts.items():
            for video_id in ids:
                name = "seq_1" if video_id == splits.EVERY else video_id
                assert splits.official(source, name)[scheme] == split
    assert all(text for text in splits.evidence(source).values())


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("cholect50", "VID06", {"rdv": "test", "challenge": "train", "default": "test"}),
        ("cholect45", "VID79", {"crossval1": "test", "default": "test"}),
        ("cholectrack20", "VID111", {"official": "test", "default": "test"}),
        ("cholecinstanceseg", "VID12_seg8k", {"official": "train"}),
        ("ssg_vqa", "VID22", {"official": "test"}),
        ("endoscapes", "161", {"official": "val"}),
        ("endovis2017", "instrument_dataset_1", {"official": "train", "fold0": "val"}),
        ("endovis2018", "test_seq_1", {"official": "test"}),
        ("endovis2018_vqa", "seq_5", {"official": "val"}),
        ("psi_ava", "CASE002", {"fold1": "val", "fold2": "train", "default": "val"}),
        ("autolaparo", "clip_171", {"official": "val"}),
        ("sar_rarp50", "video_15_1", {"official": "train"}),
        ("multibypass140", "BBP02", {"bern_fold1": "test", "bern_fold2": "train"}),
        ("pitvqa", "video_24", {"official": "val"}),
        ("cadis", "Video2", {"official": "test"}),
        ("cataracts", "test19", {"activity": "val"}),
    ],
)
def test_spots(source, name, expected):
    found = splits.official(source, name)
    assert {scheme: found[scheme] for scheme in expected} == expected
    assert found["default"] == found[splits.default(source)]


def test_a_piece_of_an_operation_may_be_tested_where_the_rest_is_trained_on():
    assert splits.official("endovis2017", "test_1") == {"official": "test", "default": "test"}
    assert identity.canonical("endovis2017", "test_1") == identity.canonical("endovis2017", "1")


def test_a_video_that_no_scheme_names_has_no_split():
    assert splits.official("cholect50", "VID67") == {}
    assert (
        splits.official("multibypass140", "SBP01") == {}
    )  # Strasbourg's tests are not in the table
    assert splits.official("cholecseg8k", "video01") == {}
    assert splits.schemes("cholecseg8k") == {}
    with pytest.raises(KeyError, match="cholecseg8k has no official split"):
        splits.default("cholecseg8k")


def test_cross_validation_tests_every_video_once_and_validates_on_the_last_five():
    for source in ("cholect50", "cholect45"):
        folds = splits.folds(source, "crossval")
        assert len(folds) == 5
        tested = [splits.schemes(source)[f"crossval{n}"]["test"] for n in range(1, 6)]
        assert tuple(tested) == folds
        assert len(set(itertools.chain(*folds))) == sum(map(len, folds))
        for scheme in (splits.schemes(source)[f"crossval{n}"] for n in range(1, 6)):
            assert sum(map(len, scheme.values())) == sum(map(len, folds))
            assert len(scheme["val"]) == 5
    assert splits.schemes("cholect45")["crossval1"]["val"] == ("74", "1", "56", "4", "13")
    for one, other in zip(
        splits.folds("cholect45", "crossval"), splits.folds("cholect50", "crossval"), strict=True
    ):
        assert one == other[:-1]  # CholecT50 adds one video to every fold, at its end


def test_ranges_include_both_ends(table):
    table.write_text("a\tofficial\ttrain\t8-11,x,seq_{1-2}_z\twhere\n")
    assert splits.schemes("a") == {
        "official": {"train": ("8", "9", "10", "11", "x", "seq_1_z", "seq_2_z")}
    }
    assert splits.default("a") == "official"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a\to\ttrain\t1-4\n", "line 1: need source"),
        ("a\to\ttrain\t1-4\t\n", "line 1: need source"),
        ("a\to\ttraining\t1-4\tx\n", "line 1: the part 'training' is none of train, val, test"),
        ("# c\na\to\ttrain\t1,2,1\tx\n", "line 2: 1 is given twice"),
        ("a\to\ttrain\t4-1\tx\n", "line 1: the range 4-1 ends before it begins"),
        ("a\to\ttrain\t1\tx\na\to\ttrain\t2\tx\n", "line 2: a, o, train is given twice"),
        ("a\to\ttrain\t\tx\n", "line 1: videos belong in every part but 'default'"),
        ("a\to\ttrain\t1\tx\na\tp\ttrain\t1\tx\n", "schemes o, p; say which is the default"),
        ("a\to\ttrain\t1\tx\na\tp\tdefault\t\tx\n", r"default .*found: p"),
        ("a\to\ttrain\t1\tx\na\to\tdefault\t\tx\na\tp\tdefault\t\tx\n", "two default schemes"),
        ("dsad\to\ttrain\t1\tx\ndsad\to\ttest\t01\tx\n", "dsad/01 is in train and in test"),
    ],
)
def test_a_bad_row_is_told(table, rows, message):
    table.write_text(rows)
    with pytest.raises(ValueError, match=message):
        splits.official("dsad", "1")
        splits.schemes("a")
