"""PyTorch's own samples of the element-wise operations: values, gradients, dtypes, refusals."""

from __future__ import annotations

import pytest
import torch

import gpugrad as gg
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

UNARY = """
abs acos acosh asin asinh atan atanh bitwise_not ceil cos cosh deg2rad erf erfc erfinv exp exp2
expm1 floor frac isfinite isinf isnan isneginf isposinf isreal log log10 log1p log2 logical_not
logit nan_to_num neg positive rad2deg reciprocal round rsqrt sgn sigmoid sign signbit sin sinc sinh
special.entr special.ndtr sqrt square tan tanh trunc
"""
BINARY = """
add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign div
eq float_power floor_divide fmax fmin fmod gcd ge gt heaviside hypot isclose lcm ldexp le logaddexp
logaddexp2 logical_and logical_or logical_xor lt maximum minimum mul ne pow remainder rsub
special.xlog1py sub true_divide xlogy
__radd__ __rand__ __rdiv__ __rmod__ __rmul__ __ror__ __rpow__ __rsub__ __rxor__
"""
OTHERS = """
addcdiv addcmul allclose clamp clamp_max clamp_min equal isin lerp masked_fill where
"""


HALVES = (torch.float16, torch.bfloat16)
UNBOUND = differs(
    "Python never calls a reflected operator with a number as self",
    lambda sample: isinstance(sample.input, int),
)
REFLECTED = [name for name in BINARY.split() if name.startswith("__")]
CLAMPS = differs(
    "numbers as bounds are taken, as PyTorch itself does",
    lambda sample: isinstance(sample.args[0], int),
)
ROUNDED = differs(
    "PyTorch rounds each step of the gradient to 16 bits, gpugrad the gradient once",
    lambda sample: sample.input.dtype in HALVES,
)
OPERATIONS = operations(
    *UNARY.split(),
    *BINARY.split(),
    *OTHERS.split(),
    except_={
        **dict.fromkeys(REFLECTED, UNBOUND),
        **dict.fromkeys(("clamp_min", "clamp_max"), CLAMPS),
        "addcmul": ROUNDED,
    },
    functions={
        "__rdiv__": gg.Tensor.__rtruediv__,  # PyTorch's operator of Python 2
        "where": lambda x, condition, other: gg.where(condition, x, other),
    },
)
NO_DERIVATIVE_IN_PYTORCH = ("acosh", "asinh", "atanh")  # in place
DTYPES = [torch.float32, *HALVES, torch.int64, torch.int32, torch.uint8, torch.bool]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_samples(operation: Operation) -> None:
    dtype = torch.float64 if torch.float64 in operation.info.dtypes else torch.int64
    check_samples(operation, dtype)


@pytest.mark.parametrize(("operation", "dtype"), of_dtypes(OPERATIONS, DTYPES), ids=str)
def test_dtypes(operation: Operation, dtype: torch.dtype) -> None:
    check_samples(operation, dtype)


@pytest.mark.parametrize(
    "operation",
    [each for each in in_place(OPERATIONS) if str(each) not in NO_DERIVATIVE_IN_PYTORCH],
    ids=str,
)
def test_in_place(operation: Operation) -> None:
    dtype = torch.float64 if torch.float64 in operation.info.dtypes else torch.int64
    check_in_place(operation, dtype)


@pytest.mark.parametrize("operation", refusing(OPERATIONS), ids=str)
def test_refused_inputs(operation: Operation) -> None:
    check_refused(operation)
