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
