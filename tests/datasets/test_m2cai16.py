"""The readers of m2cai16's two challenges on small trees in the released layout."""

import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, TOOLS, WIDTH, phase_text, read_number, tool_text, tools_of
from fixtures_cholec import write_text as write
from fixtures_cholecystectomy import write_tool, write_workflow
from prepared_sources import prepared

from surgzoo.datasets.annotation_files import AnnotationFileError
from surgzoo.datasets.layout import LayoutError
from surgzoo.datasets.m2cai16_tool.m2cai16_tool import M2cai16Tool
from surgzoo.datasets.m2cai16_workflow.m2cai16_workflow import M2cai16Workflow
from surgzoo.db import ontology
from surgzoo.db import splits as official
from surgzoo.db.footage import Footage, Shot
from surgzoo.db.sources import sources
from surgzoo.tasks import tasks
from surgzoo.tasks.base import Context


def read(store, name):
    return list(store.records(store.video(name)))


def answers(store, name, task):
    """What a task asks on a stored video."""
    stored = store.video(name)
    shots = [Shot(record.frame, record.annotations) for record in store.records(stored)]
    footage = Footage(stored.video, shots, stored.annotations)
    context = Context(store.config, stored.video, stored.video.splits["default"])
    return [c.answer for c in tasks.get(task)().encode_video(footage, context)]


# ---- workflow ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workflow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workflow")
    write_workflow(folder / "raw", "workflow_video_01")
    write_workflow(folder / "raw", "test_workflow_video_01", seconds=2)
    train = folder / "raw" / "train_dataset"
    write(train / "workflow_video_01_timestamp.txt", "Frame\tPhase\n00:00:00\tPreparation\n")
    write(train / "workflow_video_01_pred.txt", "Frame\tPhase\n0\tGallbladderPackaging\n")
    return prepared(M2cai16Workflow, folder)


def test_phases_at_one_frame_a_second(workflow):
    assert [(v.video.id, v.count) for v in workflow.videos] == [
        ("test_workflow_video_01", 3),
        ("workflow_video_01", 5),
    ]
    for k, record in enumerate(read(workflow, "workflow_video_01")):
        assert read_number(simplejpeg.decode_jpeg(record.image)) == 25 * k
        assert record.frame.time == float(k)
        # The time stamps and predictions beside it are no labels.
        assert record.annotations.phase.native == ("TrocarPlacement" if k < 1 else "Preparation")
        assert record.annotations.instruments is None
    first, second = workflow.video("workflow_video_01").annotations.segments
    assert (first.label.concept, first.start, first.end) == ("trocar_placement", 0.0, 1.0)
    assert (second.label.concept, second.start, second.end) == ("preparation", 1.0, 101 / 25)
    assert workflow.quarantined() == ()


def test_the_workflow_video_says_what_it_is(workflow):
    train = workflow.video("workflow_video_01").video
    test = workflow.video("test_workflow_video_01").video
    assert train.canonical == "m2cai16_workflow/workflow_video_01"
    assert test.canonical == "m2cai16_workflow/test_workflow_video_01"
    assert (train.splits["default"], test.splits["default"]) == ("train", "test")
    assert (train.specialty, train.procedure) == ("hepatobiliary", "cholecystectomy")
    assert (train.height, train.width, train.fps) == (HEIGHT, WIDTH, 1.0)
    parts = official.schemes("m2cai16_workflow")["official"]
    assert (len(parts["train"]), len(parts["test"])) == (27, 14)


def test_workflow_gives_the_phase_task_eight_options(workflow):
    assert len(ontology.ids("m2cai16_workflow", "phase")) == 8
    got = answers(workflow, "workflow_video_01", "phase_recognition")
    assert got == ["trocar placement"] + ["preparation"] * 4


def test_a_denser_config(tmp_path):
    write_workflow(tmp_path / "raw", "workflow_video_02", seconds=2)
    got = read(prepared(M2cai16Workflow, tmp_path, config="fps5"), "workflow_video_02")
    assert [read_number(simplejpeg.decode_jpeg(r.image)) for r in got] == list(range(0, 51, 5))
    assert [r.annotations.phase.native for r in got[3:7]] == ["TrocarPlacement"] * 2 + [
        "Preparation"
    ] * 2


def test_phases_that_end_early_and_a_lost_video(tmp_path):
    raw = tmp_path / "raw"
    write_workflow(raw, "workflow_video_01", seconds=30, phases=phase_text([("Preparation", 60)]))
    write_workflow(raw, "workflow_video_02", seconds=1)
    (raw / "train_dataset" / "workflow_video_02.mp4").unlink()
    store = prepared(M2cai16Workflow, tmp_path)
    phases = [record.annotations.phase for record in read(store, "workflow_video_01")]
    assert [phase is None for phase in phases[:5]] == [False, False, False, True, True]
    assert store.video("workflow_video_01").annotations.notes == (
        "phases end at frame 59, the video at frame 750",
    )
    (lost,) = store.quarantined()
    assert lost.where == "train_dataset/workflow_video_02.txt"


def test_a_flat_folder_and_wrong_ones(tmp_path):
    raw = tmp_path / "raw"
    with pytest.raises(LayoutError, match=r"is not a folder\n(.*\n)*.*test_workflow_video_NN\.mp4"):
        prepared(M2cai16Workflow, tmp_path)
    write_workflow(raw, "workflow_video_01", seconds=1)
    for file in list((raw / "train_dataset").iterdir()):
        file.rename(raw / file.name)
    (raw / "train_dataset").rmdir()
    assert len(prepared(M2cai16Workflow, tmp_path)) == 2
    write(raw / "copy" / "workflow_video_01.txt", phase_text([("Preparation", 26)]))
    with pytest.raises(LayoutError, match="are the same file twice"):
        prepared(M2cai16Workflow, tmp_path, overwrite=True)
    (raw / "copy" / "workflow_video_01.txt").unlink()
    (raw / "workflow_video_01.txt").unlink()
    with pytest.raises(LayoutError, match=r"missing: workflow_video_01\.txt"):
        prepared(M2cai16Workflow, tmp_path, overwrite=True)
    (raw / "workflow_video_01.mp4").rename(raw / "video01.mp4")
    with pytest.raises(LayoutError, match="there is no video\n"):
        prepared(M2cai16Workflow, tmp_path, overwrite=True)


def test_a_phase_of_another_challenge_names_the_line(tmp_path):
    phases = phase_text([("TrocarPlacement", 3), ("Suturing", 30)])
    write_workflow(tmp_path / "raw", "workflow_video_01", seconds=1, phases=phases)
    with pytest.raises(ontology.UnmappedLabelError, match=r"_01\.txt, line 5: m2cai16_workflow"):
        prepared(M2cai16Workflow, tmp_path)


# ---- tool ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tool")
    write_tool(folder / "raw", 1)
    write_tool(folder / "raw", 11, tools=tool_text([tools_of(0), (0,) * 7, tools_of(2)]))
    write(folder / "raw" / "train_dataset" / "tool_video_01_pred.txt", "no\tlabels\n")
    return prepared(M2cai16Tool, folder)


def natives(record):
    found = record.annotations.instruments
    return None if found is None else tuple(item.label.native for item in found)


def test_tools_at_one_frame_a_second(tool):
    assert [(v.video.id, v.count) for v in tool.videos] == [
        ("tool_video_01", 5),
        ("tool_video_11", 5),
    ]
    for k, record in enumerate(read(tool, "tool_video_01")):
        assert read_number(simplejpeg.decode_jpeg(record.image)) == 25 * k
        expected = tuple(n for n, value in zip(TOOLS, tools_of(k), strict=True) if value)
        assert natives(record) == expected
        assert record.annotations.phase is None
    assert tool.quarantined() == ()


def test_rows_that_are_missing_at_the_end_are_not_annotated(tool):
    got = [natives(record) for record in read(tool, "tool_video_11")]
    assert got == [("Grasper",), (), ("Grasper", "Bipolar"), None, None]
    assert tool.video("tool_video_11").annotations.notes == (
        "tools end at frame 50, the video at frame 100",
    )
    assert answers(tool, "tool_video_11", "instrument_recognition") == [
        ["grasper"],
        [],
        ["grasper", "bipolar"],
    ]


def test_the_tool_videos_are_cholec80s(tool):
    assert tool.video("tool_video_01").video.canonical == "cholec80/video67"
    assert tool.video("tool_video_11").video.canonical == "cholec80/video61"
    assert tool.video("tool_video_01").video.splits["default"] == "train"
    assert tool.video("tool_video_11").video.splits["default"] == "test"


def test_a_wrong_value_names_the_line(tmp_path):
    write_tool(tmp_path / "raw", 2, seconds=1, tools=tool_text([tools_of(0), (0, 2) + (0,) * 5]))
    with pytest.raises(AnnotationFileError, match=r"tool_video_02\.txt, line 3.*not all 0 or 1"):
        prepared(M2cai16Tool, tmp_path)


def test_a_folder_of_the_other_challenge_shows_both_trees(tmp_path):
    write_workflow(tmp_path / "raw", "workflow_video_01", seconds=1)
    with pytest.raises(LayoutError) as caught:
        prepared(M2cai16Tool, tmp_path)
    assert "train_dataset/tool_video_NN.txt" in str(caught.value)
    assert "workflow_video_01.mp4" in str(caught.value)


def test_the_registry_finds_both():
    assert sources.get("m2cai16_workflow") is M2cai16Workflow
    assert sources.get("m2cai16_tool") is M2cai16Tool
