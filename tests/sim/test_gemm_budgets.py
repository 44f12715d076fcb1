"""Tensor-core kernels use shared memory without bank conflicts and global memory in whole sectors.

Counted by the simulator (flavour ``counters``) on aligned matrices in every order of axes. The
counts are exact and do not depend on the schedule.
"""

from __future__ import annotations

import pytest
from sim.budgets import Cases, run_cases

CASES = {
    **dict.fromkeys(("f16_nn", "f16_nt", "f16_tn", "f16_tt"), (128, "MmaM16N8K16<gg::f16>")),
    **dict.fromkeys(("f16_wide", "f16_wide_tt"), (256, "MmaM16N8K16<gg::f16>")),
    **dict.fromkeys(("f16_small", "f16_small_tt"), (64, "MmaM16N8K16<gg::f16>")),
    **dict.fromkeys(("f16_turing", "f16_turing_tt"), (128, "HalfMath75")),
    **dict.fromkeys(("tf32_nn", "tf32_tt"), (128, "Tf32Math")),
    "tf32_small": (64, "Tf32Math"),
    **dict.fromkeys(("tf32x3_nn", "tf32x3_tt"), (128, "Tf32x3Math")),
    "int8_nt": (128, "MmaM16N8K32<signed char>"),
    "int8_turing": (128, "ByteMath75<signed char>"),
}
"""Columns of the tile and arithmetic of the kernel that each case of budgets_gemm.cpp must run."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run_cases(tmp_path_factory, "budgets_gemm", ["gemm*", "copy"])


@pytest.mark.parametrize("case", CASES)
def test_no_conflicts_and_whole_sectors(cases: Cases, case: str) -> None:
    counts, (columns, arithmetic) = cases[case], CASES[case]
    names = [name for name in counts.launches if name.startswith("gemm_mma<")]
    assert len(names) == 1, f"{case} ran {sorted(counts.launches)}"
    assert arithmetic in names[0] and f"BlockShape<{min(columns, 128)}, {columns}," in names[0]
    assert counts.of(names[0], space="shared") and counts.of(names[0], space="global")
    for space in ("shared", "global"):
        ratio = counts.ratio(space, names[0])
        assert ratio == 1, f"{case}: {space} {ratio:.3f}\n{counts.worst(space, names[0])}"


def test_hopper_splits_without_conflicts(cases: Cases) -> None:
    """b's low parts are written, and a's fragments read, in the order that TMA left."""
    counts, kernel = cases["tf32x3_hopper"], "gemm_hopper_tf32x3"
    for space in ("shared", "global"):
        assert counts.of(kernel, space=space), f"ran {sorted(counts.launches)}"
        ratio = counts.ratio(space, kernel)
        assert ratio == 1, f"{space} {ratio:.3f}\n{counts.worst(space, kernel)}"


def test_every_case_is_held(cases: Cases) -> None:
    assert set(cases) == {*CASES, "tf32x3_hopper"}
