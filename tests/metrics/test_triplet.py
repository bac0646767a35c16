import ivtmetrics
import numpy as np
import pytest
import sklearn.metrics

from surgzoo.metrics import multilabel, triplet


def test_golden_f1_of_components():
    truth = [{("hook", "dissect", "cystic duct"), ("grasper", "retract", "gallbladder")}]
    prediction = [{("hook", "dissect", "gallbladder"), ("grasper", "retract", "gallbladder")}]
    f1 = {
        name: multilabel.micro(triplet.counts(truth, prediction, name)).f1
        for name in triplet.COMPONENTS
    }
    assert f1 == pytest.approx({"i": 1, "v": 1, "t": 2 / 3, "iv": 1, "it": 0.5, "ivt": 0.5})


def test_golden_ap_by_hand():
    a, b = ("i", "v", "a"), ("i", "v", "b")
    truth = [{a}, {a}, {b}, set()]
    prediction = [{a}, {b}, {b}, None]
    classes, mean = triplet.video_ap(truth, prediction, ["v"] * 4)
    assert classes[a] == pytest.approx(0.5 * 1.0 + 0.5 * 2 / 4)
    assert classes[b] == pytest.approx(1.0 * 0.5)
    assert mean == pytest.approx((0.75 + 0.5) / 2)


def test_absent_classes_and_videos_are_left_out():
    a, b = ("i", "v", "a"), ("i", "v", "b")
    truth = [{a}, set(), {b}, set()]
    classes, mean = triplet.video_ap(truth, [{a}, set(), set(), set()], [1, 1, 2, 2])
    assert classes == pytest.approx({a: 1.0, b: 0.5})  # each from the one video that has it
    assert mean == pytest.approx(0.75)
    assert np.isnan(triplet.video_ap([set()], [{a}], [1])[1])
    assert np.isnan(triplet.hard_ap(0, 3, 0, 10))


def test_component_keeps_none_apart_from_nothing():
    assert triplet.component(None, "i") is None
    assert triplet.component([], "i") == set()
    with pytest.raises(KeyError):
        triplet.component([], "vt")
    with pytest.raises(ValueError, match="differ"):
        triplet.video_ap([set()], [set()], [])


@pytest.mark.parametrize("seed", range(20))
def test_ap_of_one_class_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.random((2, 30)) < rng.random((2, 1))
    truth[0] = True
    oracle = sklearn.metrics.average_precision_score(truth, prediction.astype(float))
    tp, fp, fn = (
        (truth & prediction).sum(),
        (~truth & prediction).sum(),
        (truth & ~prediction).sum(),
    )
    assert triplet.hard_ap(tp, fp, fn, 30) == pytest.approx(oracle)


@pytest.mark.filterwarnings("ignore:No positive class")
@pytest.mark.parametrize("videos", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_against_ivtmetrics(seed, videos):
    """A video at a time, absent classes NaN: ivtmetrics leaves those to scikit-learn's version."""
    rng = np.random.default_rng(seed)
    recognition = ivtmetrics.Recognition(num_class=100)
    bank = np.asarray(recognition.bank)  # ivt, i, v, t, iv, it
    used = rng.choice(100, 12, replace=False)
    names, truth, prediction = [], [], []
    logs = {name: [] for name in triplet.COMPONENTS}
    for video in range(videos):
        frames = int(rng.integers(5, 30))
        hot = np.zeros((2, frames, 100), int)
        hot[:, :, used] = rng.random((2, frames, 12)) < 0.2
        hot[1] = np.where(rng.random((frames, 100)) < 0.6, hot[0], hot[1])
        recognition.reset()
        recognition.update(hot[0], hot[1].astype(float))
        for name, log in logs.items():
            classwise = recognition.compute_AP(name)["AP"]
            present = np.asarray(recognition.extract(hot[0], name)).any(0)
            log.append(np.where(present, classwise, np.nan))
        names += [f"v{video}"] * frames
        truth += [[tuple(bank[k, 1:4]) for k in np.flatnonzero(row)] for row in hot[0]]
        prediction += [[tuple(bank[k, 1:4]) for k in np.flatnonzero(row)] for row in hot[1]]
    for name, log in logs.items():
        with np.errstate(all="ignore"):
            table = np.array(log)
            table = table[:, ~np.isnan(table).all(0)]
            oracle = np.nanmean(np.nanmean(table, axis=0))
        assert triplet.video_ap(truth, prediction, names, name)[1] == pytest.approx(oracle), name


# ---- with scores ---------------------------------------------------------------------------------

NULL_VERB_ID = 9  # in ivtmetrics' table; classes 94 to 99


def bank():
    """ivtmetrics' table of 100 classes as triplets of this module."""
    rows = np.asarray(ivtmetrics.Recognition(num_class=100).bank)[:, 1:4].tolist()
    return [(i, triplet.NULL_VERB if v == NULL_VERB_ID else v, t) for i, v, t in rows]


def scored_videos(seed, videos, levels=10_000):
    """[truth, scores] of each video; most classes are absent, as in life."""
    rng = np.random.default_rng(seed)
    used = rng.choice(100, 12, replace=False)
    used[0] = 94 + rng.integers(6)  # a null triplet among them
    for _ in range(videos):
        frames = int(rng.integers(2, 30))
        truth = np.zeros((frames, 100), bool)
        truth[:, used] = rng.random((frames, 12)) < 0.2
        scores = rng.integers(0, levels, (frames, 100)) / levels
        yield truth, np.where(truth & (rng.random((frames, 100)) < 0.7), 0.5 + scores / 2, scores)


@pytest.fixture(params=["left_out", "zero"])
def absent(request, monkeypatch):
    """ivtmetrics over the scikit-learn that answers NaN, or 0.0, for an absent class."""
    import ivtmetrics.recognition

    missing = {"left_out": np.nan, "zero": 0.0}[request.param]

    def average_precision_score(truth, scores, average):
        assert average is None
        return np.array(
            [
                sklearn.metrics.average_precision_score(t, s) if t.any() else missing
                for t, s in zip(np.asarray(truth).T, np.asarray(scores).T, strict=True)
            ]
        )

    monkeypatch.setattr(ivtmetrics.recognition, "average_precision_score", average_precision_score)
    return request.param


@pytest.mark.parametrize("ignore_null", [False, True])
@pytest.mark.parametrize("videos", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_scored_against_ivtmetrics(seed, videos, ignore_null, absent):
    data = list(scored_videos(seed, videos, levels=(7, 10_000)[seed % 2]))
    recognition = ivtmetrics.Recognition(num_class=100)
    for truth, scores in data:
        recognition.update(truth.astype(int), scores)
        recognition.video_end()
    names = [f"v{n}" for n, (truth, _) in enumerate(data) for _ in truth]
    truth, scores = (np.concatenate(part) for part in zip(*data, strict=True))
    keys = {"ignore_null": ignore_null, "absent": absent}
    for name in triplet.COMPONENTS:
        oracle = recognition.compute_video_AP(name, ignore_null=ignore_null)
        classes, mean = triplet.scored_video_ap(truth, scores, names, bank(), name, **keys)
        assert mean == pytest.approx(oracle["mAP"]), name
        assert sorted_values(classes) == pytest.approx(sorted_values(oracle["AP"]), nan_ok=True)
        oracle = recognition.compute_global_AP(name, ignore_null=ignore_null)
        classes, mean = triplet.scored_global_ap(truth, scores, bank(), name, **keys)
        assert mean == pytest.approx(oracle["mAP"]), name
        assert sorted_values(classes) == pytest.approx(sorted_values(oracle["AP"]), nan_ok=True)


def sorted_values(found):
    """ivtmetrics numbers the classes of a component by id, this module by first appearance."""
    return np.sort(list(found.values()) if isinstance(found, dict) else found)


@pytest.mark.filterwarnings("ignore:No positive class")
@pytest.mark.parametrize("seed", range(4))
def test_scored_top_k_against_ivtmetrics(seed):
    (truth, scores), *_ = scored_videos(seed, 1)
    scores += np.random.default_rng(seed).random(scores.shape) * 1e-9  # no ties
    recognition = ivtmetrics.Recognition(num_class=100)
    recognition.update(truth.astype(int), scores)
    recognition.video_end()
    for name in triplet.COMPONENTS:
        for k in triplet.TOP:
            found = triplet.scored_top_k(truth, scores, bank(), k, name)
            assert found == pytest.approx(recognition.topK(k, name)), (name, k)
    assert triplet.scored_top_k(truth, scores, bank(), 6, "i") == 1


def test_absent_classes_as_zero_lower_the_mean_to_their_share():
    """One of 100 classes is there and found: 1.00 or 0.01, by the version of scikit-learn."""
    truth, scores = np.zeros((2, 100), bool), np.zeros((2, 100))
    truth[0, 3] = scores[0, 3] = 1
    for rule in (
        triplet.scored_global_ap,
        lambda t, s, b, **k: triplet.scored_video_ap(t, s, "vv", b, **k),
    ):
        assert rule(truth, scores, bank())[1] == 1
        assert rule(truth, scores, bank(), absent="zero")[1] == pytest.approx(0.01)


@pytest.mark.parametrize("seed", range(5))
def test_scores_of_0_and_1_give_the_ap_of_sets(seed):
    rng = np.random.default_rng(seed)
    classes = bank()
    hot = rng.random((2, 20, 100)) < 0.03
    videos = ["a"] * 8 + ["b"] * 12
    sets = [[{classes[k] for k in np.flatnonzero(row)} for row in table] for table in hot]
    for name in triplet.COMPONENTS:
        scored = triplet.scored_video_ap(hot[0], hot[1].astype(float), videos, classes, name)[1]
        assert scored == pytest.approx(triplet.video_ap(*sets, videos, name)[1])


def test_scored_degenerate_and_errors():
    classes = bank()
    nothing, scores = np.zeros((3, 100), bool), np.full((3, 100), 0.5)
    assert np.isnan(triplet.scored_global_ap(nothing, scores, classes)[1])
    assert np.isnan(triplet.scored_video_ap(nothing, scores, "aab", classes, "i")[1])
    assert triplet.scored_video_ap(nothing, scores, "aab", classes, absent="zero")[1] == 0
    assert np.isnan(triplet.scored_top_k(nothing, scores, classes, 5))
    with pytest.raises(ValueError, match="100 classes but 99 triplets"):
        triplet.scored_global_ap(nothing, scores, classes[1:])
    with pytest.raises(ValueError, match="3 frames but 1"):
        triplet.scored_video_ap(nothing, scores, "a", classes)
    with pytest.raises(KeyError):
        triplet.scored_global_ap(nothing, scores, classes, "vt")
