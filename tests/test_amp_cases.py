"""Every case inside an autocast region: it runs, and is as near as bfloat16 allows."""

from __future__ import annotations

import pytest
from cases import CASES, Case
from running import EPSILON, assert_close, describe, run

import gpugrad as gg

FACTORED = {"linalg_cholesky", "cholesky_solve"}
"""They factorise a product, which is bfloat16 in a region; as in PyTorch that is refused."""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "case", [c for c in CASES if c.name not in FACTORED], ids=lambda case: case.name
)
def test_case_in_a_region(case: Case, dtype: str) -> None:
    """Outputs and gradients beside those outside, in the tolerance the case has in bfloat16."""
    for number, sample in enumerate(case.inputs):
        expected = run(case, sample, dtype, "cpu")
        with gg.autocast(gg.bfloat16):
            got = run(case, sample, dtype, "cpu")
        assert_close(got, expected, case.rtol * EPSILON["bfloat16"], describe(case, number))
