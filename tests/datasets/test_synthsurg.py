"""SynthSurg: truth agrees with pixels, frames are pure functions, the builder round trips."""

import hashlib
import itertools
import subprocess
import sys

import cv2
import numpy as np
import pytest
import simplejpeg

from surgzoo.datasets.source_builder import prepare
from surgzoo.datasets.synthsurg import plan, truth
from surgzoo.datasets.synthsurg.instruments import NAMES
from surgzoo.datasets.synthsurg.procedures import PROCEDURES
from surgzoo.datasets.synthsurg.render import HANDS, SCENES, SLIVER, Operation
from surgzoo.datasets.synthsurg.synthsurg import SynthSurg, render_frame
from surgzoo.db import ontology
from surgzoo.db.store import Store

SIDE = 96


@pytest.fixture(scope="module", params=list(PROCEDURES))
def operation(request):
    return Operation(3, 7, request.param, SIDE)


@pytest.fixture(scope="module")
def views(operation):
    times = np.arange(0.0, operation.duration, 2.0)
    out = []
    for t in times:
        view = operation.frame(t)
        out.append((t, view, truth.frame_annotations(operation, view, t)))
    return out


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    prepare(SynthSurg, data_dir, config="small", workers=1)
    return Store.open(data_dir, "synthsurg", "small")


def _digest(operation, t):
    record = render_frame(operation, "v", 0, t)
    digest = hashlib.blake2b(record.image)
    for name in sorted(record.dense):
        digest.update(record.dense[name])
    digest.update(repr(record.annotations).encode())
    return digest.hexdigest()


def test_a_frame_does_not_depend_on_the_frames_before(operation):
    fresh = Operation(3, 7, operation.procedure.name, SIDE)
    assert _digest(operation, 31.0) == _digest(fresh, 31.0)
    for t in (3.0, 77.0):
        fresh.frame(t)
    assert _digest(operation, 52.0) == _digest(fresh, 52.0)


def test_another_process_draws_the_same_bytes(operation):
    code = (
        "from test_synthsurg import _digest, Operation\n"
        f"print(_digest(Operation(3, 7, {operation.procedure.name!r}, {SIDE}), 44.0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=__file__.rsplit("/", 1)[0],
        check=True,
    )
    assert done.stdout.strip() == _digest(operation, 44.0)


def test_another_seed_draws_another_patient(operation):
    other = Operation(4, 7, operation.procedure.name, SIDE)
    assert _digest(operation, 10.0) != _digest(other, 10.0)


def test_boxes_are_the_extents_of_the_masks(views):
    for _, view, found in views:
        for items, shown in ((found.instruments, view.instruments), (found.tissues, view.tissues)):
            assert {item.mask for item in items} == set(np.unique(shown)) - {0}
            for item in items:
                ys, xs = np.nonzero(shown == item.mask)
                expected = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) / SIDE
                box = item.box
                assert np.allclose([box.x1, box.y1, box.x2, box.y2], expected)
        assert all((view.instruments == i.mask).mean() >= SLIVER for i in found.instruments)
        assert not (view.tissues[view.instruments > 0]).any()


def test_a_triplet_for_every_instrument_but_the_bag(views):
    for _, _, found in views:
        acting = [i for i in found.instruments if i.mask != HANDS["bag"]]
        assert [i.label for i in acting] == [t.instrument for t in found.triplets]
        assert [i.box for i in acting] == [t.instrument_box for t in found.triplets]
        for triplet in found.triplets:
            assert (triplet.verb.native == "null_verb") == (triplet.target.native == "null_target")


def test_every_phase_occurs_once_and_in_order(operation, views):
    shown = list(dict.fromkeys(found.phase.native for _, _, found in views))
    assert shown == [phase.name for phase in operation.procedure.phases]
    assert 90 <= operation.duration <= 160
    for span in operation.timeline.phases:
        assert 7 <= span.end - span.start <= 30


def test_segments_cover_the_operation_and_agree_with_the_frames(operation, views):
    annotations = truth.video_annotations(operation)
    for kind in ("phase", "step"):
        spans = [s for s in annotations.segments if s.kind == kind]
        assert spans[0].start == 0.0 and spans[-1].end == operation.duration
        assert all(a.end == b.start for a, b in itertools.pairwise(spans))
    actions = [s for s in annotations.segments if s.kind == "action"]
    assert all(a.end <= b.start for a, b in itertools.pairwise(actions))
    for t, _, found in views:
        for kind, label in (("phase", found.phase), ("step", found.step)):
            now = [s.label for s in annotations.segments if s.kind == kind and s.start <= t < s.end]
            assert now == [label]
        assert found.actions == tuple(s.label for s in actions if s.start <= t < s.end)
    assert annotations.captions


def test_criteria_become_met_and_stay_so(operation, views):
    scores = [
        [c.score for c in found.criteria] for _, _, found in views if found.criteria is not None
    ]
    if operation.procedure.name != "cholecystectomy":
        assert not scores
        return
    assert scores[0] == [0, 0, 0] and scores[-1] == [1, 1, 1]
    assert (np.diff(np.array(scores), axis=0) >= 0).all()


def test_smoke_is_what_image_and_clean_differ_in(operation, views):
    smoky = [view for _, view, _ in views if view.smoke]
    assert smoky and all(view.clean is not None for view in smoky)
    assert all(np.abs(v.image.astype(int) - v.clean).mean() > 1 for v in smoky if v.smoke > 0.2)
    assert all(view.clean is None for _, view, _ in views if not view.smoke)


def test_depth_puts_instruments_before_tissue(views):
    for _, view, _ in views:
        inside = view.depth < 65535
        shafts, rest = view.instruments > HANDS["bag"], (view.instruments == 0) & inside
        if shafts.any():
            assert np.median(view.depth[shafts]) < np.median(view.depth[rest])


def test_nearly_every_frame_shows_an_instrument(views):
    counts = [len(found.instruments) for _, _, found in views]
    assert np.mean([n > 0 for n in counts]) > 0.9
    assert 1.2 < np.mean(counts) < 3.0


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_the_ontology_maps_every_label_of_the_grammar(procedure):
    grammar = PROCEDURES[procedure]
    triplets = set(ontology.triplets("synthsurg"))
    for phase in grammar.phases:
        ontology.label("synthsurg", "phase", phase.name)
        held = [(phase.hold.instrument, phase.hold.verb, phase.hold.target)] if phase.hold else []
        acts = [act for step in phase.steps for act in step.acts]
        for names in held + [(a.instrument, a.verb, a.target) for a in acts]:
            assert names in triplets
            for kind, name in zip(("instrument", "verb", "target"), names, strict=True):
                ontology.label("synthsurg", kind, name)
        for step in phase.steps:
            ontology.label("synthsurg", "step", step.name)
    for name in NAMES:
        assert (name, *plan.NULL) in triplets
    for native in SCENES[procedure].tissues.values():
        ontology.label("synthsurg", "tissue", native)


def test_the_small_config_builds_and_reads_back(store):
    assert len(store.videos) == 6
    splits = {split: store.select(split) for split in ("train", "val", "test")}
    ids = [{v.video.canonical for v in videos} for videos in splits.values()]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 6
    for videos in splits.values():
        assert {v.video.procedure for v in videos} == set(PROCEDURES)
    stored = store.videos[1]
    records = list(store.records(stored))
    assert [r.frame.index for r in records] == list(range(stored.count))
    assert stored.count == int(np.ceil(stored.video.duration))
    for record in records:
        image = simplejpeg.decode_jpeg(record.image)
        assert image.shape == (128, 128, 3)
        mask = cv2.imdecode(
            np.frombuffer(record.dense["instrument_mask"], np.uint8), cv2.IMREAD_UNCHANGED
        )
        assert set(np.unique(mask)) - {0} == {i.mask for i in record.annotations.instruments}
        depth = cv2.imdecode(np.frombuffer(record.dense["depth"], np.uint8), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        assert ("clean" in record.dense) == (record.annotations.flags["smoke"] > 0)


def test_default_config_has_both_procedures_in_every_split():
    for config in SynthSurg.BUILDER_CONFIGS:
        assert min(config.train, config.val, config.test) >= 2
        assert all(n % 2 == 0 for n in (config.train, config.val))  # procedures alternate
