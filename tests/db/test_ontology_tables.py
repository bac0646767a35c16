"""The tables of all sources: complete by count, right at spots, and free of loose ends.

The counts are the lengths of the sources' own label lists, as their papers, code and files have
them; a row of a handle or a mask of a part counts in two kinds.
"""

import collections

import pytest

from surgzoo.db import ontology

# fmt: off
COUNTS = {
    "autolaparo": {"phase": 7, "motion": 7, "instrument": 8, "part": 8, "tissue": 1, "void": 1},
    "cadis": {"tissue": 4, "instrument": 32, "part": 8},  # 36 classes
    "cadis_task1": {"tissue": 4, "instrument": 4},
    "cadis_task2": {"tissue": 4, "instrument": 13, "void": 1},
    "cadis_task3": {"tissue": 4, "instrument": 21, "part": 6, "void": 1},
    "cataract1k": {"phase": 12, "tissue": 3, "instrument": 10},
    "cataracts": {"instrument": 21, "step": 19},
    "cholec80": {"instrument": 7, "phase": 7},
    "cholec80_cvs": {"criterion": 3},
    "cholec80_vqa": {"answer": 6, "phase": 7},  # 13 answers
    "cholecinstanceseg": {"instrument": 7},
    "cholecseg8k": {"void": 1, "tissue": 10, "instrument": 2},  # 13 classes
    "cholect45": {"instrument": 6, "verb": 10, "target": 15, "phase": 8, "triplet": 100},
    "cholect50": {"instrument": 6, "verb": 10, "target": 15, "phase": 8, "triplet": 100},
    # Three operators in two spellings.
    "cholectrack20": {"instrument": 7, "verb": 10, "target": 15, "triplet": 100, "operator": 6,
                      "void": 1, "phase": 7, "flag": 9},
    "dsad": {"tissue": 11},
    "egosurgery_phase": {"phase": 9},
    "endoscapes": {"void": 1, "tissue": 5, "instrument": 1, "criterion": 3},
    "endovis2017": {"instrument": 7, "part": 3},
    "endovis2017_vqla": {"tissue": 1, "action": 13, "place": 4, "instrument": 8},
    "endovis2018": {"tissue": 5, "instrument": 8, "part": 3},  # 12 classes and one other spelling
    "endovis2018_types": {"instrument": 7},
    "endovis2018_vqa": {"tissue": 1, "action": 13, "place": 4, "instrument": 8},  # 18 answers
    "endovis2018_vqla": {"tissue": 1, "action": 13, "place": 4, "instrument": 8},
    "grasp": {"instrument": 7, "phase": 11, "step": 21, "action": 14},
    "grasp_triplets": {"instrument": 6, "verb": 12, "target": 18},
    "gynsurg": {"action": 5, "flag": 1, "void": 1, "tissue": 8},
    "heichole": {"phase": 7, "action": 4, "instrument": 7, "skill": 5},
    "heichole_types": {"instrument": 22},
    "hyper_kvasir": {"finding": 23, "tissue": 1},
    "jigsaws": {"gesture": 15, "action": 15, "skill": 9},
    "kvasir_instrument": {"instrument": 1},
    "lapgyn4": {"tissue": 8, "action": 12, "answer": 4},  # 5 + 8 + 4 + 4 folders
    "m2cai16_tool": {"instrument": 7},
    "m2cai16_tool_locations": {"instrument": 7},
    "m2cai16_workflow": {"phase": 8},
    "multibypass140": {"phase": 12, "flag": 2, "step": 46},
    "ophnet2024": {"phase": 96},
    "pitvis": {"phase": 3, "step": 14, "instrument": 18, "flag": 2, "void": 2},
    "pitvqa": {"step": 14, "phase": 3, "instrument": 18, "place": 5, "answer": 19, "void": 2},
    "pmlr50": {"phase": 5},
    "psi_ava": {"instrument": 7, "action": 16, "phase": 11, "step": 21},
    "robust_mis": {"instrument": 1},
    "sar_rarp50": {"action": 8, "void": 1, "instrument": 9, "part": 3},  # 8 actions, 10 values
    "ssg_vqa": {"answer": 21, "target": 14, "verb": 9, "instrument": 7},  # 51 answers
    "surgsigma": {"action": 10, "criterion": 3},
    "surgsigma_safe_window": {"criterion": 3},
    "surgsigma_v01": {"instrument": 6, "verb": 10, "target": 15, "phase": 8, "triplet": 100},
    "surgvu24": {"instrument": 19, "step": 8},  # 12 classes, 7 rarer tools
    "synthsurg": {"phase": 14, "step": 27, "action": 12, "instrument": 9, "verb": 12, "target": 14,
                  "tissue": 15, "criterion": 3, "triplet": 35},
}
SEVERAL = {"jigsaws": (1, 3), "robust_mis": (1, 3), "synthsurg": (2, 2)}  # specialties, procedures
FEWER_CONCEPTS = {  # natives that are one concept; elsewhere a class stays a class
    ("autolaparo", "instrument"): 4, ("autolaparo", "part"): 2,
    ("cadis", "instrument"): 24, ("cadis", "part"): 1,
    ("cadis_task3", "instrument"): 15, ("cadis_task3", "part"): 1,
    ("cholect50", "phase"): 7, ("cholect45", "phase"): 7, ("cholectrack20", "operator"): 3,
    ("surgsigma_v01", "phase"): 7,
    ("endovis2018", "instrument"): 6, ("endovis2018", "tissue"): 4,
    ("jigsaws", "action"): 12,
    ("lapgyn4", "action"): 8, ("lapgyn4", "tissue"): 6,
    ("pitvis", "flag"): 1, ("pitvis", "void"): 1, ("pitvqa", "void"): 1,
    ("sar_rarp50", "instrument"): 7,
}
SPOTS = [
    ("autolaparo", "phase", "Transecting the Vagina", "transecting_the_vagina"),
    ("autolaparo", "part", "LigaSure shaft", "shaft"),
    ("autolaparo", "instrument", "LigaSure shaft", "ligasure"),
    ("autolaparo", "motion", "Zoom-in", "zoom_in"),
    ("cadis", "instrument", "Rycroft Cannula Handle", "rycroft_cannula"),
    ("cadis", "part", "Rycroft Cannula Handle", "handle"),
    ("cadis_task2", "void", "Ignore", "ignored"),
    ("cataract1k", "phase", "viscoelastic-suction", "viscoelastic_aspiration"),
    ("cataract1k", "tissue", "lense", "lens"),
    ("cataracts", "instrument", "Implant Injector", "lens_injector"),
    ("cholec80_vqa", "phase", "clipping cutting", "clipping_and_cutting"),
    ("cholecinstanceseg", "instrument", "snare", "snare"),
    ("cholecseg8k", "instrument", "L-hook Electrocautery", "hook"),
    ("cholect45", "triplet", "hook,dissect,gallbladder", "hook,dissect,gallbladder"),
    ("cholectrack20", "instrument", "specimen-bag", "specimen_bag"),
    ("cholectrack20", "operator", "MSLH", "main_surgeon_left_hand"),
    ("dsad", "tissue", "vesicular_glands", "vesicular_glands"),
    ("endoscapes", "criterion", "C2", "hepatocystic_triangle"),
    ("endovis2017", "instrument", "Prograsp Forceps", "prograsp_forceps"),
    ("endovis2018", "tissue", "intestine", "small_intestine"),
    ("endovis2018_vqa", "action", "Retraction", "tissue_retraction"),
    ("endovis2017_vqla", "place", "left-top", "top_left"),
    ("grasp", "action", "Cauterize", "coagulation"),
    ("grasp", "phase", "LPIL", "left_pelvic_isolated_lymphadenectomy"),
    ("grasp_triplets", "verb", "Non-verb", "null_verb"),
    ("gynsurg", "action", "Transection", "cutting"),
    ("heichole_types", "instrument", "Electric hook", "hook"),
    ("jigsaws", "gesture", "G3", "pushing_needle_through_tissue"),
    ("jigsaws", "action", "G3", "needle_puncture"),
    ("lapgyn4", "action", "Dissection_Blunt", "dissection"),
    ("lapgyn4", "tissue", "Suturing_Vagina", "vagina"),
    ("m2cai16_workflow", "phase", "TrocarPlacement", "trocar_placement"),
    ("multibypass140", "step", "s14_adhesiolysis", "adhesiolysis"),
    ("multibypass140", "flag", "out_of_body", "out_of_body"),
    ("ophnet2024", "phase", "Artificial Cornea Manipulaiton", "artificial_cornea_manipulation"),
    ("pitvis", "void", "no secondary instrument", "nothing"),
    ("pitvqa", "step", "haemostasis", "hemostasis"),
    ("psi_ava", "step", "Pull_Suture", "pull_suture"),
    ("robust_mis", "procedure", "Sigmoid resection", "sigmoid_resection"),
    ("sar_rarp50", "action", "Pulling the needle out of the tissue", "needle_pulling"),
    ("ssg_vqa", "instrument", "specimenbag", "specimen_bag"),
    ("ssg_vqa", "target", "specimen_bag", "specimen_bag"),
    ("surgvu24", "instrument", "tip-up fenestrated grasper", "tip_up_fenestrated_grasper"),
]
# fmt: on


def test_every_table_is_counted_here():
    assert set(ontology.sources()) >= set(COUNTS)
    built_in = {path.stem for path in ontology._FOLDERS[0].glob("*.tsv")} - {"concepts"}
    assert built_in == set(COUNTS)


@pytest.mark.parametrize("source", COUNTS)
def test_every_label_of_the_source_has_a_row(source):
    found = collections.Counter(row.kind for row in ontology.rows(source))
    assert (found.pop("specialty"), found.pop("procedure")) == SEVERAL.get(source, (1, 1))
    assert found == COUNTS[source]
    for kind, number in found.items():
        concepts = len({concept for (k, _), concept in ontology.table(source).items() if k == kind})
        assert concepts == FEWER_CONCEPTS.get((source, kind), number), kind


@pytest.mark.parametrize(("source", "kind", "native", "concept"), SPOTS)
def test_spots(source, kind, native, concept):
    assert ontology.label(source, kind, native).concept == concept


def test_order_is_the_sources_own():
    assert ontology.names("sar_rarp50", "action") == (
        "other action",
        "needle grasping",
        "needle positioning",
        "needle puncture",
        "needle pulling",
        "knot-tying",
        "suture cutting",
        "needle returning",
    )
    assert ontology.ids("multibypass140", "step")[:2] == ("null_step", "cavity_exploration")
    assert ontology.ids("multibypass140", "step")[45] == "specimen_retrieval"
    assert ontology.ids("endoscapes", "tissue") == (
        "cystic_plate",
        "calot_triangle",
        "cystic_artery",
        "cystic_duct",
        "gallbladder",
    )
    # Cholec80-CVS orders its columns otherwise than Endoscapes its criteria
    assert ontology.ids("cholec80_cvs", "criterion")[1] == "cystic_plate"
    assert ontology.ids("endoscapes", "criterion")[1] == "hepatocystic_triangle"


def test_no_concept_is_unused():
    rows = [row for source in COUNTS for row in ontology.rows(source)]
    used = {(row.kind, row.concept) for row in rows}
    for row in rows:
        if row.kind == "triplet":
            used |= set(zip(ontology.TRIPLET, row.concept.split(","), strict=True))
    assert {key for key in ontology.concepts() if key not in used} == set()


def test_every_row_has_its_evidence():
    for source in COUNTS:
        for row in ontology.rows(source):
            assert row.evidence.strip(), (source, row)
            assert row.table == source or row.table in COUNTS


def test_names_are_lower_case_and_ids_are_words():
    for (_, concept), row in ontology.concepts().items():
        assert row.name == row.name.lower().strip() and "," not in row.name, concept
        assert concept.replace("_", "").isalnum() and concept == concept.lower(), concept


def test_one_specialty_is_verified_and_every_other_one_is_marked_as_our_choice():
    notes = {
        concept: row.note
        for (kind, concept), row in ontology.concepts().items()
        if kind == "specialty"
    }
    assert [concept for concept, note in notes.items() if ontology.OURS not in note] == [
        "hepatobiliary"
    ]
    assert len([note for note in notes.values() if "not one of SurgΣ-DB's six" not in note]) == 6


def test_bsa10_in_the_order_of_the_guideline():
    assert ontology.bsa10() == (
        "aspiration",
        "clipping",
        "coagulation",
        "dissection",
        "knot_tying",
        "needle_grasping",
        "needle_puncture",
        "packaging",
        "suture_pulling",
        "tissue_retraction",
    )
    concepts = ontology.concepts()
    marked = [c for (k, c), row in concepts.items() if k == "action" and "BSA-10, " in row.note]
    assert sorted(marked) == list(ontology.bsa10())


def test_sources_that_share_videos_share_labels():
    same = [
        ("cholect45", "cholect50", ("instrument", "verb", "target", "phase", "triplet")),
        ("m2cai16_tool", "cholec80", ("instrument",)),
        ("grasp", "psi_ava", ("instrument", "phase", "step")),
        ("endovis2018_vqla", "endovis2018_vqa", ("action", "place", "tissue")),
    ]
    for one, other, kinds in same:
        for kind in kinds:
            assert ontology.ids(one, kind) == ontology.ids(other, kind), (one, kind)
    assert set(ontology.ids("pitvis", "step")) == set(ontology.ids("pitvqa", "step"))
    assert set(ontology.ids("pitvis", "instrument")) == set(ontology.ids("pitvqa", "instrument"))
    for source in ("heichole", "cholectrack20"):
        assert ontology.ids(source, "phase") == ontology.ids("cholec80", "phase")
    cadis = set(ontology.ids("cadis", "instrument"))
    assert cadis - set(ontology.ids("cataracts", "instrument")) == {
        "surgical_tape",
        "hand",
        "eye_retractor",
        "iris_hook",
    }
