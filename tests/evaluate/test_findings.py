"""Leaks, undeclared training and checkpoints chosen on test: found, counted, written down."""

import json

import pytest
from six_sets import prepare_all

from surgzoo.core.registry import UnknownNameError
from surgzoo.db import schema
from surgzoo.evaluate import findings
from surgzoo.evaluate.benchmarks.running import ask, score
from surgzoo.evaluate.findings import (
    Finding,
    declared,
    declared_selection,
    joined,
    leakage,
    of_videos,
    selection_of_run,
)
from surgzoo.evaluate.predictions import Prediction
from surgzoo.evaluate.run import of_weights


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare_all(tmp_path_factory.mktemp("two"), ("cholec80", "cholect50"))


def video(source, id, canonical):
    return schema.Video(
        id=id, canonical=canonical, source=source, specialty="", procedure="", licence=""
    )


# ---- leakage -------------------------------------------------------------------------------------


def test_operations_are_compared_not_names():
    training = of_videos([video("cholect50", "VID41", "cholec80/video41")])
    tested = {
        "phase": [
            video("cholec80", "video41", "cholec80/video41"),
            video("cholec80", "video42", "cholec80/video42"),
        ],
        "other": [video("sar_rarp50", "video_41", "sar_rarp50/video_41")],
    }
    (found,) = leakage(training, tested)
    assert (found.kind, found.counts) == ("leakage", {"shared": 1, "tested": 2})
    assert found.items == ("cholec80/video41",)
    assert found.text.startswith("phase: trained on 1 of its 2 test operations, in cholect50")


def test_two_parts_of_a_training_are_joined():
    seven = "cholec80/video07"
    one = findings.Training({seven: ("cholec80/7",)}, ("a",))
    other = findings.Training({seven: ("cholect50/VID07",), "x/1": ("x/1",)}, ("b",))
    both = joined(one, other)
    assert both.operations == {seven: ("cholec80/7", "cholect50/VID07"), "x/1": ("x/1",)}
    assert both.unclear == ("a", "b") and one.operations == {seven: ("cholec80/7",)}


def test_nothing_declared_is_said():
    (found,) = leakage(None, {"phase": []})
    assert found.kind == "training_undeclared" and "--trained_on" in found.text


def test_what_is_declared_becomes_operations(tmp_path):
    whole = declared(["cholec80"], tmp_path).operations
    assert len(whole) == 80 and whole["cholec80/video07"] == ("cholec80/7",)
    train = declared(["cholec80:40_40:train"], tmp_path).operations
    assert set(train) == {f"cholec80/video{n:02d}" for n in range(1, 41)}
    assert len(declared(["cholec80:train"], tmp_path).operations) == 32  # 32_8_40, the default
    assert len(declared(["cholec80.fps1:train"], tmp_path).operations) == 32
    # Another source's own numbers: m2cai16's tool video 1 is Cholec80's 67.
    assert "cholec80/video67" in declared(["m2cai16_tool:train"], tmp_path).operations
    listed = tmp_path / "mine.txt"
    listed.write_text("# what I used\ncholec80/video41\n\nsar_rarp50:train  # all of it\n")
    found = declared([str(listed)], tmp_path).operations
    assert "cholec80/video41" in found and len(found) == 41


def test_a_source_without_a_table_is_read_from_what_is_prepared(tmp_path, small_data):
    found = declared(["heichole"], tmp_path)
    assert found.operations == {} and "heichole: no table lists its videos" in found.unclear[0]
    assert [f.kind for f in leakage(found, {})] == ["training_undeclared"]
    rendered = declared(["synthsurg:train"], small_data).operations
    assert rendered and all(key.startswith("synthsurg/") for key in rendered)
    assert len(declared(["synthsurg"], small_data).operations) > len(rendered)


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ("cholec08", UnknownNameError, "Did you mean cholec80"),
        ("no/such/file.txt", UnknownNameError, "no source 'no'"),
        ("cholec80:trian", ValueError, "does not say what a model was trained on"),
        ("cholec80:40_41:train", ValueError, "has the schemes 40_40"),
        ("cholec80/abc", ValueError, "holds no number"),
    ],
)
def test_a_slip_in_a_declaration_is_no_silence(tmp_path, item, error, message):
    with pytest.raises(error, match=message):
        declared([item], tmp_path)


def test_likely_overlaps_are_told_once_both_sides_are_there(tmp_path):
    training = declared(["m2cai16_workflow:train"], tmp_path)
    tested = {"phase": [video("cholec80", "video41", "cholec80/video41")]}
    (found,) = leakage(training, tested)
    assert found.kind == "suspected_overlap" and "m2cai16_workflow and cholec80" in found.text
    none = {"phase": [video("autolaparo", "15", "autolaparo/15")]}
    assert leakage(training, none) == []


def test_a_benchmark_lists_shared_operations_by_set(data):
    """CholecT50's video 5 is tested by the challenge and is among Cholec80's 1-40."""
    asked = ask("surgvlm_bench", data)
    said = [Prediction(c.id, "m", c.target) for c in asked.conversations()]
    training = declared(["cholec80:40_40:train"], data)
    result = score(asked, said, training=training, selection=(), baselines=False)
    (leak,) = [f for f in result.findings if f.kind == "leakage"]
    assert leak.text.startswith("cholect50_triplet: trained on 1 of its 1 test operations")
    assert leak.items == ("cholec80/video05",)
    assert f"leakage: {leak.text}" in result.table()
    clean = declared(["sar_rarp50"], data)
    result = score(asked, said, training=clean, selection=(), baselines=False)
    assert [f.kind for f in result.findings] == ["partial"]


# ---- selection -----------------------------------------------------------------------------------


def scores_file(run, folder, name, model, split="test"):
    path = run / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"models": [model], "split": split}))


def test_the_last_checkpoint_is_chosen_by_no_score(tmp_path):
    assert selection_of_run(tmp_path, 100, {}, 100) == []
    scores_file(tmp_path, "eval-test", "scores.json", "m/run@100")
    assert selection_of_run(tmp_path, 100, {}, 100) == []


def test_an_earlier_checkpoint_needs_a_reason(tmp_path):
    (found,) = selection_of_run(tmp_path, 60, {}, 100)
    assert found.kind == "selection_undeclared"
    by_val = {"selection": {"split": "val", "metric": "accuracy"}}
    assert selection_of_run(tmp_path, 60, by_val, 100) == []
    (found,) = selection_of_run(tmp_path, 60, {"selection": {"split": "test"}}, 100)
    assert found.kind == "selected_on_test" and "step 60" in found.text


@pytest.mark.parametrize(
    ("folder", "name"), [("eval-test", "scores.json"), ("bench-x-open", "benchmark.json")]
)
def test_test_scores_of_other_steps_beside_it_mean_chosen_on_test(tmp_path, folder, name):
    scores_file(tmp_path, folder, name, "m/run@60")
    (found,) = selection_of_run(tmp_path, 100, {}, 100)
    assert found.kind == "selected_on_test"
    assert (found.items, found.counts) == (("60",), {"steps": 2})


def test_a_look_at_test_scores_is_remembered_once(tmp_path):
    for step in (60, 60, 100):
        findings.record(tmp_path, step, "test")
    assert len((tmp_path / findings.TESTED).read_text().splitlines()) == 2
    (found,) = selection_of_run(tmp_path, 100, {}, 100)
    assert (found.kind, found.items) == ("selected_on_test", ("60",))


def test_validation_scores_of_other_steps_do_not(tmp_path):
    scores_file(tmp_path, "eval-val", "scores.json", "m/run@60", split="val")
    assert selection_of_run(tmp_path, 100, {}, 100) == []


def test_declared_selection():
    assert [f.kind for f in declared_selection("test")] == ["selected_on_test"]
    assert [f.kind for f in declared_selection("")] == ["selection_undeclared"]
    assert declared_selection("val") == declared_selection("none") == []
    with pytest.raises(ValueError, match="train, val, test or none, not 'tset'"):
        declared_selection("tset")


# ---- the findings themselves ---------------------------------------------------------------------


def test_findings_are_written_as_plain_json(tmp_path):
    found = [Finding("leakage", "text", {"shared": 2}, ("a", "b"))]
    findings.save(found, tmp_path / "findings.json")
    (read,) = json.loads((tmp_path / "findings.json").read_text())
    assert read == {"kind": "leakage", "text": "text", "counts": {"shared": 2}, "items": ["a", "b"]}
    with pytest.raises(ValueError, match="is no kind of finding"):
        Finding("lekage", "")


def test_what_weights_have_seen_is_what_the_card_says_and_what_is_declared(tmp_path):
    known = of_weights("surgvlp", "SurgVLP.pth", tmp_path, declared=["cholec80/video07"])
    assert list(known.operations.values()) == [("cholec80/video07",)]
    assert "what the known ones of surgvlp have seen" in known.unclear[0]
    own = of_weights("tecno-tiny", "folder", tmp_path, declared=["cholec80/video07"])
    assert (own.operations, own.unclear) == (known.operations, ())
    (said,) = of_weights("tecno-tiny", "folder", tmp_path).unclear
    assert said == "the weights folder: what those were trained on is not declared"
