"""Softmax and the norms, forward and with their gradients: bound by memory.

The figure beside a ratio is GB/s of what must be read and written; `copy` is the same for a copy of
as many elements, which is the bound on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from duel import Cost
from rivals import as_torch, in_turn, rotated, torch_module

import gpugrad as gg

#: name -> (nn.functional, x, weight, bias) -> result
FUNCTIONS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "copy": lambda f, x, w, b: x.clone(),
    "softmax": lambda f, x, w, b: f.softmax(x, -1),
    "log_softmax": lambda f, x, w, b: f.log_softmax(x, -1),
    "layer_norm": lambda f, x, w, b: f.layer_norm(x, w.shape, w, b),
    "rms_norm": lambda f, x, w, b: f.rms_norm(x, w.shape, w),
}
#: rows, elements of a row: of BERT and GPT-2, of a vocabulary
SHAPES = {
    "cuda": [(16384, 768), (16384, 1024), (8192, 4096), (2048, 50257)],
    "cpu": [(2048, 768)],
}
DTYPES = {"cuda": ["bfloat16", "float16", "float32"], "cpu": ["float32"]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    device = metafunc.config.getoption("--device")
    metafunc.parametrize("dtype", DTYPES[device])
    metafunc.parametrize("shape", SHAPES[device], ids=lambda s: "x".join(map(str, s)))


def work(library: Any, name: str, backward: bool) -> Callable[[tuple[Any, ...]], None]:
    f = library.nn.functional

    def run(operands: tuple[Any, ...]) -> None:
        x, w, b, dy = operands
        y = FUNCTIONS[name](f, x, w, b)
        if backward:
            y.backward(dy)
            x.grad = w.grad = b.grad = None

    return run


@pytest.mark.parametrize("part", ["forward", "both"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows(
    compare, device: str, name: str, part: str, shape: tuple[int, int], dtype: str
) -> None:
    kind, backward = gg.as_dtype(dtype), part == "both"
    gg.manual_seed(0)

    def make() -> tuple[gg.Tensor, ...]:
        sizes = (shape, shape[1:], shape[1:], shape)
        return tuple([gg.randn(*size, device=device).to(kind) for size in sizes])

    def ready(operands: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*(x.requires_grad_(backward) for x in operands[:3]), operands[3])

    once = shape[0] * shape[1] * kind.itemsize
    ours = rotated(make, 2 * once, device)
    rivals = {}
    if (torch := torch_module()) is not None:
        theirs = [ready(tuple([as_torch(x) for x in each])) for each in ours]
        rivals["PyTorch"] = in_turn(work(torch, name, backward), theirs)
    mine = in_turn(work(gg, name, backward), [ready(each) for each in ours])
    moved = 2 if not backward or name == "copy" else 5  # x, y; then x or y, dy, dx
    compare(mine, rivals, Cost(bytes=moved * once))
