"""More cases of element-wise operations and of reductions.

Imported at the end of cases.py, whose list they join.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import BROADCAST, binary, call, case, family, method, unary
from inputs import (
    away,
    between,
    booleans,
    distinct,
    integers,
    normal,
    positive,
    together,
    unit,
)

family("element-wise")

PAIRS = ([(3, 4), (3, 1)], [(2, 4), (4,)])
WHOLE = np.arange(-6.0, 7.0)
unary("erfinv", unit)
unary("deg2rad", normal)
unary("rad2deg", normal)
unary("frac", away(*WHOLE, scale=1.5))
unary("logit", between(0.1, 0.9), rtol=64)
unary("sinc", away(0), rtol=64)
unary("positive", normal)
for _name in ("isposinf", "isneginf", "isreal", "signbit"):
    unary(_name, normal, grad_order=0)
case(
    "round_decimals",
    method("round", decimals=-1),
    away(-15, -5, 5, 15, scale=6)((3, 5), (67,)),
    grad_order=1,
)
case("logit_eps", method("logit", 0.2), away(0.2, 0.8, scale=0.5)((3, 5), (67,)), rtol=64)

binary("fmod", away(0), grad_order=1, rtol=64)
binary("hypot", away(0), rtol=64)
binary("copysign", away(0), grad_order=1)
binary("fmax", normal)
binary("fmin", normal)
binary("float_power", positive, rtol=64)
binary("ldexp", normal, rtol=64)
binary("xlogy", positive, rtol=64)
binary("logaddexp", normal, rtol=64)
binary("logaddexp2", normal, rtol=64)
binary("rsub", normal)
binary("heaviside", normal, grad_order=0)
for _name in ("gcd", "lcm"):
    binary(_name, integers(-30, 30), grad_order=0)
for _name in ("bitwise_left_shift", "bitwise_right_shift"):
    binary(_name, integers(0, 20), grad_order=0)
case(
    "shift_operators", lambda t, f, x: (x << 3) - (x >> 1), integers(-99, 99)((3, 4)), grad_order=0
)
case("isclose", call("isclose", 0.1, 0.1), normal(*BROADCAST), grad_order=0)
case("isin", call("isin"), integers(-9, 9)([(3, 5), (4,)], [(67,), (2, 3)]), grad_order=0)

TRIPLES = ([(3, 4), (3, 1), (4,)], [(2, 3), (2, 3), (2, 3)], [(), (3,), (1,)])
case("addcmul", call("addcmul", value=-0.5), normal(*TRIPLES))
case("addcdiv", call("addcdiv", value=2), away(0, scale=1)(*TRIPLES), rtol=64)
case("lerp", call("lerp", 0.3), normal(*BROADCAST))
case("lerp_tensor", call("lerp"), together(normal(*PAIRS), between(0.1, 0.4)((3, 4), (4,))))
case("div_floor", call("div", rounding_mode="floor"), away(0)(*BROADCAST), grad_order=1)
case("div_trunc", call("div", rounding_mode="trunc"), away(0)(*BROADCAST), grad_order=1)
case("remainder_number", lambda t, f, x: x % 0.7, away(0)((3, 5)), grad_order=1, rtol=64)
case("pow_fraction", lambda t, f, x: x**0.5 + x**-1.5 + x**2, positive((3, 5)), rtol=64)
HELD = together(normal((3, 4), (2, 3)), between(-0.6, -0.4)((4,), (2, 1)), unit((3, 1), (3,)))
case("clamp_tensors", lambda t, f, x, a, b: x.clamp(a, b + 1), HELD)
case("clamp_min_tensor", lambda t, f, x, a: x.clamp(min=a), normal(*PAIRS))
case("clamp_max_tensor", lambda t, f, x, b: x.clamp(max=b), normal(*PAIRS))
case(
    "nan_to_num",
    lambda t, f, x: t.where(x.detach() < 0, float("nan"), x).nan_to_num(1.5),
    away(0)((3, 5)),
)
case(
    "where_number", lambda t, f, c, x: t.where(c, x, 2.5), together(booleans((3, 4)), normal((4,)))
)

family("reductions")

ROWS = ((3, 5), (2, 3, 4), (67, 3))


def first(name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    """x.name(...)[0]: the values of (values, indices)."""
    return lambda t, f, x: getattr(x, name)(*arguments, **options)[0]


def second(name: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
    """t.name(x, ...)[1]."""
    return lambda t, f, x: getattr(t, name)(x, *arguments, **options)[1]


def with_gaps(name: str) -> Callable[..., Any]:
    """name along axis 0, every negative element being NaN."""
    return lambda t, f, x: getattr(t, name)(t.where(x.detach() < 0, float("nan"), x), 0)


for _name in ("median", "nanmedian"):
    case(_name, method(_name), distinct(*ROWS, (8,), ()))
    case(f"{_name}_dim", first(_name, 0), distinct(*ROWS))
case("median_index", second("median", 1), distinct(*ROWS), grad_order=0)
case("mode", first("mode", 0), distinct(*ROWS))
case("mode_index", second("mode", -1), integers(0, 3)(*ROWS), grad_order=0)
case("aminmax", lambda t, f, x: sum(t.aminmax(x, dim=1)), distinct(*ROWS))
case("var_mean", lambda t, f, x: t.add(*t.var_mean(x, dim=0)), normal((3, 5), (67, 2)), rtol=64)
case("std_mean", lambda t, f, x: t.add(*t.std_mean(x, dim=-1)), normal((3, 5), (2, 67)), rtol=64)
case("var_correction", method("var", dim=(0, 1), correction=2), normal((3, 5), (2, 67)), rtol=64)
for _name in ("nansum", "nanmean"):
    case(_name, with_gaps(_name), away(0)((67, 5), (20, 2, 3)), rtol=64)
for _name, _draw in (("cumprod", away(0, scale=1)), ("logcumsumexp", normal)):
    case(_name, method(_name, 1), _draw((3, 5), (2, 7, 3)), rtol=256)
    case(f"{_name}_first", method(_name, 0), _draw((5, 2)), rtol=256)
for _name in ("cummax", "cummin"):
    case(_name, first(_name, 1), distinct((3, 5), (2, 67, 3)))
    case(f"{_name}_index", second(_name, 0), integers(0, 5)((9, 5), (67,)), grad_order=0)
case("diff", method("diff", 2, 0), normal((5, 3), (67,)), rtol=64)
case("trapezoid", call("trapezoid", dim=1), normal((3, 5), (2, 67)), rtol=128)
case("trapezoid_points", call("trapezoid"), normal([(3, 5), (5,)], [(7,), (7,)]), rtol=128)
case("cumulative_trapezoid", call("cumulative_trapezoid"), normal((3, 5), (67,)), rtol=256)
case("dist", call("dist"), normal(*BROADCAST[:3]), rtol=64)
case("renorm", method("renorm", 2, 0, 1.5), normal((3, 5), (4, 2, 3)), rtol=64)
for _p in (1, 3, float("inf"), float("-inf")):
    case(f"norm_{_p}", method("norm", _p, 1), away(0)(*ROWS[:2]), rtol=64)
case("norm_0", method("norm", 0, 0), away(0)((3, 5)), grad_order=1)
case("count_nonzero", method("count_nonzero", dim=(0, -1)), integers(-1, 2)(*ROWS), grad_order=0)
case("sum_of_bools", method("sum", (0, 1)), booleans((3, 5), (67, 2)), grad_order=0)
case("logsumexp_dims", method("logsumexp", (0, -1), True), normal((3, 5), (2, 3, 4)), rtol=64)
case("cov", call("cov"), normal((3, 7), (9,)), rtol=128)
case(
    "cov_weighted",
    lambda t, f, x, a, c: t.cov(x, fweights=c, aweights=a),
    together(normal((3, 7)), positive((7,)), integers(1, 4)((7,))),
    rtol=128,
)
case("corrcoef", call("corrcoef"), normal((3, 9)), rtol=256)
case(
    "softmax_dtype",
    lambda t, f, x: t.softmax(x, 0, dtype=t.float64) + t.log_softmax(x, 1, dtype=t.float64),
    normal((3, 5)),
    rtol=64,
)
