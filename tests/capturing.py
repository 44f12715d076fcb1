"""What tests of captured steps share: devices, data, a network, and equality with eager steps.

Device "machine" is a stand-in for a GPU (graph_machine.py) that records and repeats kernels; with
a GPU here, "cuda" is that GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graph_machine
import numpy as np
import pytest

import gpugrad as gg
from gpugrad import backends, nn, optim
from gpugrad.nn import functional as F

DEVICES = ["cpu", "sim", "machine", *(["cuda"] if backends.available("cuda") else [])]
Step = Callable[..., Any]


def opened(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The device of one of DEVICES, made usable."""
    if name == "machine":
        graph_machine.install(monkeypatch)
        return "cuda"
    return name


def batches(device: str, count: int = 6, size: int = 5) -> list[tuple[gg.Tensor, gg.Tensor]]:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(count, size, 6)), rng.integers(0, 3, (count, size))
    return [
        (gg.tensor(a.astype(np.float32), device=device), gg.tensor(b, device=device))
        for a, b in zip(x, t, strict=True)
    ]


def network(device: str, *more: nn.Module) -> nn.Sequential:
    gg.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *more, nn.ReLU(), nn.Linear(8, 3)).to(device)


def training_step(model: nn.Module, optimizer: optim.Optimizer) -> Step:
    """(x, target) -> the loss, after a step of the optimizer."""

    def step(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def bits(*tensors: Any) -> list[bytes]:
    return [t.detach().cpu().numpy().tobytes() for t in tensors]


def same_as_eager(make: Callable[[], tuple[Step, nn.Module]], data: Any, **options: Any) -> None:
    """`make` gives a step and its model, anew each time; all bits must agree."""
    found = []
    for captured in (False, True):
        step, model = make()
        step = gg.capture(step, **options) if captured else step
        losses = [step(*batch) for batch in data]
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append(bits(*losses, *model.parameters(), *model.buffers(), *grads))
    assert found[0] == found[1]
