"""Normalisation and its gradients, every device against the specification.

Errors: (x - mean) rstd is formed with a few roundings of |x| + |mean|, times rstd and weight; mean
and rstd are sums of n terms (contract_tools.random_walk). Sums of n products are off by a random
walk of their magnitudes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import FLOATING, LAYOUTS, check, epsilon, place, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

EPS = 1e-5
SHAPES = [(7, 1), (3, 5), (5, 12, 3), (2, 24, 5, 7), (9, 8, 1, 1), (2, 3, 37, 40), (4, 130, 2, 9)]
SHAPES += [(40, 3), (3, 16, 2, 3, 4), (1, 1, 1200), (70, 257)]
# Several slices of positions, channels-last and not.
SHAPES += [(3, 40, 30, 20), (2, 3, 70, 80)]
IMAGE_LAYOUTS = [*LAYOUTS, "channels_last"]


def put(backend: Backend, x: np.ndarray, layout: str) -> tuple[Any, np.ndarray]:
    """`place`, and channels-last."""
    if layout != "channels_last":
        return place(backend, x, layout)
    order = (0, *range(2, x.ndim), 1)
    back = (0, x.ndim - 1, *range(1, x.ndim - 1))
    return backend.from_numpy(x.transpose(order)).transpose(back), x


def device(backend: Backend, x: np.ndarray | None) -> Any:
    return None if x is None else backend.from_numpy(x)


def vectors(size: int, dtype: str, number: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """weight and bias: of x's dtype, of the accumulation dtype, or none."""
    kind = dtype if number % 3 else dtypes.name(dtypes.accumulation(dtypes.as_dtype(dtype)))
    weight, bias = (values((size,), kind, number + seed, 0.5) for seed in (1, 2))
    return (weight if number % 4 else None), (bias if number % 5 else None)


def by_channel(v: np.ndarray, ndim: int) -> np.ndarray:
    return v.reshape(-1, *[1] * (ndim - 2))


class Sizes:
    """Bounds of the errors, from the inputs in float64."""

    def __init__(
        self, x: np.ndarray, dtype: str, axes: tuple[int, ...], eps: float, centred: bool = True
    ) -> None:
        self.n = max(int(np.prod([x.shape[i] for i in axes])), 1)
        self.ulps = epsilon(dtype) * random_walk(self.n)
        self.size = np.abs(x).max(axes, keepdims=True, initial=0)
        squares = x.var(axes, keepdims=True) if centred else np.square(x).mean(axes, keepdims=True)
        self.rstd = 1 / np.sqrt(squares + eps)
        # variance is a sum of squares of differences that are off by an ulp of x
        self.rstd_error = self.ulps * self.rstd * (1 + self.size * self.rstd)
        self.h_error = self.ulps * (self.size * self.rstd) * (2 + self.size * self.rstd)


@pytest.mark.parametrize("act", ["none", "relu"])
@pytest.mark.parametrize("dtype", FLOATING)
def test_batch_norm(backend: Backend, dtype: str, act: str) -> None:
    for number, shape in enumerate(SHAPES):
        layout = IMAGE_LAYOUTS[number % 7]
        x, numpy = put(backend, values(shape, dtype, number) + values((1,), dtype, 9), layout)
        axes = (0, *range(2, len(shape)))
        sizes = Sizes(wide(numpy), dtype, axes, EPS)
        mean, rstd = backend.kernels.batch_norm_stats(x, None, None, 0.1, EPS)
        expected_mean, expected_rstd = reference.batch_norm_stats(wide(numpy), None, None, 0.1, EPS)
        wide_dtype = dtypes.accumulation(dtypes.as_dtype(dtype))
        check(backend, mean, expected_mean, (sizes.ulps * sizes.size).ravel(), wide_dtype)
        check(backend, rstd, expected_rstd, sizes.rstd_error.ravel(), wide_dtype)

        weight, bias = vectors(shape[1], dtype, number)
        residual, r = put(backend, values(shape, dtype, 5), IMAGE_LAYOUTS[(number + 3) % 7])
        if number % 2:
            residual, r = None, None
        y = backend.kernels.batch_norm_apply(
            x, mean, rstd, device(backend, weight), device(backend, bias), residual, act
        )
        given = (backend.to_numpy(mean), backend.to_numpy(rstd), weight, bias, r)
        expected = reference.batch_norm_apply(
            wide(numpy), *[None if v is None else wide(v) for v in given], act
        )
        scale = 1 if weight is None else by_channel(np.abs(wide(weight)), len(shape))
        shift = 0 if bias is None else by_channel(np.abs(wide(bias)), len(shape))
        terms = sizes.size * sizes.rstd * scale * 2 + shift + (0 if r is None else np.abs(wide(r)))
        check(backend, y, expected, 4 * epsilon(dtype) * terms, dtype)
        check_grad(backend, x, numpy, given, dtype, act, number, sizes)


def check_grad(
    backend: Backend,
    x: Any,
    numpy: np.ndarray,
    given: tuple[np.ndarray | None, ...],
    dtype: str,
    act: str,
    number: int,
    sizes: Sizes,
) -> None:
    shape, (mean, rstd, weight, bias, residual) = numpy.shape, given
    dy, numpy_dy = put(backend, values(shape, dtype, 6), IMAGE_LAYOUTS[(number + 2) % 7])
    y, numpy_y = put(backend, values(shape, dtype, 7), IMAGE_LAYOUTS[(number + 4) % 7])
    fixed, axes = number % 3 == 2, (0, *range(2, len(shape)))
    options = (act, fixed, bias is not None, residual is not None)
    tensors = [device(backend, v) for v in (mean, rstd, weight)]
    got = backend.kernels.batch_norm_grad(dy, x, y if act == "relu" else None, *tensors, *options)
    wides = [None if v is None else wide(v) for v in (numpy_y, mean, rstd, weight)]
    expected = reference.batch_norm_grad(wide(numpy_dy), wide(numpy), *wides, *options)
    dz = np.abs(wide(numpy_dy))
    h = sizes.size * sizes.rstd  # bounds |h| / 2
    scale = sizes.rstd * (1 if weight is None else by_channel(np.abs(wide(weight)), len(shape)))
    mean_dz = dz.mean(axes, keepdims=True)
    error = 4 * sizes.ulps * scale * (dz + mean_dz + 4 * h * h * mean_dz)
    check(backend, got[0], expected[0], error, dtype)
    kind = dtype if weight is None else dtypes.name(weight.dtype)
    sum_error = (2 * sizes.ulps * mean_dz * sizes.n).ravel()
    if weight is not None:
        check(backend, got[1], expected[1], sum_error * 2 * h.ravel(), kind)
    if bias is not None:
        check(backend, got[2], expected[2], sum_error, kind)
    if residual is not None:
        check(backend, got[3], expected[3], 0, dtype)
    wanted = (True, weight is not None, bias is not None, residual is not None)
    assert tuple(v is not None for v in got) == wanted


@pytest.mark.parametrize("dtype", FLOATING)
def test_running_statistics(backend: Backend, dtype: str) -> None:
    """running = (1 - m) running + m (mean, or unbiased variance), also through strides."""
    kind = dtypes.accumulation(dtypes.as_dtype(dtype))
    for number, shape in enumerate(SHAPES):
        numpy = values(shape, dtype, number)
        x, numpy = put(backend, numpy, IMAGE_LAYOUTS[number % 7])
        running = [np.abs(values((2 * shape[1],), "float64", seed)).astype(kind) for seed in (1, 2)]
        placed = [backend.from_numpy(r)[::2] for r in running]
        backend.kernels.batch_norm_stats(x, *placed, 0.3, EPS)
        axes = (0, *range(2, len(shape)))
        sizes = Sizes(wide(numpy), dtype, axes, EPS)
        rest = max(sizes.n - 1, 1)
        mean, var = wide(numpy).mean(axes), wide(numpy).var(axes) * sizes.n / rest
        size = sizes.size.ravel()
        for got, old, new, at in zip(placed, running, (mean, var), (size, size**2), strict=True):
            expected = 0.7 * old[::2].astype(np.float64) + 0.3 * new
            check(backend, got, expected, 4 * sizes.ulps * (at + np.abs(old[::2])), kind)


ROWS = [(5, 1), (3, 7), (6, 64), (40, 33), (3, 1000), (70, 1028), (2, 9000), (300, 40)]
# Too long for shared memory in both, and in the gradient; more rows than blocks.
ROWS += [(2, 60000), (1, 20000), (600, 260)]


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("dtype", FLOATING)
def test_layer_norm(backend: Backend, dtype: str, centred: bool) -> None:
    for number, shape in enumerate(ROWS):
        # centred: away from 0, where E[x^2] - mean^2 would lose digits
        offset = values((1,), dtype, 9) if centred else 0
        x, numpy = place(backend, values(shape, dtype, number) + offset, LAYOUTS[number % 6])
        weight, bias = vectors(shape[1], dtype, number)
        placed = device(backend, weight), device(backend, bias)
        residual, r = place(backend, values(shape, dtype, 5), LAYOUTS[(number + 1) % 6])
        if number % 2:
            residual, r = None, None
        y, total, mean, rstd = backend.kernels.layer_norm(x, residual, *placed, EPS, centred)
        assert (total is not None) == (residual is not None)
        if r is not None:
            # One rounded sum, which is then what is normalised.
            numpy = reference.cast(wide(numpy) + wide(r), dtypes.as_dtype(dtype))
            check(backend, total, numpy, dtype=dtype)
            x = total
        wides = [None if v is None else wide(v) for v in (weight, bias)]
        expected = reference.layer_norm(wide(numpy), None, *wides, EPS, centred)
        kind = dtypes.accumulation(dtypes.as_dtype(dtype))
        sizes = Sizes(wide(numpy), dtype, (1,), EPS, centred)
        assert (mean is not None) == centred
        if centred:
            check(backend, mean, expected[2], (sizes.ulps * sizes.size)[:, 0], kind)
        check(backend, rstd, expected[3], sizes.rstd_error[:, 0], kind)
        scale, shift = (0 if v is None else np.abs(v) for v in wides)
        error = 4 * sizes.h_error * (1 if weight is None else scale) + 2 * epsilon(dtype) * shift
        check(backend, y, expected[0], error, dtype)

        dy, numpy_dy = place(backend, values(shape, dtype, 6), LAYOUTS[(number + 2) % 6])
        given = [None if mean is None else backend.to_numpy(mean), backend.to_numpy(rstd)]
        dsum, ds = place(backend, values(shape, dtype, 8), LAYOUTS[(number + 4) % 6])
        if number % 3 == 0:
            dsum, ds = None, None
        rest = (dsum, bias is not None)
        got = backend.kernels.layer_norm_grad(dy, x, placed[0], mean, rstd, *rest)
        given = [None if v is None else wide(v) for v in (weight, *given, ds)]
        expected = reference.layer_norm_grad(wide(numpy_dy), wide(numpy), *given, bias is not None)
        check_group_grad(backend, got, expected, numpy_dy, weight, sizes, (1,), dtype, ds)


def check_group_grad(
    backend: Backend,
    got: Any,
    expected: Any,
    dy: np.ndarray,
    weight: np.ndarray | None,
    sizes: Sizes,
    axes: tuple[int, ...],
    dtype: str,
    dsum: np.ndarray | None = None,
) -> None:
    """dx, dweight and dbias of layer_norm or group_norm, the latter's as [N, G, C / G, ...]."""
    ndim = expected[0].ndim
    dz = np.abs(wide(dy))
    scale = 1 if weight is None else by_channel(np.abs(wide(weight)), ndim)
    g = (dz * scale).reshape(*sizes.size.shape[:2], -1) if len(axes) > 1 else dz * scale
    h = sizes.size * sizes.rstd  # bounds |h| / 2
    mean_g = g.mean(axes[-1], keepdims=True)
    error = 4 * sizes.ulps * sizes.rstd * (g + mean_g + 4 * h * h * mean_g)
    error = error.reshape(dy.shape) + (0 if dsum is None else epsilon(dtype) * np.abs(wide(dsum)))
    check(backend, got[0], expected[0], error, dtype)
    kind = dtype if weight is None else dtypes.name(weight.dtype)
    outer = (0, *range(2, ndim))
    count = dy.size // max(dy.shape[1], 1)
    h_all = np.broadcast_to(h, g.shape).reshape(dy.shape) * dz
    ulps = epsilon(dtype) * random_walk(count)
    if expected[1] is not None:
        check(backend, got[1], expected[1], 4 * ulps * h_all.sum(outer), kind)
    if expected[2] is not None:
        check(backend, got[2], expected[2], ulps * dz.sum(outer), kind)
    assert [v is None for v in got] == [v is None for v in expected]


@pytest.mark.parametrize("dtype", FLOATING)
def test_group_norm(backend: Backend, dtype: str) -> None:
    for number, shape in enumerate(SHAPES):
        divisors = [g for g in range(1, shape[1] + 1) if shape[1] % g == 0]
        groups = divisors[number % len(divisors)]
        data = values(shape, dtype, number) + values((1,), dtype, 9)
        x, numpy = put(backend, data, IMAGE_LAYOUTS[(number + 6) % 7])
        weight, bias = vectors(shape[1], dtype, number)
        placed = device(backend, weight), device(backend, bias)
        y, mean, rstd = backend.kernels.group_norm(x, *placed, groups, EPS)
        wides = [None if v is None else wide(v) for v in (weight, bias)]
        expected = reference.group_norm(wide(numpy), *wides, groups, EPS)
        kind = dtypes.accumulation(dtypes.as_dtype(dtype))
        sizes = Sizes(wide(numpy).reshape(shape[0], groups, -1), dtype, (2,), EPS)
        check(backend, mean, expected[1], (sizes.ulps * sizes.size)[..., 0], kind)
        check(backend, rstd, expected[2], sizes.rstd_error[..., 0], kind)
        scale, shift = (0 if v is None else by_channel(np.abs(v), len(shape)) for v in wides)
        ones = np.ones((shape[0], groups, numpy.size // (shape[0] * groups)))
        error = 4 * (sizes.h_error * ones).reshape(shape) * (1 if weight is None else scale)
        check(backend, y, expected[0], error + 2 * epsilon(dtype) * shift, dtype)

        dy, numpy_dy = put(backend, values(shape, dtype, 6), IMAGE_LAYOUTS[(number + 2) % 7])
        given = [wide(backend.to_numpy(v)) for v in (mean, rstd)]
        got = backend.kernels.group_norm_grad(dy, x, placed[0], mean, rstd, bias is not None)
        expected = reference.group_norm_grad(
            wide(numpy_dy), wide(numpy), wides[0], *given, bias is not None
        )
        check_group_grad(backend, got, expected, numpy_dy, weight, sizes, (1, 2), dtype)


@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 3), (2, 4, 0), (3, 0), (0, 0)])
def test_of_nothing(backend: Backend, shape: tuple[int, ...]) -> None:
    """Without elements: sums are 0, statistics NaN, results empty."""
    x = backend.from_numpy(np.zeros(shape, np.float32))
    w = backend.from_numpy(np.ones(shape[1], np.float32))
    k = backend.kernels
    mean, rstd = k.batch_norm_stats(x, None, None, 0.1, EPS)
    assert np.isnan(backend.to_numpy(mean)).all() and np.isnan(backend.to_numpy(rstd)).all()
    y = k.batch_norm_apply(x, mean, rstd, w, w, None, "relu")
    results = [(y, x)]
    dx, dw, db, _ = k.batch_norm_grad(x, x, y, mean, rstd, w, "relu", False, True, False)
    results += [(dx, x), (dw, None), (db, None)]
    if shape[1]:
        y, mean, rstd = k.group_norm(x, w, w, 2, EPS)
        dx, dw, db = k.group_norm_grad(x, x, w, mean, rstd, True)
        results += [(y, x), (dx, x), (dw, None), (db, None)]
    if len(shape) == 2:
        y, total, mean, rstd = k.layer_norm(x, x, w, w, EPS, True)
        dx, dw, db = k.layer_norm_grad(x, x, w, mean, rstd, x, True)
        results += [(y, x), (total, x), (dx, x), (dw, None), (db, None)]
    for got, like in results:
        check(backend, got, np.zeros(shape if like is not None else shape[1], np.float32))


def test_variances_far_from_zero(backend: Backend) -> None:
    """Mean 4096, variance 1: E[x^2] - mean^2 in float32 has no digit left."""
    x = (4096 + values((8, 16, 40), "float64")).astype(np.float32)
    k, placed = backend.kernels, backend.from_numpy(x)
    got = {
        (0, 2): k.batch_norm_stats(placed, None, None, 0.1, EPS)[1],
        (1, 2): k.group_norm(placed, None, None, 1, EPS)[2],
        (2,): k.layer_norm(placed.reshape(128, 40), None, None, None, EPS, True)[3],
    }
    for axes, rstd in got.items():
        sizes = Sizes(wide(x), "float32", axes, EPS)
        naive = np.square(x).mean(axes) - np.square(x.mean(axes))
        off = np.abs(np.sqrt(naive.clip(0) + EPS) - 1 / sizes.rstd.squeeze(axes))
        # Around a mean that is off by d, the variance is larger by d^2; where means of parts are
        # joined, each is rounded to an ulp of x, which meets distances of about 1.
        size = sizes.size.squeeze(axes)
        bound = (sizes.ulps * size) ** 2 + epsilon("float32") * size + 4 * sizes.ulps
        assert (off > bound).any(), "the test would not notice"
        expected = sizes.rstd.reshape(np.shape(rstd))
        check(backend, rstd, expected, bound.reshape(np.shape(rstd)), "float32")
