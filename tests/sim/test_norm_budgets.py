"""What normalisation may use of memory, held by the simulator's counters.

One row for each case of budgets_norm.cpp and kernel that moves images. The counts are exact and do
not depend on the schedule; a budget is the figure, rounded up. Reads are loads: weights and
coefficients count each time, though caches have them.
"""

from __future__ import annotations

import pytest
from sim.budgets import Budget, Cases, check, run_cases

SOURCES = ["layer_norm", "layer_norm_grad", "batch_norm", "batch_norm_grad"]

BUDGETS = [
    # x once, weight and bias with it; rows too long for shared memory: x twice.
    Budget("rows_64x1024", "norm_rows<float>", 3),
    Budget("rows_64x4096_f16", "norm_rows<gg::f16>", 3),
    Budget("rows_2x80000", "norm_rows<float>", 4),
    # x and residual once; weight and bias.
    Budget("rows_residual_64x1024", "norm_rows<float>", 2),
    # x and dy once, and twice a weight; a block's sums for each 8 of the rows, or 4.
    Budget("rows_grad_2048x1024", "layer_norm_grad_rows<float>", 2.01, 1.25),
    Budget("rows_grad_512x256_f16", "layer_norm_grad_rows<gg::f16>", 2.01, 1.5, wavefronts=1.6),
    Budget("stats_nchw", "sum_by_channel<gg::", 1, None),
    # In cases so small, the slices' states weigh: one for each 64 positions.
    Budget("stats_last_f16", "sum_by_position<gg::", 1, None, 1.18),
    Budget("apply_nchw_f16", "apply_channels<gg::f16>", 1.04),
    Budget("apply_last", "apply_channels<float>", 1.25),
    Budget("grad_nchw", "sum_by_channel<gg::", 1.01, None),
    Budget("grad_nchw", "gradient_elements<float>", 1.02),
    Budget("grad_last_f16", "sum_by_position<gg::", 1.13, None, 1.79, 1.5),
    Budget("grad_last_f16", "gradient_elements<gg::f16>", 1.25, sectors=1.15),
    Budget("groups_nchw", "norm_rows<float>", 1.02),
    # 16 channels of a group are 32 bytes.
    Budget("groups_last_f16", "norm_rows<gg::f16>", 1.25, sectors=1.12),
]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run_cases(tmp_path_factory, "budgets_norm", SOURCES)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.case}-{b.kernel}")
def test_kernel_keeps_its_budget(cases: Cases, budget: Budget) -> None:
    check(cases, budget)


def test_every_case_has_a_budget(cases: Cases) -> None:
    assert set(cases) == {budget.case for budget in BUDGETS}
