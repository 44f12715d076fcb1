"""Gradients held against differences: is the derivative of a function what it says?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
    seed: int = 0,
) -> bool:
    """Hold the gradients of ``func(*inputs)`` against central differences (f(x+e) - f(x-e)) / 2e.

    inputs: float64 tensors that require gradients are checked; others are constants. func may give
    a tensor or several; it must be smooth around the inputs and give the same each time.
    Full mode compares every element of the Jacobian with atol + rtol |numeric|; `fast_mode` one
    random direction of each input against one of each output, with two calls for each input.
    nondet_tol: by how much the same gradient, computed twice, may differ. check_undefined_grad: an
    output that gets no gradient counts as one that gets zeros. check_grad_dtypes: a gradient has
    its input's dtype. Batched and forward-mode derivatives do not exist here and cannot be checked.
    Raises GradcheckError naming the worst element, or returns False without `raise_exception`.
    """
    _refuse(check_batched_grad=check_batched_grad, check_forward_ad=check_forward_ad)
    _refuse(check_batched_forward_grad=check_batched_forward_grad, masked=bool(masked))
    values = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    _check_inputs(values)
    job = _Job(func, values, eps, atol, rtol, np.random.default_rng(seed))
    try:
        for o, y in enumerate(job.outputs):
            if not y.requires_grad:
                raise GradcheckError(
                    f"gradcheck: output {o} of shape {y.shape} does not require a gradient: "
                    "the function cut the graph."
                )
        for i, x in enumerate(values):
            if isinstance(x, Tensor) and x.requires_grad and check_backward_ad:
                (_check_direction if fast_mode else _check_jacobian)(job, i)
        _check_repeats(job, nondet_tol, check_grad_dtypes)
        if check_undefined_grad:
            _check_undefined(job)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Inputs,
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
    seed: int = 0,
) -> bool:
    """`gradcheck` of the gradient: is the second derivative right? Options as there.

    grad_outputs: the gradients of the outputs at which it is checked; random ones if left out,
    with gaps in memory if `gen_non_contig_grad_outputs`.
    """
    _refuse(check_fwd_over_rev=check_fwd_over_rev, check_batched_grad=check_batched_grad)
    values = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    _check_inputs(values)
    count = len(values)
    weights = _weights(_outputs(func, values), grad_outputs, gen_non_contig_grad_outputs, seed)

    def gradient(*args: Any) -> Any:
        xs, dys = args[:count], args[count:]
        wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        ys = _outputs(func, xs)
        grads = grad(ys, wanted, list(dys), create_graph=True, materialize_grads=True)
        kept = [g for g in grads if g is not None and g.requires_grad]
        if not kept:
            raise GraphError("gradgradcheck: the gradient has no graph under create_graph=True.")
        return tuple(kept)

    return gradcheck(
        gradient,
        [*values, *weights],
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode,
        masked=masked,
        seed=seed,
    )


def _refuse(**options: bool) -> None:
    for name, value in options.items():
        if value:
            raise ArgumentError(
                f"gradcheck: {name}=True is not supported: derivatives are computed backwards, one "
                "vector at a time."
            )


def _weights(ys: list[Tensor], given: Any, gaps: bool, seed: int) -> list[Tensor]:
    """The gradients of the outputs, as leaves."""
    if given is not None:
        dys = [given] if isinstance(given, Tensor) else list(given)
        return [dy.detach().clone().requires_grad_() for dy in dys]
    rng = np.random.default_rng(seed)
    made = [rng.standard_normal((*y.shape, 2) if gaps else y.shape) for y in ys]
    leaves = [_tensor_like(y, w) for y, w in zip(ys, made, strict=True)]
    return [(w[..., 0].detach() if gaps else w).requires_grad_() for w in leaves]


class _Job(NamedTuple):
    """What is checked, and how closely."""

    func: Callable[..., Any]
    values: list[Any]
    eps: float
    atol: float
    rtol: float
    rng: np.random.Generator

    @property
    def outputs(self) -> list[Tensor]:
        return _outputs(self.func, self.values)


def _check_repeats(job: _Job, tolerance: float, dtypes_too: bool) -> None:
    """The same gradient twice, from one graph: does it agree, and is it of the input's dtype?"""
    wanted = [x for x in job.values if isinstance(x, Tensor) and x.requires_grad]
    ys = job.outputs
    dys = [_tensor_like(y, _unit(job.rng, y.shape)) for y in ys]
    runs = [grad(ys, wanted, dys, retain_graph=True, materialize_grads=True) for _ in range(2)]
    for i, (a, b, x) in enumerate(zip(*runs, wanted, strict=True)):
        worst = float(np.abs(_host(a) - _host(b)).max(initial=0))
        if worst > tolerance:
            raise GradcheckError(
                f"gradcheck: the gradient of input {i} is not the same twice: it differs by "
                f"{worst:g} (nondet_tol {tolerance:g})."
            )
        if dtypes_too and a.dtype != x.dtype:
            raise GradcheckError(f"gradcheck: gradient {i} is {a.dtype.name}, not {x.dtype.name}.")


def _check_undefined(job: _Job) -> None:
    """Each output in turn gets no gradient: the same as zeros."""
    wanted = [x for x in job.values if isinstance(x, Tensor) and x.requires_grad]
    ys = job.outputs
    dys = [_tensor_like(y, _unit(job.rng, y.shape)) for y in ys]
    for o in range(len(ys) if len(ys) > 1 else 0):
        zeros = [dy.new_zeros(dy.shape) if i == o else dy for i, dy in enumerate(dys)]
        rest = [i for i in range(len(ys)) if i != o]
        options: dict[str, Any] = {"retain_graph": True, "materialize_grads": True}
        a = grad(ys, wanted, zeros, **options)
        b = grad([ys[i] for i in rest], wanted, [dys[i] for i in rest], **options)
        for i, (p, q) in enumerate(zip(a, b, strict=True)):
            scale = job.atol + job.rtol * np.abs(_host(p))
            if not (np.abs(_host(p) - _host(q)) <= scale).all():
                raise GradcheckError(
                    f"gradcheck: where output {o} gets no gradient, that of input {i} is not the "
                    "one for zeros: backward must take None for a result."
                )


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
        if 0 in x.array.strides and x.numel() > 1:
            raise ArgumentError("gradcheck: an expanded input cannot be varied; clone() it.")


def _outputs(func: Callable[..., Any], values: Sequence[Any]) -> list[Tensor]:
    with enable_grad():
        result = func(*values)
    found = [result] if isinstance(result, Tensor) else list(result)
    return [y for y in found if dtypes.is_floating(y.dtype)]


def _tensor_like(x: Tensor, values: np.ndarray[Any, Any]) -> Tensor:
    return Tensor(x.backend.from_numpy(np.asarray(values, x.dtype)), x.backend)


def _host(x: Tensor) -> np.ndarray[Any, Any]:
    return x.backend.to_numpy(x.array).astype(np.float64)


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


def _check_jacobian(job: _Job, i: int) -> None:
    x, outputs, eps = job.values[i], job.outputs, job.eps
    numeric = [np.zeros((y.numel(), x.numel())) for y in outputs]
    for k in range(x.numel()):
        shift = np.zeros(x.numel())
        shift[k] = eps
        above = _shifted(job.func, job.values, i, shift.reshape(x.shape))
        below = _shifted(job.func, job.values, i, -shift.reshape(x.shape))
        for o, (a, b) in enumerate(zip(above, below, strict=True)):
            numeric[o][:, k] = ((a - b) / (2 * eps)).ravel()
    for o, y in enumerate(outputs):
        analytic = np.zeros_like(numeric[o])
        for k in range(y.numel()):
            dy = np.zeros(y.numel())
            dy[k] = 1
            analytic[k] = _analytic(y, x, dy.reshape(y.shape)).ravel()
        _compare(job, analytic, numeric[o], (i, o), (x, y))


def _compare(
    job: _Job,
    analytic: np.ndarray[Any, Any],
    numeric: np.ndarray[Any, Any],
    numbers: tuple[int, int],
    tensors: tuple[Tensor, Tensor],
) -> None:
    x, y = tensors
    excess = np.abs(analytic - numeric) - (job.atol + job.rtol * np.abs(numeric))
    wrong = ~(excess <= 0)  # a NaN is wrong, too
    if not wrong.any():
        return
    worst = int(np.argmax(np.where(np.isnan(excess), np.inf, excess)))
    row, column = np.unravel_index(worst, excess.shape)
    at_y = tuple(int(v) for v in np.unravel_index(row, y.shape)) if y.ndim else ()
    at_x = tuple(int(v) for v in np.unravel_index(column, x.shape)) if x.ndim else ()
    raise GradcheckError(
        f"gradcheck: d output {numbers[1]} / d input {numbers[0]}: {int(wrong.sum())} of "
        f"{wrong.size} elements differ; worst d y{list(at_y)} / d x{list(at_x)}: analytic "
        f"{analytic[row, column]:.9g}, numeric {numeric[row, column]:.9g} "
        f"(atol {job.atol:g}, rtol {job.rtol:g}).\n"
        f"  x{list(at_x)} = {_host(x)[at_x]:.9g}; input {x.shape}, output {y.shape}, {y.grad_fn!r}"
    )


def _check_direction(job: _Job, i: int) -> None:
    """u^T J v for random unit vectors u, v: from one backward, and from two calls."""
    x, eps = job.values[i], job.eps
    v = _unit(job.rng, x.shape)
    above = _shifted(job.func, job.values, i, eps * v)
    below = _shifted(job.func, job.values, i, -eps * v)
    for o, y in enumerate(job.outputs):
        u = _unit(job.rng, y.shape)
        analytic = float((_analytic(y, x, u) * v).sum())
        numeric = float(((above[o] - below[o]) / (2 * eps) * u).sum())
        if not abs(analytic - numeric) <= job.atol + job.rtol * abs(numeric):
            raise GradcheckError(
                f"gradcheck: d output {o} / d input {i} along a random direction: analytic "
                f"{analytic:.9g}, numeric {numeric:.9g} (atol {job.atol:g}, rtol {job.rtol:g}).\n"
                f"  input {x.shape}, output {y.shape}, {y.grad_fn!r}; full mode names the element."
            )


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    v = rng.standard_normal(shape)
    return v / (np.linalg.norm(v) or 1.0)
