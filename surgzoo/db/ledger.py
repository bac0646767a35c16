"""The ledger of shared operations, as data: which sources show the same operations as which.

Facts with their evidence; `identity.py` reads them. `CAMMA_NUMBERED` and `OVERLAPS` are about the
Strasbourg cholecystectomies, `SAME_IDS` and `NAMINGS` about sources that share another's videos or
name parts and views of one operation, `SUSPECTED` about likely overlaps that are listed nowhere.
"""

from __future__ import annotations

import dataclasses

# Sources that use CAMMA's common numbering: the same number is the same operation
# (docs/README-Splits.md of github.com/CAMMA-public/cholect50). Numbers up to 80 are Cholec80's.
CAMMA_NUMBERED = frozenset(
    {
        "cholec80",
        "cholec80_cvs",
        "cholec80_vqa",
        "cholecinstanceseg",
        "cholecseg8k",
        "cholect45",
        "cholect50",
        "cholectrack20",
        "ssg_vqa",
    }
)

_ENDOSCAPES = "CAMMA's dataset overlap tables"
_M2CAI = "CAMMA's dataset overlap tables; the order of the five test videos is not verified"

# Sources that number CAMMA's operations anew: source, number there, CAMMA number, evidence.
OVERLAPS: tuple[tuple[str, int, int, str], ...] = (
    ("endoscapes", 1, 67, _ENDOSCAPES),
    ("endoscapes", 2, 68, _ENDOSCAPES),
    ("endoscapes", 3, 70, _ENDOSCAPES),
    ("endoscapes", 4, 71, _ENDOSCAPES),
    ("endoscapes", 7, 72, _ENDOSCAPES),
    ("endoscapes", 10, 96, _ENDOSCAPES),
    ("endoscapes", 33, 110, _ENDOSCAPES),
    ("endoscapes", 121, 66, _ENDOSCAPES),
    ("endoscapes", 127, 103, _ENDOSCAPES),
    *(("m2cai16_tool", number, 66 + number, _M2CAI) for number in range(1, 11)),
    ("m2cai16_tool", 11, 61, _M2CAI),
    ("m2cai16_tool", 12, 62, _M2CAI),
    ("m2cai16_tool", 13, 64, _M2CAI),
    ("m2cai16_tool", 14, 65, _M2CAI),
    ("m2cai16_tool", 15, 66, _M2CAI),
)

# Sources whose videos are named as in another source: source, that source, evidence.
SAME_IDS: tuple[tuple[str, str, str], ...] = (
    (
        "psi_ava",
        "grasp",
        "GraSP extends PSI-AVA (arXiv 2401.11174); both name its cases CASE001 ...",
    ),
    ("endovis2018_vqa", "endovis2018", "github.com/lalithjets/Surgical_VQA, directory_setup.txt"),
    ("endovis2018_vqla", "endovis2018", "github.com/longbai1006/Surgical-VQLA, README"),
    ("endovis2017_vqla", "endovis2017", "github.com/longbai1006/Surgical-VQLA, README"),
    ("pitvqa", "pitvis", "PitVQA asks about PitVis's 25 videos; github.com/mobarakol/PitVQA"),
    (
        "cadis",
        "cataracts",
        "arXiv 1906.11586: frames of CATARACTS's 25 training videos; our choice: the same numbers",
    ),
    (
        "m2cai16_tool_locations",
        "m2cai16_tool",
        "ai.stanford.edu/~syyeung/tooldetection.html: frames of m2cai16-tool; our choice: the same "
        "numbers",
    ),
)


@dataclasses.dataclass(frozen=True)
class Naming:
    """How a source names videos. `pattern` must match the whole id, in any case.

    `name` is a format over the pattern's groups (`number` as int) and gives the operation; `piece`
    does so where the source has several videos of one operation in different splits.
    """

    sources: tuple[str, ...]
    pattern: str
    name: str
    evidence: str
    piece: str = ""


NAMINGS: tuple[Naming, ...] = (
    Naming(
        ("cholecinstanceseg",),
        r"vid0*(?P<number>\d+)_(?:seg8k|t50_full|t50_sparse|t80_sparse)",
        "{number}",
        "a sequence is named by its operation and by the source of its frames",
    ),
    Naming(
        ("endovis2017", "endovis2017_vqla"),
        r"(?P<test>test_)?(?:instrument_dataset_|seq_?)?0*(?P<number>\d+)",
        "seq_{number}",
        "the test's pieces 1 to 8 are the last frames of the training sequences",
        piece="{test}seq_{number}",
    ),
    Naming(
        ("endovis2018", "endovis2018_vqa", "endovis2018_vqla"),
        r"(?P<test>test_)?(?:seq_)?0*(?P<number>\d+)",
        "{test}seq_{number}",
        "the test's sequences 1 to 4 are other operations than seq_1 to seq_4",
    ),
    Naming(
        ("pitvis", "pitvqa"),
        r"(?:video_)?0*(?P<number>\d+)",
        "video_{number:02d}",
        "file names of both releases",
    ),
    Naming(
        ("cataracts",),
        r"(?P<part>train|test)_?0*(?P<number>\d+)",
        "{part}{number:02d}",
        "folders train and test number their videos each from 1",
    ),
    Naming(
        ("cadis",),
        r"(?:video_?)?0*(?P<number>\d+)",
        "train{number:02d}",
        "see SAME_IDS",
    ),
    Naming(
        ("m2cai16_workflow",),
        r"(?P<test>test_)?(?:workflow_video_)?0*(?P<number>\d+)",
        "{test}workflow_video_{number:02d}",
        "file names of the release",
    ),
    Naming(
        ("autolaparo",),
        r"(?:video_?)?0*(?P<number>\d+)",
        "{number:02d}",
        "files of task 1",
    ),
    Naming(
        ("autolaparo",),
        r"clip_?0*(?P<number>\d+)",
        "clip_{number:03d}",
        "clips of tasks 2 and 3 share their numbers",
    ),
    Naming(
        ("heichole",),
        r"(?:hei-chole)?0*(?P<number>\d+)(?:_calot|_dissection)?",
        "Hei-Chole{number}",
        "the skill clips are cut from the full videos",
    ),
    Naming(
        ("sar_rarp50",),
        r"(?:video_)?0*(?P<number>\d+)(?:_\d)?",
        "video_{number:02d}",
        "videos 11, 15, 17 and 29 come in two parts",
    ),
    Naming(
        ("surgvu24",),
        r"case_?0*(?P<number>\d+)(?:_video_part_\d+)?",
        "case_{number:03d}",
        "a session comes in parts",
    ),
    Naming(
        ("surgvu24",),
        r"cat1_0*(?P<number>\d+)",
        "cat1_{number}",
        "the public clips with boxes; which sessions they are of is not published",
    ),
    Naming(
        ("ophnet2024",),
        r"case_0*(?P<number>\d+)(?:_\d+)?",
        "case_{number:04d}",
        "trimmed clips are named by their video",
    ),
    Naming(
        ("jigsaws",),
        r"(?P<trial>(?:suturing|knot_tying|needle_passing)_[b-i]\d{3})(?:_capture[12])?",
        "{trial}",
        "two cameras see one trial",
    ),
    Naming(
        ("egosurgery_phase",),
        r"0*(?P<number>\d+)(?:_\d+)?",
        "{number:02d}",
        "an operation comes in parts XX_Y",
    ),
    Naming(
        ("dsad",),
        r"0*(?P<number>\d+)",
        "{number:02d}",
        "folders of one number in several organs are one operation",
    ),
)

# Sources that are likely to share operations, with no list of which: both sources and evidence.
# Two equal names: within the source.
SUSPECTED: tuple[tuple[str, str, str], ...] = (
    (
        "m2cai16_workflow",
        "cholec80",
        "cholect50's docs/README-Splits.md names M2CAI16 among the sets that may overlap with "
        "Cholec80 and CholecT50; no list is published for the workflow videos",
    ),
    (
        "autolaparo",
        "autolaparo",
        "the clips of tasks 2 and 3 are cut from the 21 videos of task 1 (arXiv 2208.02049); which "
        "from which is not published, so videos and clips count as different operations",
    ),
)
