"""Annotated frames for the tests of the tasks: real label tables, random annotations."""

import random

from hypothesis import strategies as st

from surgzoo.db import ontology
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.schema import (
    Box,
    Criterion,
    Frame,
    FrameAnnotations,
    Instrument,
    Label,
    Question,
    Segment,
    Tissue,
    Triplet,
    Video,
    VideoAnnotations,
)
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context, Scored
from surgzoo.tasks.wording import Wording

SOURCE = "cholect50"
# Every task that the generic tests run over, and the source whose label tables it is tested with.
SOURCES = {
    "instrument_recognition": SOURCE,
    "instrument_localization": SOURCE,
    "phase_recognition": SOURCE,
    "triplet_recognition": SOURCE,
    "tissue_recognition": "synthsurg",
    "tissue_localization": "synthsurg",
    "step_recognition": "synthsurg",
    "action_recognition": "synthsurg",
    "safety_assessment": "synthsurg",
    "visual_question_answering": "synthsurg",
}
NAMES = tuple(SOURCES)
CLIP = 3  # stored frames of an action


def task(name):
    return tasks.get(name)()


def context(video="VID01", source=SOURCE, **wording):
    facts = (f"patient-{video}", source, "hepatobiliary", "cholecystectomy", "CC BY-NC-SA 4.0")
    return Context("fps1", Video(video, *facts), "test", Wording(**wording))


def frame(index=0, video="VID01"):
    return Frame(video, index, float(index))


def label(kind, concept):
    return Label(concept, concept)


def concepts(kind, source=SOURCE):
    return [c for (k, _), c in ontology.table(source).items() if k == kind]


def instrument(concept, box=None):
    return Instrument(label("instrument", concept), None if box is None else Box(*box))


def tissue(concept, box=None):
    return Tissue(label("tissue", concept), None if box is None else Box(*box))


def triplet(i, v, t):
    return Triplet(label("instrument", i), label("verb", v), label("target", t))


def footage(annotations, index=0, video="VID01", source=SOURCE):
    """Frames 0 .. index + CLIP - 1 at 1 fps; the last CLIP ones are annotated.

    Their actions become segments over the annotated frames.
    """
    shots = [Shot(frame(i, video), FrameAnnotations()) for i in range(index)]
    shots += [Shot(frame(index + i, video), annotations) for i in range(CLIP)]
    segments = tuple(
        Segment("action", action, float(index), float(index + CLIP))
        for action in annotations.actions or ()
    )
    return Footage(context(video, source).video, shots, VideoAnnotations(segments))


def encode(name, annotations, index=0, video="VID01", source=None, **wording):
    """The conversations of one annotated frame; of a clip that begins with it for a clip task."""
    source = source or SOURCES.get(name, SOURCE)
    where = context(video, source, **wording)
    if task(name).level == "clip":
        return list(task(name).encode_video(footage(annotations, index, video, source), where))
    return task(name).encode(Shot(frame(index, video), annotations), where)


def random_annotations(rng: random.Random):
    def box():
        x, y = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
        return x, y, x + rng.uniform(0.05, 0.3), y + rng.uniform(0.05, 0.3)

    def some(kind):
        return rng.choice(concepts(kind, "synthsurg"))

    return FrameAnnotations(
        phase=label("phase", rng.choice(concepts("phase"))),
        instruments=tuple(
            instrument(rng.choice(concepts("instrument")), box()) for _ in range(rng.randint(0, 3))
        ),
        triplets=tuple(
            triplet(*rng.choice(ontology.triplets(SOURCE))) for _ in range(rng.randint(0, 3))
        ),
        step=label("step", some("step")),
        actions=(label("action", some("action")),),
        tissues=tuple(tissue(some("tissue"), box()) for _ in range(rng.randint(0, 4))),
        criteria=tuple(
            Criterion(label("criterion", concept), rng.choice((0.0, 1 / 3, 2 / 3, 1.0)))
            for concept in concepts("criterion", "synthsurg")
        ),
        questions=(
            Question("How many tools are there?", str(rng.randint(0, 5))),
            Question("What does the hook do?", rng.choice(("Idle", "Cutting")), Box(*box())),
        ),
    )


def dataset(name, frames=60, videos=3, seed=0, **wording):
    """Conversations of random frames of some videos."""
    rng = random.Random(seed)
    return [
        conversation
        for index in range(frames)
        for conversation in encode(
            name, random_annotations(rng), index, f"VID{index % videos:02d}", **wording
        )
    ]


def perfect(conversations):
    return [Scored(c, c.answer) for c in conversations]


units = st.integers(0, 999).flatmap(lambda a: st.tuples(st.just(a), st.integers(a + 1, 1000)))
boxes = st.tuples(units, units).map(
    lambda ranges: tuple(ranges[axis][end] / 1000 for end in (0, 1) for axis in (0, 1))
)
instruments = st.lists(
    st.builds(instrument, st.sampled_from(concepts("instrument")), boxes), max_size=6
).map(tuple)
tissues = st.lists(
    st.builds(tissue, st.sampled_from(concepts("tissue", "synthsurg")), boxes), max_size=6
).map(tuple)
triplets = st.lists(
    st.one_of(
        st.sampled_from(ontology.triplets(SOURCE)),
        st.tuples(*(st.sampled_from(concepts(kind)) for kind in ("instrument", "verb", "target"))),
    ).map(lambda parts: triplet(*parts)),
    max_size=6,
).map(tuple)

# Texts made of the pieces that models write, and of anything at all.
PIECES = """
hook grasper dissect gallbladder none no not the phase is preparation null verb target and
criterion C1 C2 1. yes No met: all liver cystic plate adhesiolysis clipping
, ; . : ( ) [ ] { } " 0 1 999 1001 0.5 -3 1e9 É İ ﬁ 图
<think> </think> <answer> </answer> <|box_start|> label bbox_2d
"""
pieces = st.sampled_from([*PIECES.split(), "\n"])
texts = st.one_of(st.text(), st.lists(pieces, max_size=40).map(" ".join))
