"""Softmax and the norms, forward and with their gradients: bound by memory.

The figure beside a ratio is GB/s of what must be read and written; `copy` is the same for a copy of
as many elements, which is the bound on this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

import pytest
import rehearsal
from duel import Cost
from rehearsal import small
from rivals import as_torch, in_turn, rotated, torch_module

import gpugrad as gg

#: name -> (nn.functional, x, weight, bias) -> result
FUNCTIONS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "softmax": lambda f, x, w, b: f.softmax(x, -1),
    "log_softmax": lambda f, x, w, b: f.log_softmax(x, -1),
    "layer_norm": lambda f, x, w, b: f.layer_norm(x, w.shape, w, b),
    "rms_norm": lambda f, x, w, b: f.rms_norm(x, w.shape, w),
}
COPY: dict[str, Callable[[Any, Any, Any, Any], Any]] = {"copy": lambda f, x, w, b: x.clone()}
#: the same of images (n, c, h, w), in channels-last memory on a GPU
OF_IMAGES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "batch_norm": lambda f, x, w, b: f.batch_norm(x, None, None, w, b, True),
    "group_norm": lambda f, x, w, b: f.group_norm(x, 8, w, b),
}
#: rows, elements of a row: of BERT and GPT-2, of a vocabulary
SHAPES = {
    "cuda": [(16384, 768), (16384, 1024), (8192, 4096), (2048, 50257)],
    "cpu": [(2048, 768)],
}
IMAGES = {
    "cuda": [(256, 64, 32, 32), (64, 256, 56, 56), (64, 2048, 7, 7)],
    "cpu": [(64, 64, 16, 16)],
}
PARTS = ("forward", "backward", "both")
RUNS = [("copy", "forward"), *product(FUNCTIONS, PARTS)]
DTYPES = {"cuda": ["bfloat16", "float16", "float32"], "cpu": ["float32"]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    device = metafunc.config.getoption("--device")
    metafunc.parametrize("dtype", DTYPES[device])
    of_images = metafunc.function is test_images
    shapes = (IMAGES if of_images else SHAPES)[device]
    metafunc.parametrize("shape", shapes, ids=lambda s: "x".join(map(str, s)))


def work(library: Any, name: str, part: str, sets: list[Any]) -> Callable[[], object]:
    """A call for the next operands each time."""
    f, function = library.nn.functional, (FUNCTIONS | OF_IMAGES | COPY)[name]

    def backward(y: Any, operands: Any) -> list[Any]:
        y.backward(operands[3], retain_graph=part == "backward")
        gradients = [x.grad for x in operands[:3]]
        for x in operands[:3]:
            x.grad = None
        return gradients

    def forward(operands: Any) -> Any:
        return function(f, *operands[:3])

    for operands in sets:
        for x in operands[:3]:
            x.requires_grad_(part != "forward")
    if part == "forward":
        return in_turn(forward, sets)
    if part == "both":
        return in_turn(lambda operands: backward(forward(operands), operands), sets)
    return in_turn(lambda pair: backward(*pair), [(forward(each), each) for each in sets])


def passes(name: str, part: str) -> int:
    """So often the elements of x are read or written: x, y; then x or y, dy, dx; a batch norm reads
    what it normalises twice."""
    forward, backward = (3, 5) if name == "batch_norm" else (2, 3)
    return {"forward": forward, "backward": backward, "both": forward + backward}[part]


@pytest.mark.parametrize(("name", "part"), RUNS)
def test_rows(
    compare, device: str, name: str, part: str, shape: tuple[int, ...], dtype: str
) -> None:
    measure(compare, device, name, part, (small(shape[0]), small(shape[1])), dtype)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", OF_IMAGES)
def test_images(
    compare, device: str, name: str, part: str, shape: tuple[int, ...], dtype: str
) -> None:
    measure(compare, device, name, part, tuple([small(n, 16) for n in shape]), dtype)


def measure(
    compare: Any, device: str, name: str, part: str, shape: tuple[int, ...], dtype: str
) -> None:
    kind = gg.as_dtype(dtype)
    gg.manual_seed(0)

    def make() -> tuple[gg.Tensor, ...]:
        sizes = (shape, shape[1:2], shape[1:2], shape)
        tensors = [gg.randn(*size, device=device).to(kind) for size in sizes]
        if len(shape) == 4 and device == "cuda":
            tensors = [
                x.contiguous(memory_format=gg.channels_last) if x.ndim == 4 else x for x in tensors
            ]
        return tuple(tensors)

    once = prod(shape) * kind.itemsize
    ours = rotated(make, 2 * once, device)
    rivals = {}
    if (torch := torch_module()) is not None:
        theirs = [tuple([as_torch(x) for x in each]) for each in ours]
        rivals["PyTorch"] = work(torch, name, part, theirs)
    moved = passes(name, part) * once
    roundings = 1 if part == "forward" else 2  # y, which softmax's gradient is made of
    if rehearsal.ON:  # on the CPU PyTorch sums up to 64 rows' gradients of a weight in 16 bits
        roundings = 8
    mine = work(gg, name, part, ours)
    compare(mine, rivals, Cost(bytes=moved), "device", roundings=roundings)
