"""What scans and sorts may use of memory, held by the simulator's counters.

One row for each case of budgets_order.cpp and kernel. The counts are exact and do not depend on the
schedule; a budget is the figure, rounded up.
"""

from __future__ import annotations

import pytest
from sim.budgets import Budget, Cases, check, run_cases

SOURCES = ["scan", "sort", "radix_sort"]

BUDGETS = [
    Budget("scan_short_rows", "scan_parts<float>"),
    Budget("scan_rows_f16", "scan_parts<float>"),
    # Cut into parts: read once for the totals, once for the scan.
    Budget("scan_in_parts", "total_parts<float>", writes=0),
    Budget("scan_in_parts", "scan_parts<float>"),
    # The second read of x gathers y; pairs that are neighbours share banks.
    Budget("sort_short_rows", "sort_short_rows<unsigned int>", 2, 1, 1.2, 2.06),
    Budget("sort_rows_of_a_block", "sort_short_rows<unsigned int>", 2, 1, 2.33, 2.17),
    # Four passes, which move a key and a number: neighbours of one digit, about 8 in a tile, go to
    # neighbours. Counts of digits are read beside them.
    Budget("sort_long_row", "sort_move<unsigned int>", 8, 2.67, 1.65, 1.69),
    Budget("sort_long_row", "write_sorted", 2, 1, 2.4),
]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run_cases(tmp_path_factory, "budgets_order", SOURCES)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.case}-{b.kernel}")
def test_kernel_keeps_its_budget(cases: Cases, budget: Budget) -> None:
    check(cases, budget)


def test_every_case_has_a_budget(cases: Cases) -> None:
    assert set(cases) == {budget.case for budget in BUDGETS}
