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


EVERY: dict[str, tuple[list[bool], tuple[Any, ...]]] = {
    "sgd_step": ([True], (0.9, 0.0, 0.1, True)),
    "adam_step": ([True, True, True], (0.9, 0.999, 1e-3, 0.1, True)),
    "rmsprop_step": ([True, False, True], (0.9, 1e-1, 0.1, 0.9)),
    **{step: ([True] * count, choices[0]) for step, (count, choices) in ADAPTIVE.items()},
}
"""Step -> (which state buffers there are, options without maximize)."""


def first_hyper(step: str) -> np.ndarray:
    return np.array([LR, 4.0, 0.5])[: 3 if step == "nadam_step" else 2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("step", EVERY)
def test_master_weights(backend: Backend, step: str, dtype: str) -> None:
    """The step is that of the float32 masters; the parameters are these, rounded, and not read:
    they hold NaN before. Tolerances are `hold`'s, for float32."""
    used, options = EVERY[step]
    half, hyper = dtypes.as_dtype(dtype), first_hyper(step)
    masters = [values(shape, "float32", i) for i, shape in enumerate(SHAPES)]
    grads = [values(shape, dtype, 50 + i) for i, shape in enumerate(SHAPES)]
    place = backend.from_numpy
    params = [place(np.full(shape, np.nan, half)) for shape in SHAPES]
    own, device_hyper = [place(m) for m in masters], place(hyper)
    states = [buffers(len(SHAPES) if use else 0, np.float32) for use in used]
    device_states = [[place(s) for s in group] for group in states]
    ticket = place(np.zeros(1, np.int32))
    arguments = ([*params, *own], [place(g) for g in grads], *device_states, device_hyper, ticket)
    getattr(backend.kernels, step)(*arguments, *options, False)
    exact, exact_states = [wide(m) for m in masters], [[wide(s) for s in g] for g in states]
    spec = getattr(reference, step)
    spec(exact, [wide(g) for g in grads], *exact_states, hyper, None, *options, False)
    eps = (160 if step == "radam_step" else 16) * epsilon("float32")
    for master, old, q in zip(own, masters, exact, strict=True):
        check(backend, master, q, eps * (np.abs(old) + np.abs(q - old) + LR), np.float32)
    for param, master in zip(params, own, strict=True):
        check(backend, param, backend.to_numpy(master).astype(half))
    for group, exact_group in zip(device_states, exact_states, strict=True):
        for s, t in zip(group, exact_group, strict=True):
            check(backend, s, t, eps * (np.abs(t) + 1), np.float32)
    check(backend, device_hyper, hyper, 4 * epsilon("float64") * hyper)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("step", EVERY)
def test_skipped_steps(backend: Backend, step: str, dtype: str) -> None:
    """Where the ticket's second number is not 0 nothing moves, not even the count; where it is, all
    does. 300 arrays: two launches. float16: with master weights."""
    used, options = EVERY[step]
    place, half = backend.from_numpy, dtype == "float16"
    count = 300
    before = [values((5,), dtype, i) for i in range(count)]
    masters = [values((5,), "float32", i) for i in range(count)] if half else []
    states = [[np.zeros(5, np.float32)] * (count if use else 0) for use in used]
    lists = [[place(x) for x in group] for group in ([*before, *masters], before, *states)]
    hyper = place(first_hyper(step))
    for skip in (1, 0):
        ticket = place(np.array([0, skip], np.int32))
        getattr(backend.kernels, step)(*lists, hyper, ticket, *options, False)
        check(backend, ticket, np.array([0, skip], np.int32))
        moved = backend.to_numpy(hyper)
        assert moved[1] == 5 - skip
        kept = [*before, *masters], before, *states
        for i, (group, old) in enumerate(zip(lists, kept, strict=True)):
            if i == 1:
                continue  # the gradients
            for x, y in zip(group, old, strict=True):
                assert np.array_equal(backend.to_numpy(x), y) == bool(skip)
        if skip:
            check(backend, hyper, first_hyper(step))


def test_steps_refuse_what_does_not_fit(backend: Backend) -> None:
    place = backend.from_numpy
    hyper, ticket = place(np.array([LR, 0.0])), place(np.zeros(2, np.int32))
    half, single = place(np.zeros(3, np.float16)), place(np.zeros(3, np.float32))
    step = backend.kernels.sgd_step
    rest = (0.0, 0.0, 0.0, False, False)
    with pytest.raises(ValueError, match=r"sgd_step.*only float16 and bfloat16 have master"):
        step([single, single], [single], [], hyper, ticket, *rest)
    with pytest.raises(ValueError, match=r"sgd_step.*master weights.*float32"):
        step([half, half], [half], [], hyper, ticket, *rest)
    with pytest.raises(ValueError, match=r"sgd_step.*3 params, but 1 grads"):
        step([half, single, single], [half], [], hyper, ticket, *rest)
    with pytest.raises(ValueError, match="ticket must have one or two elements"):
        step([half], [half], [], hyper, place(np.zeros(3, np.int32)), *rest)
    with pytest.raises(ValueError, match=r"unscale.*scale.*float32"):
        backend.kernels.unscale([single], hyper[:1], ticket[:1])
    with pytest.raises(ValueError, match=r"update_scale.*interval must be above 0"):
        backend.kernels.update_scale(single[:1], ticket[:1], ticket[1:], 2.0, 0.5, 0)


@pytest.mark.parametrize("dtype", FLOATING)
def test_unscale(backend: Backend, dtype: str) -> None:
    """Products as the specification's, bit for bit; the flag goes up at an infinity or NaN anywhere
    in the list, also the last of it, and never down."""
    place = backend.from_numpy
    shapes = [*SHAPES, (40000,), *[(3,)] * 300]
    for bad in (None, np.inf, -np.inf, np.nan):
        for number in (0, 4, 7, len(shapes) - 1) if bad is not None else (0,):
            xs = [values(s, dtype, i) for i, s in enumerate(shapes)]
            if bad is not None:
                xs[number].reshape(-1)[-1] = bad
            placed, scale = [place(x) for x in xs], place(np.array([24.0], np.float32))
            found = place(np.zeros(1, np.int32))
            backend.kernels.unscale(placed, scale, found)
            expected = np.zeros(1, np.int32)
            reference.unscale(xs, np.array([24.0], np.float32), expected)
            check(backend, found, np.array([int(bad is not None)], np.int32))
            assert np.array_equal(expected, [int(bad is not None)])
            for y, x in zip(placed, xs, strict=True):
                np.testing.assert_array_equal(wide(backend.to_numpy(y)), wide(x))
    up = place(np.ones(1, np.int32))
    backend.kernels.unscale([place(values((3,), dtype))], place(np.ones(1, np.float32)), up)
    backend.kernels.unscale([], place(np.ones(1, np.float32)), up)
    check(backend, up, np.ones(1, np.int32))


@pytest.mark.parametrize("growth,backoff,interval", [(2.0, 0.5, 3), (1.3, 0.7, 1), (1e30, 0.1, 2)])
def test_update_scale(backend: Backend, growth: float, backoff: float, interval: int) -> None:
    """Never infinite: 1e30 times itself is left out, and the count begins again."""
    scale, good = np.array([1024.0], np.float32), np.zeros(1, np.int32)
    placed = backend.from_numpy(scale), backend.from_numpy(good)
    for found in (0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 7, 0, 0):
        flag = np.array([found], np.int32)
        backend.kernels.update_scale(*placed, backend.from_numpy(flag), growth, backoff, interval)
        reference.update_scale(scale, good, flag, growth, backoff, interval)
        check(backend, placed[0], scale)
        check(backend, placed[1], good)
        assert np.isfinite(scale).all() and 0 <= good[0] < interval
