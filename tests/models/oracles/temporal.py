"""The causal MS-TCN in torch, with the authors' names of parameters."""

import torch
from safetensors.torch import load_file
from torch import nn


class Layer(nn.Module):
    def __init__(self, dilation, maps):
        super().__init__()
        self.dilation = dilation
        self.conv_dilated = nn.Conv1d(maps, maps, 3, dilation=dilation)
        self.conv_1x1 = nn.Conv1d(maps, maps, 1)

    def forward(self, x):
        before = nn.functional.pad(x, (2 * self.dilation, 0))
        return x + self.conv_1x1(torch.relu(self.conv_dilated(before)))


class Stage(nn.Module):
    def __init__(self, features, maps, layers, classes):
        super().__init__()
        self.conv_1x1 = nn.Conv1d(features, maps, 1)
        self.layers = nn.ModuleList([Layer(2**i, maps) for i in range(layers)])
        self.conv_out = nn.Conv1d(maps, classes, 1)

    def forward(self, x):
        x = self.conv_1x1(x)
        for layer in self.layers:
            x = layer(x)
        return self.conv_out(x)


class TCN(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.stage1 = Stage(c.features, c.maps, c.layers, c.classes)
        later = [Stage(c.classes, c.maps, c.layers, c.classes) for _ in range(c.stages - 1)]
        self.stages = nn.ModuleList(later)

    def forward(self, x):
        out = [self.stage1(x)]
        for stage in self.stages:
            out.append(stage(out[-1].softmax(dim=1)))
        return torch.stack(out)


def parity(config, folder, inputs):
    model = TCN(config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    out = model(torch.tensor(inputs["features"].swapaxes(1, 2)))
    return {"label_frames": out.numpy().swapaxes(2, 3)}
