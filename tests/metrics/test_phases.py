import itertools
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import phases

SEVEN, EIGHT = list("ABCDEFG"), list("ABCDEFGH")


def video(runs):
    """ "A3 B2" -> AAABB."""
    return list("".join(run[0] * int(run[1:]) for run in runs.split()))


def late(truth, frames):
    """Every change seen some frames late."""
    return truth[:1] * frames + truth[: len(truth) - frames]


def random_video(rng, classes, noise):
    """Phases that mostly go forward, some repeated or skipped, and a prediction with errors."""
    order = sorted(rng.choice(len(classes), int(rng.integers(1, len(classes) + 1)), replace=False))
    if rng.random() < 0.5:
        order += [int(rng.integers(len(classes)))]
    truth = [classes[place] for place in order for _ in range(int(rng.integers(1, 15)))]
    said = late(truth, min(int(rng.integers(0, 6)), len(truth)))
    if rng.random() < 0.5:  # early instead
        said = late(truth[::-1], min(int(rng.integers(0, 6)), len(truth)))[::-1]
    choices = [*classes, None, "elsewhere"]
    return truth, [choices[rng.integers(len(choices))] if rng.random() < noise else x for x in said]


# ---- strict --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
def test_strict_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    table = []
    for _ in range(int(rng.integers(1, 5))):
        truth, said = random_video(rng, SEVEN, 0.3)
        said = [str(x) for x in said]
        rates = phases.strict(truth, said, SEVEN)
        assert rates.accuracy == pytest.approx(sklearn.metrics.accuracy_score(truth, said))
        present = sorted(set(truth))
        places = [SEVEN.index(name) for name in present]
        keys = {"labels": present, "average": None, "zero_division": 0}
        for measure in ("precision", "recall", "jaccard", "f1"):
            oracle = getattr(sklearn.metrics, f"{measure}_score")(truth, said, **keys)
            found = getattr(rates, measure)
            assert found[places] == pytest.approx(oracle)
            assert np.isnan(np.delete(found, places)).all()
        table.append(rates)
    check_spread(table)


def check_spread(videos):
    """Mean and deviations against numpy's, NaN left out."""
    accuracies = [rates.accuracy for rates in videos]
    mean, deviation = phases.accuracy(videos)
    assert mean == pytest.approx(np.mean(accuracies))
    assert deviation == pytest.approx(np.std(accuracies, ddof=1) if len(videos) > 1 else 0)
    for measure in phases.MEASURES:
        table = np.array([getattr(rates, measure) for rates in videos])
        found = phases.spread(videos, measure)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            of_phases, of_videos = np.nanmean(table, 0), np.nanmean(table, 1)
        assert found.phases == pytest.approx(of_phases, nan_ok=True)
        assert found.videos == pytest.approx(of_videos, nan_ok=True)
        assert found.mean == pytest.approx(np.nanmean(of_phases), nan_ok=True)
        for ours, values in (
            (found.phase_std, of_phases),
            (found.video_std, of_videos),
            *zip(found.phases_std, table.T, strict=True),
        ):
            values = values[~np.isnan(values)]
            if values.size:
                expected = np.std(values, ddof=1) if values.size > 1 else 0
                assert ours == pytest.approx(expected)
            else:
                assert np.isnan(ours)


# ---- relaxed, as intended ------------------------------------------------------------------------


def test_intended_forgives_the_neighbour_and_nobody_else():
    truth = video("A5 C5 A5")
    for place in range(15):
        for name in "ABC":
            said = [*truth[:place], name, *truth[place + 1 :]]
            neighbour = (
                (place in (5, 6) and name == "A")  # late: still A
                or (place in (8, 9) and name == "A")  # early: A again
                or (place in (3, 4) and name == "C")
                or (place in (10, 11) and name == "C")
            )
            rates = phases.relaxed_as_intended(truth, said, SEVEN, fps=0.2)  # two frames
            right = neighbour or name == truth[place]
            assert rates.accuracy == pytest.approx(1 if right else 14 / 15), (place, name)
            if right:
                assert np.nanmin(rates.jaccard) == 1


def test_window_is_seconds_times_frames_per_second():
    assert [phases.window(fps) for fps in (1, 25, 0.5, 0.25)] == [10, 250, 5, 3]
    assert phases.window(2, 5) == 10
    assert phases.window(0.1, 10) == 1
    assert phases.window(1, 0) == 0
    truth = video("A9 B9") * 20
    truth = [name for name in truth for _ in range(10)]  # segments of 90 s at 1 fps
    said = late(truth, 40)
    right = {fps: phases.relaxed_as_intended(truth, said, SEVEN, fps).accuracy for fps in (1, 25)}
    assert right[1] < 0.7  # a change seen 40 s late is late
    assert right[25] == 1  # the bug: the window is now four minutes
    with pytest.raises(ValueError, match="above 0"):
        phases.window(0)


@pytest.mark.parametrize("seed", range(40))
def test_intended_lies_between_strict_and_one(seed):
    rng = np.random.default_rng(seed)
    truth, said = random_video(rng, SEVEN, 0.2)
    strict = phases.strict(truth, said, SEVEN)
    again = phases.relaxed_as_intended(truth, said, SEVEN, fps=1, seconds=0)
    assert strict.accuracy == again.accuracy
    before = strict.accuracy
    for seconds in (1, 3, 10, 1000):
        rates = phases.relaxed_as_intended(truth, said, SEVEN, fps=1, seconds=seconds)
        assert before <= rates.accuracy <= 1
        before = rates.accuracy
        for measure in ("recall", "jaccard", "f1", "precision"):
            values = getattr(rates, measure)
            assert np.isnan(values).tolist() == np.isnan(strict.recall).tolist()
            assert np.nanmax(values) <= 1
        assert (rates.recall >= strict.recall - 1e-12)[~np.isnan(strict.recall)].all()
        assert rates.accuracy == pytest.approx(slow_intended(truth, said, seconds))


def slow_intended(truth, said, frames):
    """Frame by frame: walk to the change before and after."""
    right = 0
    for place, name in enumerate(truth):
        start = place
        while start > 0 and truth[start - 1] == name:
            start -= 1
        end = place
        while end < len(truth) - 1 and truth[end + 1] == name:
            end += 1
        fine = {name}
        if start > 0 and place - start < frames:
            fine.add(truth[start - 1])
        if end < len(truth) - 1 and end - place < frames:
            fine.add(truth[end + 1])
        right += said[place] in fine
    return right / len(truth)


# ---- relaxed, as published -----------------------------------------------------------------------


def matlab(truth, said, count, fps):
    """The script as its text reads: phases from 1, positions from 1, one element at a time.

    Returns accuracy and rows (precision, recall, jaccard, f1), in per cent, before clipping.
    """
    n = len(truth)
    diff = {k: said[k - 1] - truth[k - 1] for k in range(1, n + 1)}
    updated = {}
    third_and_fourth_last, last_two = (count - 3, count - 2), (count - 1, count)
    for phase in range(1, count + 1):
        inside = [k for k in range(1, n + 1) if truth[k - 1] == phase]
        components = []
        for k in inside:
            if components and components[-1][-1] == k - 1:
                components[-1].append(k)
            else:
                components.append([k])
        for component in components:
            cur = [diff[k] for k in component]
            t = min(10 * fps, len(cur))
            late_ok = [-1, -2] if phase in last_two else [-1]
            early_ok = [1, 2] if phase in (*third_and_fourth_last, *last_two) else [1]
            mask = [value in late_ok for value in cur[:t]]
            cur = [0 if k < t and mask[k] else value for k, value in enumerate(cur)]
            mask = [value in early_ok for value in cur[len(cur) - t :]]
            # A logical index that is shorter than its array picks from the start of the array.
            cur = [0 if k < len(mask) and mask[k] else value for k, value in enumerate(cur)]
            updated.update(zip(component, cur, strict=True))
    rows = []
    for phase in range(1, count + 1):
        gt = {k for k in range(1, n + 1) if truth[k - 1] == phase}
        pred = {k for k in range(1, n + 1) if said[k - 1] == phase}
        if not gt:
            rows.append((math.nan,) * 4)
            continue
        tp = sum(updated[k] == 0 for k in gt | pred)
        if pred:
            prec = tp * 100 / len(pred)
        else:
            prec = math.inf if tp else math.nan
        rec = tp * 100 / len(gt)
        with np.errstate(all="ignore"):
            f1 = float(np.float64(2 * prec * rec) / np.float64(prec + rec))
        rows.append((prec, rec, tp * 100 / len(gt | pred), f1))
    return 100 * sum(value == 0 for value in updated.values()) / n, rows


@pytest.mark.parametrize("classes", [SEVEN, EIGHT])
@pytest.mark.parametrize("fps", [1, 2])
@pytest.mark.parametrize("seed", range(60))
def test_published_against_the_oracle(seed, fps, classes):
    rng = np.random.default_rng(seed)
    truth, said = random_video(rng, classes, 0.2)
    said = [x if x in classes else rng.choice(classes) for x in said]  # MATLAB has no None
    ids = [[classes.index(x) + 1 for x in labels] for labels in (truth, said)]
    accuracy, rows = matlab(*ids, len(classes), fps)
    rates = phases.relaxed_as_published(truth, said, classes, fps)
    assert rates.accuracy == pytest.approx(accuracy / 100)
    for place, measure in enumerate(("precision", "recall", "jaccard", "f1")):
        expected = np.minimum([row[place] / 100 for row in rows], 1)
        assert getattr(rates, measure) == pytest.approx(expected, nan_ok=True)


def test_published_by_hand():
    truth = video("A20 B20")
    # B seen 5 frames late: forgiven, and the hits of A are now 25 of 20.
    rates = phases.relaxed_as_published(truth, late(truth, 5), SEVEN, 1)
    assert rates.accuracy == 1
    assert rates.recall[:2].tolist() == [1, 1]  # 125 %, clipped
    assert rates.precision[1] == 1  # 20 of 15, clipped
    # B seen 5 frames early: found in A's last window, forgiven at the start of A, where A is right.
    early = video("A15 B25")
    rates = phases.relaxed_as_published(truth, early, SEVEN, 1)
    assert rates.accuracy == pytest.approx(35 / 40)
    assert phases.relaxed_as_intended(truth, early, SEVEN, 1).accuracy == 1
    # Where the windows are the whole segment the mask falls on itself, and it is forgiven.
    rates = phases.relaxed_as_published(video("A10 B20"), video("A5 B25"), SEVEN, 1)
    assert rates.accuracy == 1


def test_published_special_cases():
    """E said as C at its start is two back: forgiven for the last two phases only."""
    for phase, forgiven in zip("CDEFG", (0, 0, 0, 1, 1), strict=True):
        other = SEVEN[SEVEN.index(phase) - 2]
        said = [other] * 3 + [phase] * 27
        rates = phases.relaxed_as_published([phase] * 30, said, SEVEN, 1)
        assert rates.accuracy == pytest.approx(1 if forgiven else 0.9), phase
    for phase, forgiven in zip("ABCDE", (0, 0, 0, 1, 1), strict=True):
        other = SEVEN[SEVEN.index(phase) + 2]
        said = [phase] * 5 + [other] * 3  # shorter than the window
        rates = phases.relaxed_as_published([phase] * 8, said, SEVEN, 1)
        assert rates.accuracy == pytest.approx(1 if forgiven else 5 / 8), phase


def test_published_leaves_out_the_precision_of_a_phase_that_is_never_predicted():
    truth, said = video("A20 C20"), video("A40")
    published = phases.relaxed_as_published(truth, said, SEVEN, 1)
    assert np.isnan(published.precision[2])
    assert np.isnan(published.f1[2])
    assert published.recall[2] == 0
    strict = phases.strict(truth, said, SEVEN)
    assert (strict.precision[2], strict.f1[2]) == (0, 0)
    means = [phases.spread([rates], "precision").mean for rates in (published, strict)]
    assert means == [0.5, 0.25]


def test_unread_answers_are_wrong_and_nobodys_neighbour():
    truth = video("A20 B20")
    for said in (None, "elsewhere"):
        given = [*truth[:18], said, said, said, said, *truth[22:]]
        for rule in (phases.relaxed_as_intended, phases.relaxed_as_published):
            assert rule(truth, given, SEVEN, 1).accuracy == pytest.approx(36 / 40)
    nothing = phases.relaxed_as_intended(truth, [None] * 40, SEVEN, 1)
    assert nothing.accuracy == 0
    assert np.nanmax(nothing.jaccard) == 0


def test_degenerate_and_errors():
    rates = phases.relaxed_as_intended([], [], SEVEN, 1)
    assert np.isnan(rates.accuracy)
    assert np.isnan(phases.relaxed_as_published([], [], SEVEN, 1).accuracy)
    assert np.isnan(phases.spread([rates], "f1").mean)
    one = phases.strict(["A"], ["A"], SEVEN)
    assert phases.accuracy([one]) == (1, 0)
    assert phases.spread([one], "jaccard")[:3] == (1, 0, 0)
    with pytest.raises(ValueError, match="7 or 8 phases, not 3"):
        phases.relaxed_as_published(["A"], ["A"], list("ABC"), 1)
    with pytest.raises(ValueError, match="2 true labels but 1"):
        phases.relaxed_as_intended(["A", "A"], ["A"], SEVEN, 1)
    with pytest.raises(ValueError, match="not among the classes"):
        phases.relaxed_as_published(["Z"], ["A"], SEVEN, 1)
    with pytest.raises(ValueError, match="no video"):
        phases.spread([], "f1")


def test_truth_is_the_ceiling_of_all():
    truth = list(itertools.chain.from_iterable(video(f"{name}12") for name in SEVEN))
    for rates in (
        phases.strict(truth, truth, SEVEN),
        phases.relaxed_as_intended(truth, truth, SEVEN, 1),
        phases.relaxed_as_published(truth, truth, SEVEN, 1),
    ):
        assert rates.accuracy == 1
        assert all((getattr(rates, measure) == 1).all() for measure in phases.MEASURES)


def test_f1_of_videos_is_that_of_scikit_learn():
    """Labels in truth or prediction of a video; one that it lacks and is said to show counts 0."""
    rng = np.random.default_rng(0)
    videos = np.repeat(["a", "b", "c"], [40, 25, 7])
    truth = rng.integers(5, size=72)
    prediction = np.where(rng.random(72) < 0.5, truth, rng.integers(7, size=72))
    truth[videos == "c"] = 2  # and other labels are named in it
    wanted = [
        sklearn.metrics.f1_score(truth[videos == v], prediction[videos == v], average="macro")
        for v in "abc"
    ]
    found = phases.f1_of_videos(truth.tolist(), prediction.tolist(), videos.tolist())
    assert found == pytest.approx(np.mean(wanted))
    rates = [
        phases.strict(truth[videos == v].tolist(), prediction[videos == v].tolist(), range(7))
        for v in "abc"
    ]
    assert found < phases.summary(rates)["f1"]  # the other convention is another number
    # None is wrong, and no label: of "x" one of two frames is found.
    assert phases.f1_of_videos(["x", "x"], ["x", None], ["v", "v"]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no video"):
        phases.f1_of_videos([], [], [])
    with pytest.raises(ValueError, match="2 true labels, 1 predictions"):
        phases.f1_of_videos(["x", "x"], ["x"], ["v", "v"])
