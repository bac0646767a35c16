"""The video model: the Timesformer of transformers, with the heads that it does not know."""

import torch
import transformers
from safetensors.torch import load_file
from torch.nn.functional import linear, softplus


def parity(config, folder, inputs):
    model = transformers.TimesformerModel.from_pretrained(folder).eval()
    state = load_file(folder / "model.safetensors")
    video = torch.tensor(inputs["video"].transpose(0, 1, 4, 2, 3))
    whole = model(video).last_hidden_state[:, 0]
    names = {"action": "classifier", "balanced_action": "balanced_classifier"}
    names |= {"skill": "skill_classifier"}
    logits = {
        ours: linear(whole, state[f"{key}.weight"], state[f"{key}.bias"])
        for ours, key in names.items()
    }

    def expected(x):
        """Of the probabilities, under a Dirichlet of evidence + 1."""
        alpha = softplus(x) + 1
        return alpha / alpha.sum(dim=1, keepdim=True)

    heads = logits["action"], logits["balanced_action"]
    both = sum(map(expected, heads)) / 2
    ignorance = sum(x.shape[1] / (softplus(x) + 1).sum(dim=1) for x in heads) / 2
    return {
        "label_logits": {name: x.numpy() for name, x in logits.items()},
        "classify": both.log().numpy(),
        "opinion": {"probabilities": both.numpy(), "uncertainty": ignorance.numpy()},
    }
