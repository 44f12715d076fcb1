"""Budgets: what a kernel may use of memory in a case, against the simulator's exact counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from sim import build, counters

Cases = dict[str, counters.Counts]

SLACK = 0.01
"""Of a figure: slots, marks and statistics move beside the arrays."""


class Budget(NamedTuple):
    """What a kernel may use in a case: the figure, rounded up. None: not this kernel's matter."""

    case: str
    kernel: str  #: its name begins so
    reads: float | None = 1  #: bytes for each byte of the inputs that the case names
    writes: float | None = 1  #: bytes for each byte of its outputs
    sectors: float | None = 1  #: of 32 bytes, for each one that the bytes would fill
    wavefronts: float | None = 1  #: of shared memory, for each one without bank conflicts


def run_cases(
    tmp_path_factory: pytest.TempPathFactory, program: str, kernels: Sequence[str]
) -> Cases:
    """The counts of each case of `program`.cpp, built with these kernels (names or patterns)."""
    folder = tmp_path_factory.mktemp(program)
    sources = [path for name in kernels for path in (build.CSRC / "kernels").glob(f"{name}.cu")]
    host: list[Path] = [build.HERE / "main.cpp", build.HERE / f"{program}.cpp"]
    host += (build.CSRC / "core").glob("*.cpp")
    built = build.program("counters", "budgets", sources, folder, host)
    status, output = build.run(built, timeout=300)
    assert status == 0, output
    return counters.read(built, output)


def check(cases: Cases, budget: Budget) -> None:
    """The kernel ran, and kept its budget."""
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
        assert limit is None or figure <= limit + SLACK, message
