"""Optimizer steps, norm and scaling of every device against the specification."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from contract_tools import FLOATING, check, epsilon, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

SHAPES = [(3,), (17, 5), (0,), (), (2000,), (1, 1)]
STEPS = 3
LR = 0.01


def buffers(count: int, dtype: Any) -> list[np.ndarray]:
    return [np.zeros(shape, dtype) for shape in SHAPES[:count]]


def hold(
    backend: Backend, step: str, dtype: str, used: list[bool], options: tuple[Any, ...]
) -> None:
    """Three steps here and in the specification; `used` says which state buffers there are.

    The inputs of every step are this device's own, so errors do not pile up: a step makes about
    ten roundings of p, of the step and of each buffer, each of them an ulp of its magnitude.
    """
    __tracebackhide__ = True
    state_dtype = dtypes.accumulation(dtypes.as_dtype(dtype))
    params = [values(shape, dtype, i) for i, shape in enumerate(SHAPES)]
    state = [buffers(len(SHAPES) if use else 0, state_dtype) for use in used]
    device_params = [backend.from_numpy(p) for p in params]
    device_state = [[backend.from_numpy(s) for s in group] for group in state]
    hyper = np.array([LR, 0.0])
    device_hyper = backend.from_numpy(hyper)
    ticket = backend.from_numpy(np.zeros(1, np.int32))
    for number in range(STEPS):
        grads = [values(shape, dtype, 10 * number + i) for i, shape in enumerate(SHAPES)]
        device_grads = [backend.from_numpy(g) for g in grads]
        before = [backend.to_numpy(p) for p in device_params]
        exact = [wide(p) for p in before]
        exact_state = [[wide(backend.to_numpy(s)) for s in group] for group in device_state]
        wide_grads = [wide(g) for g in grads]
        getattr(reference, step)(exact, wide_grads, *exact_state, hyper, None, *options)
        getattr(backend.kernels, step)(
            device_params, device_grads, *device_state, device_hyper, ticket, *options
        )
        eps = 16 * epsilon(dtype)
        for p, q, old in zip(device_params, exact, before, strict=True):
            check(backend, p, q, eps * (np.abs(wide(old)) + np.abs(q - wide(old)) + LR), dtype)
        for group, exact_group in zip(device_state, exact_state, strict=True):
            for s, t in zip(group, exact_group, strict=True):
                check(backend, s, t, eps * (np.abs(t) + 1), state_dtype)
        check(backend, device_hyper, hyper)
        check(backend, ticket, np.zeros(1, np.int32))


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("maximize", [False, True])
def test_sgd_step(backend: Backend, dtype: str, maximize: bool) -> None:
    for decay in (0.0, 0.1):
        hold(backend, "sgd_step", dtype, [False], (0.0, 0.0, decay, False, maximize))
        for dampening, nesterov in ((0.0, False), (0.5, False), (0.0, True)):
            options = (0.9, dampening, decay, nesterov, maximize)
            hold(backend, "sgd_step", dtype, [True], options)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_step(backend: Backend, dtype: str, decoupled: bool) -> None:
    for decay, amsgrad, maximize in itertools.product((0.0, 0.1), (False, True), (False, True)):
        options = (0.9, 0.999, 1e-3, decay, decoupled, maximize)
        hold(backend, "adam_step", dtype, [True, True, amsgrad], options)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop_step(backend: Backend, dtype: str, centered: bool) -> None:
    for decay, momentum, maximize in ((0.0, 0.0, False), (0.1, 0.9, False), (0.1, 0.0, True)):
        options = (0.9, 1e-1, decay, momentum, maximize)
        hold(backend, "rmsprop_step", dtype, [True, centered, momentum != 0], options)


def test_steps_of_nothing(backend: Backend) -> None:
    hyper, ticket = backend.from_numpy(np.array([LR, 4.0])), backend.from_numpy(np.zeros(1, "i4"))
    backend.kernels.sgd_step([], [], [], hyper, ticket, 0.0, 0.0, 0.0, False, False)
    check(backend, hyper, np.array([LR, 5.0]))


@pytest.mark.parametrize("ord", [1.0, 2.0, 3.0, 0.5, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", FLOATING)
def test_global_norm(backend: Backend, dtype: str, ord: float) -> None:
    result = dtypes.accumulation(dtypes.as_dtype(dtype))
    for shapes in ([(5,)], SHAPES, [(70000,), (3, 3)], [(2,)] * 200):
        xs = [values(shape, dtype, i) + 1 for i, shape in enumerate(shapes)]
        xs = [x.astype(dtypes.as_dtype(dtype)) for x in xs]
        got = backend.kernels.global_norm([backend.from_numpy(x) for x in xs], ord)
        expected = reference.global_norm([wide(x) for x in xs], ord)
        count = sum(x.size for x in xs)
        error = epsilon(dtype) * random_walk(count) * expected / min(abs(ord), 1)
        check(backend, got, expected, 0 if np.isinf(ord) else error, result)


@pytest.mark.parametrize("dtype", FLOATING)
def test_global_norm_of_special_values(backend: Backend, dtype: str) -> None:
    for special in (np.nan, np.inf):
        x = values((500,), dtype)
        x[123] = special
        for ord in (2.0, np.inf):
            got = backend.to_numpy(backend.kernels.global_norm([backend.from_numpy(x)], ord))
            np.testing.assert_array_equal(got, special)
    empty = backend.kernels.global_norm([], 2.0)
    check(backend, empty, np.array(0, np.float32))


@pytest.mark.parametrize("dtype", FLOATING)
def test_scale(backend: Backend, dtype: str) -> None:
    d = dtypes.as_dtype(dtype)
    for shape in ((), (1,)):
        factor = np.full(shape, 0.3, dtypes.accumulation(d))
        xs = [values(s, dtype, i) for i, s in enumerate(SHAPES)]
        placed = [backend.from_numpy(x) for x in xs]
        backend.kernels.scale(placed, backend.from_numpy(factor))
        reference.scale(xs, factor)
        for y, x in zip(placed, xs, strict=True):
            check(backend, y, x)
