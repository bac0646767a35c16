"""The other side of `tools/bench/vlm.py`: the same model in transformers, driven line by line.

Reads {"do": ..., ...} on stdin, answers one JSON line on stdout. Needs torch and transformers (the
`dev` extra); nothing else in the project imports this file.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time

import numpy as np
import torch
import transformers


class Peer:
    """Weights of a folder, inputs of an npz; one method a measurement, in seconds a run."""

    def __init__(self, folder: str, device: str, dtype: str, attention: str):
        self.device = torch.device(device)
        self.amp = dtype == "bfloat16"
        self.model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention
        ).to(self.device)
        self.model.generation_config.eos_token_id = None
        self.optimizer = None
        if self.device.type == "cuda":
            backends = torch.nn.attention.SDPBackend
            order = [backends.CUDNN_ATTENTION, backends.FLASH_ATTENTION]
            order += [backends.EFFICIENT_ATTENTION, backends.MATH]
            self._kernels = contextlib.ExitStack()  # open as long as the process lives
            self._kernels.enter_context(torch.nn.attention.sdpa_kernel(order, set_priority=True))

    def load(self, path: str) -> dict:
        arrays = np.load(path)
        self.inputs = {key: torch.from_numpy(arrays[key]).to(self.device) for key in arrays.files}
        self.labels = self.inputs.pop("labels")
        return {
            "threads": torch.get_num_threads(),
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }

    def train(self, runs: int, warmup: int, lr: float) -> dict:
        self.model.train()
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0
            )
        losses: list[float] = []

        def step():
            self.model.model.rope_deltas = None
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp):
                loss = self.model(**self.inputs, labels=self.labels).loss
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(float(loss.detach()))

        return {"seconds": self._timed(step, runs, warmup), "losses": losses}

    def vision(self, runs: int, warmup: int) -> dict:
        grid = self.inputs["image_grid_thw"]

        def run():
            return self.model.model.visual(self.inputs["pixel_values"], grid_thw=grid)

        with self._inference():
            seconds = self._timed(run, runs, warmup)
            out = run()
        merged = getattr(out, "pooler_output", out)
        return {"seconds": seconds, "check": _summary(merged.float())}

    def prefill(self, runs: int, warmup: int, rows: int) -> dict:
        inputs = self._some(rows)

        def run():
            self.model.model.rope_deltas = None
            return self.model(**inputs, use_cache=True, logits_to_keep=1)

        with self._inference():
            seconds = self._timed(run, runs, warmup)
            logits = run().logits[:, -1]
        return {"seconds": seconds, "check": _summary(logits.float())}

    def decode(self, runs: int, warmup: int, rows: int, tokens: int) -> dict:
        inputs = self._some(rows)
        length = inputs["input_ids"].shape[1]

        def run(count=tokens):
            self.model.model.rope_deltas = None
            return self.model.generate(
                **inputs, max_new_tokens=count, do_sample=False, use_cache=True
            )

        with self._inference():
            seconds = self._timed(run, runs, warmup)
            one = self._timed(lambda: run(1), runs, warmup)
            out = run()
        return {"seconds": seconds, "one": one, "tokens": out[:, length:].tolist()}

    def _some(self, rows: int) -> dict:
        patches = len(self.inputs["pixel_values"]) // len(self.inputs["input_ids"])
        return {
            key: value[: rows * patches] if key == "pixel_values" else value[:rows]
            for key, value in self.inputs.items()
        }

    def _inference(self):
        self.model.eval()
        if self.amp:
            self.model.to(torch.bfloat16)
        return torch.inference_mode()

    def _timed(self, fn, runs: int, warmup: int) -> list[float]:
        seconds = []
        for number in range(warmup + runs):
            self._wait()
            begin = time.perf_counter()
            fn()
            self._wait()
            if number >= warmup:
                seconds.append(time.perf_counter() - begin)
        return seconds

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _summary(x: torch.Tensor) -> list[float]:
    """Enough of a tensor to see that two are equal: its first, middle and last numbers and size."""
    flat = x.reshape(-1)
    some = [flat[i * (len(flat) - 1) // 15].item() for i in range(16)]
    return [*some, flat.square().mean().sqrt().item()]


def main() -> None:
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        if do == "open":
            inputs = request.pop("inputs")
            peer = Peer(**request)
            answer = peer.load(inputs)
        else:
            answer = getattr(peer, do)(**request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
