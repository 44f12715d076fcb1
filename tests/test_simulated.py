"""Every case on the CUDA kernels (simulator or GPU) against the CPU: output and gradients."""

from __future__ import annotations

import pytest
from cases import CASES, Case
from running import EPSILON, assert_close, describe, run
from schedules import SCHEDULES, label, scheduled


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, dtype: str, kernel_device: str) -> None:
    for number, sample in enumerate(case.inputs):
        got = run(case, sample, dtype, kernel_device)
        expected = run(case, sample, dtype, "cpu")
        assert_close(got, expected, case.rtol * EPSILON[dtype], describe(case, number))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_in_every_schedule(case: Case, schedule: tuple, kernel_device: str) -> None:
    """The same bits in every order of threads."""
    for number, sample in enumerate(case.inputs):
        expected = run(case, sample, "float32", kernel_device)
        with scheduled(kernel_device, schedule):
            got = run(case, sample, "float32", kernel_device)
        assert_close(got, expected, 0, describe(case, number))
