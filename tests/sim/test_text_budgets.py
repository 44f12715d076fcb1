"""What the kernels of tables and positions may use of memory, held by the simulator's counters.

One row for each case of budgets_text.cpp and kernel that moves rows. The counts are exact and do
not depend on the schedule; a budget is the figure, rounded up. Reads are loads: an index counts
each time, though caches have it.
"""

from __future__ import annotations

import pytest
from sim.budgets import Budget, Cases, check, run_cases

SOURCES = ["embedding", "embedding_grad", "embedding_bag", "radix_sort", "rotary", "copy"]

BUDGETS = [
    # Rows and an index for the threads of a warp; rows of 200 bytes begin inside a sector.
    Budget("embedding_256", "look_up<unsigned int, 4>", 1.02),
    Budget("embedding_100_bf16", "look_up<unsigned int, 2>", 1.07, sectors=1.08),
    Budget("embedding_33_f16", "look_up<unsigned short, 1>", 1.25, sectors=1.33),
    # Runs of 400 terms, and so 13 slices of 32, whose sums have twice the bytes of a row.
    Budget("embedding_grad_each", "sum_slices<float>", 1.04),
    Budget("embedding_grad_runs", "sum_slices<gg::f16>", 1.04, 26, 1.05),
    # cos and sin, float32, with each pair: heads find them in the cache.
    Budget("rotary_halves_bf16", "turn_rows<gg::bf16>", 3, sectors=1.5),
    Budget("rotary_interleaved", "turn_rows<float>", 2, sectors=1.67),
    # Which bag each of 32 positions is in: 8 bytes beside 512 of a row.
    Budget("bags_of_32", "sum_bags<float>", 1.03, 1.52, 1.08, 1.79),
]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run_cases(tmp_path_factory, "budgets_text", SOURCES)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.case}-{b.kernel}")
def test_kernel_keeps_its_budget(cases: Cases, budget: Budget) -> None:
    check(cases, budget)


def test_every_case_has_a_budget(cases: Cases) -> None:
    assert set(cases) == {budget.case for budget in BUDGETS}
