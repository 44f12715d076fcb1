"""Matrix products in every precision: a [m, k] times the transpose of b [n, k], as a layer does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from rivals import array_library, torch_module

import gpugrad as gg

#: m, n, k: square, an MLP's two layers, few rows, one row, sizes that are multiples of nothing.
SHAPES = {
    "cuda": [
        (1024, 1024, 1024),
        (4096, 4096, 4096),
        (8192, 8192, 8192),
        (8192, 4096, 1024),
        (8192, 1024, 4096),
        (16, 4096, 4096),
        (1, 4096, 4096),
        (1000, 777, 3333),
    ],
    "cpu": [(512, 512, 512), (1, 1024, 1024)],
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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    device = metafunc.config.getoption("--device")
    metafunc.parametrize("kind", KINDS[device], ids="-".join)
    metafunc.parametrize("shape", SHAPES[device], ids=lambda s: "x".join(map(str, s)))


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


def test_matmul(compare, device: str, kind: tuple[str, str], shape, precision: str) -> None:
    m, n, k = shape
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, size).astype(np.float32) for size in ((m, k), (n, k)))
    dtype = gg.as_dtype(kind[0])
    x, y = (gg.tensor(v, device=device).to(dtype) for v in (a, b))
    rivals = {}
    if precision != "tf32" and kind[0] != "bfloat16":  # the array library has neither
        name, library = array_library(device)
        copies = [library.asarray(v.astype(kind[0])) for v in (a, b)]
        rivals[name] = lambda: library.matmul(copies[0], copies[1].T)
    if (torch := torch_module()) is not None:
        theirs = [torch.tensor(v, device=device, dtype=getattr(torch, kind[0])) for v in (a, b)]
        rivals["PyTorch"] = lambda: theirs[0] @ theirs[1].T
    with gg.no_grad():
        compare(lambda: x @ y.mT, rivals)
