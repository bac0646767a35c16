"""SurgVLM-72B: adapters (LoRA) on Qwen2.5-VL-72B.

From the paper (arXiv 2506.02555): the base model, and that it is tuned by LoRA. It states neither
rank, alpha, which layers have adapters, nor other hyper-parameters: those here are this project's,
not tuned, and no run of this size has been made with them. All linear layers of the language model
have an adapter; tower and merger stay as they are. Mixture and rows are those of surgvlm_7b.

  surgzoo train --config=configs/surgvlm_72b.py --config.model.weights=Qwen2.5-VL-72B-Instruct

For 8 devices of 141 GB, with the activations of the language model made anew (`remat`). To see it:

  surgzoo plan --config=configs/surgvlm_72b.py --devices=8 --device_memory=141GB
"""

from surgzoo.configs import surgvlm_7b
from surgzoo.train.experiment import Experiment

LORA = {"rank": 64, "alpha": 128.0, "targets": r"text/layers/.*/(q|k|v|out|gate|up|down)"}


def get_config() -> Experiment:
    return surgvlm_7b.in_part("72b", trainable="lora_", lora=LORA)
