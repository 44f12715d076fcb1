"""Products of 8-bit matrices, x [m, k] times the transpose of w [n, k].

int8 to int32, beside torch._int_mm, which is cuBLASLt; float8 with one float32 scale for each
matrix or for each row, to bfloat16, beside torch._scaled_mm: e4m3, and e5m2 times e4m3 as gradients
are multiplied. cuBLASLt wants sizes in multiples of 16, and more than 16 rows in int8. Operands are
random bytes, of floats those below 2, taken in turns from more memory than L2 has.
"""

from __future__ import annotations

import numpy as np
import pytest
from duel import Cost
from rehearsal import small
from rivals import in_turn, place, rotated, torch_module

import gpugrad as gg

#: m, n, k
SHAPES = {
    "cuda": {
        "square": [(s, s, s) for s in (1024, 2048, 4096, 8192, 16384)],
        "gpt2": [(8192, 2304, 768), (8192, 3072, 768), (8192, 768, 3072)],
        "skinny": [(32, 4096, 4096)],
        "odd": [(1000, 784, 3344)],
    },
    "cpu": {"square": [(64, 64, 64)]},
}
#: dtypes of both, whether each row has a scale
FLOAT8 = {
    "e4m3": ("float8_e4m3fn", "float8_e4m3fn", False),
    "e4m3_rows": ("float8_e4m3fn", "float8_e4m3fn", True),
    "e5m2": ("float8_e5m2", "float8_e4m3fn", False),
}
BELOW_2 = 0xBF  # clears the highest bit of the exponent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    shapes = SHAPES[metafunc.config.getoption("--device")]
    found = [
        pytest.param(shape, id=f"{family}-{'x'.join(map(str, shape))}")
        for family, those in shapes.items()
        for shape in those
    ]
    metafunc.parametrize("shape", found)


Pair = tuple[np.ndarray, ...]


def random_bytes(
    shape: tuple[int, int, int], device: str, mask: int
) -> list[tuple[np.ndarray, ...]]:
    """Random x [m, k] and w [n, k], so often as it takes."""
    m, n, k = shape
    rng = np.random.default_rng(0)

    def make() -> Pair:
        return tuple([rng.integers(0, 256, (rows, k), np.uint8) & mask for rows in (m, n)])

    return rotated(make, m * k + n * k, device)


def test_int8(compare, device: str, shape: tuple[int, int, int]) -> None:
    m, n, k = shape = (small(shape[0]), small(shape[1]), small(shape[2]))
    arrays = [[x.view(np.int8) for x in pair] for pair in random_bytes(shape, device, 0xFF)]
    ours = [[gg.tensor(x, device=device).array for x in pair] for pair in arrays]
    gemm = gg.backends.get(device).kernels.gemm
    rivals = {}
    if (torch := torch_module()) is not None:
        where = place(torch, device)
        theirs = [[torch.tensor(x, device=where) for x in pair] for pair in arrays]
        rivals["PyTorch"] = in_turn(lambda x: torch._int_mm(x[0], x[1].t()), theirs)
    mine = in_turn(lambda x: gemm(x[0], x[1].T, dtype=gg.int32), ours)
    compare(mine, rivals, Cost(flop=2.0 * m * n * k), "device")


@pytest.mark.parametrize("kind", FLOAT8)
def test_float8(compare, device: str, shape: tuple[int, int, int], kind: str) -> None:
    m, n, k = shape = (small(shape[0]), small(shape[1]), small(shape[2]))
    *dtypes, by_row = FLOAT8[kind]
    arrays = random_bytes(shape, device, BELOW_2)
    sizes = ((m, 1), (1, n)) if by_row else ((), ())
    scales = [np.random.default_rng(i).uniform(0.5, 2, size) for i, size in enumerate(sizes)]
    scales = [np.asarray(scale, np.float32) for scale in scales]
    f = gg.nn.functional
    recipe = f.ScalingType.RowWise if by_row else f.ScalingType.TensorWise
    a_scale, b_scale = (gg.tensor(scale, device=device) for scale in scales)
    ours = [
        [
            gg.tensor(x.view(gg.as_dtype(dtype)), device=device)
            for x, dtype in zip(pair, dtypes, strict=True)
        ]
        for pair in arrays
    ]
    rivals = {}
    if (torch := torch_module()) is not None:
        where = place(torch, device)
        theirs = [
            [
                torch.tensor(x, device=where).view(getattr(torch, dtype))
                for x, dtype in zip(pair, dtypes, strict=True)
            ]
            for pair in arrays
        ]
        c_scale, d_scale = (torch.tensor(scale, device=where) for scale in scales)
        rivals["PyTorch"] = in_turn(
            lambda x: torch._scaled_mm(
                x[0], x[1].t(), c_scale, d_scale, out_dtype=torch.bfloat16, use_fast_accum=False
            ),
            theirs,
        )
    mine = in_turn(lambda x: f.scaled_mm(x[0], x[1].mT, a_scale, recipe, b_scale, recipe), ours)
    compare(mine, rivals, Cost(flop=2.0 * m * n * k), "device")
