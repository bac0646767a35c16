"""Annotation files of the cholecystectomy sources, damaged in 500 ways each."""

import pytest
from fixtures_camma import (
    class_mask,
    coco_text,
    contour,
    endoscapes_box,
    endoscapes_image,
    track_record,
    write_cholect45,
    write_cholectrack20,
    write_endoscapes_image,
    write_instances,
    write_mask,
    write_voc,
)
from fixtures_cholec import write_text
from fuzzing import fuzz

from surgzoo.datasets.cholecinstanceseg.cholecinstanceseg import CholecInstanceSeg
from surgzoo.datasets.cholect45.cholect45 import CholecT45
from surgzoo.datasets.cholectrack20.cholectrack20 import CholecTrack20
from surgzoo.datasets.endoscapes.endoscapes import Endoscapes
from surgzoo.datasets.m2cai16_tool_locations.m2cai16_tool_locations import M2cai16ToolLocations

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", ["train/annotation_coco.json", "train_vids.txt"])
def test_endoscapes(tmp_path, path):
    write_endoscapes_image(tmp_path, "train", 1, 0)
    square = [0, 0, 9, 0, 9, 9, 0, 9]
    runs = {"size": [64, 192], "counts": [6400, 5, 5883]}
    things = [
        endoscapes_box(7, "tool", (0, 0, 10, 10), segmentation=[square]),
        endoscapes_box(7, "tool", (100, 0, 1, 5), segmentation=runs),
        endoscapes_box(7, "gallbladder", (0, 0, 10, 10)),
    ]
    image = endoscapes_image(1, 0, 7, ds=[1.0, 2 / 3, 1 / 3])
    write_text(tmp_path / "train/annotation_coco.json", coco_text([image], things))
    write_mask(tmp_path / "semseg/1_0.png", class_mask(v5=(0, 0, 10, 10)))
    write_text(tmp_path / "train_vids.txt", "1.0e+00\n2\n120.0\n")
    fuzz(Endoscapes, tmp_path, path, ordered=path.endswith(".json"))


@pytest.mark.parametrize("kind", ["triplet", "instrument"])
def test_cholect45(tmp_path, kind):
    triplets = ["grasper,retract,gallbladder", "hook,dissect,gallbladder"]
    write_cholect45(tmp_path, 1, {0: triplets[:1], 1: triplets, 2: []})
    # Rows name their frame; lines of the dict files have to follow each other.
    fuzz(CholecT45, tmp_path, f"{kind}/VID01.txt", ordered=False)


def test_cholect45_names(tmp_path):
    write_cholect45(tmp_path, 1, {0: ["hook,dissect,gallbladder"]})
    fuzz(CholecT45, tmp_path, "dict/instrument.txt")


def test_cholectrack20(tmp_path):
    one = track_record(0, (0.25, 0.25, 0.25, 0.5), 1, operator=1, triplet=17, verb=1, target=0)
    other = track_record(2, (0.5, 0.25, 0.25, 0.5), 1, intraoperative_track=3, smoke=1)
    write_cholectrack20(tmp_path, "Training", 96, {1: [one], 26: [one, other], 51: []})
    fuzz(CholecTrack20, tmp_path, "Training/VID96/vid96.json")


def test_cholecinstanceseg(tmp_path):
    shapes = [contour("grasper", 1, 0, 0, 24, 16), contour("hook", 2, 50, 0, 24, 32)]
    write_instances(tmp_path, "val", "VID03_t80_sparse", "t80_VID03_000000", shapes)
    fuzz(CholecInstanceSeg, tmp_path, "val/VID03_t80_sparse/ann_dir/t80_VID03_000000.json")


@pytest.mark.parametrize("path", ["Annotations/v01_000025.xml", "ImageSets/Main/train.txt"])
def test_m2cai16_tool_locations(tmp_path, path):
    write_voc(tmp_path, "v01_000025", [("Grasper", 1, 1, 96, 32), ("Hook", 97, 33, 192, 64)])
    write_voc(tmp_path, "v01_000050", [])
    write_text(tmp_path / "ImageSets/Main/train.txt", "v01_000025\nv01_000050\n")
    fuzz(M2cai16ToolLocations, tmp_path, path, ordered=path.endswith(".xml"))
