"""Hopper's convolutions (csrc/kernels/conv_hopper*.cu), in the simulator and on a Hopper.

That the first two sizes are planned on those kernels is asserted by
tests/sim/kernels_conv_plan.cpp (conv_plans_hopper_in_the_simulator).
"""

from __future__ import annotations

import pytest
from contract_tools import values
from schedules import SCHEDULES, label, scheduled
from test_contract_conv import Case, Held

from gpugrad.backends import Backend

# Tiles are 256 positions x 128 channels (wgrad: 128 channels x 4 taps of 64): as many as the
# simulator's 4 multiprocessors and more, with tails along each side; channels that are no multiple
# of 64; one to three axes, strides, dilation, padding on one side alone.
CASES = [
    Case(2, 64, 256, (16, 16), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(1, 320, 320, (12, 12), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(3, 120, 200, (13, 11), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(3, 64, 250, (171,), (5,), (1,), (2,), (1,)),
    Case(2, 60, 256, (4, 9, 8), (2, 3, 2), (1, 1, 1), (0, 1, 1), (1, 1, 1), 1, (1, 0, -1)),
    Case(2, 64, 256, (33, 31), (2, 3), (2, 2), (0, 1), (1, 2), 1, (1, 0)),
    Case(2, 256, 64, (32, 32), (3, 3), (2, 2), (1, 1), (1, 1)),  # dgrad: four phases
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{len(c.size)}d-{c.c}-{c.k}")
def test_conv_hopper(any_hopper: Backend, dtype: str, operation: str, case: Case) -> None:
    layouts = ("last", "last", "last") if dtype == "float16" else ("rows", "rows", "rows")
    getattr(Held(any_hopper, case, dtype, layouts), operation)()


def test_conv_hopper_epilogue(any_hopper: Backend) -> None:
    for layout in ("last", "rows"):
        held = Held(any_hopper, CASES[2], "bfloat16", (layout, layout, layout))
        held.fprop("gelu", bias=True, residual=layout)
        held.dgrad(bias=True)


def test_conv_hopper_same_bits_in_every_schedule(any_hopper: Backend) -> None:
    case, k = CASES[2], any_hopper.kernels
    x, w, y = (any_hopper.from_numpy(values(s, "float16", i)) for i, s in enumerate(case.shapes))
    results = []
    for schedule in SCHEDULES:
        with scheduled("sim", schedule):
            got = [
                k.conv_fprop(x, w, case.window, case.shapes[2]),
                k.conv_dgrad(y, w, case.window, case.shapes[0]),
                k.conv_wgrad(x, y, case.window, case.shapes[1]),
            ]
        results.append([a.tobytes() for a in got])
    assert all(bits == results[0] for bits in results), [label(s) for s in SCHEDULES]
