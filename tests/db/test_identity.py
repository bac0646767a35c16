"""One operation, one id; and a mixture that trains on a benchmark's test operations is an error."""

import json

import pytest

from surgzoo.db import identity, records, schema


def video(source, name):
    return schema.Video(
        name, identity.canonical(source, name), source, "hepatobiliary", "cholecystectomy", "x"
    )


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        ("cholec80", "video01", "cholec80/video01"),
        ("cholect50", "VID01", "cholec80/video01"),
        ("cholect50", "VID1", "cholec80/video01"),
        ("cholec80_vqa", "1", "cholec80/video01"),
        ("cholect50", "VID80", "cholec80/video80"),
        ("cholect50", "VID92", "camma/VID92"),
        ("cholectrack20", "VID111", "camma/VID111"),
        ("endoscapes", "1", "cholec80/video67"),
        ("endoscapes", "33", "camma/VID110"),
        ("endoscapes", "5", "endoscapes/5"),
        ("m2cai16_tool", "tool_video_10", "cholec80/video76"),
        ("m2cai16_tool", "15", "cholec80/video66"),
        ("psi_ava", "CASE001", "grasp/CASE001"),
        ("grasp", "CASE001", "grasp/CASE001"),
        ("my_lab", "case 7", "my_lab/case 7"),
    ],
)
def test_canonical(source, name, expected):
    assert identity.canonical(source, name) == expected


def test_the_five_further_videos_of_cholect50_are_not_cholec80():
    for number in (92, 96, 103, 110, 111):
        assert identity.canonical("cholect50", f"VID{number}") == f"camma/VID{number}"


def test_an_id_without_a_number_is_an_error_in_a_numbered_source():
    with pytest.raises(ValueError, match="cholect50: the video id 'first'"):
        identity.canonical("cholect50", "first")


def test_every_overlap_says_where_it_is_from_and_is_given_once():
    keys = [(source, number) for source, number, _, _ in identity.OVERLAPS]
    assert len(keys) == len(set(keys)) == 24
    assert all(evidence for *_, evidence in identity.OVERLAPS)


def test_leakage_across_sources_is_found_by_operation():
    training = [video("cholec80", "video06"), video("cholec80", "video07"), video("synthsurg", "a")]
    testing = [video("cholect50", "VID06"), video("endoscapes", "5")]
    with pytest.raises(identity.LeakageError) as caught:
        identity.check_leakage(training, testing)
    message = str(caught.value)
    assert "trained in cholec80, tested in cholect50 (1): cholec80/video06" in message
    assert "video07" not in message
    assert caught.value.leakage.shared == (
        identity.SharedVideo("cholec80/video06", ("cholec80/video06",), ("cholect50/VID06",)),
    )


def test_an_override_is_returned_as_data():
    leakage = identity.check_leakage(
        [video("cholec80", "video67")], [video("endoscapes", "1")], allow=True
    )
    assert leakage.overridden
    assert json.loads(schema.to_json(leakage)) == {
        "overridden": True,
        "shared": [
            {
                "canonical": "cholec80/video67",
                "training": ["cholec80/video67"],
                "testing": ["endoscapes/1"],
            }
        ],
    }


def test_a_clean_mixture_passes_and_an_unused_override_is_not_recorded():
    stored = [records.StoredVideo(video("cholec80", "video01"), 0, 5)]
    for allow in (False, True):
        leakage = identity.check_leakage(stored, [video("cholec80", "video41")], allow=allow)
        assert leakage == identity.Leakage()


def test_a_video_without_canonical_id_is_an_error():
    nameless = schema.Video("a", "", "my_lab", "s", "p", "l")
    with pytest.raises(ValueError, match="my_lab/a has no canonical id"):
        identity.check_leakage([nameless], [])
