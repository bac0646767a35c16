"""SurgVLP's graph in torch, from its description: torchvision's names, BERT of transformers, and
the loop over words in plain Python."""

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from torch import nn

from surgzoo.models.surgvlp.processor import letters

TEXTS = ["the hook dissects the gallbladder", "clip", "12 clips, then bleeding", "a grasper"]


def inputs(config, rows):
    images = np.random.default_rng(0).standard_normal((rows, *config.row()["images"][0]))
    tokens, mask = config.processor().texts(TEXTS[:rows])
    return {"images": images.astype(np.float32), "tokens": tokens, "mask": mask}


def parity(config, folder, inputs):
    model = SurgVLP(config, letters())
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    pixels = torch.from_numpy(inputs["images"].transpose(0, 3, 1, 2).copy())
    image = nn.functional.normalize(model.backbone_img(pixels))
    text = model.backbone_text(
        torch.from_numpy(inputs["tokens"]).long(), torch.from_numpy(inputs["mask"]).long()
    )
    text = nn.functional.normalize(text)
    cells = model.backbone_img.model(pixels).flatten(2).mT
    return {
        "embed_frames": cells.mean(1).numpy(),
        "embed_image": image.numpy(),
        "embed_text": text.numpy(),
        "similarity": (100 * image @ text.T).numpy(),
        "image_features": cells.numpy(),
    }


class Block(nn.Module):
    def __init__(self, inward, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inward, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or inward != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inward, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    def __init__(self, stem, widths, depths):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)
        inward = stem
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), 1):
            blocks = []
            for number in range(depth):
                blocks.append(Block(inward, width, 2 if stage > 1 and number == 0 else 1))
                inward = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))

    def forward(self, x):
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        return x


class Image(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.model = ResNet(config.vision.stem, config.vision.widths, config.vision.depths)
        self.global_embedder = nn.Linear(config.vision.out, config.text.width)

    def forward(self, x):
        return self.global_embedder(self.model(x).mean((2, 3)))


class Text(nn.Module):
    def __init__(self, config, vocab):
        super().__init__()
        text = config.text
        self.model = transformers.BertModel(
            transformers.BertConfig(
                vocab_size=text.vocab, hidden_size=text.width, num_hidden_layers=text.depth,
                num_attention_heads=text.heads, intermediate_size=text.mlp,
                max_position_embeddings=text.positions,
            )
        )  # fmt: skip
        self.words = {number: token for token, number in vocab.items()}

    def forward(self, tokens, mask):
        out = self.model(tokens, attention_mask=mask, output_hidden_states=True)
        layers = torch.stack(out.hidden_states[-4:], 1)  # B 4 S H
        merged = torch.stack([self.merge(x, ids) for x, ids in zip(layers, tokens, strict=True)])
        return merged.mean(2).sum(1)

    def merge(self, x, ids):
        """Pieces that begin with ## are added to the word before; it ends at [SEP]."""
        words = []
        for position, number in enumerate(ids.tolist()):
            piece = self.words[number]
            if piece.startswith("##"):
                words[-1] = words[-1] + x[:, position]
            else:
                words.append(x[:, position])
            if piece == "[SEP]":
                break
        words += [torch.zeros_like(words[0])] * (len(ids) - len(words))
        return torch.stack(words, 1)


class SurgVLP(nn.Module):
    def __init__(self, config, vocab):
        super().__init__()
        self.backbone_img, self.backbone_text = Image(config), Text(config, vocab)
        generator = torch.Generator().manual_seed(0)
        for name, value in self.state_dict().items():
            if value.is_floating_point():  # none is left at zero or one, statistics included
                noise = torch.randn(value.shape, generator=generator)
                value += 0.1 * (noise.abs() if name.endswith("running_var") else noise)
        self.eval()
