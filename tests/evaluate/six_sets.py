"""The six sources of SurgVLM-Bench, tiny, in their released layouts, prepared for the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "datasets"))  # for the fixtures

from fixtures_camma import coco_text, endoscapes_box, endoscapes_image, write_endoscapes_image
from fixtures_cholec import phase_text, vector, write_cholec80, write_cholect50, write_text
from fixtures_robotic import (
    CLASSIFICATION,
    ev17_image,
    ev17_mask,
    write_ev17_sequence,
    write_questions,
    write_sar_video,
    write_stills,
)

GRASP, HOOK = 17, 60  # ids of two triplets of CholecT50


def cholec80(raw):
    """Video 1 trains, 41 tests: 26 frames, of which 0, 10 and 20 are at 0.1 fps."""
    phases = phase_text([("Preparation", 300), ("CalotTriangleDissection", 326)])
    for number in (1, 41):
        write_cholec80(raw, number, seconds=25, phases=phases, packing="frames")


def sar_rarp50(raw):
    """Three frames a video with the actions other, picking up, pulling out."""
    write_sar_video(raw / "train1" / "video_02", media="rgb")
    write_sar_video(raw / "test" / "video_41", media="rgb")


def cholect50(raw):
    """Video 1 trains and 5 validates: one triplet in frames 0 and 1, two in 2, none in 3."""
    for number in (1, 5):
        frames = {
            0: [vector(GRASP, 0)],
            1: [vector(GRASP, 0)],
            2: [vector(GRASP, 1), vector(HOOK, 1)],
            3: [vector(-1, 1)],
        }
        write_cholect50(raw, number, frames)


def endoscapes(raw):
    """Video 1 trains, 165 tests: three frames with votes, of which two have boxes."""
    for split, video in (("train", 1), ("test", 165)):
        votes = {0: [1.0, 0.0, 0.0], 750: [0.67, 0.33, 0.67], 875: [1.0, 1.0, 1.0]}
        records = []
        for frame, scores in votes.items():
            write_endoscapes_image(raw, split, video, frame)
            key = frame != 875
            number = video * 1_000_000 + frame
            record = endoscapes_image(video, frame, number, ds=scores, is_det_keyframe=key)
            records.append(record)
        things = [endoscapes_box(r["id"], "gallbladder", (48, 16, 96, 32)) for r in records[:2]]
        write_text(raw / split / "annotation_ds_coco.json", coco_text(records))
        write_text(raw / split / "annotation_coco.json", coco_text(records[:2], things))


def endovis2018_vqa(raw):
    """Sequence 2 trains, 5 validates: two frames with three questions each."""
    for number in (2, 5):
        sequence = raw / "EndoVis-18-VQA" / f"seq_{number}"
        write_stills(sequence, (0, 2))
        write_questions(sequence, {0: CLASSIFICATION, 2: CLASSIFICATION}, "vqa/Classification")


def endovis2017(raw):
    """Sequence 1 trains, with two prograsp forceps; of 9, for the test, one frame shows one of them
    and a bipolar forceps twice."""
    masks = {
        "ground_truth/Left_Prograsp_Forceps_labels": {0: ev17_mask((0, 0, 160, 512, 10))},
        "ground_truth/Right_Prograsp_Forceps_labels": {0: ev17_mask((256, 0, 64, 64, 10))},
    }
    write_ev17_sequence(
        raw / "instrument_1_4_training" / "instrument_dataset_1", {0: ev17_image(0)}, masks
    )
    types = ev17_mask((0, 0, 320, 512, 2), (640, 0, 64, 64, 1), (960, 512, 320, 512, 1))
    write_ev17_sequence(
        raw / "instrument_9_10_testing" / "instrument_dataset_9",
        {0: ev17_image(0), 1: ev17_image(1)},
        {"gt/TypeSegmentation": {0: types, 1: ev17_mask()}},
    )


WRITERS = {
    "cholec80": cholec80,
    "sar_rarp50": sar_rarp50,
    "cholect50": cholect50,
    "endoscapes": endoscapes,
    "endovis2018_vqa": endovis2018_vqa,
    "endovis2017": endovis2017,
}


def prepare_all(folder, names=tuple(WRITERS)):
    """Writes and prepares sources below a folder; returns the data_dir."""
    from surgzoo.datasets.source_builder import prepare
    from surgzoo.db.sources import sources

    for name in names:
        WRITERS[name](folder / "raw" / name)
        prepare(sources.get(name), folder / "data", manual_dir=folder / "raw" / name, workers=1)
    return folder / "data"
