"""What memory-bound kernels may use of memory, held by the simulator's counters.

One row for each kernel and case of budgets.cpp. The counts are exact and do not depend on the
schedule: a budget is the figure, rounded up, and 1 is the best there is.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from sim import counters
from sim.budgets import Cases, run_cases

SOURCES = ["softmax", "cross_entropy", "reduce", "optim", "optim_adaptive", "norm_scale", "random"]
SOURCES += ["elementwise", "copy", "gemm_problem"]
SOURCES += ["gemm_hopper", "gemm_hopper_tf32", "gemm_hopper_tf32x3", "gemm_hopper_int8"]


class Budget(NamedTuple):
    """What a kernel may use in a case. None: not this kernel's matter."""

    case: str
    kernel: str  #: its name begins so
    requests: float | None = 1  #: to global memory for each 512 bytes (16 bytes a lane)
    sectors: float | None = 1  #: of 32 bytes, for each one that the bytes would fill
    wavefronts: float | None = 1  #: of shared memory, for each one without bank conflicts
    reads: float | None = 1  #: bytes for each byte of the operation's inputs
    writes: float | None = 1  #: bytes for each byte of its outputs


BUDGETS = [
    # Short rows: 16 threads a row, of which 10 have an element.
    Budget("softmax_64x10", "softmax_held<float, 8>", requests=6.4),
    Budget("softmax_64x1024", "softmax_held<float, 32>"),
    # Unaligned rows move element by element.
    Budget("softmax_64x1001", "softmax_held<float, 32>", requests=4, sectors=1.22),
    Budget("softmax_16x8192", "softmax_held<float, 32>"),
    # Longer rows stay in shared memory between the two passes; beyond that they are read twice.
    Budget("softmax_4x50000", "softmax_streamed<float>"),
    Budget("softmax_4x50000_f16", "softmax_streamed<gg::f16>"),
    Budget("softmax_2x80000", "softmax_streamed<float>", reads=2),
    Budget("softmax_64x1024_bf16", "softmax_held<gg::bf16, 32>"),
    # Along other axes a warp takes 32 columns of one row at a time.
    Budget("softmax_columns_200", "softmax_held<float, 32>", requests=4),
    Budget("softmax_columns_1000", "softmax_streamed<float>", requests=4),
    Budget("softmax_grad_64x1024", "softmax_grad_held<float, 32>"),
    Budget("softmax_grad_4x25000", "softmax_grad_streamed<float>"),
    Budget("softmax_grad_64x1024_f16", "softmax_grad_held<gg::f16, 32>"),
    # For each row a target (8 bytes), its logit again, three results; or target, lse and dloss.
    Budget("cross_entropy_256x10", "cross_entropy_rows<float>", 24, 1.125, reads=1.3),
    Budget("cross_entropy_64x1024", "cross_entropy_rows<float>", 1.6),
    Budget("cross_entropy_4x50000", "cross_entropy_rows<float>"),
    Budget("cross_entropy_4x50000_bf16", "cross_entropy_rows<gg::bf16>"),
    Budget("cross_entropy_smoothed", "cross_entropy_rows<float>", reads=2),  # and as many weights
    Budget("cross_entropy_grad_256x10", "cross_entropy_grad_rows<float>", 13.4, reads=1.4),
    Budget("cross_entropy_grad_4x50000", "cross_entropy_grad_rows<float>"),
    Budget("cross_entropy_grad_4x50000_f16", "cross_entropy_grad_rows<gg::f16>"),
    # Where elements are cut into chunks, partial results are written for a second kernel.
    Budget("sum_rows", "reduce_rows<gg::Fold<float> >"),
    Budget("sum_rows_f16", "reduce_rows<gg::Fold<float> >"),
    Budget("sum_short_rows", "reduce_rows<gg::Fold<float> >", 1.2),
    Budget("sum_all", "reduce_rows<gg::Fold<float> >", writes=None),
    Budget("sum_columns", "reduce_columns<gg::Fold<float>, 4>", writes=None),
    Budget("sum_columns_f64", "reduce_columns<gg::Fold<double>, 2>", writes=None),
    Budget("sum_columns_bf16", "reduce_columns<gg::Fold<float>, 4>", 2, writes=None),
    Budget("argmax_rows", "reduce_rows<gg::Pick<float> >"),
    Budget("argmax_columns", "reduce_columns<gg::Pick<float>, 1>", 4, 1.05, writes=None),
    Budget("sgd", "optimizer_step<float"),
    # Halves move 8 bytes at a time beside 16 of their float32 state.
    Budget("sgd_bf16", "optimizer_step<gg::bf16", 1.5),
    Budget("adam", "optimizer_step<float"),
    Budget("adam_f16", "optimizer_step<gg::f16", 1.3),
    Budget("nadam", "optimizer_step<float"),
    Budget("lion_bf16", "optimizer_step<gg::bf16", 1.5),
    Budget("clipping", "norm_partials<float", writes=None),
    Budget("clipping", "scale_arrays<float"),
    Budget("clipping_f16", "norm_partials<gg::f16", writes=None),
    Budget("clipping_f16", "scale_arrays<gg::f16"),
    # Each thread reads the generator's state.
    Budget("dropout_f32", "draw_groups<gg::DropoutDraw<float>", 2, reads=1.04),
    Budget("dropout_f16", "draw_groups<gg::DropoutDraw<gg::f16>", 3.9, reads=1.07),
    Budget("relu_f32", "unary_kernel<float>"),
    Budget("relu_bf16", "unary_kernel<float>"),
    Budget("add_f32", "binary_kernel<float>"),
    Budget("add_f16", "binary_kernel<float>"),
    # Tiles of 32 x 32 elements through shared memory.
    Budget("transpose_f32", "transpose_kernel<unsigned int>", 4),
    Budget("transpose_f16", "transpose_kernel<unsigned short>", 8),
    # TMA's reads of a and b, 128 bytes at a time, are counted too; y is written 8 or 16 at a time.
    Budget("gemm_hopper_f16", "gemm_hopper<", 2.86, reads=1.43),
    Budget("gemm_hopper_f32", "gemm_hopper<", 1.82, reads=1.28),
    # TMA stores rows of 128 bytes; float32 is written to their boxes with two-way bank conflicts.
    Budget("gemm_hopper_stored_f16", "gemm_hopper<", 4, reads=2),
    Budget("gemm_hopper_stored_f32", "gemm_hopper<", 4, wavefronts=1.364, reads=2),
]

#: Figures may be above their budget by a few numbers for each row or block, and nothing else. Each
#: of those is a request of its own, in cases as small as these.
SLACK = {"requests": 0.15, "sectors": 0.01, "wavefronts": 0, "reads": 0.005, "writes": 0.005}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return run_cases(tmp_path_factory, "budgets", SOURCES)


def figures(counts: counters.Counts, kernel: str) -> dict[str, float]:
    """What a kernel used, by the names of Budget."""
    return {
        "requests": counts.requests(kernel),
        "sectors": counts.ratio("global", kernel),
        "wavefronts": counts.ratio("shared", kernel),
        "reads": counts.bytes("load", kernel) / counts.notes["read"],
        "writes": counts.bytes("store", kernel) / counts.notes["written"],
    }


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda b: f"{b.case}-{b.kernel}")
def test_kernel_keeps_its_budget(cases: Cases, budget: Budget) -> None:
    counts, kernel = cases[budget.case], budget.kernel
    names = sorted(counts.launches)
    assert counts.of(kernel, space="global"), f"{kernel} did not run; {budget.case} ran {names}"
    for what, used in figures(counts, kernel).items():
        limit = getattr(budget, what)
        lines = counts.worst("shared" if what == "wavefronts" else "global", kernel)
        message = f"{budget.case}: {kernel}: {what} {used:.3f}, allowed {limit}\n{lines}"
        assert limit is None or used <= limit + SLACK[what], message


def test_every_case_has_a_budget(cases: Cases) -> None:
    assert set(cases) == {budget.case for budget in BUDGETS}
