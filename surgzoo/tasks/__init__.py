"""The task registry. A task is one file; importing the registry imports none of them."""

from surgzoo.core.registry import Card, Registry

tasks: Registry = Registry("task")

for _name, _class, _summary in (
    ("instrument_recognition", "InstrumentRecognition", "Which instruments are in view"),
    ("instrument_localization", "InstrumentLocalization", "Boxes of the instruments in view"),
    ("phase_recognition", "PhaseRecognition", "Which phase of the procedure the frame shows"),
    ("triplet_recognition", "TripletRecognition", "Which instrument does what to which tissue"),
):
    tasks.register(
        _name,
        f"surgzoo.tasks.{_name}:{_class}",
        Card(summary=_summary, licence="Apache-2.0", source="SurgΣ-DB, arXiv 2603.16822, table 1"),
    )
