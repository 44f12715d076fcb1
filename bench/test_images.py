"""Training steps of image models: a tutorial CNN, LeNet, a residual block. (Layers alone are in
test_convolutions, larger steps in test_steps.)

On a GPU the rival is cuDNN in channels-last memory with its autotuner on; on the CPU it is PyTorch
in row-major memory. `test_peak_memory` compares the memory a step needs beyond what the model and
the optimizer hold.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rehearsal
from memory import largest_resident
from rivals import place, torch_module

import gpugrad as gg

Step = Callable[[], object]
GPU_FACTOR = 8
"""On a GPU batches are so much larger, to fill it."""


@pytest.fixture(autouse=True)
def exact_float32() -> Any:
    """float32 is float32 for both; cuDNN chooses its algorithms by measuring."""
    torch = torch_module()
    gg.set_matmul_precision("exact")
    if torch is not None:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
    yield
    gg.set_matmul_precision("high")


# ---- training steps ----------------------------------------------------------------------------


def tutorial_cnn(nn: Any) -> Any:
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(4096, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


def lenet(nn: Any, channels: int, padding: int) -> Any:
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def residual_block(nn: Any) -> Any:
    """relu(x + bn(conv(relu(bn(conv(x)))))), 64 channels."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            half = (nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64))
            other = (nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64))
            self.body = nn.Sequential(*half, nn.ReLU(), *other)
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            return self.relu(self.body(x) + x)

    return nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


MODELS: dict[str, tuple[Callable[[Any], Any], tuple[int, int, int]]] = {
    "tutorial": (tutorial_cnn, (3, 32, 32)),
    "lenet_28": (lambda nn: lenet(nn, 1, 2), (1, 28, 28)),
    "lenet_32": (lambda nn: lenet(nn, 3, 0), (3, 32, 32)),
    "residual": (residual_block, (64, 32, 32)),
}
BATCH = 64


def training_step(library: ModuleType | Any, name: str, device: str, batch: int = BATCH) -> Step:
    """One step of SGD with momentum; gpugrad and PyTorch spell it alike."""
    build, shape = MODELS[name]
    rng, device = np.random.default_rng(0), place(library, device)
    x = library.tensor(rng.standard_normal((batch, *shape)).astype(np.float32), device=device)
    t = library.tensor(rng.integers(0, 10, batch), device=device)
    model = build(library.nn).to(device)
    if device == "cuda":
        x = x.contiguous(memory_format=library.channels_last)
        model = model.to(memory_format=library.channels_last)
    optimizer = library.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    cross_entropy = library.nn.functional.cross_entropy

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(model(x), t).backward()
        optimizer.step()

    return step


@pytest.mark.parametrize("name", MODELS)
def test_step(compare, device: str, name: str) -> None:
    torch = torch_module()
    batch = 1 if rehearsal.ON else BATCH * (GPU_FACTOR if device == "cuda" else 1)
    rivals = {} if torch is None else {"PyTorch": training_step(torch, name, device, batch)}
    compare(training_step(gg, name, device, batch), rivals)


# ---- memory ------------------------------------------------------------------------------------

MEMORY_LIMIT = 1.2
"""Of PyTorch's."""


def peak_memory(library: ModuleType | Any, name: str, device: str) -> int:
    """Bytes a step adds, at its peak, to a process that has run one step of a batch of one."""
    training_step(library, name, device, 1)()
    if device == "cuda":
        return peak_device_memory(library, name)
    before = largest_resident()
    step = training_step(library, name, device)
    for _ in range(3):
        step()
    return largest_resident() - before


def peak_device_memory(library: ModuleType | Any, name: str) -> int:
    library.cuda.reset_peak_memory_stats()
    training_step(library, name, "cuda", BATCH * GPU_FACTOR)()
    return library.cuda.max_memory_allocated()


@pytest.mark.parametrize("name", MODELS)
def test_peak_memory(device: str, name: str, capsys) -> None:
    """Each library in a process of its own."""
    if rehearsal.ON:
        pytest.skip("other processes have no stand-in for a GPU")
    if torch_module() is None:
        pytest.skip("PyTorch is not installed: no peak memory to compare with")
    needed = {}
    for library in ("gpugrad", "torch"):
        command = [sys.executable, __file__, library, name, device]
        folder = Path(__file__).parent
        run = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
        needed[library] = int(run.stdout)
    ratio = needed["gpugrad"] / needed["torch"]
    with capsys.disabled():
        sizes = " ".join(f"{library} {size >> 20} MiB" for library, size in needed.items())
        print(f"\n  peak memory of a step, {name}: {sizes}, {ratio:.2f} of PyTorch's")
    assert ratio <= MEMORY_LIMIT


if __name__ == "__main__":
    import importlib

    print(peak_memory(importlib.import_module(sys.argv[1]), *sys.argv[2:]))
