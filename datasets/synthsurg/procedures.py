"""The two operations as grammar tables: laparoscopic cholecystectomy and partial nephrectomy.

Every phase changes the scene for good at its beginning (adhesions go, clips come, a bag comes in),
and every act leaves its trace, so that one frame tells how far the operation is.
"""

from __future__ import annotations

from surgzoo.datasets.synthsurg.plan import NULL, Act, Hold, Phase, Procedure, Step

ENERGISED = frozenset({"hook", "bipolar", "vessel_sealer"})

_GALLBLADDER = Hold("grasper", "retract", "gallbladder", "neck")


def _hook(target: str, site: str, **kwargs) -> Act:
    return Act("hook", "dissect", target, "dissection", site, **kwargs)


def _clip(target: str, site: str, effect: dict[str, float], seconds=(2.5, 4.5)) -> Act:
    return Act("clipper", "clip", target, "clipping", site, effect, seconds)


def _coagulate(target: str, site: str, seconds=(2.0, 3.5)) -> Act:
    return Act("bipolar", "coagulate", target, "coagulation", site, seconds=seconds)


def _grasp_bag(site: str, seconds: tuple[float, float], effect: dict | None = None) -> Act:
    return Act("grasper", "grasp", "specimen_bag", "packaging", site, effect or {}, seconds)


def _aspirate(site: str, to: float) -> Act:
    return Act("irrigator", "aspirate", "fluid", "aspiration", site, {"pool": to}, (2.0, 3.5))


def _packaging(specimen: str) -> tuple[Step, Step]:
    """The bag comes in and takes what was cut out."""
    pack = Act("grasper", "pack", specimen, "packaging", "specimen", {"fill": 1.0}, (5.0, 8.0))
    return (
        Step("bag_placement", (_grasp_bag("bag_rim", (2.0, 3.5)),)),
        Step("specimen_bagging", (pack,)),
    )


def _rinsing(target: str, site: str) -> Step:
    irrigate = Act("irrigator", "irrigate", target, "irrigation", site, {"pool": 1.0})
    acts = (irrigate, _aspirate("pool", 0.75), _aspirate("pool", 0.5))
    return Step("irrigation_and_aspiration", acts)


CHOLECYSTECTOMY = Procedure(
    name="cholecystectomy",
    specialty="hepatobiliary",
    initial={
        "adhesion": 0.0,  # share of the adhesions over the body of the gallbladder that is gone
        "calot": 0.0,  # share of the fat over duct and artery that is gone
        "plate": 0.0,  # how far the neck is off the liver
        "duct_clips": 0.0,
        "artery_clips": 0.0,
        "duct_cut": 0.0,
        "artery_cut": 0.0,
        "detach": 0.0,  # share of the gallbladder that is off its bed
        "gone": 0.0,
        "bag": 0.0,  # 1 = in view
        "fill": 0.0,  # how far the gallbladder is in the bag
        "closed": 0.0,
        "extract": 0.0,
        "pool": 0.0,  # blood
    },
    phases=(
        Phase(
            "preparation",
            view=(0.50, 0.46, 0.88),
            steps=(
                Step(
                    "gallbladder_exposure",
                    (
                        Act(
                            "grasper",
                            "retract",
                            "omentum",
                            "tissue_retraction",
                            "adhesion",
                            {"adhesion": 0.15},
                            repeat=(1, 2),
                        ),
                    ),
                ),
                Step(
                    "adhesiolysis",
                    (
                        _hook("omentum", "adhesion", effect={"adhesion": 0.32}),
                        _hook("omentum", "adhesion_low", effect={"adhesion": 0.45}, repeat=(1, 2)),
                    ),
                ),
            ),
            hold=Hold("grasper", "retract", "gallbladder", "fundus"),
        ),
        Phase(
            "calot_triangle_dissection",
            view=(0.53, 0.56, 1.10),
            steps=(
                Step(
                    "calot_fat_clearing",
                    (
                        _hook("cystic_duct", "duct", effect={"calot": 0.35}),
                        _hook("cystic_duct", "duct_low", effect={"calot": 0.55}),
                    ),
                ),
                Step(
                    "duct_and_artery_isolation",
                    (_hook("cystic_artery", "artery", effect={"calot": 1.0}, repeat=(1, 2)),),
                ),
                Step(
                    "cystic_plate_exposure",
                    (_hook("gallbladder", "plate", effect={"plate": 1.0}, repeat=(1, 2)),),
                ),
            ),
            hold=_GALLBLADDER,
            visitors=("irrigator", "bipolar"),
            enter={"adhesion": 1.0, "calot": 0.12},
        ),
        Phase(
            "clipping_and_cutting",
            view=(0.55, 0.58, 1.16),
            steps=(
                Step(
                    "cystic_duct_clipping",
                    (_clip("cystic_duct", "duct", {"duct_clips": 3}),),
                ),
                Step(
                    "cystic_artery_clipping",
                    (_clip("cystic_artery", "artery", {"artery_clips": 2}),),
                ),
                Step(
                    "duct_and_artery_division",
                    (
                        Act("scissors", "cut", "cystic_duct", "cutting", "duct", {"duct_cut": 1}),
                        Act(
                            "scissors",
                            "cut",
                            "cystic_artery",
                            "cutting",
                            "artery",
                            {"artery_cut": 1},
                        ),
                    ),
                ),
            ),
            hold=_GALLBLADDER,
            enter={"calot": 1.0, "plate": 1.0},
        ),
        Phase(
            "gallbladder_dissection",
            view=(0.48, 0.46, 0.98),
            steps=(
                Step(
                    "liver_bed_dissection",
                    (
                        _hook("gallbladder", "bed_edge", effect={"detach": 0.5}),
                        _hook("gallbladder", "bed_edge", effect={"detach": 0.65, "pool": 0.2}),
                    ),
                ),
                Step(
                    "fundus_dissection",
                    (
                        _coagulate("liver", "bed", (2.0, 3.0)),
                        _hook("gallbladder", "bed_edge", effect={"detach": 1.0}),
                    ),
                ),
            ),
            hold=_GALLBLADDER,
            visitors=("irrigator",),
            enter={"duct_cut": 1.0, "artery_cut": 1.0, "detach": 0.28},
        ),
        Phase(
            "gallbladder_packaging",
            view=(0.48, 0.58, 0.92),
            steps=_packaging("gallbladder"),
            enter={"detach": 1.0, "bag": 1.0, "gone": 0.5, "pool": 0.15},
        ),
        Phase(
            "cleaning_and_coagulation",
            view=(0.48, 0.44, 1.02),
            steps=(
                Step(
                    "bed_coagulation",
                    (
                        _coagulate("liver", "bed"),
                        _coagulate("liver", "bed_low"),
                    ),
                ),
                _rinsing("liver", "bed"),
            ),
            visitors=("grasper",),
            enter={"gone": 1.0, "bag": 0.0, "pool": 0.85},
        ),
        Phase(
            "gallbladder_retraction",
            view=(0.42, 0.44, 0.86),
            steps=(
                Step(
                    "bag_closure",
                    (_grasp_bag("bag_string", (3.0, 5.0)),),
                ),
                Step(
                    "bag_extraction",
                    (_grasp_bag("bag_string", (5.0, 8.0), {"extract": 1.0}),),
                ),
            ),
            visitors=("irrigator",),
            enter={"pool": 0.0, "bag": 1.0, "closed": 1.0},
        ),
    ),
)

_KIDNEY = Hold("grasper", "retract", "kidney", "kidney_edge")


def _suture(verb: str, target: str, action: str, site: str, **kwargs) -> Act:
    return Act("needle_driver", verb, target, action, site, **kwargs)


NEPHRECTOMY = Procedure(
    name="nephrectomy",
    specialty="urology",
    initial={
        "colon": 0.0,  # how far the colon is moved aside
        "hilum": 0.0,  # share of the fat over the renal vessels that is gone
        "fat": 0.0,  # share of the fat over the kidney that is gone
        "clamps": 0.0,
        "pale": 0.0,  # kidney without blood
        "excise": 0.0,  # how far the tumour is cut out
        "tumour_gone": 0.0,
        "stitches": 0.0,
        "bag": 0.0,
        "fill": 0.0,
        "closed": 0.0,
        "extract": 0.0,
        "pool": 0.0,
    },
    phases=(
        Phase(
            "bowel_mobilization",
            view=(0.50, 0.52, 0.88),
            steps=(
                Step(
                    "peritoneal_incision",
                    (
                        Act(
                            "vessel_sealer",
                            "dissect",
                            "peritoneum",
                            "dissection",
                            "colon_line",
                            {"colon": 0.1},
                            repeat=(2, 2),
                        ),
                    ),
                ),
                Step(
                    "bowel_reflection",
                    (
                        Act(
                            "vessel_sealer",
                            "dissect",
                            "peritoneum",
                            "dissection",
                            "colon_line_far",
                            {"colon": 0.28},
                            repeat=(2, 2),
                        ),
                    ),
                ),
            ),
            hold=Hold("grasper", "retract", "gut", "colon"),
            visitors=("irrigator",),
        ),
        Phase(
            "hilar_dissection",
            view=(0.40, 0.54, 1.06),
            steps=(
                Step(
                    "hilar_fat_clearing",
                    (_hook("blood_vessel", "vein", effect={"hilum": 0.45}, repeat=(2, 2)),),
                ),
                Step(
                    "renal_vessel_isolation",
                    (_hook("blood_vessel", "renal_artery", effect={"hilum": 0.9}, repeat=(2, 2)),),
                ),
            ),
            hold=_KIDNEY,
            visitors=("irrigator",),
            enter={"colon": 1.0, "hilum": 0.1},
        ),
        Phase(
            "hilar_clamping",
            view=(0.38, 0.56, 1.14),
            steps=(
                Step(
                    "renal_artery_clamping",
                    (_clip("blood_vessel", "renal_artery", {"clamps": 1}, (4.5, 6.5)),),
                ),
                Step(
                    "renal_vein_clamping",
                    (_clip("blood_vessel", "vein", {"clamps": 2}, (4.5, 6.5)),),
                ),
            ),
            hold=_KIDNEY,
            enter={"hilum": 1.0},
        ),
        Phase(
            "tumor_excision",
            view=(0.58, 0.44, 1.10),
            steps=(
                Step(
                    "tumor_incision",
                    (
                        Act(
                            "scissors",
                            "cut",
                            "kidney",
                            "cutting",
                            "tumour_edge",
                            {"excise": 0.4, "pool": 0.25},
                            repeat=(1, 2),
                        ),
                    ),
                ),
                Step(
                    "tumor_enucleation",
                    (
                        _aspirate("pool", 0.15),
                        Act(
                            "scissors",
                            "cut",
                            "kidney",
                            "cutting",
                            "tumour_edge",
                            {"excise": 0.9, "pool": 0.3},
                            repeat=(1, 2),
                        ),
                    ),
                ),
            ),
            hold=Hold("grasper", "retract", "tumor", "tumour"),
            enter={"clamps": 2.0, "fat": 1.0, "pale": 1.0},
        ),
        Phase(
            "renorrhaphy",
            view=(0.60, 0.44, 1.16),
            steps=(
                Step(
                    "first_suture",
                    (
                        _suture(*NULL, "needle_grasping", "needle_pick", seconds=(1.5, 2.5)),
                        _suture(
                            "suture",
                            "kidney",
                            "needle_puncture",
                            "crater",
                            effect={"stitches": 1.0},
                        ),
                        _suture(
                            "pull",
                            "suture",
                            "suture_pulling",
                            "thread_end",
                            effect={"stitches": 1.5},
                        ),
                    ),
                ),
                Step(
                    "second_suture",
                    (
                        _suture(
                            "suture",
                            "kidney",
                            "needle_puncture",
                            "crater_low",
                            effect={"stitches": 2.5},
                        ),
                        _suture(
                            "pull",
                            "suture",
                            "suture_pulling",
                            "thread_end",
                            effect={"stitches": 3.0},
                        ),
                        _suture("pull", "suture", "knot_tying", "knot", effect={"stitches": 4.0}),
                    ),
                ),
            ),
            hold=_KIDNEY,
            enter={"excise": 1.0, "tumour_gone": 1.0, "pool": 0.0},
        ),
        Phase(
            "specimen_packaging",
            view=(0.54, 0.58, 0.94),
            steps=_packaging("tumor"),
            enter={"stitches": 5.0, "clamps": 0.0, "pale": 0.0, "bag": 1.0},
        ),
        Phase(
            "hemostasis",
            view=(0.56, 0.48, 1.04),
            steps=(
                Step(
                    "kidney_coagulation",
                    (
                        _coagulate("kidney", "crater"),
                        _coagulate("kidney", "kidney_low"),
                    ),
                ),
                _rinsing("kidney", "crater"),
            ),
            visitors=("grasper",),
            enter={"bag": 0.0, "pool": 0.85},
        ),
    ),
)

PROCEDURES = {p.name: p for p in (CHOLECYSTECTOMY, NEPHRECTOMY)}
