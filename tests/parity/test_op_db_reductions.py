"""PyTorch's own samples of reductions and scans: values, gradients, dtypes, refusals."""

from __future__ import annotations

import pytest
import torch

from parity.op_samples import (
    Operation,
    check_in_place,
    check_refused,
    check_samples,
    differs,
    in_place,
    of_dtypes,
    operations,
    refusing,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NAMES = """
all amax amin aminmax any argmax argmin corrcoef count_nonzero cov cummax cummin cumprod cumsum
cumulative_trapezoid diff dist log_softmax logsumexp max mean median min mode
nanmean nanmedian nanquantile nansum norm prod quantile renorm softmax std std_mean sum sum_to_size
trapezoid trapz var var_mean
"""
HALVES, WIDE = (torch.float16, torch.bfloat16), (torch.float32, torch.float64)
AXES = differs("NumPy's arrays have at most 64 axes", lambda sample: sample.input.ndim > 64)
TIES = differs(
    "which of equal elements the index names is not defined; ours is the last",
    lambda sample: sample.input.numel() > 1000 and sample.input.dtype not in WIDE,
)
WRAPS = differs(
    "PyTorch subtracts the points in uint8, where a negative width wraps; ours are of int64",
    lambda sample: sample.input.dtype == torch.uint8 and bool(sample.args),
)
OPERATIONS = operations(
    *NAMES.split(),
    except_={
        **dict.fromkeys(("amax", "amin", "aminmax"), AXES),
        **dict.fromkeys(("cumulative_trapezoid", "trapezoid", "trapz"), WRAPS),
        "mode": TIES,
    },
)
# Among its samples are numbers of 1e4, whose rounding is the error of exp(x - y) in the gradient.
LARGE = differs(
    "numbers of 1e4 lie 8 or more apart in 16 bits, so nothing is left of exp(x - y)",
    lambda sample: sample.input.dtype in HALVES and bool((sample.input.abs() > 1e3).any()),
)
OPERATIONS += operations("logcumsumexp", roundings=8e4, except_={"logcumsumexp": LARGE})
DTYPES = [torch.float32, *HALVES, torch.int64, torch.int32, torch.uint8, torch.bool]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_samples(operation: Operation) -> None:
    check_samples(operation)


@pytest.mark.parametrize(("operation", "dtype"), of_dtypes(OPERATIONS, DTYPES), ids=str)
def test_dtypes(operation: Operation, dtype: torch.dtype) -> None:
    check_samples(operation, dtype)


@pytest.mark.parametrize("operation", in_place(OPERATIONS), ids=str)
def test_in_place(operation: Operation) -> None:
    check_in_place(operation)


@pytest.mark.parametrize("operation", refusing(OPERATIONS), ids=str)
def test_refused_inputs(operation: Operation) -> None:
    check_refused(operation)
