"""What the ids in label files stand for, where a file names no classes.

These readers take the n-th row of the ontology's table (or of a list in labels.py) for id n, so two
rows that change places are labels that are wrong without a word. The lists are those of the owners'
code and label files, which the tables cite.
"""

import pytest

from surgzoo.datasets.cholecseg8k.labels import CLASSES as CHOLECSEG8K
from surgzoo.datasets.endoscapes.labels import CLASSES as ENDOSCAPES
from surgzoo.datasets.endovis2018.labels import PALETTE
from surgzoo.db import ontology

ORDER = {
    ("autolaparo", "phase"): """
Preparation; Dividing Ligament and Peritoneum; Dividing Uterine Vessels and Ligament;
Transecting the Vagina; Specimen Removal; Suturing; Washing
""",
    ("autolaparo", "motion"): """
Static; Up; Down; Left; Right; Zoom-in; Zoom-out
""",
    ("cataracts", "step"): """
Idle; Toric Marking; Implant Ejection; Incision; Viscodilatation; Capsulorhexis;
Hydrodissection; Nucleus Breaking; Phacoemulsification; Vitrectomy; Irrigation/Aspiration;
Preparing Implant; Manual Aspiration; Implanting; Positioning; OVD Aspiration; Suturing;
Sealing Control; Wound Hydration
""",
    ("cholect45", "instrument"): """
grasper; bipolar; hook; scissors; clipper; irrigator
""",
    ("cholect45", "verb"): """
grasp; retract; dissect; coagulate; clip; cut; aspirate; irrigate; pack; null_verb
""",
    ("cholect45", "target"): """
gallbladder; cystic_plate; cystic_duct; cystic_artery; cystic_pedicle; blood_vessel; fluid;
abdominal_wall_cavity; liver; adhesion; omentum; peritoneum; gut; specimen_bag; null_target
""",
    ("cholectrack20", "instrument"): """
grasper; bipolar; hook; scissors; clipper; irrigator; specimen-bag
""",
    ("cholectrack20", "phase"): """
preparation; calotTriangleDissection; clippingAndCutting; gallbladderDissection;
gallbladderPackaging; cleaningAndCoagulation; gallbladderRetraction
""",
    ("heichole", "phase"): """
Preparation; Calot triangle dissection; Clipping and cutting; Gallbladder dissection;
Gallbladder packaging; Cleaning and coagulation; Gallbladder retraction
""",
    ("heichole", "instrument"): """
grasper; clipper; coagulation instruments; scissors; suction-irrigation; specimen bag; stapler
""",
    ("heichole", "action"): """
grasp; hold; cut; clip
""",
    ("heichole", "skill"): """
depth_perception; bimanual_dexterity; efficiency; tissue_handling; difficulty
""",
    ("ophnet2024", "phase"): """
Viscoelastic Injection; Nuclear Management (for cataract surgery); Step Interval;
Non-functional Segment; Intraocular Lens Implantation; Incision Closure; Corneal Incision
Creation; Capsulorhexis; Cortex Aspiration; Recipient Corneal Bed Preparation; Anterior
Chamber Injection/Washing; Viscoelastic Aspiration; Capsular Membrane Staining; Corneal Graft
Suturing; Viscoelastic Application on Cornea; Corneal-Scleral Tunnel Creation; Swab Wiping;
Conjunctival Incision Creation; Anterior Chamber Gas Injection; Ocular Surface Irrigation;
Surgical Marking; Subconjunctival Drug Injection; Donor Corneal Graft Preparation; Scleral
Hemostasis; Corneal Interlamellar Injection; Drainage Tube Implantation; Use of Iris Expander;
Drainage Device Preparation; Scleral Flap Creation; Anterior Chamber Washing; Suspension
Suture; Drainage Device Implantation; Intraoperative Gonioscopy Application; Corneal
Measurement; Scleral Flap Suturing; Scleral Tunnel Creation; Placement of Bandage Contact
Lens; Peripheral Iridectomy; Anterior Chamber Drainage Device Implantation; Antimetabolite
Application; Scleral Support Ring Manipulation; Deep Sclerectomy; Anterior Vitrectomy;
Placement of Eyelid Speculum; Hooking of Extraocular Muscle; Observation of Corneal
Astigmatism; Pupil Dilation; Iris Prolapse Management; Measurement on the Scleral; Goniotomy;
Trabeculectomy; Instrument Fabrication; Capsular Tension Ring Implantation; Femtosecond
Laser-Assisted Corneal Transplantation; Removal of Pupillary/Iris Fibrosis Membrane;
Allograft/Biological Tissue Trimming; Corneal Suture Removal; Iris Synechiae Separation;
Placement of Sponge on Cornea; Femtosecond Laser-Assisted Cataract Surgery; Astigmatism Axis
Gauge; Microcatheter Insertion into Trabecular Meshwork; Sub-Iris Exploration; Artificial
Cornea Manipulaiton; Scleral Puncture/Incision; Astigmatic Keratotomy; Scleral Fixation of
Intraocular Lens; Removal of Fascia Tissue; Canthotomy; Removal of Lens Fibrotic Membrane;
Amniotic Membrane Transplantation; Pupilloplasty; Anterior Chamber Irrigation; Sub-Tenon
Injection; Sclerectomy; Corneal Interlamellar Irrigation; Cyclophotocoagulation; Drainage
Device Adjustment; Schlemm's Canal Inner Wall Removal; Scleral Flap Incision Inspection; Lens
Extraction; Anterior Chamber Vitreous Cleaning; Intraocular Lens Removal; Pterygium Excision;
Scleral Suture; Drainage Tube Removal; Suture Trimming; Conjunctival Vessel Examination;
Special Puncture Knife Traversing the Anterior Chamber; Removal of Object from Anterior
Chamber; Anterior Chamber Inspection; Iris Repositioning; Suprachoroidal Space Separation;
Scleral Flap Embedding in the Suprachoroidal Space; Vitreoretinal Surgery; Conjunctival
Trimming
""",
    ("pitvis", "step"): """
nasal corridor creation; anterior sphenoidotomy; septum displacement; sphenoid sinus
clearance; sellotomy; durotomy; tumour excision; haemostasis; synthetic_graft_placement; fat
graft placement; gasket seal construct; dural sealant; nasal packing; debris clearance
""",
    ("pitvis", "instrument"): """
bipolar forceps; cottle; cup forceps; dural scissors; freer elevator; haemostatic foam;
irrigation syringe; kerrisons; micro doppler; nasal cutting forceps; pituitary rongeurs;
retractable knife; ring curette; spatula dissector; stealth pointer; suction; surgical drill;
tissue glue
""",
    ("psi_ava", "instrument"): """
Bipolar Forceps; Prograsp Forceps; Large Needle Driver; Monopolar Curved Scissors; Suction
Instrument; Clip Applier; Laparoscopic Grasper
""",
    ("psi_ava", "action"): """
Cauterize; Close; Close Something; Cut; Grasp; Hold; Open; Open Something; Pull; Push;
Release; Staple; Still; Suction; Travel; Wash
""",
    ("psi_ava", "phase"): """
Idle; LPIL; RPIL; Retzius_Space; Dorsal_Venous_Complex; Id_Bladder_Neck; Seminal_Vesicles;
Denonvilliers_Fascia; Pedicle_Control; Severing_Prostate_Urethra; Bladder_Neck_Rec
""",
    ("psi_ava", "step"): """
Idle; Id_Illiac_Vein_Artery; Dissection_Illiac_Lymph_Nodes; Dissection_Obturator_Lymph_Nodes;
Pack_Lymph_Nodes; Prevessical_Dissection; Ligation_Dorsal_Venous_Complex; Prostate_Dissection;
Seminal_Vessicle_Dissection; Denon_Dissection; Cut_Prostate; Hold_Prostate; Pack_Prostate;
Pass_Suture_Urethra; Pass_Suture_Neck; Pull_Suture; Tie_Suture; Suction; Cut; Cut_Bladder;
Clip_Pedicles
""",
}

# CaDIS counts tissues and instruments in one row.
CADIS = """
Pupil; Surgical Tape; Hand; Eye Retractors; Iris; Skin; Cornea; Hydrodissection Cannula;
Viscoelastic Cannula; Capsulorhexis Cystotome; Rycroft Cannula; Bonn Forceps; Primary Knife;
Phacoemulsifier Handpiece; Lens Injector; I/A Handpiece; Secondary Knife; Micromanipulator;
I/A Handpiece Handle; Capsulorhexis Forceps; Rycroft Cannula Handle; Phacoemulsifier Handpiece
Handle; Capsulorhexis Cystotome Handle; Secondary Knife Handle; Lens Injector Handle; Suture
Needle; Needle Holder; Charleux Cannula; Primary Knife Handle; Vitrectomy Handpiece; Mendez
Ring; Marker; Hydrodissection Cannula Handle; Troutman Forceps; Cotton; Iris Hooks
"""

# Instrument, verb and target of the 100 triplets (maps.txt of ivtmetrics).
TRIPLETS = """
0.2.1 0.2.0 0.2.10 0.0.3 0.0.2 0.0.4 0.0.1 0.0.0 0.0.12 0.0.8 0.0.10 0.0.11 0.0.13 0.8.0 0.1.2
0.1.4 0.1.1 0.1.0 0.1.12 0.1.8 0.1.10 0.1.11 1.3.7 1.3.5 1.3.3 1.3.2 1.3.4 1.3.1 1.3.0 1.3.8
1.3.10 1.3.11 1.2.9 1.2.3 1.2.2 1.2.1 1.2.0 1.2.10 1.0.1 1.0.8 1.0.13 1.1.2 1.1.4 1.1.0 1.1.8
1.1.10 2.3.5 2.3.3 2.3.2 2.3.4 2.3.1 2.3.0 2.3.8 2.3.10 2.5.5 2.5.11 2.2.5 2.2.3 2.2.2 2.2.1
2.2.0 2.2.10 2.2.11 2.1.0 2.1.8 3.3.10 3.5.9 3.5.5 3.5.3 3.5.2 3.5.1 3.5.8 3.5.10 3.5.11 3.2.1
3.2.0 3.2.10 4.4.5 4.4.3 4.4.2 4.4.4 4.4.1 5.6.6 5.2.2 5.2.4 5.2.1 5.2.0 5.2.10 5.7.7 5.7.4
5.7.8 5.1.0 5.1.8 5.1.10 0.9.14 1.9.14 2.9.14 3.9.14 4.9.14 5.9.14
"""

# Class -> value of the watershed mask, colour.
WATERSHED = {
    "Black Background": (50, (127, 127, 127)),
    "Abdominal Wall": (11, (210, 140, 140)),
    "Liver": (21, (255, 114, 114)),
    "Gastrointestinal Tract": (13, (231, 70, 156)),
    "Fat": (12, (186, 183, 75)),
    "Grasper": (31, (170, 255, 0)),
    "Connective Tissue": (23, (255, 85, 0)),
    "Blood": (24, (255, 0, 0)),
    "Cystic Duct": (25, (255, 255, 0)),
    "L-hook Electrocautery": (32, (169, 255, 184)),
    "Gallbladder": (22, (255, 160, 165)),
    "Hepatic Vein": (33, (0, 50, 128)),
    "Liver Ligament": (5, (111, 74, 0)),
}

SCENE = {
    (0, 0, 0): "background-tissue",
    (0, 255, 0): "instrument-shaft",
    (0, 255, 255): "instrument-clasper",
    (125, 255, 12): "instrument-wrist",
    (255, 55, 0): "kidney-parenchyma",
    (24, 55, 125): "covered-kidney",
    (187, 155, 25): "thread",
    (0, 255, 125): "clamps",
    (255, 255, 125): "suturing-needle",
    (123, 15, 175): "suction-instrument",
    (124, 155, 5): "small-intestine",
    (12, 255, 141): "ultrasound-probe",
}


def listed(text):
    return [name.strip() for name in text.replace("\n", " ").split(";")]


def rows(source, *kinds):
    return [native for kind, native in ontology.table(source) if kind in kinds]


@pytest.mark.parametrize(("source", "kind"), ORDER)
def test_rows_are_in_the_order_of_the_ids(source, kind):
    assert rows(source, kind) == listed(ORDER[source, kind])


def test_cadis_counts_all_its_classes_in_one_row():
    assert rows("cadis", "instrument", "tissue") == listed(CADIS)


@pytest.mark.parametrize("source", ["cholect45", "cholect50", "cholectrack20"])
def test_triplets_are_in_the_order_of_their_ids(source):
    kinds = [listed(ORDER["cholect45", kind]) for kind in ("instrument", "verb", "target")]
    codes = (map(int, code.split(".")) for code in TRIPLETS.split())
    names = [",".join(kind[i] for kind, i in zip(kinds, code, strict=True)) for code in codes]
    assert rows(source, "triplet") == names and len(names) == 100


@pytest.mark.parametrize("kind", ["verb", "target"])
def test_cholectrack20_has_cholect50s_ids(kind):
    assert rows("cholectrack20", kind) == listed(ORDER["cholect45", kind])


def test_values_and_colours_of_masks():
    assert CHOLECSEG8K == WATERSHED
    assert PALETTE == SCENE
    assert [ENDOSCAPES[value] for value in range(7)] == [
        "background",
        "cystic_plate",
        "calot_triangle",
        "cystic_artery",
        "cystic_duct",
        "gallbladder",
        "tool",
    ]
