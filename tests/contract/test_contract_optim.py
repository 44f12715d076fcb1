"""Optimizer steps, norm and scaling of every device against the specification."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from contract_tools import FLOATING, check, epsilon, random_walk, values, wide

from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

SHAPES = [(3,), (17, 5), (0,), (), (2000,), (1, 1), (0, 3)]
STEPS = 3
LR = 0.01


def buffers(count: int, dtype: Any) -> list[np.ndarray]:
    return [np.zeros(shape, dtype) for shape in SHAPES[:count]]


def hold(
    backend: Backend,
    step: str,
    dtype: str,
    used: list[bool],
    options: tuple[Any, ...],
    start: tuple[float, ...] = (LR, 0.0),
    ulps: int = 16,
) -> None:
    """Three steps here and in the specification; `used` says which state buffers there are.

    The inputs of every step are this device's own, so errors do not pile up: a step makes about
    ten roundings of p, of the step and of each buffer, each of them an ulp of its magnitude.
    start: hyper before them. What is behind the count there is a product of a few roundings, too.
    """
    __tracebackhide__ = True
    state_dtype = dtypes.accumulation(dtypes.as_dtype(dtype))
    params = [values(shape, dtype, i) for i, shape in enumerate(SHAPES)]
    state = [buffers(len(SHAPES) if use else 0, state_dtype) for use in used]
    device_params = [backend.from_numpy(p) for p in params]
    device_state = [[backend.from_numpy(s) for s in group] for group in state]
    hyper = np.array(start)
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
        eps = ulps * epsilon(dtype)
        for p, q, old in zip(device_params, exact, before, strict=True):
            check(backend, p, q, eps * (np.abs(wide(old)) + np.abs(q - wide(old)) + LR), dtype)
        for group, exact_group in zip(device_state, exact_state, strict=True):
            for s, t in zip(group, exact_group, strict=True):
                check(backend, s, t, eps * (np.abs(t) + 1), state_dtype)
        check(backend, device_hyper[:2], hyper[:2])
        check(backend, device_hyper[2:], hyper[2:], 4 * epsilon("float64") * hyper[2:])
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


ADAPTIVE: dict[str, tuple[int, tuple[tuple[Any, ...], ...]]] = {
    "adagrad_step": (1, ((0.0, 1e-2, 0.0), (0.3, 1e-2, 0.1))),
    "adadelta_step": (2, ((0.9, 1e-2, 0.0), (0.5, 1e-2, 0.1))),
    "adamax_step": (2, ((0.9, 0.999, 1e-3, 0.0), (0.5, 0.9, 1e-3, 0.1))),
    "nadam_step": (
        2,
        (
            (0.9, 0.999, 1e-3, 0.0, 4e-3, False),
            (0.9, 0.999, 1e-3, 0.1, 0.5, False),
            (0.9, 0.99, 1e-3, 0.1, 4e-3, True),
        ),
    ),
    "radam_step": (
        2,
        ((0.9, 0.9, 1e-3, 0.0, False), (0.5, 0.9, 1e-3, 0.1, False), (0.9, 0.9, 1e-3, 0.1, True)),
    ),
    "lion_step": (1, ((0.9, 0.99, 0.0), (0.5, 0.9, 0.1))),
}
"""Step -> (state buffers, options without maximize)."""


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("step", ADAPTIVE)
def test_adaptive_step(backend: Backend, step: str, dtype: str) -> None:
    """RAdam: from its fourth step, so that the sixth is the first one rectified; the rectifying
    factor is a difference of numbers about ten times as large."""
    count, choices = ADAPTIVE[step]
    start = {"nadam_step": (LR, 0.0, 1.0), "radam_step": (LR, 4.0)}.get(step, (LR, 0.0))
    for options, maximize in itertools.product(choices, (False, True)):
        ulps = 160 if step == "radam_step" else 16
        hold(backend, step, dtype, [True] * count, (*options, maximize), start, ulps)


@pytest.mark.parametrize("step", ADAPTIVE)
def test_nan_and_zero_gradients(backend: Backend, step: str) -> None:
    """NaN reaches the parameter and every state buffer; a neighbour's gradient of 0 moves nothing
    (Adamax and RAdam, with no eps, divide by no 0)."""
    count, choices = ADAPTIVE[step]
    p = backend.from_numpy(np.ones(300, np.float32))
    grad = np.zeros(300, np.float32)
    grad[7] = np.nan
    states = [backend.from_numpy(np.zeros(300, np.float32)) for _ in range(count)]
    hyper = np.array([LR, 0.0, 1.0])[: 3 if step == "nadam_step" else 2]
    args = ([p], [backend.from_numpy(grad)], *([s] for s in states), backend.from_numpy(hyper))
    ticket = backend.from_numpy(np.zeros(1, np.int32))
    getattr(backend.kernels, step)(*args, ticket, *choices[0], False)
    expected = np.where(np.isnan(grad), grad, 1)
    np.testing.assert_array_equal(backend.to_numpy(p), expected)
    for state in states:
        np.testing.assert_array_equal(np.isnan(backend.to_numpy(state)), np.isnan(grad))


@pytest.mark.parametrize("step", ADAPTIVE)
def test_long_lists_count_one_step(backend: Backend, step: str) -> None:
    """More arrays than one launch takes; none; and state buffers that are missing."""
    count, choices = ADAPTIVE[step]
    hyper = np.array([LR, 4.0, 0.5])[: 3 if step == "nadam_step" else 2]
    params = [values((5,), "float32", i) for i in range(300)]
    grads = [values((5,), "float32", 1000 + i) for i in range(300)]
    exact = [wide(p) for p in params]
    zeros = [[np.zeros(5, np.float32) for _ in params] for _ in range(count)]
    placed, own = [backend.from_numpy(p) for p in params], backend.from_numpy(hyper)
    ticket = backend.from_numpy(np.zeros(1, np.int32))
    states = [[backend.from_numpy(z) for z in group] for group in zeros]
    kernel = getattr(backend.kernels, step)
    options = (*choices[0], False)
    kernel(placed, [backend.from_numpy(g) for g in grads], *states, own, ticket, *options)
    wide_state = [[wide(z) for z in group] for group in zeros]
    spec = getattr(reference, step)
    spec(exact, [wide(g) for g in grads], *wide_state, hyper, None, *options)
    for p, q in zip(placed, exact, strict=True):
        check(backend, p, q, 160 * epsilon("float32") * (np.abs(q) + LR), np.float32)
    kernel([], [], *([] for _ in states), own, ticket, *options)
    spec([], [], *([] for _ in states), hyper, None, *options)
    check(backend, own, hyper, 4 * epsilon("float64") * hyper)
    with pytest.raises(ValueError, match=f"{step}.*state buffers is missing"):
        kernel(placed, placed, *([] for _ in states), own, ticket, *options)


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
