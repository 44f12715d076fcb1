"""Attention on tensor cores uses shared memory without bank conflicts, global memory by sectors.

Counted by the simulator (flavour ``counters``) on aligned arrays, forward and both passes of the
gradient. The counts are exact and do not depend on the schedule.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sim import build, counters

CASES = {
    "f16_64": ("f16", 64, False),
    "bf16_128": ("bf16", 128, False),
    "bf16_128_causal": ("bf16", 128, False),
    "f16_256": ("f16", 256, False),
    "f16_64_turing": ("f16", 64, True),
    "f16_128_turing": ("f16", 128, True),
}
"""Element, padded head size and generation of the kernels that each case must run."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, counters.Counts]:
    folder = tmp_path_factory.mktemp("attention_budgets")
    kernels = [*(build.CSRC / "kernels").glob("attention*.cu"), build.CSRC / "kernels" / "copy.cu"]
    host = [build.HERE / "main.cpp", build.HERE / "budgets_attention.cpp"]
    host += (build.CSRC / "core").glob("*.cpp")
    program: Path = build.program("counters", "budgets", kernels, folder, host)
    status, output = build.run(program, timeout=300)
    assert status == 0, output
    return counters.read(program, output)


@pytest.mark.parametrize("case", CASES)
def test_no_conflicts_and_whole_sectors(cases: dict[str, counters.Counts], case: str) -> None:
    counts, (element, size, turing) = cases[case], CASES[case]
    flag = str(turing).lower()
    shape = f"attention_grad_mma<gg::{element}, gg::GradShape<{size}"
    expected = {f"{shape}, {by_keys}, {flag}> >" for by_keys in ("true", "false")}
    expected.add(f"attention_mma<gg::{element}, {size}, {flag}>")
    assert expected <= set(counts.launches), f"{case} ran {sorted(counts.launches)}"
    for name in expected:
        for space in ("shared", "global"):
            assert counts.of(name, space=space), f"{case}: {name} used no {space} memory"
            ratio = counts.ratio(space, name)
            assert ratio == 1, f"{case}: {name} {space} {ratio:.3f}\n{counts.worst(space, name)}"


def test_every_case_is_held(cases: dict[str, counters.Counts]) -> None:
    assert set(cases) == set(CASES)
