"""Matrix products in every precision and layout, a [..., m, k] times b [..., k, n].

Layouts are those of a layer x W^T: "nt", forward, both operands along k; "nn", the gradient of its
input; "tn", that of its weight. Operands are uniform random numbers; on a GPU they are taken in
turns from more memory than L2 has. Ours and PyTorch's, which is cuBLAS there, read the same bytes;
so does CuPy, whose matmul is cuBLAS for float16 and float32. int8 gives int32, fp8 is scaled and
gives bfloat16 (test_quantised.py). Products with a vector count bytes, others FLOP.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import pytest
from duel import Cost
from rehearsal import small
from rivals import array_library, as_torch, in_turn, rotated, torch_module

import gpugrad as gg

Shape = tuple[int, ...]

SQUARES = (256, 512, 1024, 2048, 4096, 8192, 16384)
MLP = [(8192, 4096, 1024), (8192, 1024, 4096)]
GPT2 = [(8192, 2304, 768), (8192, 768, 768), (8192, 3072, 768), (8192, 768, 3072)]


def dgrad(shapes: list[Shape]) -> list[Shape]:
    return [(m, k, n) for m, n, k in shapes]


def wgrad(shapes: list[Shape]) -> list[Shape]:
    return [(n, k, m) for m, n, k in shapes]


#: family -> (layout, [batch..., m, n, k])
FAMILIES: dict[str, dict[str, tuple[str, list[Shape]]]] = {
    "cuda": {
        "square": ("nt", [(s, s, s) for s in SQUARES]),
        "square_nn": ("nn", [(4096, 4096, 4096), (8192, 8192, 8192)]),
        "square_tn": ("tn", [(4096, 4096, 4096), (8192, 8192, 8192)]),
        "mlp": ("nt", MLP),
        "mlp_dgrad": ("nn", dgrad(MLP)),
        "mlp_wgrad": ("tn", wgrad(MLP)),
        "gpt2": ("nt", [*GPT2, (8192, 50257, 768)]),
        "gpt2_dgrad": ("nn", dgrad(GPT2)),
        "gpt2_wgrad": ("tn", wgrad(GPT2)),
        "skinny": ("nt", [(16, 4096, 4096), (64, 4096, 4096), (4096, 16, 4096), (4096, 4096, 16)]),
        "deep": ("nt", [(64, 64, 65536), (256, 256, 32768)]),
        "odd": ("nt", [(1000, 777, 3333), (4095, 4097, 1023), (2047, 2049, 4097), (127, 8191, 65)]),
        "vector": ("nt", [(1, 4096, 4096), (1, 16384, 4096), (1, 50257, 768)]),
        "vector_nn": ("nn", [(1, 4096, 4096)]),
        "matvec": ("nt", [(4096, 1, 4096), (16384, 1, 4096)]),
        "batched": ("nt", [(64, 512, 512, 64), (64, 512, 64, 512), (16, 1024, 1024, 1024)]),
    },
    "cpu": {"square": ("nt", [(512, 512, 512)]), "vector": ("nt", [(1, 1024, 1024)])},
}
#: dtype, precision of float32. The rival of "high" is float32 as the library computes it.
KINDS = {
    "cuda": [
        ("bfloat16", "high"),
        ("float16", "high"),
        ("float32", "exact"),
        ("float32", "high"),
        ("float32", "tf32"),
    ],
    "cpu": [("float32", "exact")],
}
FEW = ("square", "gpt2", "skinny", "odd", "batched")  # for float16 and tf32: as bfloat16 and 3xTF32
LARGEST_FLOAT32 = 8192  # a product of 16384 takes a round of seconds on CUDA cores


def runs(device: str) -> Iterator[Any]:
    for kind in KINDS[device]:
        for family, (layout, shapes) in FAMILIES[device].items():
            if (kind[0] == "float16" or kind[1] == "tf32") and family not in FEW:
                continue
            for shape in shapes:
                if kind[0] == "float32" and min(shape) > LARGEST_FLOAT32:
                    continue
                name = "-".join((family, "x".join(map(str, shape)), *kind))
                yield pytest.param(shape, layout, kind, id=name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    found = list(runs(metafunc.config.getoption("--device")))
    metafunc.parametrize(("shape", "layout", "kind"), found)


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


def cost(shape: Shape, itemsize: int) -> Cost:
    """FLOP; bytes of a product with a vector."""
    *batch, m, n, k = shape
    if min(m, n) == 1:
        return Cost(bytes=prod(batch) * itemsize * (m * k + k * n + m * n))
    return Cost(flop=2.0 * prod(shape))


def test_matmul(
    compare, device: str, shape: Shape, layout: str, kind: tuple[str, str], precision: str
) -> None:
    shape = tuple(map(small, shape))
    *batch, m, n, k = shape
    dtype = gg.as_dtype(kind[0])

    def uniform(rows: int, columns: int, turned: bool) -> gg.Tensor:
        size = (columns, rows) if turned else (rows, columns)
        x = (gg.rand(*batch, *size, device=device) * 2 - 1).to(dtype)
        return x.mT if turned else x

    def operands() -> tuple[gg.Tensor, gg.Tensor]:
        return uniform(m, k, layout[0] == "t"), uniform(k, n, layout[1] == "t")

    gg.manual_seed(0)
    ours = rotated(operands, prod(batch) * (m * k + n * k) * dtype.itemsize, device)
    rivals = {}
    if precision != "tf32" and kind[0] != "bfloat16":  # the array library has neither
        name, library = array_library(device)
        raw = [(a.array, b.array) for a, b in ours]
        rivals[name] = in_turn(lambda x: library.matmul(*x), raw)
    if torch_module() is not None:
        theirs = [(as_torch(a), as_torch(b)) for a, b in ours]
        rivals["PyTorch"] = in_turn(lambda x: x[0] @ x[1], theirs)
    with gg.no_grad():
        mine = in_turn(lambda x: x[0] @ x[1], ours)
        compare(mine, rivals, cost(shape, dtype.itemsize), "device")
