"""SurgVLM-Bench: six sets, two protocols, Arena = the sum of the six headline percentages.

What the authors state (project page of arXiv 2506.02555): the six sets, their tasks and metrics,
which metric counts in the arena score, that there are two protocols (options listed; open
vocabulary), official splits and randomly sampled frames. Their prompts, sample counts and code are
not public. A re-implementation by others, whose prompts are said to follow a figure of the paper,
names questions, splits and sizes; each set below says what is taken from it and what is ours.
"""

from __future__ import annotations

from surgzoo.evaluate.benchmarks.definition import Benchmark, BenchmarkSet, Prompt

_HERE = "surgzoo.evaluate.benchmarks.asked"
_BY_OTHERS = "question of a re-implementation, format of the answer ours"

_PHASE = "In the cholecystectomy surgical image, what is the current phase?"
_ACTION = "What action related to the needle and suture is the surgeon focusing on right now?"
_TRIPLETS = "What tasks are the instruments accomplishing with the targets?"
_EACH = "Answer with each as instrument verb target, separated by commas, or none."
_LETTER = "\n{lettered}\nAnswer with the letter and the name of one option."

SURGVLM_BENCH = Benchmark(
    name="surgvlm_bench",
    combine="sum",
    total="Arena",
    facts="Sets, tasks, metrics, protocols and the sum: project page of arXiv 2506.02555.",
    ours=(
        "The authors' prompts, sample counts and code are not public. All options are listed, in "
        "the source's order and by this project's names of the classes. An unanswered question "
        "counts as wrong, and so does an answer that cannot be read."
    ),
    sets=(
        BenchmarkSet(
            name="cholec80_phase",
            source="cholec80.fps1",
            task="phase_recognition",
            scheme="40_40",
            every=10.0,
            prompt=Prompt(
                _PHASE,
                _PHASE + _LETTER,
                _BY_OTHERS,
            ),
            shown=("recall", "precision", "jaccard"),
            facts="Accuracy counts (authors). Videos 41-80 at 0.1 fps (re-implementation).",
            ours="The frame at each full 10 s of the video.",
        ),
        BenchmarkSet(
            name="sar_rarp50_action",
            source="sar_rarp50.fps1",
            task=f"{_HERE}:FrameAction",
            scheme="official",
            prompt=Prompt(
                _ACTION,
                _ACTION + _LETTER,
                _BY_OTHERS,
            ),
            shown=("recall", "precision", "jaccard"),
            facts="Accuracy counts (authors). The test videos at 1 Hz (re-implementation).",
        ),
        BenchmarkSet(
            name="cholect50_triplet",
            source="cholect50.fps1",
            task=f"{_HERE}:TripletAccuracy",
            split="val",
            scheme="challenge",
            most=1319,
            prompt=Prompt(
                _TRIPLETS + " " + _EACH,
                _TRIPLETS + "\n"
                "Instruments: {instruments}\nVerbs: {verbs}\nTargets: {targets}\n" + _EACH,
                _BY_OTHERS,
            ),
            shown=(
                "i_accuracy",
                "v_accuracy",
                "t_accuracy",
                "i_ap",
                "v_ap",
                "t_ap",
                "ivt_ap",
                "ivt_f1",
            ),
            facts=(
                "IVT accuracy counts (authors, who do not define it). Challenge validation, about "
                "1,319 annotations (re-implementation)."
            ),
            ours=(
                "Accuracy is the share of frames whose set of triplets is exactly right; which "
                "frames are drawn; AP is from 0/1 scores."
            ),
        ),
        BenchmarkSet(
            name="endoscapes_cvs",
            source="endoscapes.fps1",
            task=f"{_HERE}:BoxedFrames",
            scheme="official",
            prompt=Prompt(
                "Which criteria of the critical view of safety are met in this image? {criteria}. "
                "Answer for each in the form 'Criterion 1: Yes.' or 'Criterion 1: No.'",
                wording="ours",
            ),
            shown=("balanced_accuracy", "exact_match"),
            facts=(
                "Mean criterion accuracy counts (authors). Test, 312 frames, a criterion is met "
                "from a mean vote of 0.5 on (re-implementation)."
            ),
            ours=(
                "312 is the number of test frames with boxes (BBox201: 1,212 + 409 + 312 of 1,933 "
                "frames), so the frames with boxes are asked. Yes and no are all there is to list: "
                "both protocols are the same."
            ),
        ),
        BenchmarkSet(
            name="endovis2018_vqa",
            source="endovis2018_vqa.fps2",
            task="visual_question_answering",
            split="val",
            scheme="official",
            answers=("tissue", "action", "place"),
            prompt=Prompt(
                "{question}",
                "{question}" + _LETTER,
                "questions of the source; format of the answer ours",
            ),
            shown=("macro_f1", "bleu4", "bleu_4", "meteor", "rouge1", "rouge_1"),
            facts=(
                "Accuracy counts (authors). Validation sequences 1, 5 and 16; a re-implementation "
                "counts 1,396 questions."
            ),
            ours="All questions of these sequences; the choice lists the 18 answers of the source.",
        ),
        BenchmarkSet(
            name="endovis2017_localization",
            source="endovis2017.fps2",
            task=f"{_HERE}:MaskBoxes",
            scheme="official",
            most=1310,
            prompt=Prompt(
                "Where is the {name} located? Answer with just a bounding box "
                "[x_min, y_min, x_max, y_max], as fractions of the image from 0 to 1.",
                wording=_BY_OTHERS,
            ),
            shown=("ap50", "ap75", "ap"),
            facts=(
                "mIoU counts (authors). Ten sequences, about 1,310 questions, boxes from masks "
                "(re-implementation)."
            ),
            ours=(
                "The ten sequences of the challenge's test; one box around all pixels of a class, "
                "as the masks hold classes; only what is in view is asked for; which questions are "
                "drawn. A box cannot be listed: both protocols are the same."
            ),
        ),
    ),
)
