"""The protocols of single datasets: splits of `db/splits.tsv`, whose rows name their evidence.

Questions are the task's own. Where a protocol's headline needs confidences (triplet AP, CVS mAP),
which a text has not, the task's own headline stands in its place and the set says so.
"""

from __future__ import annotations

from surgzoo.evaluate.benchmarks.definition import Benchmark, BenchmarkSet

_HERE = "surgzoo.evaluate.benchmarks.asked"
_PHASE, _STEP, _ACTION = f"{_HERE}:VideoPhase", f"{_HERE}:VideoStep", f"{_HERE}:FrameAction"
_VIDEO = (
    "accuracy",
    "video_accuracy_std",
    "video_precision",
    "video_recall",
    "video_jaccard",
    "relaxed_jaccard_as_published",
    "f1_at_10",
    "edit",
)
_TRIPLET = ("ivt_ap", "i_ap", "v_ap", "t_ap", "iv_ap", "it_ap", "exact_match")
_VQA = ("macro_f1", "macro_recall", "miou", "miou_legacy_vqla")
_NO_SCORES = "The protocol's mean AP wants confidences; AP here is from 0/1 scores."
_NO_TEST = "No test set is published; the validation set is what papers report."

CHOLEC80 = Benchmark(
    name="cholec80",
    sets=(
        BenchmarkSet(
            "phase",
            "cholec80.fps1",
            _PHASE,
            scheme="40_40",
            shown=_VIDEO,
            facts="Halves 1-40 and 41-80 (Twinanda et al. 2017); 1 fps; accuracy video-wise.",
        ),
        BenchmarkSet(
            "tools",
            "cholec80.fps1",
            "instrument_recognition",
            scheme="40_40",
            shown=("macro_f1", "exact_match"),
            facts="Halves 1-40 and 41-80 (Twinanda et al. 2017); 1 fps.",
            ours=_NO_SCORES,
        ),
    ),
)


def _triplets(source: str, name: str, scheme: str, split: str = "test") -> BenchmarkSet:
    return BenchmarkSet(
        name,
        f"{source}.fps1",
        "triplet_recognition",
        split=split,
        scheme=scheme,
        shown=_TRIPLET,
        facts=f"Split {scheme} of github.com/CAMMA-public/cholect50; AP video-wise (ivtmetrics).",
        ours=_NO_SCORES,
    )


CHOLECT50_RDV = Benchmark("cholect50_rdv", (_triplets("cholect50", "triplets", "rdv"),))
CHOLECT50_CHALLENGE = Benchmark(
    "cholect50_challenge",
    (
        _triplets("cholect50", "test", "challenge"),
        _triplets("cholect50", "validation", "challenge", "val"),
    ),
)
CHOLECT50_CROSSVAL = Benchmark(
    "cholect50_crossval",
    tuple(_triplets("cholect50", f"triplets/fold{n}", f"crossval{n}") for n in range(1, 6)),
    combine="folds",
    total="mean of folds",
)
CHOLECT45_CROSSVAL = Benchmark(
    "cholect45_crossval",
    tuple(_triplets("cholect45", f"triplets/fold{n}", f"crossval{n}") for n in range(1, 6)),
    combine="folds",
    total="mean of folds",
)
CHOLECTRACK20 = Benchmark(
    "cholectrack20",
    (
        BenchmarkSet(
            "localization",
            "cholectrack20.fps1",
            "instrument_localization",
            scheme="official",
            shown=("ap50", "ap75", "ap"),
            facts="Test videos of the README; its metrics are those of tracking.",
            ours="Detection alone: tracks are not asked for.",
        ),
    ),
)
ENDOSCAPES = Benchmark(
    "endoscapes",
    (
        BenchmarkSet(
            "cvs",
            "endoscapes.fps1",
            "safety_assessment",
            scheme="official",
            shown=("balanced_accuracy", "exact_match", "map"),
            facts="Videos 162-201, the frames with votes, met from 0.5 on (arXiv 2312.12429).",
            ours=_NO_SCORES,
        ),
        BenchmarkSet(
            "anatomy",
            "endoscapes.fps1",
            "tissue_localization",
            scheme="official",
            shown=("ap50", "ap75", "ap"),
            facts="BBox201, videos 162-201; COCO AP (arXiv 2312.12429).",
            ours="AP of unit confidences; the headline is the mean IoU of questions on one class.",
        ),
    ),
)
CHOLEC80_CVS = Benchmark(
    "cholec80_cvs",
    (
        BenchmarkSet(
            "cvs",
            "cholec80_cvs.fps1",
            "safety_assessment",
            scheme="official",
            shown=("balanced_accuracy", "exact_match"),
            facts="15 test videos of github.com/ManuelRios18/CHOLEC80-CVS-PUBLIC.",
            ours="At 1 fps; the authors' preparation has 5.",
        ),
    ),
)
SAR_RARP50 = Benchmark(
    "sar_rarp50",
    (
        BenchmarkSet(
            "actions",
            "sar_rarp50.fps10",
            _ACTION,
            scheme="official",
            shown=("jaccard", "f1", "f1_at_10", "edit"),
            facts="Videos 41-50 at 10 Hz; accuracy and F1@10 (SAR_RARP50-evaluation).",
        ),
        BenchmarkSet(
            "masks",
            "sar_rarp50.fps1",
            "instrument_segmentation",
            scheme="official",
            shown=("iou", "nsd"),
            facts="Videos 41-50 at 1 Hz; mIoU and mNSD (SAR_RARP50-evaluation).",
            ours="The headline is the mean Dice of the questions.",
        ),
    ),
)
ENDOVIS2017 = Benchmark(
    "endovis2017",
    (
        BenchmarkSet(
            "masks",
            "endovis2017.fps2",
            "instrument_segmentation",
            scheme="official",
            shown=("iou",),
            facts="The challenge's ten test sequences (arXiv 1902.06426).",
            ours="The headline is the mean Dice of the questions.",
        ),
    ),
)


def _vqa(name: str, source: str, split: str, facts: str, scheme: str = "official") -> BenchmarkSet:
    return BenchmarkSet(
        name,
        source,
        "visual_question_answering",
        split=split,
        scheme=scheme,
        shown=_VQA,
        facts=facts,
    )


ENDOVIS2018_VQA = Benchmark(
    "endovis2018_vqa",
    (_vqa("questions", "endovis2018_vqa.fps2", "val", f"Sequences 1, 5 and 16. {_NO_TEST}"),),
)
ENDOVIS_VQLA = Benchmark(
    "endovis_vqla",
    (
        _vqa("endovis2018", "endovis2018_vqla.fps2", "val", f"Sequences 1, 5, 16. {_NO_TEST}"),
        _vqa("endovis2017", "endovis2017_vqla.fps2", "test", "An external test: all 97 frames."),
    ),
)
CHOLEC80_VQA = Benchmark(
    "cholec80_vqa",
    (_vqa("questions", "cholec80_vqa.fps1", "val", f"Eight videos. {_NO_TEST}"),),
)
SSG_VQA = Benchmark(
    "ssg_vqa", (_vqa("questions", "ssg_vqa.fps1", "test", "Videos 2, 22, 43, 60 and 74."),)
)
PITVIS = Benchmark(
    "pitvis",
    (
        BenchmarkSet(
            "steps",
            "pitvis.fps1",
            _STEP,
            split="val",
            scheme="common_val",
            shown=("accuracy", "f1", "video_f1", "f1_at_10", "edit"),
            facts="Videos 2, 6, 12, 13 and 24, as in public loaders; the test is not released.",
        ),
        BenchmarkSet(
            "instruments",
            "pitvis.fps1",
            "instrument_recognition",
            split="val",
            scheme="common_val",
            shown=("macro_f1", "exact_match"),
            facts="Videos 2, 6, 12, 13 and 24, as in public loaders; the test is not released.",
        ),
    ),
)
PITVQA = Benchmark(
    "pitvqa",
    (_vqa("questions", "pitvqa.fps1", "val", f"Videos 2, 6, 12, 13 and 24. {_NO_TEST}"),),
)
AUTOLAPARO = Benchmark(
    "autolaparo",
    (
        BenchmarkSet(
            "phase",
            "autolaparo.fps1",
            _PHASE,
            scheme="official",
            shown=_VIDEO,
            facts="Videos 15-21 of task 1 at 1 fps (arXiv 2208.02049); accuracy video-wise.",
        ),
    ),
)


def _robotic(source: str, name: str, task: str, scheme: str, split: str) -> BenchmarkSet:
    return BenchmarkSet(
        name,
        f"{source}.fps1",
        task,
        split=split,
        scheme=scheme,
        shown=("accuracy", "video_f1", "macro_f1", "ap50", "ap"),
        facts=f"Scheme {scheme} of the owner's repository; its metric is mean AP.",
        ours=_NO_SCORES,
    )


_ROBOTIC = {
    "phase": _PHASE,
    "step": _STEP,
    "instruments": "instrument_recognition",
    "localization": "instrument_localization",
}
PSI_AVA = Benchmark(
    "psi_ava",
    tuple(
        _robotic("psi_ava", f"{name}/fold{n}", task, f"fold{n}", "val")
        for name, task in _ROBOTIC.items()
        for n in (1, 2)
    ),
    combine="folds",
    total="mean of folds",
)
GRASP = Benchmark(
    "grasp",
    tuple(_robotic("grasp", name, task, "official", "test") for name, task in _ROBOTIC.items()),
)
M2CAI16 = Benchmark(
    "m2cai16",
    (
        BenchmarkSet(
            "phase",
            "m2cai16_workflow.fps1",
            _PHASE,
            scheme="official",
            shown=_VIDEO,
            facts="14 test videos of the challenge; accuracy video-wise.",
        ),
        BenchmarkSet(
            "tools",
            "m2cai16_tool.fps1",
            "instrument_recognition",
            scheme="official",
            shown=("macro_f1", "exact_match"),
            facts="Videos 11-15 of the challenge.",
            ours=_NO_SCORES,
        ),
    ),
)
MULTIBYPASS140 = Benchmark(
    "multibypass140",
    tuple(
        BenchmarkSet(
            f"{name}/fold{n}",
            "multibypass140.fps1",
            task,
            scheme=f"bern_fold{n}",
            shown=_VIDEO,
            facts=f"Test of fold {n} of Bern's 70 (github.com/CAMMA-public/MultiBypass140).",
            ours="Folds 1 to 4; fold 0 comes with the release alone and is in no table here.",
        )
        for name, task in (("phase", _PHASE), ("step", _STEP))
        for n in range(1, 5)
    ),
    combine="folds",
    total="mean of folds",
)
