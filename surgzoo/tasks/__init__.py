"""The task registry. A task is one file; importing the registry imports none of them."""

from surgzoo.core.registry import Card, Registry

tasks: Registry = Registry("task")

for _name, _class, _summary in (
    ("instrument_recognition", "InstrumentRecognition", "Which instruments are in view"),
    ("instrument_localization", "InstrumentLocalization", "Boxes of the instruments in view"),
    ("tissue_recognition", "TissueRecognition", "Which tissues and organs are in view"),
    ("tissue_localization", "TissueLocalization", "Boxes of the tissues and organs in view"),
    ("phase_recognition", "PhaseRecognition", "Which phase of the procedure the frame shows"),
    ("step_recognition", "StepRecognition", "Which step inside a phase the frame shows"),
    ("action_recognition", "ActionRecognition", "Which surgical action the clip shows"),
    ("triplet_recognition", "TripletRecognition", "Which instrument does what to which tissue"),
    ("safety_assessment", "SafetyAssessment", "Which criteria of a safe view are met"),
    # Planning, captions and pixels.
    ("action_remaining", "ActionRemaining", "How many seconds the running action goes on"),
    ("next_action", "NextAction", "Which action follows the clip"),
    ("image_captioning", "ImageCaptioning", "What the frame shows, in a few sentences"),
    ("video_captioning", "VideoCaptioning", "What is done in the clip, in order"),
    ("instrument_segmentation", "InstrumentSegmentation", "Mask of one or of all instruments"),
    ("depth_estimation", "DepthEstimation", "Relative depth of each pixel"),
    ("desmoking", "Desmoking", "The frame without its smoke"),
    ("next_frame", "NextFrame", "The frame 1 to 10 seconds later"),
    ("video_generation", "VideoGeneration", "The clip that a caption describes"),
):
    tasks.register(
        _name,
        f"surgzoo.tasks.{_name}:{_class}",
        Card(summary=_summary, licence="Apache-2.0", source="SurgΣ-DB, arXiv 2603.16822, table 1"),
    )

# Extensions, registered as an outside package would: SurgΣ's table has no such tasks.
tasks.register(
    "visual_question_answering",
    "surgzoo.tasks.visual_question_answering:VisualQuestionAnswering",
    Card(
        summary="Questions that came with a source, some with a box in the answer",
        licence="Apache-2.0",
        source="Seenivasan et al., Surgical-VQA, arXiv 2206.11053; boxes as in arXiv 2305.11692",
    ),
    origin="surgzoo's extensions",
)
tasks.register(
    "tissue_segmentation",
    "surgzoo.tasks.tissue_segmentation:TissueSegmentation",
    Card(
        summary="Mask of one or of all tissues and organs",
        licence="Apache-2.0",
        source="masks as in CholecSeg8k, arXiv 2012.12453; the form of SurgΣ's instrument masks",
    ),
    origin="surgzoo's extensions",
)
