"""What scans and sorts may use of memory, held by the simulator's counters.

One row for each case of budgets_order.cpp and kernel. The counts are exact and do not depend on the
schedule; a budget is the figure, rounded up.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from sim import build, counters

SOURCES = ["scan", "sort", "radix_sort"]


class Budget(NamedTuple):
    """What a kernel may use in a case."""

    case: str
    kernel: str  #: its name begins so
    reads: float = 1  #: bytes for each byte of x
    writes: float = 1  #: bytes for each byte of y (and the index)
    sectors: float = 1  #: of 32 bytes, for each one that the bytes would fill
    wavefronts: float = 1  #: of shared memory, for each one without bank conflicts


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

#: Slots of parts are read and written beside the rows.
SLACK = 0.01


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, counters.Counts]:
    folder = tmp_path_factory.mktemp("order_budgets")
    kernels = [build.CSRC / "kernels" / f"{name}.cu" for name in SOURCES]
    host = [build.HERE / "main.cpp", build.HERE / "budgets_order.cpp"]
    host += (build.CSRC / "core").glob("*.cpp")
    program: Path = build.program("counters", "budgets", kernels, folder, host)
    status, output = build.run(program, timeout=300)
    assert status == 0, output
    return counters.read(program, output)


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.case}-{b.kernel}")
def test_kernel_keeps_its_budget(cases: dict[str, counters.Counts], budget: Budget) -> None:
    counts, kernel = cases[budget.case], budget.kernel
    names = sorted(counts.launches)
    assert counts.of(kernel, space="global"), f"{kernel} did not run; {budget.case} ran {names}"
    used = {
        "reads": counts.bytes("load", kernel) / counts.notes["read"],
        "writes": counts.bytes("store", kernel) / counts.notes["written"],
        "sectors": counts.ratio("global", kernel),
        "wavefronts": counts.ratio("shared", kernel),
    }
    for what, figure in used.items():
        limit = getattr(budget, what)
        lines = counts.worst("shared" if what == "wavefronts" else "global", kernel)
        message = f"{budget.case}: {kernel}: {what} {figure:.3f}, allowed {limit}\n{lines}"
        assert figure <= limit + SLACK, message


def test_every_case_has_a_budget(cases: dict[str, counters.Counts]) -> None:
    assert set(cases) == {budget.case for budget in BUDGETS}
