"""Phases as sequences in time, from a predictions file to the row of the scores."""

import dataclasses

import pytest

from surgzoo.evaluate import workflow
from surgzoo.evaluate.score import score
from surgzoo.evaluate.truth import place
from surgzoo.metrics import phases, segments
from surgzoo.tasks.base import Scored

TASK = "phase_recognition"
RELAXED = "relaxed_accuracy_as_intended"


@pytest.fixture
def lines(perfect):
    return [line for line in perfect if f"/{TASK}/" in line["id"]]


def scored(truth, video=None):
    """The truth as answers of one video, or of all."""
    return [
        (id, Scored(item, item.answer))
        for id, item in truth.conversations.items()
        if item.task == TASK and video in (None, place(id))
    ]


def test_truth_is_the_ceiling(data_dir, lines, write):
    for row in score(write(lines), data_dir).rows:
        found = row.metrics
        assert found["whole_videos"] == 1
        for key in (RELAXED, "relaxed_jaccard_as_intended", "edit", "f1_at_10", "f1_at_50"):
            assert found[key] == 1, key
        assert found["relaxed_jaccard_as_intended_std"] == 0


def test_late_by_two_frames(data_dir, truth, lines, write):
    """Right if relaxed, and not if strict; every segment is still found."""
    said = [line["text"] for line in lines]
    for number, line in enumerate(lines):
        index = number % 20
        line["text"] = said[number - min(index, 2)]
    row = score(write(lines), data_dir).row(TASK)
    assert row.metrics["accuracy"] == pytest.approx(16 / 20)
    assert row.metrics[RELAXED] == 1
    assert row.metrics["edit"] == 1
    assert row.metrics["f1_at_50"] == 1
    assert row.metrics["video_jaccard"] < row.metrics["relaxed_jaccard_as_intended"] == 1


def test_flicker(data_dir, truth, lines, write):
    """One wrong frame a video: 95 % of the frames, and two segments too many."""
    other = {"preparation": "clipping and cutting", "clipping and cutting": "preparation"}
    for line in lines[3::20]:
        line["text"] = other[line["text"]]
    found = score(write(lines), data_dir).row(TASK).metrics
    assert found["accuracy"] == pytest.approx(19 / 20)
    assert found["edit"] == pytest.approx(3 / 5)
    assert found["f1_at_10"] == pytest.approx(2 * 3 / (5 + 3))


def test_a_gap_is_said_and_not_papered_over(data_dir, lines, write):
    path = write([line for number, line in enumerate(lines) if number != 45])  # op05 of six
    scores = score(path, data_dir)
    assert scores.row(TASK).metrics["whole_videos"] == pytest.approx(5 / 6)
    assert scores.row(TASK).metrics["edit"] == 1
    gapped = scores.row(TASK, "video", "toyscope.fps1/op05")
    assert gapped.metrics["whole_videos"] == 0
    assert not {"edit", "f1_at_10", RELAXED} & set(gapped.metrics)
    assert gapped.metrics["video_accuracy"] == 1  # needs no sequence
    wrong = score(path, data_dir, missing="wrong").row(TASK)  # then it is an answer, a wrong one
    assert wrong.metrics["whole_videos"] == 1
    assert wrong.metrics["edit"] < 1


def test_frames_without_a_question(truth):
    """At an end they are outside of the sequence, inside they are a hole."""
    task, items = truth.tasks[TASK], scored(truth, "toyscope.fps1/op04")
    for gone, share in (({0, 1, 19}, 1), ({7}, 0)):
        kept = [pair for number, pair in enumerate(items) if number not in gone]
        ids = {items[number][0] for number in gone}
        less = {id: item for id, item in truth.conversations.items() if id not in ids}
        fewer = dataclasses.replace(truth, conversations=less)
        assert workflow.metrics(fewer, task, kept)["whole_videos"] == share


def test_times_that_do_not_fit_the_frame_rate(truth):
    """Frames of a sparse source, or a store that says 25 where it holds 1."""
    task, items = truth.tasks[TASK], scored(truth)
    sparse = dataclasses.replace(truth, times={id: 5 * t for id, t in truth.times.items()})
    assert workflow.metrics(sparse, task, items) == {"whole_videos": 0}
    videos = {
        name: dataclasses.replace(stored, video=dataclasses.replace(stored.video, fps=25.0))
        for name, stored in truth.videos.items()
    }
    assert workflow.metrics(dataclasses.replace(truth, videos=videos), task, items) == {
        "whole_videos": 0
    }


def test_the_frame_rate_is_that_of_the_store(truth):
    """A quarter of a frame a second: ten seconds are three frames, and the fourth is late."""
    task, items = truth.tasks[TASK], scored(truth)
    answers = [item.conversation.answer for _, item in items]
    late = [
        (id, item._replace(answer=answers[n - min(n % 20, 4)]))
        for n, (id, item) in enumerate(items)
    ]
    assert workflow.metrics(truth, task, late)[RELAXED] == 1
    slow = dataclasses.replace(
        truth,
        times={id: 4 * t for id, t in truth.times.items()},
        videos={
            name: dataclasses.replace(stored, video=dataclasses.replace(stored.video, fps=0.25))
            for name, stored in truth.videos.items()
        },
    )
    found = workflow.metrics(slow, task, late)
    assert found["whole_videos"] == 1
    assert found[RELAXED] == pytest.approx(1 - 2 / 20)


def test_published_only_for_one_vocabulary_of_seven_or_eight(truth):
    task, items = truth.tasks[TASK], scored(truth, "toyscope.fps1/op03")
    assert not any("as_published" in key for key in workflow.metrics(truth, task, items))
    options = tuple(f"phase {number}" for number in range(7))

    def seven(item):
        name = options[("preparation", "calot triangle dissection").count(item.answer)]
        return dataclasses.replace(item, options=options, answer=name)

    conversations = {id: seven(item.conversation) for id, item in items}
    renamed = dataclasses.replace(truth, conversations=conversations)
    items = [(id, Scored(item, options[0])) for id, item in conversations.items()]
    found = workflow.metrics(renamed, task, items)
    answers = [item.answer for item in conversations.values()]
    expected = phases.relaxed_as_published(answers, [options[0]] * 20, options, 1)
    assert found["relaxed_accuracy_as_published"] == pytest.approx(expected.accuracy)
    assert found["relaxed_jaccard_as_published"] == pytest.approx(
        phases.spread([expected], "jaccard").mean
    )
    counted = segments.counts(answers, [options[0]] * 20, 0.25)
    assert found["f1_at_25"] == pytest.approx(segments.f1([counted]))


def test_other_tasks_have_no_sequence(data_dir, truth, perfect, write):
    scores = score(write(perfect), data_dir)
    for name in set(scores.tasks) - {TASK}:
        assert "whole_videos" not in scores.row(name).metrics
    assert workflow.metrics(truth, truth.tasks[TASK], []) == {}
