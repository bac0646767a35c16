"""Label files of PSI-AVA, GraSP, JIGSAWS, AutoLaparo and SurgVU24, damaged in 500 ways each."""

import json

import pytest
from fixtures_autolaparo import mask, write_task1, write_task2, write_task3
from fixtures_jigsaws import meta_line, write_meta, write_trial
from fixtures_prostatectomy import CUTTING, HOLDING, write_grasp, write_psi_ava
from fixtures_surgvu import write_boxes, write_question, write_session
from fuzzing import fuzz

from surgzoo.datasets.autolaparo.autolaparo import AutoLaparo
from surgzoo.datasets.grasp.grasp import Grasp
from surgzoo.datasets.jigsaws.jigsaws import Jigsaws
from surgzoo.datasets.psi_ava.psi_ava import PsiAva
from surgzoo.datasets.surgvu24.surgvu24 import SurgVU24

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("path", "ordered"),
    [
        ("psi-ava/fold1/coco_anns/train_coco_anns_v3_35s.json", True),
        ("psi-ava/fold1/annotations/train.csv", True),
        ("psi-ava/fold1/annotations/surgery_TOOLS_list.pbtxt", True),
        ("psi-ava/fold1/annotations/surgery_PHASES_list.pbtxt", True),
        ("psi-ava/fold1/frame_lists/train.csv", False),
        ("psi-ava_extended/fold1/annotations/train.csv", False),
    ],
)
def test_psi_ava(tmp_path, path, ordered):
    """Each file alone: fold 2 repeats it, and would be read in its place."""
    write_psi_ava(tmp_path)
    for other in (tmp_path / "psi-ava" / "fold2").rglob("*.*"):
        other.unlink()
    fuzz(PsiAva, tmp_path, path, ordered=ordered)


@pytest.mark.parametrize("term", ["long", "short"])
def test_grasp(tmp_path, term):
    write_grasp(
        tmp_path,
        {
            "CASE001/00000.jpg": ("LPIL", "Cut", (HOLDING, CUTTING)),
            "CASE001/00001.jpg": ("RPIL", "Suction", ()),
        },
        keys=("CASE001/00000.jpg",),
    )
    fuzz(Grasp, tmp_path, f"GraSP_1fps/annotations/grasp_{term}-term_train.json")


@pytest.mark.parametrize("path", ["transcriptions/Suturing_B001.txt", "meta_file_Suturing.txt"])
def test_jigsaws(tmp_path, path):
    write_trial(tmp_path, frames=61, cameras=(1,))
    write_meta(tmp_path, "Suturing", [meta_line("Suturing_B001"), meta_line("Suturing_C002", "E")])
    fuzz(Jigsaws, tmp_path, f"Suturing/{path}")


@pytest.mark.parametrize("task", [1, 2])
def test_autolaparo(tmp_path, task):
    if task == 1:
        write_task1(tmp_path, 1, [1, 2])
        fuzz(AutoLaparo, tmp_path, "Task 1 Surgical workflow recognition/labels/label_01.txt")
    else:
        write_task2(tmp_path, [(1, 5, 2), (2, 0, 4)], frames=25)
        write_task3(tmp_path, 1, {1: mask({20: (0, 0, 9, 9)})})
        folder = "Task 2 Laparoscope motion prediction"
        fuzz(AutoLaparo, tmp_path, f"{folder}/laparoscope_motion_label.txt", ordered=False)


@pytest.mark.parametrize("log", ["tools", "tasks"])
def test_surgvu24_logs(tmp_path, log):
    write_session(tmp_path, parts=(50,))
    fuzz(SurgVU24, tmp_path, f"labels/case_000/{log}.csv", ordered=False)


def test_surgvu24_boxes(tmp_path):
    write_boxes(tmp_path, 1, {0: [("stapler", (0.0, 0.0, 96.0, 32.0))], 1: []}, seconds=2)
    fuzz(SurgVU24, tmp_path, "cat1_test_set_public/1_fps1_coco.json")


@pytest.mark.parametrize("name", ["case122_question.json", "case122.json"])
def test_surgvu24_questions(tmp_path, name):
    write_question(tmp_path, 122, "Is it?", ["It is.", "Yes."], frames=50)
    fuzz(SurgVU24, tmp_path, f"case122/{name}")


@pytest.mark.parametrize("part", ["train", "val"])
def test_swapped_files(tmp_path, part):
    """A file of one kind in the place of another ends in a clear error."""
    from fuzzing import CLEAR, read

    raw = write_psi_ava(tmp_path, part=part)
    json_file = raw / "psi-ava" / "fold1" / "coco_anns" / f"{part}_coco_anns_v3_35s.json"
    rows = raw / "psi-ava" / "fold1" / "annotations" / f"{part}.csv"
    one, other = json_file.read_bytes(), rows.read_bytes()
    json_file.write_bytes(other)
    with pytest.raises(CLEAR, match="anns_v3_35s"):
        read(PsiAva, raw)
    json_file.write_bytes(one)
    rows.write_bytes(json.dumps({}).encode())
    with pytest.raises(CLEAR, match=rf"{part}\.csv"):
        read(PsiAva, raw)
