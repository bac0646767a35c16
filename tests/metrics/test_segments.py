import itertools

import numpy as np
import pytest

from surgzoo.metrics import segments


def test_runs():
    found = segments.segments(list("aabbbac"))
    assert found == [("a", 0, 2), ("b", 2, 5), ("a", 5, 6), ("c", 6, 7)]
    assert segments.segments(list("aabb"), background={"a"}) == [("b", 2, 4)]
    assert segments.segments([]) == []


def test_golden_by_hand():
    truth = list("aaaabbbbcc")
    flicker = list("abaabbbbcc")  # 9 of 10 frames, but five segments for three
    assert segments.edit_score(truth, flicker) == pytest.approx(1 - 2 / 5)
    # a 0..1: IoU 1/4; b 1..2: 0 of b 4..8; a 2..4: 2/4, its true one is taken; b; c
    assert segments.counts(truth, flicker, 0.10) == (3, 2, 0)
    # at 0.5 the first a (1/4) fails and the second (2/4) takes it
    assert segments.counts(truth, flicker, 0.50) == (3, 2, 0)
    assert segments.f1([segments.counts(truth, flicker, 0.5)]) == pytest.approx(6 / 8)
    assert segments.f1([segments.counts(truth, truth, 0.5)]) == 1
    assert segments.edit_score(truth, truth) == 1


def test_none_is_a_segment_that_matches_nothing():
    assert segments.counts(list("aabb"), ["a", "a", None, None], 0.5) == (1, 1, 1)
    assert segments.edit_score(list("aabb"), ["a", "a", None, None]) == 0.5
    assert segments.counts([None, None], [None, None], 0.5) == (0, 1, 1)
    assert segments.levenshtein([None], [None]) == 1


def test_degenerate():
    assert np.isnan(segments.f1([]))
    assert np.isnan(segments.edit_score([], []))
    assert np.isnan(segments.edit_score(["bg"], ["bg"], background={"bg"}))
    assert segments.counts(["bg"] * 4, list("aabb"), 0.1, {"bg"}) == (0, 2, 0)
    assert segments.f1([segments.counts(["a"], ["b"], 0.1)]) == 0
    assert np.isnan(segments.mean_edit_score([]))
    for rule in (segments.edit_score, lambda t, p: segments.counts(t, p, 0.1)):
        with pytest.raises(ValueError, match="2 true labels but 1"):
            rule(["a", "a"], ["a"])


def test_sar_rarp50_is_the_geometric_mean():
    assert segments.sar_rarp50(0.81, 0.49) == pytest.approx(0.63)


# ---- an oracle by the words of the papers: frame sets, no intervals ------------------------------


def runs(labels, background):
    """(label, set of frames) of each run."""
    out, place = [], 0
    for label, group in itertools.groupby(labels):
        size = len(list(group))
        if label not in background:
            out.append((label, set(range(place, place + size))))
        place += size
    return out


def slow_counts(truth, prediction, overlap, background):
    wanted, given = runs(truth, background), runs(prediction, background)
    free = [True] * len(wanted)
    tp = 0
    for label, frames in given:
        ious = [
            len(frames & other) / len(frames | other) if label == name else -1
            for name, other in wanted
        ]
        if ious and max(ious) >= overlap and free[ious.index(max(ious))]:
            free[ious.index(max(ious))] = False
            tp += 1
    return tp, len(given) - tp, len(wanted) - tp


def slow_distance(first, second):
    if not first or not second:
        return len(first) + len(second)
    same = slow_distance(first[1:], second[1:]) + (first[0] != second[0])
    return min(same, slow_distance(first[1:], second) + 1, slow_distance(first, second[1:]) + 1)


@pytest.mark.parametrize("background", [(), ("a",)])
@pytest.mark.parametrize("seed", range(30))
def test_against_the_oracle(seed, background):
    rng = np.random.default_rng(seed)
    tables, scores = {overlap: [] for overlap in segments.OVERLAPS}, []
    for _ in range(int(rng.integers(1, 4))):
        truth = np.repeat(rng.choice(list("abcd"), 5), rng.integers(1, 12, 5)).tolist()
        prediction = list(truth)
        for _ in range(int(rng.integers(0, 3))):  # a stretch of another label
            start = int(rng.integers(len(truth)))
            end = min(start + int(rng.integers(1, 10)), len(truth))
            prediction[start:end] = [str(rng.choice(list("abcde")))] * (end - start)
        for overlap, table in tables.items():
            found = segments.counts(truth, prediction, overlap, background)
            assert found == slow_counts(truth, prediction, overlap, background)
            table.append(found)
        names = [[label for label, _ in runs(x, background)] for x in (truth, prediction)]
        distance, longer = slow_distance(*names), max(map(len, names))
        score = segments.edit_score(truth, prediction, background)
        assert score == pytest.approx(1 - distance / longer if longer else np.nan, nan_ok=True)
        scores.append(score)
    values = []
    for table in tables.values():
        tp, fp, fn = np.sum(table, axis=0)
        value = segments.f1(table)
        if tp:
            precision, recall = tp / (tp + fp), tp / (tp + fn)
            assert value == pytest.approx(2 * precision * recall / (precision + recall))
        values.append(value)
    assert values == sorted(values, reverse=True) or np.isnan(values).all()
