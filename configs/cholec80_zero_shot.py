"""Published weights of SurgVLP, HecVL or PeskaVLP, asked for the phases of Cholec80 as they are.

  surgzoo train --config=configs/cholec80_zero_shot.py --run_dir=runs/peskavlp \\
    --config.model.name=peskavlp --config.model.weights=PeskaVLP.pth \\
    --config.model.tokenizer=Bio_ClinicalBERT
  surgzoo evaluate --run_dir=runs/peskavlp --prompts=class_prompt.txt

No step is trained: the first command keeps the weights as checkpoint 0 of a run, which further
training may begin with. The mixture says what that would learn from.
"""

from surgzoo.data.config import DataConfig, Part
from surgzoo.train.experiment import EvalConfig, Experiment, ModelConfig

SCHEME = "camma_40_8_32"  # tests videos 49 to 80, as their papers do


def get_config() -> Experiment:
    return Experiment(
        name="cholec80_zero_shot",
        model=ModelConfig(name="surgvlp"),
        objective="contrastive",
        data=DataConfig(
            mixture=(Part("cholec80", "phase_recognition", scheme=SCHEME),), batch_size=16
        ),
        eval=EvalConfig(
            sources=("cholec80",),
            tasks=("phase_recognition",),
            scheme=SCHEME,
            prompts="cholec80",
        ),
        steps=0,
    )
