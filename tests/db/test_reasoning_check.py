"""What the checker reads out of a text that a language model may write, and what it lets pass."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgzoo.db import ontology
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.reasoning import Labels, compose, facts, verify
from surgzoo.db.schema import (
    Box,
    Criterion,
    Frame,
    FrameAnnotations,
    Instrument,
    Label,
    Segment,
    Tissue,
    Triplet,
    Video,
    VideoAnnotations,
)
from surgzoo.db.words import bag

VIDEO = Video("S1", "p/S1", "synthsurg", "hepatobiliary", "cholecystectomy", "")


def label(concept):
    return Label(concept, concept)


def segment(kind, concept, start, end):
    return Segment(kind, label(concept), start, end)


# A hook (middle right) dissects the cystic duct; a grasper (top left) retracts the gallbladder.
HOOK = Instrument(label("hook"), Box(0.7, 0.4, 1.0, 0.6))
GRASPER = Instrument(label("grasper"), Box(0.0, 0.0, 0.3, 0.3))
ACTING = FrameAnnotations(
    phase=label("calot_triangle_dissection"),
    step=label("duct_and_artery_isolation"),
    actions=(label("dissection"),),
    instruments=(HOOK, GRASPER),
    tissues=(
        Tissue(label("liver"), Box(0.0, 0.0, 1.0, 0.3)),
        Tissue(label("gallbladder"), Box(0.4, 0.1, 0.6, 0.3)),
        Tissue(label("cystic_duct"), Box(0.4, 0.4, 0.6, 0.6)),
    ),
    triplets=(
        Triplet(label("hook"), label("dissect"), label("cystic_duct")),
        Triplet(label("grasper"), label("retract"), label("gallbladder")),
    ),
    criteria=(
        Criterion(label("two_structures"), 1.0),
        Criterion(label("hepatocystic_triangle"), 1.0),
        Criterion(label("cystic_plate"), 0.0),
    ),
    flags={"smoke": 0.0},
)
SEGMENTS = (
    segment("phase", "preparation", 0.0, 10.0),
    segment("phase", "calot_triangle_dissection", 10.0, 40.0),
    segment("phase", "clipping_and_cutting", 40.0, 60.0),
    segment("phase", "gallbladder_dissection", 60.0, 80.0),
)
LABELS = Labels(VIDEO, (Shot(Frame("S1", 20, 20.0), ACTING),), SEGMENTS)


def wrong(text, labels=LABELS):
    return [str(problem) for problem in verify(text, labels, VIDEO)]


@pytest.mark.parametrize(
    "text",
    [
        "In this view, a hook can be made out at the middle right, along with a grasper.",
        "Two surgical instruments are visible: a hook on the right "
        "and a grasper in the upper left corner.",
        "The L-hook carefully dissects the cystic duct while the "
        "grasper keeps retracting the gallbladder.",
        "The gallbladder is being retracted by the grasper, and the "
        "hook is used to dissect the cystic duct.",
        "With the gallbladder retracted, the hook dissects the cystic duct.",
        "The surgeon dissects the cystic duct with the hook.",
        "Using the hook, the surgeon is dissecting the cystic duct.",
        "We see dissection of the cystic duct by the hook.",
        "The grasper holds the gallbladder aside.",
        "This is a laparoscopic cholecystectomy in the Calot's triangle dissection phase.",
        "The CalotTriangleDissection phase is under way; the step is duct and artery isolation.",
        "No clipper is visible and there are no scissors.",
        "Neither scissors nor clipper can be seen.",
        "The scissors are not visible.",
        "The hook does not dissect the gallbladder.",
        "The operation is not in the gallbladder dissection phase.",
        "After the preparation phase, the team moved on to calot triangle dissection.",
        "The preparation phase is complete.",
        "The clipping and cutting phase will follow.",
        "The next phase is clipping and cutting.",
        "This happens before the clipping and cutting phase.",
        "Two structures is met, and so is the hepatocystic triangle; "
        "the cystic plate criterion is not.",
        "Criterion 1: Yes. Criterion 2: Yes. Criterion 3: No.",
        "Two of the three criteria are met.",
        "The critical view of safety is not yet achieved.",
        "The view is free of smoke.",
        "There is no smoke.",
        "The liver, gallbladder and cystic duct are seen.",
        "A grapser is in the top left.",
        "Level 1 (Perceptual grounding): a hook. Level 2: The hook dissects the cystic duct.",
        "There are three tissues in view.",
        "Nothing of note.",
        "The hook dissects the duct.",
        "The view is clear.",
        "The hook with an L-shaped tip is in view.",
        "A grasper with paired jaws is seen.",
        "Criterion three is not met.",
        "The first criterion is met, the third criterion is not.",
        "Criteria 1 and 2 are met.",
        "Not all criteria are met.",
        "One criterion is not met.",
        "Not every criterion is met.",
        "The clipper cannot be seen.",
        "Nothing of note is under way.",
        "The arteries cannot be seen.",
        "",
    ],
)
def test_true_in_other_words(text):
    assert wrong(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "In this view, a clipper can be made out at the middle right, next to a grasper.",
        "A hook is in the lower left corner.",
        "The hook is on the left and the grasper on the right.",
        "In the top left is a hook.",
        "Three surgical instruments are visible.",
        "There is a single instrument, a hook.",
        "Two graspers are visible.",
        "A grasper and another grasper are in view.",
        "The hook carefully dissects the gallbladder while the grasper retracts the cystic duct.",
        "The grasper dissects the cystic duct.",
        "The cystic duct is being clipped by the hook.",
        "The cystic duct is being dissected by the grasper.",
        "The surgeon dissects the cystic duct with the grasper.",
        "The hook coagulates the cystic duct.",
        "The hook transects the cystic duct.",
        "We see dissection of the liver by the hook.",
        "Retraction of the liver by the grasper gives room.",
        "The hook is idle.",
        "The grasper touches nothing.",
        "The hook and the grasper retract the gallbladder.",
        "This is a nephrectomy.",
        "The gallbladder dissection phase is under way.",
        "The phase is preparation.",
        "This is the clipping phase.",
        "The step is cystic plate exposure.",
        "The action is clipping.",
        "No hook is visible.",
        "The hook is not visible.",
        "Neither the hook nor the grasper can be seen.",
        "The hook does not dissect the cystic duct.",
        "The operation is not in the calot triangle dissection phase.",
        "After the clipping and cutting phase, calot triangle dissection goes on.",
        "The next phase is gallbladder dissection.",
        "The clipping and cutting phase is complete.",
        "The cystic plate criterion is met.",
        "The criterion two structures is not yet met.",
        "Criterion 1: No. Criterion 2: Yes. Criterion 3: No.",
        "All three criteria are met.",
        "None of the criteria is met.",
        "One of the three criteria is met.",
        "The critical view of safety is achieved.",
        "Smoke fills the view.",
        "The spleen is seen.",
        "There are four tissues in view.",
        "A scisors is in the view.",
        "Bleeding is visible near the cystic duct.",
        "A trocar is in view.",
        "The hook dissects the artery.",
        "The grasper retracts the duct.",
        "The yellow gallbladder is retracted by the grasper.",
        "It takes 8 seconds.",
        "There are 5 of them.",
        "Several graspers are visible.",
        "Zero instruments are in view.",
        "Eleven instruments are in view.",
        "A couple of hooks are in view.",
        "Graspers are in view.",
        "A second hook is in view.",
        "Another instrument and another tool are beside a third.",
        "A LigaSure is in view.",
        "The duodenum is visible.",
        "The arteries are visible.",
        "Only the hook is in view.",
        "The hook cannot be seen.",
        "The hook can't be seen.",
        "The hook is out of view.",
        "Instruments: none.",
        "Neither instrument is in view.",
        "The view holds nothing but the hook.",
        "The hook is left of the grasper.",
        "The hook lies next to the grasper.",
        "The gallbladder retracts the grasper.",
        "The hook is dissecting nothing.",
        "The instruments are idle.",
        "The hook stops dissecting the cystic duct.",
        "The hook is about to dissect the cystic duct.",
        "Neither the hook nor the clipper dissects the cystic duct.",
        "Nothing is dissected.",
        "The calot triangle dissection phase has not begun.",
        "This is the final phase.",
        "The operation is an appendectomy.",
        "Criterion three is met.",
        "The third criterion is met.",
        "The first criterion is not met.",
        "Criteria 1, 2 and 3 are met.",
        "Only one criterion is met.",
        "Every criterion is met.",
        "Each of the criteria is fulfilled.",
        "No criterion is met.",
        "0 of the three criteria are unmet.",
        "The view is not free of smoke.",
        "The view is not clear.",
        "It lasts a minute.",
        "The hook tears the cystic duct.",
        "The hook approaches the liver.",
        "The liver is diseased.",
        "The hook has blunt jaws.",
        "The grasper with an L-shaped tip is in view.",
        "There are fewer than three instruments.",
    ],
)
def test_false_in_other_words(text):
    assert wrong(text) != []


@pytest.mark.parametrize("kind", sorted(set(ontology.KINDS) - {"triplet"}))
def test_every_name_alone_is_read_and_checked(kind):
    """A name beside no other word, of every kind and source."""
    for source in ontology.sources():
        for (k, _), concept in ontology.table(source).items():
            if k == kind:
                video = dataclasses.replace(VIDEO, source=source)
                text = f"We see the {ontology.name(kind, concept)}."
                verify(text, Labels(video, LABELS.shots, SEGMENTS), video)


@pytest.mark.parametrize("text", ["Two structures are seen.", "The cystic plate is a criterion."])
def test_a_criterion_without_a_state_is_not_vouched_for(text):
    assert "criterion" in wrong(text)[0] and "not annotated" in wrong(text)[0]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("A vessel sealer is in view.", "cholect50"),  # another source's instrument
        ("No vessel sealer is in view.", "cholect50"),  # for which nobody looked
        ("The step is cystic duct clipping.", "cholect50"),
    ],
)
def test_what_a_source_does_not_annotate_is_refused(text, source):
    video = Video("V", "V", source, "", "cholecystectomy", "")
    shot = Shot(Frame("V", 0, 0.0), FrameAnnotations(instruments=(HOOK,)))
    assert "not annotated" in str(verify(text, shot, video)[0]) or "not true" in str(
        verify(text, shot, video)[0]
    )


def test_unlabelled_frames_bear_nothing_out():
    shot = Shot(Frame("S1", 0, 0.0), FrameAnnotations())
    for text in ("A hook is in view.", "No hook is in view.", "The phase is preparation."):
        assert [problem.reason.split(": ")[1] for problem in verify(text, shot, VIDEO)] == [
            "not annotated"
        ]
    assert verify("A view.", shot, VIDEO) == []


@pytest.mark.parametrize(("first", "count"), [(0, 4), (3, 1), (-1, 2), (1, 0)])
def test_a_clip_beyond_its_video_is_an_error(first, count):
    """Cut short in silence, its last picture would be another one."""
    footage = Footage(VIDEO, [Shot(Frame("S1", i, float(i)), ACTING) for i in range(3)])
    with pytest.raises(ValueError, match=r"S1: has no stored frames .* its 3 begin at 0"):
        Labels.of_clip(footage, first, count)


def test_the_phase_before_is_that_of_the_picture_spoken_of():
    """A clip that begins in one phase and ends in the next: the first is the one before."""
    shots = [
        Shot(Frame("S1", i, time), FrameAnnotations(phase=label(phase)))
        for i, (time, phase) in enumerate(
            [(38.0, "calot_triangle_dissection"), (41.0, "clipping_and_cutting")]
        )
    ]
    clip = Labels(VIDEO, tuple(shots), SEGMENTS)
    told = "At the end, the phase is clipping and cutting. It follows the {} phase."
    assert wrong(told.format("calot triangle dissection"), clip) == []
    assert wrong(told.format("preparation"), clip) != []
    for identity in map(str, range(40)):
        assert wrong(compose(clip, VIDEO, 3, identity), clip) == []
    texts = " ".join(compose(clip, VIDEO, 3, str(n)) for n in range(40))
    assert "follows the calot triangle dissection" in texts and "preparation" not in texts


def test_facts_have_kinds_values_and_spans():
    text = "The hook dissects the cystic duct at the middle right. Criterion 3 is not met."
    found = {fact.kind: fact for fact in facts(text, "synthsurg")}
    assert found["relation"].value == ("hook", "dissect", "cystic_duct")
    assert text[found["relation"].start : found["relation"].end] == "dissects"
    assert found["place"].value == ("cystic_duct", "middle right")
    assert text[found["place"].start : found["place"].end] == "middle right"
    assert found["criterion"].value == ("cystic_plate", "not met")
    assert text[found["instrument"].start : found["instrument"].end] == "hook"


def clip_labels():
    """The hook works in the first two pictures of three; then only the grasper is there."""
    left = FrameAnnotations(
        phase=label("clipping_and_cutting"),
        instruments=(GRASPER,),
        triplets=ACTING.triplets[1:],
        actions=(),
    )
    shots = [Shot(Frame("S1", i, 38.0 + i), ACTING if i < 2 else left) for i in range(3)]
    footage = Footage(VIDEO, shots, VideoAnnotations(SEGMENTS))
    return Labels.of_clip(footage, 0, 3)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("The clip shows a hook.", False),  # "clip" is a verb that nobody does here
        ("It lasts 3 seconds.", True),
        ("It lasts 4 seconds.", False),
        ("At the start, a hook dissects the cystic duct. At the end, no hook is in view.", True),
        ("At the end, a hook dissects the cystic duct.", False),
        ("Two instruments are in view at first. At the end, one instrument is in view.", True),
        ("At the end, two instruments are in view.", False),
        ("Initially the phase is calot triangle dissection.", True),
        ("At the end, the phase is calot triangle dissection.", False),
        ("In the last frame the phase is clipping and cutting.", True),
    ],
)
def test_moments_of_a_clip(text, holds):
    assert (wrong(text, clip_labels()) == []) == holds


@given(st.text())
def test_any_text_is_read(text):
    for fact in facts(text, "synthsurg"):
        assert 0 <= fact.start < fact.end <= len(text)
    verify(text, LABELS, VIDEO)


PIECES = (
    "hook grasper dissects clips gallbladder cystic plate duct none no not neither nor the phase "
    "step action is of criterion criteria 1 2 3 two all met unmet top left middle right center by "
    "with and , ; . : ( ) while nothing done idle touches seconds smoke after next suture"
)


NAMES = {ontology.name(k, c) for (k, _), c in ontology.table("synthsurg").items() if k != "triplet"}


@given(st.lists(st.sampled_from(sorted(bag(PIECES) | NAMES)), max_size=30).map(" ".join))
def test_any_row_of_words_is_read(text):
    for fact in facts(text, "synthsurg"):
        assert 0 <= fact.start < fact.end <= len(text)
    verify(text, LABELS, VIDEO)
