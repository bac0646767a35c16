"""Ground truth of a rendered view, in the schema: read off the masks, the plan and the scene."""

from __future__ import annotations

import numpy as np

from surgzoo.datasets.synthsurg import plan, questions
from surgzoo.datasets.synthsurg.plan import Entry
from surgzoo.datasets.synthsurg.render import BAG_TRACK, HANDS, Operation, Pose, View
from surgzoo.db import captions, ontology, schema

SOURCE = "synthsurg"
TISSUE_SLIVER = 0.0025  # share of the image below which a tissue is not listed
# Names of a triplet's target whose tissue in the view has another name.
TARGET_TISSUES = {"fluid": ("blood",), "blood_vessel": ("renal_artery", "renal_vein")}


def label(kind: str, native: str) -> schema.Label:
    return ontology.label(SOURCE, kind, native)


def frame_annotations(operation: Operation, view: View, t: float) -> schema.FrameAnnotations:
    """Everything about the view at t. Boxes are the extents of the visible masks."""
    timeline = operation.timeline
    instruments = _instruments(view)
    tissues = _tissues(operation, view)
    triplets = _triplets(view, instruments, tissues)
    phase, step = plan.at(timeline.phases, t), plan.at(timeline.steps, t)
    surgeon = timeline.hands(t)["surgeon"]
    acting = surgeon is not None and surgeon.touching(t) and surgeon.act.action is not None
    blood = [n.mask for n in tissues if n.label.native == "blood"]
    return schema.FrameAnnotations(
        phase=label("phase", phase.name),
        step=label("step", step.name),
        actions=(label("action", surgeon.act.action),) if acting else (),
        instruments=instruments,
        tissues=tissues,
        triplets=triplets,
        criteria=_criteria(operation, view.values),
        questions=questions.ask(
            operation.draw(t), label("phase", phase.name), instruments, triplets
        ),
        caption=_caption(operation, phase, step, view, instruments, triplets, bool(blood)),
        flags={
            "smoke": round(view.smoke, 3),
            "blood": round(float(np.mean(np.isin(view.tissues, blood))), 4) if blood else 0.0,
        },
    )


def video_annotations(operation: Operation) -> schema.VideoAnnotations:
    """Phases, steps and actions as segments, and a caption of the chain of actions of each step."""
    timeline = operation.timeline
    segments = [
        schema.Segment(kind, label(kind, span.name), float(span.start), float(span.end))
        for kind, spans in (("phase", timeline.phases), ("step", timeline.steps))
        for span in spans
    ]
    segments += [
        schema.Segment(
            "action", label("action", span.name), span.start, span.end, entry.act.instrument
        )
        for entry, span in timeline.actions
    ]
    told = tuple(
        (float(span.start), float(span.end), text)
        for span in timeline.steps
        if (text := _chain(timeline, span))
    )
    return schema.VideoAnnotations(segments=tuple(segments), captions=told)


def box_of(mask: np.ndarray) -> schema.Box:
    """The extent of a boolean mask (h, w) that is not empty."""
    height, width = mask.shape
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return schema.Box(
        float(xs[0] / width),
        float(ys[0] / height),
        float((xs[-1] + 1) / width),
        float((ys[-1] + 1) / height),
    )


def _instruments(view: View) -> tuple[schema.Instrument, ...]:
    out = []
    for pose in sorted(view.poses, key=lambda p: -p.ident):
        inside = bool(np.all((pose.tip >= 0) & (pose.tip <= 1)))
        out.append(
            schema.Instrument(
                label=label("instrument", pose.entry.act.instrument),
                box=box_of(view.instruments == pose.ident),
                mask=pose.ident,
                track=pose.entry.track,
                tip=tuple(round(float(v), 4) for v in pose.tip) if inside else None,
            )
        )
    bag = view.instruments == HANDS["bag"]
    if bag.any():
        out.append(
            schema.Instrument(
                label("instrument", "specimen_bag"), box_of(bag), HANDS["bag"], BAG_TRACK
            )
        )
    return tuple(out)


def _tissues(operation: Operation, view: View) -> tuple[schema.Tissue, ...]:
    """Lists the tissues in view; smaller patches are taken out of the mask as well."""
    counts = np.bincount(view.tissues.ravel(), minlength=256)
    out = []
    for ident, native in operation.scene.tissues.items():
        if counts[ident] < TISSUE_SLIVER * view.tissues.size:
            if counts[ident]:
                view.tissues[view.tissues == ident] = 0
            continue
        mask = view.tissues == ident
        out.append(schema.Tissue(label("tissue", native), box_of(mask), ident))
    return tuple(out)


def _triplets(view: View, instruments, tissues) -> tuple[schema.Triplet, ...]:
    boxes = {item.mask: item.box for item in instruments}
    out = []
    for pose in sorted(view.poses, key=lambda p: -p.ident):
        verb, target = _doing(pose)
        out.append(
            schema.Triplet(
                instrument=label("instrument", pose.entry.act.instrument),
                verb=label("verb", verb),
                target=label("target", target),
                instrument_box=boxes[pose.ident],
                target_box=_target_box(target, view, tissues),
            )
        )
    return tuple(out)


def _doing(pose: Pose) -> tuple[str, str]:
    return (pose.entry.act.verb, pose.entry.act.target) if pose.touching else plan.NULL


def _target_box(target: str, view: View, tissues) -> schema.Box | None:
    if target == "specimen_bag":
        bag = view.instruments == HANDS["bag"]
        return box_of(bag) if bag.any() else None
    names = TARGET_TISSUES.get(target, (target,))
    found = [tissue.mask for tissue in tissues if tissue.label.native in names]
    return box_of(np.isin(view.tissues, found)) if found else None


def _criteria(operation: Operation, v: dict[str, float]) -> tuple[schema.Criterion, ...] | None:
    """The critical view of safety, asked until the first structure is cut."""
    if operation.procedure.name != "cholecystectomy" or v["duct_cut"] > 0:
        return None
    met = {
        "two_structures": v["calot"] >= 0.8,
        "hepatocystic_triangle": v["calot"] >= 0.97,
        "cystic_plate": v["plate"] >= 0.6,
    }
    return tuple(
        schema.Criterion(label("criterion", name), float(yes)) for name, yes in met.items()
    )


# ---- words ---------------------------------------------------------------------------------------


def _word(kind: str, native: str) -> str:
    return ontology.name(kind, label(kind, native).concept)


def _clause(instrument: str, verb: str, target: str) -> str:
    shown = "" if verb == "null_verb" else _word("verb", verb)
    return captions.clause(_word("instrument", instrument), shown, _word("target", target))


def _caption(operation, phase, step, view, instruments, triplets, blood: bool) -> str:
    words = [
        f"Laparoscopic {_word('procedure', operation.procedure.name)}, "
        f"{_word('phase', phase.name)}, {_word('step', step.name)}."
    ]
    clauses = [_clause(t.instrument.native, t.verb.native, t.target.native) for t in triplets]
    if clauses:
        words.append(captions.sentence(" while ".join(clauses)))
    elif not instruments:
        words.append("No instrument is in view.")
    if any(item.mask == HANDS["bag"] for item in instruments):
        words.append("A specimen bag is in view.")
    if view.smoke >= 0.3:
        words.append("Smoke is in the view.")
    if blood:
        words.append("There is a pool of blood.")
    return " ".join(words)


def _chain(timeline: plan.Timeline, span: plan.Span) -> str:
    """ "The grasper retracts the gallbladder while the hook dissects the cystic duct, then ..." """
    acts: list[Entry] = [e for e in timeline.surgeon if span.start <= e.touch < span.end]
    clauses: list[str] = []
    for entry in acts:
        if entry.act.verb != "null_verb":
            clause = _clause(entry.act.instrument, entry.act.verb, entry.act.target)
            if not clauses or clauses[-1] != clause:
                clauses.append(clause)
    if not clauses:
        return ""
    held = [e.act for e in timeline.assistant if e.touch < span.end and e.leave > span.start]
    return captions.chain(
        clauses, [_clause(act.instrument, act.verb, act.target) for act in held[:1]]
    )
