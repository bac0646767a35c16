"""Benchmarks: the Arena against hand-computed numbers, protocols, what is missing, baselines."""

import dataclasses
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from six_sets import prepare_all

from surgzoo.core.registry import Card
from surgzoo.data.media import Stores
from surgzoo.db import splits
from surgzoo.evaluate.benchmarks import benchmarks, questions
from surgzoo.evaluate.benchmarks.definition import Benchmark, BenchmarkSet, Prompt
from surgzoo.evaluate.benchmarks.result import BenchmarkResult, SetResult, totals
from surgzoo.evaluate.benchmarks.running import ask, describe, score, score_file, write_questions
from surgzoo.evaluate.predictions import Prediction, PredictionsError
from surgzoo.evaluate.predictors.questions import of_benchmark
from surgzoo.tasks import tasks
from surgzoo.tasks.wording import Wording

# Headline of the majority, prior or mean-box baseline on the fixtures, by hand:
#   cholec80   300 of 626 frames at 25 fps are preparation, so 12 of 26 at 1 fps: the other phase is
#              said, right at 20 s and wrong at 0 s and 10 s
#   sar        three actions in the training video, once each
#   cholect50  {grasper ...} in two of four frames
#   cvs        of two boxed frames C1 is met in both, C2 in none, C3 in one: a tie, so said not met
#   vqa        each question has one answer
SETS = (
    "cholec80_phase",
    "sar_rarp50_action",
    "cholect50_triplet",
    "endoscapes_cvs",
    "endovis2018_vqa",
    "endovis2017_localization",
)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    return prepare_all(tmp_path_factory.mktemp("six"))


def truths(asked):
    return [Prediction(c.id, "truth", c.target) for c in asked.conversations()]


def scored(asked, predictions, **options):
    return score(asked, predictions, training=None, selection=(), **options)


def kinds(result):
    return [finding.kind for finding in result.findings]


# ---- SurgVLM-Bench -------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["open", "choice"])
@pytest.mark.filterwarnings("ignore:no baseline for some questions of mask_boxes")
def test_truth_scores_600_and_baselines_what_theory_says(six, protocol):
    asked = ask("surgvlm_bench", six, protocol=protocol)
    assert tuple(asked.truths) == SETS
    counts = {name: len(truth.conversations) for name, truth in asked.truths.items()}
    assert list(counts.values()) == [3, 3, 4, 2, 6, 2]
    result = scored(asked, truths(asked))
    (total,) = result.totals
    assert total.value == pytest.approx(600)
    assert total.text == "Arena 600.00 (6 of 6 sets)"
    assert [item.unparsed for item in result.sets] == [0] * 6
    baselines = {item.name: item.baselines for item in result.sets}
    assert baselines["cholec80_phase"] == {"majority": pytest.approx(1 / 3)}
    assert baselines["sar_rarp50_action"] == {"majority": pytest.approx(1 / 3)}
    assert baselines["cholect50_triplet"]["frequent set"] == pytest.approx(1 / 2)
    assert baselines["endoscapes_cvs"] == {"majority": pytest.approx(5 / 6)}
    assert baselines["endovis2018_vqa"] == {
        "majority": pytest.approx(1 / 3),
        "question prior": pytest.approx(1),
    }
    # One question is about an instrument that the training never shows: no answer, so wrong.
    assert baselines["endovis2017_localization"] == {"mean box": pytest.approx(1 / 2)}


def test_arena_by_hand(six):
    """One wrong answer a set, by another rule each."""
    asked = ask("surgvlm_bench", six)
    said = {c.id: c.target for c in asked.conversations()}
    first = {name: next(iter(truth.conversations)) for name, truth in asked.truths.items()}
    said[first["cholec80_phase"]] = "gallbladder retraction"  # 2 of 3
    said[first["sar_rarp50_action"]] = "I cannot tell"  # unparsed: 2 of 3
    said[first["cholect50_triplet"]] = "none"  # 3 of 4
    said[first["endoscapes_cvs"]] = "Criterion 1: No. Criterion 2: No. Criterion 3: No."  # 5 of 6
    said[first["endovis2018_vqa"]] = "liver"  # 5 of 6
    # The bipolar forceps fill 64x64 pixels at (640, 0) and 320x512 at (960, 512), one box of
    # 640x1024 from (640, 0) on; half of it is said.
    said[first["endovis2017_localization"]] = "[0.5, 0.0, 0.75, 1.0]"  # (1 + 0.5) / 2
    result = scored(
        asked, [Prediction(id, "m", text) for id, text in said.items()], baselines=False
    )
    assert [item.value for item in result.sets] == [
        pytest.approx(value) for value in (2 / 3, 2 / 3, 3 / 4, 5 / 6, 5 / 6, 3 / 4)
    ]
    (total,) = result.totals
    assert total.value == pytest.approx(100 * (4 / 3 + 3 / 4 + 10 / 6 + 3 / 4))
    assert [item.unparsed for item in result.sets] == [0, 1, 0, 0, 0, 0]
    triplets = result.set("cholect50_triplet").metrics
    assert [triplets[f"{part}_accuracy"] for part in ("i", "v", "t", "ivt")] == [0.75] * 4


def test_missing_sets_make_a_partial_arena_that_is_never_the_whole(six, tmp_path):
    data = tmp_path / "data"
    for name in ("cholec80", "endovis2018_vqa"):
        shutil.copytree(six / name, data / name)
    asked = ask("surgvlm_bench", data)
    result = scored(asked, truths(asked), baselines=False)
    (total,) = result.totals
    assert (total.value, total.partial, total.counted, total.of) == (None, pytest.approx(200), 2, 6)
    assert total.text == "Arena, partial (2 of 6 sets): 200.00"
    gone = result.set("sar_rarp50_action")
    assert gone.status == "not prepared"
    assert "surgzoo prepare --source=sar_rarp50 --builder_config=fps1" in gone.why
    assert str(data) in gone.why
    (partial,) = [f for f in result.findings if f.kind == "partial"]
    assert partial.counts == {"lacking": 4, "sets": 6}
    assert "Arena 200" not in result.markdown()
    assert "surgzoo prepare --source=endoscapes" in describe(asked)


def test_a_set_without_answers_is_not_scored_and_a_hole_counts_as_wrong(six):
    asked = ask("surgvlm_bench", six)
    phase = list(asked.truths["cholec80_phase"].conversations.values())
    result = scored(asked, [Prediction(c.id, "m", c.target) for c in phase[:2]], baselines=False)
    item = result.set("cholec80_phase")
    assert (item.value, item.asked, item.answered) == (pytest.approx(2 / 3), 3, 2)
    assert {r.status for r in result.sets if r.name != "cholec80_phase"} == {"not answered"}
    assert result.totals[0].value is None
    assert [f.counts for f in result.findings if f.kind == "unanswered"] == [
        {"missing": 1, "asked": 3}
    ]


def test_predictions_that_answer_no_question_are_told_apart(six):
    asked = ask("surgvlm_bench", six)
    right = truths(asked)
    strays = [
        Prediction("cholec80.fps5/video41/000000/phase_recognition/0", "m", "preparation"),
        Prediction("cholec80.fps1/video01/000000/phase_recognition/0", "m", "preparation"),
        Prediction("cholec80.fps1/video41/000001/phase_recognition/0", "m", "preparation"),
        Prediction("synthsurg.fps1/a/000001/phase_recognition/0", "m", "preparation"),
    ]
    result = scored(asked, [*right, *strays], baselines=False)
    found = {f.kind: f.counts["predictions"] for f in result.findings if "predictions" in f.counts}
    assert found == {"frame_rate": 1, "wrong_split": 1, "unknown": 2}
    assert result.totals[0].value == pytest.approx(600)


def test_protocols_put_questions_differently_and_ids_stay(six):
    by = {protocol: ask("surgvlm_bench", six, protocol=protocol) for protocol in ("open", "choice")}
    ids = [[c.id for c in asked.conversations()] for asked in by.values()]
    assert ids[0] == ids[1]
    shown = {p: {c.id: c for c in asked.conversations()} for p, asked in by.items()}
    phase = next(iter(by["open"].truths["cholec80_phase"].conversations))
    assert shown["open"][phase].choices == ()
    assert "A. preparation\nB. calot triangle dissection" in shown["choice"][phase].prompt
    assert shown["choice"][phase].target == "A. preparation"
    letters = [Prediction(c.id, "m", c.target[:1]) for c in shown["choice"].values() if c.choices]
    result = scored(by["choice"], letters, baselines=False)
    for name in ("cholec80_phase", "sar_rarp50_action", "endovis2018_vqa"):
        assert result.set(name).value == 1
    triplet = next(iter(by["open"].truths["cholect50_triplet"].conversations))
    assert "Verbs: dissect, grasp" in shown["choice"][triplet].prompt
    assert "Verbs:" not in shown["open"][triplet].prompt


def test_boxes_are_around_all_pixels_of_a_class(six):
    truth = ask("surgvlm_bench", six).truths["endovis2017_localization"]
    answers = {c.options[0]: c.answer[0][1] for c in truth.conversations.values()}
    assert answers == {
        "bipolar forceps": pytest.approx([0.5, 0, 1, 1]),
        "prograsp forceps": pytest.approx([0, 0, 0.25, 0.5]),
    }


def test_instances_of_a_class_share_its_box(six):
    (item,) = [s for s in benchmarks.get("surgvlm_bench").sets if s.name == SETS[-1]]
    training = dataclasses.replace(item, split="train")
    (asked,) = questions.load([training], six, "open")[item.name].conversations.values()
    assert asked.answer == [["prograsp forceps", pytest.approx([0, 0, 0.25, 0.5])]]


def test_only_boxed_frames_are_asked_about_safety(six):
    truth = ask("surgvlm_bench", six).truths["endoscapes_cvs"]
    assert [truth.times[id] for id in truth.conversations] == [0.0, 30.0]
    all_votes = ask("endoscapes", six).truths["cvs"]
    assert [all_votes.times[id] for id in all_votes.conversations] == [0.0, 30.0, 35.0]


# ---- sampling ------------------------------------------------------------------------------------


def test_frames_are_taken_at_full_stretches(six):
    truth = ask("surgvlm_bench", six).truths["cholec80_phase"]
    assert [truth.times[id] for id in truth.conversations] == [0.0, 10.0, 20.0]
    whole = ask("cholec80", six).truths["phase"]
    assert len(whole.conversations) == 26
    assert [whole.times[id] for id in questions.thinned(whole, 7.5)] == [0.0, 8.0, 15.0, 23.0]


def test_a_draw_is_seeded_ordered_and_stable():
    ids = [f"s.c/v/{n:06d}/t/0" for n in range(50)]
    first = questions.drawn(ids, 10, 0)
    assert first == questions.drawn(ids, 10, 0) == sorted(first) and len(first) == 10
    assert questions.drawn(ids, 10, 1) != first
    # Without one of the others the draw stays the same; without one of its own, nine stay.
    other = next(id for id in ids if id not in first)
    assert questions.drawn([id for id in ids if id != other], 10, 0) == first
    assert set(first[1:]) < set(questions.drawn([id for id in ids if id != first[0]], 10, 0))
    assert questions.drawn(ids[:3], 10, 0) == ids[:3]


def test_a_limit_is_labelled(six):
    asked = ask("surgvlm_bench", six, limit=2)
    assert {len(truth.conversations) for truth in asked.truths.values()} == {2}
    assert "sampled" in kinds(scored(asked, truths(asked), baselines=False))
    wide = ask("surgvlm_bench", six, limit=100)
    assert "sampled" not in kinds(scored(wide, truths(wide), baselines=False))


# ---- files ---------------------------------------------------------------------------------------


def test_questions_file_holds_all_but_the_answer(six, tmp_path):
    asked = ask("surgvlm_bench", six, protocol="choice")
    path = tmp_path / "q.jsonl"
    assert write_questions(asked, path, tmp_path / "frames") == 20
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["id"] for line in lines] == [c.id for c in asked.conversations()]
    known = {c.id: c for c in asked.conversations()}
    for line in lines:
        assert set(line) == {"id", "set", "prompt", "choices", "media", "time", "images"}
        assert line["prompt"] == known[line["id"]].prompt
        (image,) = line["images"]
        media = known[line["id"]].media[0]
        store = asked.truths[line["set"]].stores[f"{media.source}.{media.config}"]
        with open(image, "rb") as file:
            data = file.read()
        assert data == store.frame(media.video, media.first).image
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_result_is_saved_and_read_and_its_markdown_prints_prompts(six, tmp_path, write):
    asked = ask("surgvlm_bench", six)
    path = write([{"id": p.id, "text": p.text, "model": "mine"} for p in truths(asked)])
    result = score_file(asked, path, baselines=False)
    result.save(tmp_path / "benchmark.json")
    assert BenchmarkResult.load(tmp_path / "benchmark.json") == result
    text = (tmp_path / "benchmark.md").read_text()
    assert text.startswith("# surgvlm_bench (open): mine")
    assert "**Arena 600.00 (6 of 6 sets)**" in text
    assert "> In the cholecystectomy surgical image, what is the current phase?" in text
    assert "training data not declared" in text
    assert "how the model was selected is not declared" in text
    assert kinds(result) == ["training_undeclared", "selection_undeclared"]
    with pytest.raises(PredictionsError, match="holds no prediction"):
        score_file(asked, write([], "empty.jsonl"))


def surgzoo(*arguments):
    command = [sys.executable, "-m", "surgzoo.tools.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_writes_questions_and_scores_answers(six, tmp_path):
    base = ("benchmark", "--name=surgvlm_bench", f"--data_dir={six}", "--protocol=choice")
    done = surgzoo(*base, f"--questions={tmp_path / 'q.jsonl'}")
    assert done.returncode == 0 and "20 questions" in done.stdout, done.stderr
    assert "question of a re-implementation" in done.stdout
    asked = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    said = [{"id": q["id"], "model": "B", "text": "B"} for q in asked]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in said))
    done = surgzoo(*base, f"--predictions={path}", "--trained_on=cholec80", "--selected_on=test")
    assert done.returncode == 0, done.stderr
    assert "Arena 66.67 (6 of 6 sets)" in done.stdout  # B is right in one phase and one action
    result = BenchmarkResult.load(tmp_path / "benchmark.json")
    assert kinds(result) == ["leakage", "leakage", "selected_on_test"]
    assert (tmp_path / "benchmark.md").is_file()
    wrong = surgzoo(*base, f"--predictions={path}", "--trained_on=cholec08")
    assert wrong.returncode != 0 and "Did you mean cholec80" in wrong.stderr


def test_a_server_is_asked_a_benchmark_in_its_words(six, tmp_path):
    base = ("predict", "--endpoint=http://127.0.0.1:9/v1", "--model=m", "--dry_run")
    more = (f"--data_dir={six}", f"--out={tmp_path / 'p.jsonl'}")
    done = surgzoo(*base, *more, "--sources=benchmark:surgvlm_bench")
    assert done.returncode == 0 and done.stdout.startswith("20 requests"), done.stderr
    wrong = surgzoo(*base, *more, "--sources=benchmark:surgvlm_bench", "--split=val")
    assert "decides about tasks and splits" in wrong.stderr
    stores = Stores(six)
    items = of_benchmark(stores, "surgvlm_bench", Wording(protocol="choice"))
    assert [c.id for c in items] == [c.id for c in ask("surgvlm_bench", six).conversations()]
    with pytest.raises(ValueError, match="surgzoo prepare --source=autolaparo"):
        of_benchmark(stores, "autolaparo", Wording())


# ---- totals --------------------------------------------------------------------------------------


def one(name, value, unit=None):
    status = "not prepared" if value is None else "scored"
    return SetResult(name, "s.c", "t", "test", "d", "", "m", status, value=value, unit=unit)


def test_folds_are_averaged_with_their_deviation_and_all_or_not():
    sets = [one("a/fold1", 0.2), one("a/fold2", 0.4), one("b/fold1", 0.5), one("b/fold2", None)]
    a, b = totals("folds", "mean", sets)
    assert a.value == pytest.approx(0.3) and a.deviation == pytest.approx(0.02**0.5)
    assert a.text == "a: mean 30.00 ± 14.14 (2 of 2 folds)"
    assert (b.value, b.partial, b.counted, b.of) == (None, 0.5, 1, 2)


def test_tasks_weigh_alike_and_decibels_stay_out():
    sets = [one("p/x", 1.0), one("p/y", 0.5), one("q/x", 0.25), one("d/x", 30.0, "dB")]
    (whole,) = totals("tasks", "mean", sets, ("p", "q"))
    assert whole.value == pytest.approx((0.75 + 0.25) / 2)
    (partial,) = totals("tasks", "mean", sets, ("p", "q", "r"))
    assert (partial.value, partial.partial, partial.of) == (None, pytest.approx(0.5), 3)
    (hole,) = totals("tasks", "mean", [*sets, one("q/y", None)], ("p", "q"))
    assert (hole.value, hole.partial) == (None, pytest.approx(0.75))


def test_nothing_scored_has_no_sum():
    (total,) = totals("sum", "Arena", [one("a", None), one("b", None)])
    assert (total.value, total.partial) == (None, None)
    assert total.text == "Arena, partial (0 of 2 sets): –"
    assert totals("none", "", [one("a", 1.0)]) == ()


# ---- definitions ---------------------------------------------------------------------------------


def all_sets():
    for entry in benchmarks:
        benchmark = benchmarks.get(entry.name)
        assert benchmark.name == entry.name
        if not callable(benchmark.sets):
            yield from ((entry.name, item) for item in benchmark.sets)


def test_every_set_names_a_known_source_split_and_task():
    from surgzoo.db.sources import sources

    for name, item in all_sets():
        source, _, config = item.source.partition(".")
        configs = {c.name for c in sources.get(source).BUILDER_CONFIGS}
        assert config in configs, (name, item.name)
        known = splits.schemes(source)
        assert item.scheme in known and item.split in known[item.scheme], (name, item.name)
        task = item.build()
        assert task.headline and item.facts, (name, item.name)
        assert item.train in known[item.scheme] or source == "endovis2017_vqla"


def test_a_benchmark_of_a_plug_in_joins(six):
    set_of = BenchmarkSet("late", "cholec80.fps1", "phase_recognition", scheme="40_40", every=5)
    benchmarks.register("toy_bench", Benchmark("toy_bench", (set_of,)), Card("toy", "CC0", "here"))
    try:
        asked = ask("toy_bench", six, protocol="choice")
        assert len(asked.truths["late"].conversations) == 6
        assert all(c.choices for c in asked.conversations())  # the tasks' own wording
        assert scored(asked, truths(asked), baselines=False).set("late").value == 1
    finally:
        del benchmarks._entries["toy_bench"]


def test_two_sets_of_one_name_or_two_wordings_of_one_id_are_errors(six):
    set_of = BenchmarkSet("a", "cholec80.fps1", "phase_recognition", scheme="40_40")
    with pytest.raises(ValueError, match="two sets are called a"):
        Benchmark("b", (set_of, set_of)).sets_of(six)
    other = BenchmarkSet(
        "b", "cholec80.fps1", "phase_recognition", scheme="40_40", prompt=Prompt("Phase, please?")
    )
    benchmarks.register("toy_bench", Benchmark("toy_bench", (set_of, other)), Card("t", "", ""))
    try:
        with pytest.raises(ValueError, match="in different words"):
            ask("toy_bench", six).conversations()
    finally:
        del benchmarks._entries["toy_bench"]


# ---- all tasks, and the video-wise headline ------------------------------------------------------


def test_surgsigma_asks_every_task_of_every_prepared_source(small_data):
    benchmark = benchmarks.get("surgsigma_18")
    found = benchmark.sets_of(small_data)
    names = {item.name for item in found}
    assert {item.source for item in found} == {"synthsurg.small"}
    eighteen = {e.name for e in tasks if e.origin == "surgzoo"}
    assert len(eighteen) == 18
    assert {name.partition("/")[0] for name in names} <= eighteen
    few = ("phase_recognition/synthsurg", "next_action/synthsurg")
    asked = ask("surgsigma_18", small_data, sets=few, limit=20)
    result = scored(asked, truths(asked))
    assert [result.set(name).value for name in few] == [1, 1]
    (total,) = result.totals
    assert (total.value, total.counted, total.of) == (None, 2, 17)  # desmoking is in dB
    assert "partial (2 of 17 tasks)" in total.text
    with pytest.raises(ValueError, match="no set phases"):
        ask("surgsigma_18", small_data, sets=["phases"])


def test_video_wise_accuracy_weighs_videos_alike():
    from surgzoo.evaluate.benchmarks.asked import VideoPhase
    from surgzoo.tasks.base import Scored
    from tests.evaluate.conversations import conversation

    rows = [("a", "x", "x")] * 9 + [("a", "x", None)] + [("b", "y", "x")] * 2
    scored_rows = [Scored(conversation(video, true), said) for video, true, said in rows]
    task = VideoPhase()
    assert task.metrics(scored_rows)[task.headline] == pytest.approx(0.45)
    above, below = task.tally(scored_rows)[""]
    assert above / below == pytest.approx(0.45)
