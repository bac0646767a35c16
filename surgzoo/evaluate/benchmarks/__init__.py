"""The benchmark registry. Listing what exists imports no definition.

A benchmark is a `definition.Benchmark`: sets of questions, how each is scored, how they add up, and
where its facts come from. Other packages register theirs in their plug-in function
(`core/registry.py`).
"""

from surgzoo.core.registry import Card, Registry

benchmarks: Registry = Registry("benchmark")

# Name, the attribute that defines it in this folder, one line, where the protocol is from.
for _name, _target, _summary, _source in (
    (
        "surgvlm_bench",
        "surgvlm:SURGVLM_BENCH",
        "SurgVLM-Bench: six sets, Arena = the sum of their six headline percentages",
        "SurgVLM, arXiv 2506.02555, and its project page",
    ),
    (
        "surgsigma_18",
        "surgsigma:SURGSIGMA_18",
        "SurgΣ-DB's 18 tasks on every source that is prepared",
        "SurgΣ, arXiv 2603.16822; which sources count is this project's choice",
    ),
    (
        "cholec80",
        "official:CHOLEC80",
        "Cholec80: phases of videos 41-80, mean accuracy of the videos; tools",
        "Twinanda et al., EndoNet, IEEE TMI 36(1), 2017",
    ),
    (
        "cholect50_rdv",
        "official:CHOLECT50_RDV",
        "CholecT50: triplets, the Rendezvous split",
        "Nwoye et al., Rendezvous, 2022; github.com/CAMMA-public/cholect50",
    ),
    (
        "cholect50_challenge",
        "official:CHOLECT50_CHALLENGE",
        "CholecT50: triplets, the split of CholecTriplet 2021 and 2022",
        "github.com/CAMMA-public/cholect50, dataloader_pth.py",
    ),
    (
        "cholect50_crossval",
        "official:CHOLECT50_CROSSVAL",
        "CholecT50: triplets, five folds, mean and deviation",
        "github.com/CAMMA-public/cholect50, dataloader_pth.py",
    ),
    (
        "cholect45_crossval",
        "official:CHOLECT45_CROSSVAL",
        "CholecT45: triplets, five folds, mean and deviation",
        "github.com/CAMMA-public/cholect50, dataloader_pth.py",
    ),
    (
        "cholectrack20",
        "official:CHOLECTRACK20",
        "CholecTrack20: boxes of instruments in the test videos",
        "github.com/CAMMA-public/cholectrack20",
    ),
    (
        "endoscapes",
        "official:ENDOSCAPES",
        "Endoscapes2023: critical view of safety in the scored test frames; boxes",
        "arXiv 2312.12429; github.com/CAMMA-public/Endoscapes",
    ),
    (
        "cholec80_cvs",
        "official:CHOLEC80_CVS",
        "Cholec80-CVS: critical view of safety in the test videos",
        "github.com/ManuelRios18/CHOLEC80-CVS-PUBLIC",
    ),
    (
        "sar_rarp50",
        "official:SAR_RARP50",
        "SAR-RARP50: actions at 10 Hz, masks at 1 Hz, videos 41-50",
        "arXiv 2401.00496; github.com/surgical-vision/SAR_RARP50-evaluation",
    ),
    (
        "endovis2017",
        "official:ENDOVIS2017",
        "EndoVis 2017: instrument masks of the challenge's ten test sequences",
        "arXiv 1902.06426, the challenge's report",
    ),
    (
        "endovis2018_vqa",
        "official:ENDOVIS2018_VQA",
        "EndoVis-18-VQA: the questions of sequences 1, 5 and 16",
        "arXiv 2206.11053; github.com/lalithjets/Surgical_VQA",
    ),
    (
        "endovis_vqla",
        "official:ENDOVIS_VQLA",
        "VQLA: EndoVis 2018's validation and EndoVis 2017 as an external test",
        "arXiv 2305.11692; github.com/longbai1006/Surgical-VQLA",
    ),
    (
        "cholec80_vqa",
        "official:CHOLEC80_VQA",
        "Cholec80-VQA: the questions of the eight validation videos",
        "arXiv 2206.11053; github.com/lalithjets/Surgical_VQA",
    ),
    (
        "ssg_vqa",
        "official:SSG_VQA",
        "SSG-VQA: the questions of the five test videos",
        "github.com/CAMMA-public/SSG-VQA, train.py",
    ),
    (
        "pitvis",
        "official:PITVIS",
        "PitVis: steps and instruments of the five usual validation videos",
        "github.com/CAIR-HKISI/SurgMotion, data_process/pitvis_prepare.py",
    ),
    (
        "pitvqa",
        "official:PITVQA",
        "PitVQA: the questions of the five validation videos",
        "github.com/mobarakol/PitVQA",
    ),
    (
        "autolaparo",
        "official:AUTOLAPARO",
        "AutoLaparo: phases of videos 15-21, mean accuracy of the videos",
        "arXiv 2208.02049",
    ),
    (
        "psi_ava",
        "official:PSI_AVA",
        "PSI-AVA: phases, steps and instruments, two folds, mean and deviation",
        "github.com/BCV-Uniandes/TAPIR",
    ),
    (
        "grasp",
        "official:GRASP",
        "GraSP: phases, steps and instruments of the test cases",
        "arXiv 2401.11174; github.com/BCV-Uniandes/GraSP",
    ),
    (
        "m2cai16",
        "official:M2CAI16",
        "m2cai16: phases of 14 test videos, tools of five",
        "m2cai16 challenge",
    ),
    (
        "multibypass140",
        "official:MULTIBYPASS140",
        "MultiBypass140: Bern's phases and steps, four of its folds",
        "github.com/CAMMA-public/MultiBypass140",
    ),
):
    benchmarks.register(
        _name,
        f"surgzoo.evaluate.benchmarks.{_target}",
        Card(summary=_summary, licence="Apache-2.0", source=_source),
    )
