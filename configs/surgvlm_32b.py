"""SurgVLM-32B: freeze tuning of Qwen2.5-VL-32B. The merger is trained, the rest stays as it is.

From the paper (arXiv 2506.02555): the base model and what is trained. It states no
hyper-parameters: those here are this project's, not tuned, and no run of this size has been made
with them. Mixture and rows are those of surgvlm_7b. The learning rate is higher, as the merger
alone moves.

  surgzoo train --config=configs/surgvlm_32b.py --config.model.weights=Qwen2.5-VL-32B-Instruct

For 8 devices of 141 GB, with the activations of the language model made anew (`remat`). To see it:

  surgzoo plan --config=configs/surgvlm_32b.py --devices=8 --device_memory=141GB
"""

from surgzoo.configs import surgvlm_7b
from surgzoo.train.experiment import Experiment


def get_config() -> Experiment:
    return surgvlm_7b.in_part("32b", trainable="vision/merger/")
