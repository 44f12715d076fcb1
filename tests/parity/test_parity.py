"""Every case beside PyTorch, live: output, gradients and second gradients, in four dtypes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from cases import CASES, Case
from running import EPSILON, assert_close, cotangent, describe, is_floating, run

import gpugrad as gg
from parity.oracle import run_torch

pytestmark = [  # PyTorch's own
    pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:index_reduce\(\) is in beta:UserWarning"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_full_precision(case: Case, dtype: str) -> None:
    for number, sample in enumerate(case.inputs):
        got, expected = run(case, sample, dtype, "cpu"), run_torch(case, sample, dtype)
        assert_close(got, expected, case.rtol * EPSILON[dtype], describe(case, number))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_half_precision(case: Case, dtype: str) -> None:
    """Our error against float64 is at most twice PyTorch's own, plus one rounding."""
    for number, sample in enumerate(case.inputs):
        exact_inputs = tuple(rounded(x, dtype) for x in sample)
        exact = run_torch(case, exact_inputs, "float64")
        try:
            theirs = run_torch(case, exact_inputs, dtype)
        except (RuntimeError, NotImplementedError):  # PyTorch has no half kernel: one rounding
            theirs = exact
        ours = run(case, exact_inputs, dtype, "cpu")
        for i, (a, b, truth) in enumerate(zip(ours, theirs, exact, strict=True)):
            scale = max(1.0, float(np.max(np.abs(truth), initial=0, where=np.isfinite(truth))))
            allowed = 2 * np.max(np.abs(b - truth * 1.0), initial=0) + EPSILON[dtype] * scale
            worst = np.max(np.abs(a - truth * 1.0), initial=0)
            assert worst <= allowed, f"{describe(case, number)(i)}: {worst} > {allowed}"


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """x in values that the half type can hold, so that inputs carry no error of their own."""
    if not is_floating(x):
        return x
    return torch.tensor(np.asarray(x)).to(getattr(torch, dtype)).double().numpy()


# PyTorch clamps the divisor of this loss's derivative with 1e-12 inside its own double backward.
ROUGH_IN_PYTORCH = {"binary_cross_entropy": 1e-9}
# PyTorch has no second derivative of these; ours are checked numerically in test_gradients.py.
ONCE_IN_PYTORCH = ["pdist", "cdist", "cdist_1", "multi_margin_loss", "multi_margin_loss_2"]
ONCE_IN_PYTORCH += ["multilabel_margin_loss", "ctc_loss"]
SECOND_ORDER = [case for case in CASES if case.grad_order > 1 and case.name not in ONCE_IN_PYTORCH]


@pytest.mark.parametrize("case", SECOND_ORDER, ids=lambda case: case.name)
def test_second_gradient(case: Case) -> None:
    """d/dx of sum(w dx) for a fixed w, in float64."""
    sample = case.inputs[0]
    ours = second(gg, case.ours, [gg.tensor(np.asarray(x)) for x in sample])
    theirs = second(
        torch, partial(case.theirs, torch), [torch.tensor(np.asarray(x)) for x in sample]
    )
    tolerance = ROUGH_IN_PYTORCH.get(case.name, 4 * case.rtol * EPSILON["float64"])
    assert_close(ours, theirs, tolerance, describe(case, 0))


def second(library, function, tensors) -> list[np.ndarray]:
    """Second gradients by either library, which spell this alike."""
    leaves = [x.requires_grad_() if x.dtype == library.float64 else x for x in tensors]
    inputs = [x for x in leaves if x.requires_grad]
    y = function(*leaves)
    dy = library.tensor(cotangent(tuple(y.shape)))
    first = library.autograd.grad(y, inputs, dy, create_graph=True, allow_unused=True)
    total = sum(
        (dx * library.tensor(cotangent(tuple(dx.shape)))).sum() for dx in first if dx is not None
    )
    if not getattr(total, "requires_grad", False):
        return [np.zeros(tuple(x.shape)) for x in inputs]
    found = library.autograd.grad(total, inputs, allow_unused=True)
    return [
        np.zeros(tuple(x.shape)) if dx is None else dx.detach().clone().numpy()
        for x, dx in zip(inputs, found, strict=True)
    ]
