"""One operation, one id; and a mixture that trains on a benchmark's test operations is an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("cholecinstanceseg", "VID09_seg8k", "cholec80/video09"),
        ("cholecinstanceseg", "VID103_t50_sparse", "camma/VID103"),
        ("m2cai16_tool_locations", "v01", "cholec80/video67"),
        ("m2cai16_workflow", "test_workflow_video_03", "m2cai16_workflow/test_workflow_video_03"),
        ("m2cai16_workflow", "workflow_video_3", "m2cai16_workflow/workflow_video_03"),
        ("endovis2018", "seq_1", "endovis2018/seq_1"),
        ("endovis2018", "test_seq_1", "endovis2018/test_seq_1"),
        ("endovis2018_vqa", "seq_1", "endovis2018/seq_1"),
        ("endovis2018_vqla", "01", "endovis2018/seq_1"),
        ("endovis2017", "instrument_dataset_3", "endovis2017/seq_3"),
        ("endovis2017", "test_3", "endovis2017/seq_3"),
        ("endovis2017_vqla", "seq3", "endovis2017/seq_3"),
        ("pitvqa", "video_02", "pitvis/video_02"),
        ("pitvis", "2", "pitvis/video_02"),
        ("cadis", "Video7", "cataracts/train07"),
        ("cataracts", "train07", "cataracts/train07"),
        ("cataracts", "test07", "cataracts/test07"),
        ("autolaparo", "07", "autolaparo/07"),
        ("autolaparo", "clip_7", "autolaparo/clip_007"),
        ("heichole", "Hei-Chole4_calot", "heichole/Hei-Chole4"),
        ("heichole", "Hei-Chole4", "heichole/Hei-Chole4"),
        ("sar_rarp50", "video_11_2", "sar_rarp50/video_11"),
        ("surgvu24", "case_012_video_part_001", "surgvu24/case_012"),
        ("surgvu24", "case122", "surgvu24/case_122"),
        ("surgvu24", "cat1_3", "surgvu24/cat1_3"),
        ("ophnet2024", "case_0002_0", "ophnet2024/case_0002"),
        ("jigsaws", "Suturing_B001_capture1", "jigsaws/suturing_b001"),
        ("egosurgery_phase", "04_2", "egosurgery_phase/04"),
        ("dsad", "04", "dsad/04"),
        ("multibypass140", "BBP01", "multibypass140/BBP01"),
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


@pytest.mark.parametrize(
    ("source", "name"),
    [("endovis2018", "left_frames"), ("cadis", "train7"), ("cholecinstanceseg", "VID09_seg9k")],
)
def test_an_id_that_cannot_be_read_is_an_error_with_the_form_expected(source, name):
    with pytest.raises(ValueError, match=rf"{source}: the video id '{name}' is not of the form"):
        identity.canonical(source, name)


def test_pieces_of_one_operation_are_told_apart_where_they_are_in_different_splits():
    assert identity.piece("endovis2017", "test_3") == "endovis2017/test_seq_3"
    assert identity.piece("endovis2017", "3") == identity.canonical("endovis2017", "3")
    assert identity.piece("cholect50", "VID06") == identity.canonical("cholect50", "VID06")


@given(st.sampled_from(identity.NAMINGS), st.integers(1, 9999))
def test_a_canonical_name_read_again_is_itself(naming, number):
    """Else the same operation would get two ids, one of them from a prepared source's own name."""
    fields = {"number": number, "test": "test_", "part": "train", "trial": "suturing_b001"}
    name = naming.name.format(**fields)
    source = naming.sources[0]
    if source == "cadis":  # has its home's names, which differ from its own
        source = "cataracts"
    once = identity.canonical(source, name)
    assert once.endswith(f"{number:02d}" if source == "cholecinstanceseg" else name)
    assert identity.canonical(source, name.upper()) == once


def test_the_ledger_names_each_pair_once_and_with_evidence():
    assert len({source for source, *_ in identity.SAME_IDS}) == len(identity.SAME_IDS)
    assert all(evidence for *_, evidence in (*identity.SAME_IDS, *identity.SUSPECTED))
    assert all(naming.evidence for naming in identity.NAMINGS)


def test_likely_overlaps_are_warned_of_only_where_both_sources_are_there():
    assert identity.suspected(["cholec80", "cholect50", "endoscapes"]) == ()
    assert identity.suspected(["m2cai16_workflow"]) == ()
    (warning,) = identity.suspected(["m2cai16_workflow", "ssg_vqa"])  # SSG-VQA is of Cholec80's
    assert warning.startswith("m2cai16_workflow and cholec80: ")
    assert identity.suspected(["autolaparo"])[0].startswith("autolaparo within itself: ")


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
