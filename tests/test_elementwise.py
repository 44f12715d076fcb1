"""Element-wise operations beyond the case list: promotion, in-place forms, refusals by text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import ArgumentError, DTypeError, GpugradError, GraphError, ShapeError

X = gg.tensor([1.5, -2.5, 0.0])
N = gg.tensor([5, -7, 0])
B = gg.tensor([True, False, True])


# ---- refusals --------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "fmod_bool": (lambda: B.fmod(B), DTypeError, "fmod: not defined for bool tensors"),
    "hypot_int": (
        lambda: N.hypot(N),
        DTypeError,
        r"hypot: needs a floating tensor; got \(3,\) int64",
    ),
    "hypot_shapes": (
        lambda: X.hypot(gg.ones(4)),
        ShapeError,
        r"hypot\(a, b\): shapes a \(3,\) and b \(4,\) do not broadcast",
    ),
    "logaddexp_int": (lambda: gg.logaddexp(N, N), DTypeError, "logaddexp: needs a floating tensor"),
    "logaddexp_number": (
        lambda: gg.logaddexp(X, 2.0),
        DTypeError,
        "logaddexp: operands must be tensors; got the float 2.0",
    ),
    "maximum_number": (
        lambda: gg.maximum(X, 0),
        DTypeError,
        "maximum: operands must be tensors; got the int 0",
    ),
    "pow_numbers": (
        lambda: gg.pow(2, 3),
        DTypeError,
        "pow: one operand must be a tensor; got the numbers 2 and 3",
    ),
    "pow_bool": (lambda: B.pow(B), DTypeError, "pow: not defined for bool tensors"),
    "pow_negative": (lambda: N**-1, ArgumentError, "to the negative integer power -1"),
    "gcd_float": (lambda: gg.gcd(X, X), DTypeError, "gcd: needs integers; got float32"),
    "shift_bool": (
        lambda: B << B,
        DTypeError,
        "bitwise_left_shift: needs integers; got bool",
    ),
    "shift_float": (lambda: X >> 1, DTypeError, "bitwise_right_shift: needs integers; got float32"),
    "heaviside": (
        lambda: gg.heaviside(X, N),
        DTypeError,
        r"heaviside: input is \(3,\) float32 on cpu and values \(3,\) int64 on cpu",
    ),
    "frac_int": (lambda: gg.frac(N), DTypeError, "frac: needs a floating tensor"),
    "round_int": (
        lambda: gg.round(N, decimals=1),
        ArgumentError,
        r"round: decimals=1 needs a floating tensor; got \(3,\) int64",
    ),
    "floor_bool": (lambda: gg.floor(B), DTypeError, "floor: not defined for bool tensors"),
    "positive_bool": (lambda: +B, DTypeError, "positive: not defined for bool tensors"),
    "lerp_dtypes": (
        lambda: X.lerp(X.double(), 0.5),
        DTypeError,
        r"lerp: input, end and weight must have one dtype; got \(3,\) float32 on cpu, \(3,\) float",
    ),
    "lerp_int": (lambda: N.lerp(N, 0.5), DTypeError, "lerp: needs a floating tensor"),
    "addcmul_value": (
        lambda: N.addcmul(N, N, value=0.5),
        ArgumentError,
        "addcmul: value=0.5 must be an int for int64 tensors",
    ),
    "addcdiv_int": (
        lambda: N.addcdiv(N, N),
        DTypeError,
        "addcdiv: a quotient does not fit int64 tensors",
    ),
    "add_alpha": (
        lambda: N.add(N, alpha=0.5),
        ArgumentError,
        "add: alpha=0.5 is a float; the result is int64",
    ),
    "sub_alpha": (
        lambda: X.sub(X, alpha=True),
        ArgumentError,
        "sub: alpha=True is a bool; the result is float32",
    ),
    "div_mode": (
        lambda: X.div(2, rounding_mode="up"),
        ArgumentError,
        "div: rounding_mode is None, 'floor' or 'trunc', not 'up'",
    ),
    "floor_divide_bool": (lambda: B // B, DTypeError, "floor_divide: not defined for bool tensors"),
    "clamp_nothing": (lambda: X.clamp(), ArgumentError, "clamp: at least one of min and max"),
    "clamp_shapes": (
        lambda: X.clamp(min=gg.ones(4)),
        ShapeError,
        r"clamp: shapes \(3,\), \(4,\) do not broadcast",
    ),
    "masked_fill_float": (
        lambda: N.masked_fill(B, gg.tensor(1.5)),
        DTypeError,
        "masked_fill: a float32 value does not fit an int64 tensor",
    ),
    "masked_fill_range": (
        lambda: N.to(gg.uint8).masked_fill(B, 300),
        ArgumentError,
        "masked_fill: 300 does not fit a uint8 tensor, which holds 0 to 255",
    ),
    "masked_fill_complex": (
        lambda: X.masked_fill(B, 1j),
        DTypeError,
        "masked_fill: value must be a number, got complex",
    ),
    "isclose_dtypes": (
        lambda: gg.isclose(X, N),
        DTypeError,
        r"isclose: input is \(3,\) float32 on cpu, other \(3,\) int64 on cpu; they need one dtype",
    ),
    "isclose_rtol": (
        lambda: gg.isclose(X, X, rtol=-1.0),
        ArgumentError,
        "isclose: rtol must not be negative, got -1.0",
    ),
    "float_power_in_place": (
        lambda: N.clone().float_power_(2),
        DTypeError,
        "float_power_: a float64 result cannot be stored in an int64 tensor in place",
    ),
    "integer_in_place": (
        lambda: N.clone().addcmul_(X, X),
        DTypeError,
        "addcmul_: a float32 result cannot be stored in an int64 tensor in place",
    ),
    "leaf_in_place": (
        lambda: gg.ones(3, requires_grad=True).fmod_(2),
        GraphError,
        "fmod_: a leaf tensor that requires a gradient cannot be changed in place",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


def test_out_is_an_unknown_argument() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        gg.fmod(X, 2, out=X)  # type: ignore[call-arg]


# ---- values ----------------------------------------------------------------------------------


def values(x: gg.Tensor) -> Any:
    return x.tolist()


def test_shifts() -> None:
    x = gg.tensor([1, -5, 7], dtype=gg.int8)
    assert values(x << 2) == [4, -20, 28] and (x << 2).dtype == gg.int8
    assert values(x >> 1) == [0, -3, 3]
    assert values(2 << gg.tensor([0, 3])) == [2, 16]
    assert values(64 >> gg.tensor([0, 3])) == [64, 8]
    y = x.clone()
    same = y
    y <<= 1
    y >>= gg.tensor([0, 1, 1], dtype=gg.int8)
    assert same is y and values(y) == [2, -5, 7]


def test_numbers_do_not_widen_tensors() -> None:
    half, short = X.half(), gg.tensor([3, 4, 5], dtype=gg.int16)
    assert half.fmod(1.5).dtype == half.xlogy(2).dtype == gg.float16
    assert short.fmod(2).dtype == gg.gcd(short, gg.tensor(2)).dtype == gg.int16
    assert short.fmod(2.5).dtype == short.copysign(-1).dtype == gg.float32
    assert half.clamp(gg.tensor(0.0, dtype=gg.float64)).dtype == gg.float16
    assert short.clamp(min=0.5).dtype == gg.float32
    assert half.float_power(2).dtype == gg.float64
    assert gg.xlogy(short, 2).dtype == gg.float32
    assert B.square().dtype == gg.int64 and B.clamp(max=True).dtype == gg.bool


def test_integer_bounds_beyond_doubles_are_exact() -> None:
    big = (1 << 62) + 1
    x = gg.tensor([big - 1, big + 1, -big - 5])
    assert values(x.clamp(max=big)) == [big - 1, big, -big - 5]
    assert values(x.clamp(-big, big)) == [big - 1, big, -big]
    assert values(gg.tensor([5], dtype=gg.int8).clamp(max=1 << 60)) == [5]


def test_truncated_quotients_of_integers_are_exact() -> None:
    big = (1 << 62) + 3
    x = gg.tensor([big, -big, 7, -7])
    assert values(x.div(gg.tensor([1, 1, 2, 2]), rounding_mode="trunc")) == [big, -big, 3, -3]
    assert values(x.div(gg.tensor([1, 1, 2, 2]), rounding_mode="floor")) == [big, -big, 3, -4]


def test_half_quotients_are_rounded_to_whole_numbers_once() -> None:
    """6008 / 3 = 2002.67 is 2003 as a half, but 2002 truncated."""
    a, b = gg.tensor(6008.0, dtype=gg.float16), gg.tensor(3.0, dtype=gg.float16)
    assert (a / b).item() == 2003
    assert a.div(b, rounding_mode="trunc").item() == a.div(b, rounding_mode="floor").item() == 2002


def test_sums_of_powers_of_infinities() -> None:
    x = gg.tensor([math.inf, -math.inf, math.inf, 1000.0])
    y = gg.tensor([math.inf, -math.inf, -math.inf, 1000.0])
    np.testing.assert_allclose(
        gg.logaddexp(x, y).numpy(), [math.inf, -math.inf, math.inf, 1000 + math.log(2)]
    )
    assert gg.logaddexp2(x, y).tolist() == [math.inf, -math.inf, math.inf, 1001]


def test_isin() -> None:
    x = gg.tensor([[1.0, math.nan], [3.0, -0.0]])
    assert values(gg.isin(x, gg.tensor([0.0, 3.0, math.nan]))) == [[False, False], [True, True]]
    assert values(gg.isin(x, gg.tensor([3.0]), invert=True)) == [[True, True], [False, True]]
    assert values(gg.isin(x, gg.tensor([]))) == [[False, False], [False, False]]
    assert values(gg.isin(gg.tensor([1, 2, 3]), 2)) == [False, True, False]
    assert values(gg.isin(2, gg.tensor([1, 2, 3]))) is True
    assert values(gg.isin(B, gg.tensor([True]))) == [True, False, True]


def test_isclose_of_unsigned_integers_does_not_wrap() -> None:
    x, y = (gg.tensor([n], dtype=gg.uint8) for n in (0, 255))
    assert values(gg.isclose(x, y, atol=2)) == [False]
    assert values(gg.isclose(B, B)) == [True, True, True]


def test_fmax_passes_nan_by() -> None:
    x = gg.tensor([math.nan, 1.0, math.nan], requires_grad=True)
    y = gg.tensor([2.0, math.nan, math.nan], requires_grad=True)
    z = gg.fmax(x, y)
    assert values(z)[:2] == [2.0, 1.0] and math.isnan(values(z)[2])
    z.sum().backward()
    assert x.grad is not None and y.grad is not None
    assert values(x.grad) == [0.0, 1.0, 1.0] and values(y.grad) == [1.0, 0.0, 0.0]


def test_lerp_ends_exactly() -> None:
    a, b = gg.tensor([1e8, -3.0]), gg.tensor([1.0, 7.1])
    for one in (1, gg.ones(2)):
        assert values(a.lerp(b, one)) == values(b)
        assert values(a.lerp(b, one * 0)) == values(a)


def test_nan_to_num_in_place_and_of_integers() -> None:
    x = gg.tensor([math.nan, math.inf, -math.inf, 2.0])
    assert x.nan_to_num_(posinf=5.0) is x
    assert values(x) == [0.0, 5.0, float(np.finfo(np.float32).min), 2.0]
    y = N.nan_to_num()
    assert values(y) == values(N) and y.array is not N.array


def test_comparisons_in_place_keep_the_dtype() -> None:
    x = X.clone()
    assert x.gt_(0.0) is x and values(x) == [1.0, 0.0, 0.0]
    y = N.clone()
    assert values(y.logical_and_(gg.tensor([1, 1, 1]))) == [1, 1, 0] and y.dtype == gg.int64
    z = B.clone()
    z ^= True
    assert values(z) == [False, True, False] and values(z.bitwise_not_()) == [True, False, True]


def test_in_place_forms_keep_what_backward_needs() -> None:
    """Also where the operation saves a view of the tensor, as one along another axis does."""
    start = gg.tensor([[0.5, 2.0], [-1.5, 3.0]], dtype=gg.float64, requires_grad=True)
    for name, args in (("cumprod", (0,)), ("xlogy", (2.0,)), ("fmod", (0.7,)), ("atan2", (start,))):
        expected = gg.autograd.grad(getattr(start, name)(*args).sum(), start)[0]
        changed = getattr(start.clone(), name + "_")(*args)
        got = gg.autograd.grad(changed.sum(), start)[0]
        assert values(got) == values(expected), name


def test_special_names() -> None:
    assert gg.special.expit is gg.sigmoid and gg.special.logit is gg.logit
    assert gg.special.entr(gg.tensor([0.0, 1.0, -1.0])).tolist() == [0.0, 0.0, -math.inf]
    np.testing.assert_allclose(gg.special.ndtr(gg.tensor([0.0, -40.0])).numpy(), [0.5, 0.0])


def gradients(function: Callable[..., gg.Tensor], *inputs: list[float]) -> list[Any]:
    leaves = [gg.tensor(x, requires_grad=True) for x in inputs]
    return [values(dx) for dx in gg.autograd.grad(function(*leaves).sum(), leaves)]


def test_gradients_of_a_log_b_at_0() -> None:
    da, _ = gradients(gg.xlogy, [0.0, 0.0, 0.0], [math.e, 0.0, -1.0])
    assert da == pytest.approx([1.0, 0.0, 0.0])
    da, _ = gradients(gg.special.xlog1py, [0.0, 0.0, 0.0], [math.e - 1, -1.0, -2.0])
    assert da == pytest.approx([1.0, 0.0, 0.0])


def test_the_angle_of_the_origin_has_gradient_0() -> None:
    assert gradients(gg.atan2, [0.0, 1.0], [0.0, 1.0]) == [[0.0, 0.5], [0.0, -0.5]]


def test_clamp_passes_no_gradient_at_nan() -> None:
    row = [math.nan, 0.5, 2.0]
    assert gradients(lambda x: x.clamp(0, 1), row) == [[0.0, 1.0, 0.0]]
    for bounds in ((gg.zeros(3), gg.ones(3)), (None, gg.ones(3)), (gg.zeros(3), None)):
        (dx,) = gradients(lambda x, b=bounds: x.clamp(*b), row)
        assert dx == [0.0, 1.0, 0.0 if bounds[1] is not None else 1.0]


def test_halves_are_rounded_to_decimals_in_float32() -> None:
    x = gg.tensor([3.14159, 100.0], dtype=gg.float16)
    assert x.round(decimals=4).dtype == gg.float16 and values(x.round(decimals=4)) == values(x)
    with pytest.raises(ArgumentError, match=r"round: decimals=400: .* legal are -38 to 38"):
        x.round(decimals=400)


def test_scaled_differences_of_bools_are_refused() -> None:
    for call in (
        lambda: gg.rsub(B, 3, alpha=2),
        lambda: gg.sub(B, 1, alpha=2),
        lambda: gg.sub(N, True, alpha=2),
    ):
        with pytest.raises(DTypeError, match="sub: not defined for bool tensors"):
            call()
