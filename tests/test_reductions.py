"""Reductions and scans beyond the case list: ranks, empties, dtypes, refusals by text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.errors import (
    ArgumentError,
    DTypeError,
    GpugradError,
    IndexOutOfRangeError,
    ShapeError,
)
from gpugrad.ops.scans import weighted_tails

NAN, INF = math.nan, math.inf
X = gg.tensor([[1.5, -2.5, 0.0], [3.0, 1.0, 2.0]])
N = gg.tensor([5, -7, 0])
B = gg.tensor([True, False, True])

REFUSED: dict[str, tuple[Callable[[], Any], type[GpugradError], str]] = {
    "median_bool": (lambda: B.median(), DTypeError, "median: not defined for bool tensors"),
    "median_empty": (
        lambda: gg.zeros(2, 0).median(1),
        IndexOutOfRangeError,
        r"median: \(2, 0\) float32 on cpu has nothing to choose from along dim 1",
    ),
    "mode_empty": (
        lambda: gg.zeros(2, 0).mode(),
        IndexOutOfRangeError,
        "mode: .* has nothing to choose from",
    ),
    "median_dim": (
        lambda: X.median(2),
        IndexOutOfRangeError,
        "median: dim 2 is out of range for a tensor of 2 axes; legal are -2 to 1",
    ),
    "quantile_dtype": (
        lambda: N.quantile(0.5),
        DTypeError,
        r"quantile: input must be float32 or float64; got \(3,\) int64",
    ),
    "quantile_range": (
        lambda: X.quantile(1.5),
        ArgumentError,
        r"quantile: q must lie in \[0, 1\], got 1.5",
    ),
    "quantile_ranges": (
        lambda: X.quantile(gg.tensor([0.5, -1.0])),
        ArgumentError,
        r"quantile: every q must lie in \[0, 1\], got \[0.5, -1.0\]",
    ),
    "quantile_q_dtype": (
        lambda: X.nanquantile(gg.tensor([0.5], dtype=gg.float64)),
        DTypeError,
        r"nanquantile: q is \(1,\) float64 on cpu, input \(2, 3\) float32 on cpu",
    ),
    "quantile_q_shape": (
        lambda: X.quantile(gg.ones(1, 1)),
        ShapeError,
        r"quantile: q must be a number or a vector; got \(1, 1\)",
    ),
    "quantile_how": (
        lambda: X.quantile(0.5, interpolation="cubic"),
        ArgumentError,
        "interpolation is one of linear, lower, higher, midpoint, nearest, not 'cubic'",
    ),
    "aminmax_empty": (
        lambda: gg.zeros(0).aminmax(),
        IndexOutOfRangeError,
        r"aminmax: \(0,\) float32 on cpu has nothing to choose from",
    ),
    "nanmean_int": (lambda: N.nanmean(), DTypeError, "nanmean: needs a floating tensor"),
    "var_int": (lambda: gg.var_mean(N), DTypeError, "var_mean: needs a floating tensor"),
    "cov_axes": (
        lambda: gg.cov(gg.zeros(2, 2, 2)),
        ShapeError,
        r"cov: input must have at most 2 axes; got \(2, 2, 2\)",
    ),
    "cov_counts": (
        lambda: gg.cov(X, fweights=gg.ones(3)),
        DTypeError,
        r"cov: fweights must be integers; got \(3,\) float32",
    ),
    "cov_length": (
        lambda: gg.cov(X, aweights=gg.ones(2)),
        ShapeError,
        r"cov: aweights must be a vector of 3 weights; got \(2,\) float32",
    ),
    "cov_negative": (
        lambda: gg.cov(X, fweights=N),
        ArgumentError,
        "cov: fweights must not be negative",
    ),
    "diff_0d": (lambda: gg.tensor(1.0).diff(), ShapeError, "diff: input needs at least one axis"),
    "diff_n": (lambda: X.diff(-1), ArgumentError, "diff: n must not be negative, got -1"),
    "diff_prepend": (
        lambda: X.diff(prepend=N),
        ShapeError,
        r"diff: \(3,\) int64 on cpu cannot be joined to input \(2, 3\) float32",
    ),
    "trapezoid_points": (
        lambda: gg.trapezoid(X, gg.ones(2)),
        ShapeError,
        r"trapezoid: x has shape \(2,\), y \(2, 3\); along dim 1 x needs 3 points",
    ),
    "trapezoid_both": (
        lambda: gg.trapezoid(X, X, dx=2),
        ArgumentError,
        "trapezoid: give the points x or their distance dx, not both",
    ),
    "trapezoid_bool": (lambda: gg.trapezoid(B), DTypeError, "trapezoid: not defined for bool"),
    "norm_p": (lambda: X.norm("max"), ArgumentError, "norm: p is a number, 'fro' or 'nuc'"),
    "renorm_axes": (
        lambda: X[0].renorm(2, 0, 1.0),
        ShapeError,
        r"renorm: input needs at least 2 axes; got \(3,\)",
    ),
    "renorm_p": (lambda: X.renorm(0, 0, 1.0), ArgumentError, "renorm: p must be above 0, got 0"),
    "renorm_maxnorm": (
        lambda: X.renorm(2, 0, -1.0),
        ArgumentError,
        "renorm: maxnorm must not be negative, got -1.0",
    ),
    "argmax_bool": (lambda: B.argmax(), DTypeError, "argmax: not defined for bool tensors"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        call()


# ---- ranks -----------------------------------------------------------------------------------


def test_median_is_the_lower_middle() -> None:
    x = gg.tensor([3, 1, 4, 2])
    assert x.median().item() == 2 and x.median(0).indices.item() == 3
    named = x.reshape(2, 2).median(dim=1, keepdim=True)
    assert named.values.tolist() == [[1], [2]] and named.indices.tolist() == [[1], [1]]


def test_medians_and_nan() -> None:
    x = gg.tensor([[NAN, 2.0, 1.0], [5.0, 4.0, 6.0], [NAN, NAN, NAN]])
    values, indices = x.median(1)
    np.testing.assert_array_equal(values.numpy(), [NAN, 5, NAN])
    assert indices.tolist() == [0, 0, 0] and math.isnan(x.median().item())
    np.testing.assert_array_equal(x.nanmedian(1).values.numpy(), [1, 5, NAN])
    assert x.nanmedian().item() == 4 and math.isnan(gg.zeros(0).median().item())


def test_equal_medians_share_the_gradient() -> None:
    x = gg.tensor([2.0, 1.0, 2.0, 3.0], requires_grad=True)
    (dx,) = gg.autograd.grad(x.median(), x)
    assert dx.tolist() == [0.5, 0.0, 0.5, 0.0]
    (dx,) = gg.autograd.grad(x.median(0).values, x)
    assert dx.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_quantiles() -> None:
    x = gg.tensor([[4.0, 1.0, 2.0, 3.0], [NAN, 8.0, 6.0, 7.0]])
    q = gg.tensor([0.0, 0.5, 1.0])
    y = x.quantile(q, dim=1)
    np.testing.assert_array_equal(y.numpy(), [[1, NAN], [2.5, NAN], [4, NAN]])
    known = x.nanquantile(q, dim=1, keepdim=True)
    assert known.tolist() == [[[1], [6]], [[2.5], [7]], [[4], [8]]]
    row, third = x[0], 0.4  # rank 1.2
    for how, expected in (("lower", 2), ("higher", 3), ("midpoint", 2.5), ("nearest", 2)):
        assert row.quantile(third, interpolation=how).item() == expected
    assert row.quantile(0.5, dim=0, keepdim=True).shape == (1,)
    assert x.nanquantile(0.5, keepdim=True).shape == (1, 1)
    assert gg.quantile(gg.tensor(3.0), q, dim=0).tolist() == [3.0, 3.0, 3.0]


def test_mode() -> None:
    x = gg.tensor([[2, 1, 2, 1, 3], [5, 4, 4, 5, 5]])
    values, indices = x.mode()
    assert values.tolist() == [1, 5] and indices.tolist() == [3, 4]
    assert x.mode(0, keepdim=True).values.tolist() == [[2, 1, 2, 1, 3]]
    assert gg.tensor(7).mode().values.item() == 7


# ---- dtypes and empties ------------------------------------------------------------------------


def test_dtype_of_the_result_is_the_one_asked_for() -> None:
    x = gg.tensor([[3, 4], [5, 6]], dtype=gg.int16)
    for y in (x.sum(dtype=gg.int32), x.cumprod(0, dtype=gg.int32), x.nansum(dtype=gg.int32)):
        assert y.dtype == gg.int32
    assert x.prod(dtype=gg.float16).item() == 360 and x.prod(dtype="uint8").item() == 104
    assert x.mean(dtype=gg.float64).dtype == gg.float64
    assert gg.softmax(x, 1, dtype=gg.float32).dtype == gg.float32
    assert x.logsumexp((0, 1)).dtype == gg.float32


def test_truth_of_bytes_stays_bytes() -> None:
    x = gg.tensor([[0, 2], [1, 3]], dtype=gg.uint8)
    assert x.all(0).tolist() == [0, 1] and x.all(0).dtype == gg.uint8
    assert x.any((0, 1), keepdim=True).tolist() == [[1]]
    assert x.int().all().dtype == gg.bool


def test_reductions_of_nothing() -> None:
    x = gg.zeros(2, 0)
    assert x.sum(1).tolist() == [0, 0] and x.prod(1).tolist() == [1, 1]
    assert x.all().item() is True and x.any().item() is False
    assert x.logsumexp(1).tolist() == [-INF, -INF] and x.count_nonzero().item() == 0
    for y in (x.mean(1), x.var(1), x.std(1), x.nanmean(1)):
        np.testing.assert_array_equal(y.numpy(), [NAN, NAN])
    assert x.max(0).values.shape == x.cumsum(1).transpose(0, 1).shape[:1] == (0,)
    assert x.cummax(1).indices.shape == x.diff().shape == (2, 0)


def test_variance_without_degrees_of_freedom() -> None:
    x = gg.tensor([1.0, 2.0, 4.0])
    assert x.var(correction=3).item() == x.var(correction=5).item() == INF
    assert math.isnan(x[:1].var().item())
    spread = gg.std_mean(x, 0, correction=0)
    np.testing.assert_allclose(spread.std.item(), np.std([1, 2, 4]), rtol=1e-6)
    assert spread.mean.item() == pytest.approx(7 / 3)


# ---- scans -------------------------------------------------------------------------------------


def test_running_extremes_name_the_last_of_equals() -> None:
    x = gg.tensor([1.0, 3.0, 3.0, NAN, 2.0, NAN])
    values, indices = x.cummax(0)
    np.testing.assert_array_equal(values.numpy(), [1, 3, 3, NAN, NAN, NAN])
    assert indices.tolist() == [0, 1, 2, 3, 3, 5]
    assert gg.tensor([3, 1, 2]).cummin(-1).indices.tolist() == [0, 1, 1]
    assert gg.tensor(2.0).cummax(0).indices.item() == 0


def test_cumprod_through_zeros() -> None:
    """Where a quotient by x would be 0 / 0."""
    x = gg.tensor([2.0, 0.0, 3.0, 0.0, 5.0], dtype=gg.float64, requires_grad=True)
    (dx,) = gg.autograd.grad(x.cumprod(0).sum(), x)
    assert dx.tolist() == [1.0, 8.0, 0.0, 0.0, 0.0]
    (dx,) = gg.autograd.grad(x[:3].prod(), x)
    assert dx.tolist() == [0.0, 6.0, 0.0, 0.0, 0.0]


def test_logcumsumexp_does_not_overflow() -> None:
    x = gg.tensor([-INF, 1000.0, 1000.0, -1000.0, INF], dtype=gg.float64)
    two = 1000 + math.log(2)
    assert x.logcumsumexp(0).tolist() == [-INF, 1000, two, two, INF]
    leaf = x[:4].detach().requires_grad_()
    (dx,) = gg.autograd.grad(leaf.logcumsumexp(0).sum(), leaf)
    np.testing.assert_allclose(dx.numpy(), [0, 2, 1, 0], rtol=1e-12)


def test_differences() -> None:
    x = gg.tensor([[1, 4, 9], [16, 25, 36]])
    assert x.diff(2).tolist() == [[2], [2]] and x.diff(5).shape == (2, 0)
    assert x.diff(dim=0, prepend=x[:1]).tolist() == [[0, 0, 0], [15, 21, 27]]
    assert B.diff().tolist() == [True, True]


def test_cumprod_of_factors_far_apart() -> None:
    """Parts of the gradient leave float32's range, the gradient does not."""
    x = gg.tensor([1.0, 0.0, 3.0, *[1e10] * 5, 2.0], requires_grad=True)
    (dx,) = gg.autograd.grad(x.cumprod(0)[:4].sum(), x)
    np.testing.assert_allclose(dx.numpy(), [1, 1 + 3 + 3e10, *[0] * 7], rtol=2.0**-23)
    far = gg.tensor([1e200] * 4, dtype=gg.float64)
    assert weighted_tails(far, far * 0 + gg.tensor([2.0, 1.0, 0, 0])).tolist() == [1e200, 1, 0, 0]
    x = gg.tensor([1e-6] * 8 + [1e6] * 8, requires_grad=True)
    (dx,) = gg.autograd.grad(x.cumprod(0).sum(), x)
    exact = x.detach().numpy().astype(np.float64)
    expected = np.cumprod(exact)[::-1].cumsum()[::-1] / exact  # dx_j = sum of y_i / x_j, i >= j
    np.testing.assert_allclose(dx.numpy(), expected, rtol=2.0**-23)  # one rounding


def test_second_gradients_of_cumprod_where_the_first_is_0() -> None:
    """The gradient is linear in dy, also at dy = 0."""
    x = gg.tensor([1.0, 0.0, 3.0], dtype=gg.float64, requires_grad=True)
    dy = gg.zeros(3, dtype=gg.float64, requires_grad=True)
    (dx,) = gg.autograd.grad(x.cumprod(0), x, dy, create_graph=True)
    assert gg.autograd.grad(dx.sum(), dy)[0].tolist() == [1.0, 1.0, 3.0]


def test_trapezoids_of_narrow_dtypes() -> None:
    y = gg.tensor([100, 100, 100], dtype=gg.int8)
    assert gg.trapezoid(y).item() == 200
    assert gg.cumulative_trapezoid(y).tolist() == [100, 200]
    falling = gg.tensor([200, 100, 0], dtype=gg.uint8)
    assert gg.trapezoid(gg.tensor([1, 2, 3]), falling).item() == -400
    half = gg.tensor([40000.0, 40000.0], dtype=gg.float16)
    assert gg.trapezoid(half).item() == 40000 and gg.trapezoid(half).dtype == gg.float16


def test_trapezoids() -> None:
    y = gg.tensor([1, 3, 5])
    assert gg.trapezoid(y).item() == 6 and gg.trapezoid(y, dx=0.5).item() == 3
    assert gg.cumulative_trapezoid(y, gg.tensor([0.0, 1.0, 3.0])).tolist() == [2.0, 10.0]


def test_norms() -> None:
    x = gg.tensor([[3.0, -4.0], [0.0, 0.0]], requires_grad=True)
    for p, expected in ((0, 2), (1, 7), (2, 5), ("fro", 5), (INF, 4), (-INF, 0)):
        assert x.norm(p).item() == expected
    (dx,) = gg.autograd.grad(x.norm(2, 1).sum(), x)
    np.testing.assert_allclose(dx.numpy(), [[0.6, -0.8], [0, 0]], rtol=1e-6)
    (dx,) = gg.autograd.grad(x.norm(0), x)
    assert dx.tolist() == [[0, 0], [0, 0]]
    y = x.detach().renorm(2, 0, 2.5)
    np.testing.assert_allclose(y.numpy(), [[1.5, -2], [0, 0]], rtol=1e-6)
    assert gg.dist(x, gg.zeros(2), p=1).item() == 7


def test_covariances() -> None:
    x = gg.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
    assert x.cov().tolist() == [[1, -1], [-1, 1]] and x[0].cov().item() == 1
    assert x.corrcoef().tolist() == [[1, -1], [-1, 1]] and x[0].corrcoef().item() == 1
    counts = gg.tensor([1, 2, 1])
    expected = np.cov(x.numpy(), fweights=[1, 2, 1], ddof=0)
    np.testing.assert_allclose(x.cov(correction=0, fweights=counts).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("p", [0.5, -0.5, -1.0, 1.5])
def test_norms_have_no_slope_at_zeros(p: float) -> None:
    expected = [0.0, 1.0 if p > 0 else 0.0]
    for norm in (gg.norm, gg.linalg.vector_norm):
        x = gg.tensor([0.0, 4.0], requires_grad=True)
        y = norm(x, p)
        assert y.item() == pytest.approx(4.0 if p > 0 else 0.0)
        assert gg.autograd.grad(y, x)[0].tolist() == pytest.approx(expected)
        y = gg.dist(x, gg.zeros(2), p)
        assert gg.autograd.grad(y, x)[0].tolist() == pytest.approx(expected)


def test_the_smallest_norm_of_nothing_is_refused() -> None:
    for p in (-1, INF, -INF):
        with pytest.raises(ShapeError, match=r"norm: the norm of order .* of nothing"):
            gg.norm(gg.zeros(0), p)


def test_deviations_of_constants_have_gradient_0() -> None:
    for deviation in (lambda x: x.std(1), lambda x: gg.std_mean(x, 1).std):
        x = gg.tensor([[2.0, 2.0], [1.0, 3.0]], dtype=gg.float64, requires_grad=True)
        (dx,) = gg.autograd.grad(deviation(x).sum(), x)
        root = math.sqrt(0.5)
        np.testing.assert_allclose(dx.numpy(), [[0, 0], [-root, root]], rtol=1e-15)


def test_logsumexp_of_one_number_is_a_new_tensor() -> None:
    x = gg.tensor(3.0, requires_grad=True)
    y = x.logsumexp(0)
    assert y is not x and y.item() == 3 and gg.autograd.grad(y, x)[0].item() == 1
    y.detach().fill_(5.0)
    assert x.item() == 3
