"""Matrix products in every precision: a [..., m, k] times the transpose of b [..., n, k], as layers
do. Operands are uniform random numbers; on a GPU they are taken in turns from more memory than L2
has. Ours and PyTorch's, which is cuBLAS there, read the same bytes; so does CuPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from duel import Cost
from rivals import array_library, as_torch, in_turn, rotated, torch_module

import gpugrad as gg

Shape = tuple[int, ...]

#: batch..., m, n, k
SHAPES: dict[str, dict[str, list[Shape]]] = {
    "cuda": {
        "square": [(s, s, s) for s in (256, 512, 1024, 2048, 4096, 8192, 16384)],
        "mlp": [(8192, 4096, 1024), (8192, 1024, 4096)],
        "gpt2": [(8192, 2304, 768), (8192, 768, 768), (8192, 3072, 768), (8192, 768, 3072)],
        "skinny": [(16, 4096, 4096), (64, 4096, 4096), (4096, 16, 4096), (4096, 4096, 16)],
        "vector": [(1, 4096, 4096), (1, 16384, 4096)],
        "odd": [(1000, 777, 3333), (4095, 4097, 1023)],
        "batched": [(64, 512, 512, 64), (64, 512, 64, 512), (16, 1024, 1024, 1024)],
    },
    "cpu": {"square": [(512, 512, 512)], "vector": [(1, 1024, 1024)]},
}
#: dtype, precision of float32. The rival of "high" is float32 as the library computes it.
KINDS = {
    "cuda": [
        ("float16", "high"),
        ("bfloat16", "high"),
        ("float32", "exact"),
        ("float32", "high"),
        ("float32", "tf32"),
    ],
    "cpu": [("float32", "exact")],
}
LARGEST_FLOAT32 = 8192  # a product of 16384 takes a round of seconds on CUDA cores


def runs(device: str) -> Iterator[Any]:
    for family, shapes in SHAPES[device].items():
        for shape in shapes:
            for kind in KINDS[device]:
                if kind[0] == "float32" and max(shape) > LARGEST_FLOAT32:
                    continue
                name = "-".join((family, "x".join(map(str, shape)), *kind))
                yield pytest.param(shape, kind, id=name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    found = list(runs(metafunc.config.getoption("--device")))
    metafunc.parametrize(("shape", "kind"), found)


@pytest.fixture
def precision(kind: tuple[str, str]) -> Iterator[str]:
    """Sets it for gpugrad and PyTorch."""
    torch = torch_module()
    gg.set_matmul_precision(kind[1])
    if torch is not None:
        torch.set_float32_matmul_precision("high" if kind[1] == "tf32" else "highest")
    yield kind[1]
    gg.set_matmul_precision("high")
    if torch is not None:
        torch.set_float32_matmul_precision("highest")


def test_matmul(compare, device: str, shape: Shape, kind: tuple[str, str], precision: str) -> None:
    *batch, m, n, k = shape
    dtype = gg.as_dtype(kind[0])

    def uniform(*size: int) -> gg.Tensor:
        return (gg.rand(*batch, *size, device=device) * 2 - 1).to(dtype)

    size = (m * k + n * k) * dtype.itemsize
    for count in batch:
        size *= count
    gg.manual_seed(0)
    ours = rotated(lambda: (uniform(m, k), uniform(n, k).mT), size, device)
    rivals = {}
    if precision != "tf32" and kind[0] != "bfloat16":  # the array library has neither
        name, library = array_library(device)
        raw = [(a.data, b.data) for a, b in ours]
        rivals[name] = in_turn(lambda x: library.matmul(*x), raw)
    if torch_module() is not None:
        theirs = [(as_torch(a), as_torch(b)) for a, b in ours]
        rivals["PyTorch"] = in_turn(lambda x: x[0] @ x[1], theirs)
    flop = 2.0 * m * n * k
    for count in batch:
        flop *= count
    with gg.no_grad():
        compare(in_turn(lambda x: x[0] @ x[1], ours), rivals, Cost(flop=flop))
