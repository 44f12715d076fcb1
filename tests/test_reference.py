"""Every case on the CPU against committed values computed by PyTorch 2.13 in float64.

reference_values.npz is written by make_reference.py, which needs PyTorch; this test does not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cases import CASES, Case
from running import EPSILON, assert_close, describe, run

FILE = Path(__file__).with_name("reference_values.npz")
VALUES = np.load(FILE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, dtype: str) -> None:
    for number, sample in enumerate(case.inputs):
        stored = [k for k in VALUES.files if k.startswith(f"{case.name}/{number}/")]
        assert stored, f"{case.name} has no reference values: run tests/make_reference.py"
        expected = [VALUES[f"{case.name}/{number}/{i}"] for i in range(len(stored))]
        got = run(case, sample, dtype, "cpu")
        # The inputs are rounded to float32 first: one more rounding of each.
        assert_close(got, expected, 2 * case.rtol * EPSILON[dtype], describe(case, number))
