"""The planner: torch's own encoder layers under a causal mask."""

import torch
from safetensors.torch import load_file
from torch.nn.functional import layer_norm, linear, one_hot


def parity(config, folder, inputs):
    state = load_file(folder / "model.safetensors")
    history = one_hot(torch.tensor(inputs["actions"]).long(), config.actions).float()
    return {"plan": plan(config, state, history).numpy()}


def plan(config, state, history):
    batch, length, _ = history.shape
    start = state["start"].expand(batch, 1, config.width)
    x = torch.cat([start, linear(history, state["action.weight"])], 1)
    x = x + state["place"][: length + 1]
    mask = torch.nn.Transformer.generate_square_subsequent_mask(length + 1)
    for number in range(config.depth):
        layer = torch.nn.TransformerEncoderLayer(
            config.width, config.heads, config.mlp, 0.0, "gelu", config.norm_eps,
            batch_first=True, norm_first=True,
        ).eval()  # fmt: skip
        ours = f"layers.{number}"
        names = {
            "self_attn.in_proj_": f"{ours}.attention.attention.qkv.",
            "self_attn.out_proj.": f"{ours}.attention.output.dense.",
            "linear1.": f"{ours}.mlp.fc1.",
            "linear2.": f"{ours}.mlp.fc2.",
            "norm1.": f"{ours}.norm1.",
            "norm2.": f"{ours}.norm2.",
        }
        layer.load_state_dict(
            {
                f"{theirs}{kind}": state[f"{name}{kind}"]
                for theirs, name in names.items()
                for kind in ("weight", "bias")
            }
        )
        x = layer(x, mask, is_causal=True)
    x = layer_norm(x, (config.width,), state["norm.weight"], state["norm.bias"], config.norm_eps)
    return linear(x, state["next.weight"], state["next.bias"])
