"""Gradients held against differences: is the derivative of a function what it says?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..errors import ArgumentError, GradcheckError, GraphError
from ..tensor import Tensor
from .engine import grad
from .modes import enable_grad

Inputs = Tensor | Sequence[Any]


def gradcheck(
    func: Callable[..., Any],
    inputs: Inputs,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    *,
    raise_exception: bool = True,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """Hold the gradients of ``func(*inputs)`` against central differences (f(x+e) - f(x-e)) / 2e.

    inputs: float64 tensors that require gradients are checked; others are constants. func may give
    a tensor or several; it must be smooth around the inputs and give the same each time.
    Full mode compares every element of the Jacobian with atol + rtol |numeric|; `fast_mode` one
    random direction of each input against one of each output, with two calls for each input.
    Raises GradcheckError naming the worst element, or returns False without `raise_exception`.
    """
    values = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    _check_inputs(values)
    try:
        outputs = _outputs(func, values)
        for o, y in enumerate(outputs):
            if not y.requires_grad:
                raise GradcheckError(
                    f"gradcheck: output {o} of shape {y.shape} does not require a gradient: "
                    "the function cut the graph."
                )
        check = _check_direction if fast_mode else _check_jacobian
        rng = np.random.default_rng(seed)
        for i, x in enumerate(values):
            if isinstance(x, Tensor) and x.requires_grad:
                check(func, values, i, outputs, eps, atol, rtol, rng)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Inputs,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    *,
    raise_exception: bool = True,
    fast_mode: bool = False,
    seed: int = 0,
) -> bool:
    """`gradcheck` of the gradient: is the second derivative right? Options as there."""
    values = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    _check_inputs(values)
    rng = np.random.default_rng(seed)
    count = len(values)
    weights = [
        _tensor_like(y, rng.standard_normal(y.shape)).requires_grad_()
        for y in _outputs(func, values)
    ]

    def gradient(*args: Any) -> Any:
        xs, dys = args[:count], args[count:]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        ys = _outputs(func, xs)
        grads = grad(ys, wanted, list(dys), create_graph=True, materialize_grads=True)
        kept = [g for g in grads if g is not None and g.requires_grad]
        if not kept:
            raise GraphError("gradgradcheck: the gradient has no graph under create_graph=True.")
        return tuple(kept)

    options: dict[str, Any] = {"raise_exception": raise_exception, "fast_mode": fast_mode}
    return gradcheck(gradient, [*values, *weights], eps, atol, rtol, seed=seed, **options)


def _check_inputs(values: list[Any]) -> None:
    checked = [x for x in values if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ArgumentError("gradcheck: no input requires a gradient.")
    for x in checked:
        if x.dtype != dtypes.float64:
            raise ArgumentError(
                f"gradcheck: inputs must be float64 for differences to mean anything; one is "
                f"{x.dtype.name} of shape {x.shape}."
            )
        if 0 in x.data.strides and x.numel() > 1:
            raise ArgumentError("gradcheck: an expanded input cannot be varied; clone() it.")


def _outputs(func: Callable[..., Any], values: Sequence[Any]) -> list[Tensor]:
    with enable_grad():
        result = func(*values)
    found = [result] if isinstance(result, Tensor) else list(result)
    return [y for y in found if dtypes.is_floating(y.dtype)]


def _tensor_like(x: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(x.backend.from_numpy(np.asarray(values, x.dtype)), x.backend)


def _host(x: Tensor) -> np.ndarray[Any, Any]:
    return x.backend.to_numpy(x.data).astype(np.float64)


def _shifted(
    func: Callable[..., Any], values: list[Any], i: int, shift: np.ndarray[Any, Any]
) -> list[np.ndarray[Any, Any]]:
    """The outputs with input i moved by `shift`. A new leaf: the function may need gradients."""
    moved = _tensor_like(values[i], _host(values[i]) + shift).requires_grad_()
    args = [moved if j == i else v for j, v in enumerate(values)]
    return [_host(y) for y in _outputs(func, args)]


def _analytic(y: Tensor, x: Tensor, dy: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    (dx,) = grad(y, x, _tensor_like(y, dy), retain_graph=True, materialize_grads=True)
    assert dx is not None
    return _host(dx)


def _check_jacobian(
    func: Callable[..., Any],
    values: list[Any],
    i: int,
    outputs: list[Tensor],
    eps: float,
    atol: float,
    rtol: float,
    rng: np.random.Generator,
) -> None:
    x = values[i]
    numeric = [np.zeros((y.numel(), x.numel())) for y in outputs]
    for k in range(x.numel()):
        shift = np.zeros(x.numel())
        shift[k] = eps
        above = _shifted(func, values, i, shift.reshape(x.shape))
        below = _shifted(func, values, i, -shift.reshape(x.shape))
        for o, (a, b) in enumerate(zip(above, below, strict=True)):
            numeric[o][:, k] = ((a - b) / (2 * eps)).ravel()
    for o, y in enumerate(outputs):
        analytic = np.zeros_like(numeric[o])
        for k in range(y.numel()):
            dy = np.zeros(y.numel())
            dy[k] = 1
            analytic[k] = _analytic(y, x, dy.reshape(y.shape)).ravel()
        _compare(analytic, numeric[o], i, o, x, y, atol, rtol)


def _compare(
    analytic: np.ndarray[Any, Any],
    numeric: np.ndarray[Any, Any],
    i: int,
    o: int,
    x: Tensor,
    y: Tensor,
    atol: float,
    rtol: float,
) -> None:
    excess = np.abs(analytic - numeric) - (atol + rtol * np.abs(numeric))
    wrong = ~(excess <= 0)  # a NaN is wrong, too
    if not wrong.any():
        return
    worst = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    row, column = np.unravel_index(worst, excess.shape)
    at_y = tuple(int(v) for v in np.unravel_index(row, y.shape)) if y.ndim else ()
    at_x = tuple(int(v) for v in np.unravel_index(column, x.shape)) if x.ndim else ()
    raise GradcheckError(
        f"gradcheck: d output {o} / d input {i}: {int(wrong.sum())} of {wrong.size} elements "
        f"differ; worst d y{list(at_y)} / d x{list(at_x)}: analytic "
        f"{analytic[row, column]:.9g}, numeric {numeric[row, column]:.9g} "
        f"(atol {atol:g}, rtol {rtol:g}).\n"
        f"  x{list(at_x)} = {_host(x)[at_x]:.9g}; input {x.shape}, output {y.shape}, {y.grad_fn!r}"
    )


def _check_direction(
    func: Callable[..., Any],
    values: list[Any],
    i: int,
    outputs: list[Tensor],
    eps: float,
    atol: float,
    rtol: float,
    rng: np.random.Generator,
) -> None:
    """u^T J v for random unit vectors u, v: from one backward, and from two calls."""
    x = values[i]
    v = _unit(rng, x.shape)
    above = _shifted(func, values, i, eps * v)
    below = _shifted(func, values, i, -eps * v)
    for o, y in enumerate(outputs):
        u = _unit(rng, y.shape)
        analytic = float((_analytic(y, x, u) * v).sum())
        numeric = float(((above[o] - below[o]) / (2 * eps) * u).sum())
        if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
            raise GradcheckError(
                f"gradcheck: d output {o} / d input {i} along a random direction: analytic "
                f"{analytic:.9g}, numeric {numeric:.9g} (atol {atol:g}, rtol {rtol:g}).\n"
                f"  input {x.shape}, output {y.shape}, {y.grad_fn!r}; full mode names the element."
            )


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    v = rng.standard_normal(shape)
    return v / (np.linalg.norm(v) or 1.0)
