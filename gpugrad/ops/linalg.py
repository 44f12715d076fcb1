"""Matrix products. One kernel, gemm, computes them all; transposes are views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe, mixed_devices
from ..autograd.modes import MODE
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .activation import ReluGrad, fused
from .operands import check_tensor, operands

_FROM_RESULT = ("none", "relu", "sigmoid", "tanh")  # derivative known from the activation's result
ACTIVATIONS = ("none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh")


class MatMul(Function):
    """y[..., m, n] = sum over k of a[..., m, k] b[..., k, n];  da = dy b^T, db = a^T dy."""

    def forward(self, a: Any, b: Any) -> Any:
        edges = self.edges
        self.save(a if edges[1] else None, b if edges[0] else None)
        return self.kernels.gemm(a, b)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        return (dy @ b.mT if self.needs(0) else None), (a.mT @ dy if self.needs(1) else None)


class Dot(MatMul):
    """y = sum over k of a[k] b[k];  da = dy b, db = dy a."""

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        return (dy * b if self.needs(0) else None), (dy * a if self.needs(1) else None)


class MatVec(MatMul):
    """y[m] = sum over k of a[m, k] b[k];  da[m, k] = dy[m] b[k], db = dy a."""

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        da = dy.unsqueeze(1) * b if self.needs(0) else None
        return da, (VecMat.apply(dy, a) if self.needs(1) else None)


class VecMat(MatMul):
    """y[n] = sum over k of a[k] b[k, n];  da = b dy, db[k, n] = a[k] dy[n]."""

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        da = MatVec.apply(b, dy) if self.needs(0) else None
        return da, (a.unsqueeze(1) * dy if self.needs(1) else None)


class Linear(Function):
    """y = act(x W^T + b), one gemm;  with dz = dy act'(z): dx = dz W, dW = dz^T x, db = sum of dz.

    x [..., k], W [n, k], b [n] or none, y [..., n]. Activations whose derivative follows from y
    (relu, sigmoid, tanh) are fused; for the others a recorded call keeps z and applies act after.
    """

    def forward(self, x: Any, w: Any, b: Any, activation: str) -> Any:
        k = x.shape[-1]
        rows = x if x.ndim == 2 else x.reshape(-1, k)
        self.activation, self.of = activation, x.shape
        edges = self.edges
        recorded = MODE.grad and any(edges)
        if activation in _FROM_RESULT or not recorded:
            z = y = self.kernels.gemm(rows, w.T, b, activation)
        else:
            z = self.kernels.gemm(rows, w.T, b)
            y = self.kernels.unary(activation, z)
        if x.ndim != 2:
            y = y.reshape(*x.shape[:-1], w.shape[0])
        if recorded:
            if activation in _FROM_RESULT:
                keep = None if activation == "none" else y
                self.save(x if edges[1] else None, w if edges[0] else None, None, keep)
            else:  # a second derivative computes z again
                self.save(x, w, b, z)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, w, b, keep = self.saved
        dz = self._through_activation(dy, x, w, b, keep)
        needs, of = self.edges, self.of
        if len(of) != 2:
            dz = dz.reshape(math.prod(of[:-1]), dz.array.shape[-1])
        dx = dw = None
        if needs[0]:
            dx = dz @ w if len(of) == 2 else (dz @ w).reshape(of)
        if needs[1]:
            dw = dz.mT @ (x if len(of) == 2 else x.reshape(math.prod(of[:-1]), of[-1]))
        return dx, dw, (dz.sum(0) if needs[2] else None)

    def _through_activation(self, dy: Tensor, x: Any, w: Any, b: Any, keep: Any) -> Tensor:
        act = self.activation
        if act == "none":
            return dy
        if not MODE.grad:
            if keep.array.shape != dy.array.shape:
                keep = keep.reshape(dy.shape)
            return fused(act + "_grad", dy, keep)
        if act == "relu":
            return ReluGrad.apply(dy, keep)
        if act == "sigmoid":
            return dy * (keep * (1.0 - keep))
        if act == "tanh":
            return dy * (1.0 - keep * keep)
        from ..autograd.engine import grad
        from . import activation as activations

        z = linear(x, w, b)  # z again, with its history
        y = activations.gelu(z, "tanh") if act == "gelu_tanh" else getattr(activations, act)(z)
        (dz,) = grad(y, z, dy, create_graph=True)
        assert dz is not None
        return dz


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """input @ other: vectors, matrices, and stacks of matrices whose leading axes broadcast.

    a [..., m, k], b [..., k, n] -> [..., m, n]; a vector is a row on the left, a column on the
    right. Dtypes must agree. Half types accumulate in float32.
    """
    a, b = AUTOCAST.cast("matmul", input, other) if AUTOCAST.on else (input, other)
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        check_tensor("matmul", a), check_tensor("matmul", b)
    x, y = a.array, b.array
    if x.dtype is not y.dtype and x.dtype != y.dtype:
        raise DTypeError(
            f"matmul(a, b): dtypes differ: a {describe(a)}, b {describe(b)}.\n"
            "  Convert one with .to(dtype)."
        )
    n, m = x.ndim, y.ndim
    if n == 0 or m == 0:
        raise ShapeError(
            f"matmul(a, b): 0-d tensors have no rows: a {x.shape}, b {y.shape}; use *."
        )
    if x.shape[-1] != y.shape[-2 if m > 1 else -1]:
        raise ShapeError(_inner_text(x.shape, y.shape))
    if n == 2 and m == 2:
        return MatMul.apply(a, b)
    if n <= 2 and m == 1:
        return (Dot if n == 1 else MatVec).apply(a, b)
    if n == 1 and m == 2:
        return VecMat.apply(a, b)
    if a.backend is not b.backend:
        raise DeviceError(mixed_devices("matmul", (a, b)))
    if n == 1 or m == 1:
        product = matmul(a.unsqueeze(0) if n == 1 else a, b.unsqueeze(-1) if m == 1 else b)
        product = product.squeeze(-1) if m == 1 else product
        return product.squeeze(-1 if m == 1 else -2) if n == 1 else product
    if m == 2:  # one matrix on the right: the stack on the left is one tall matrix
        rows = a.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return MatMul.apply(rows, b).reshape(*x.shape[:-1], y.shape[-1])
    _check_lead(x.shape, y.shape)
    return MatMul.apply(a, b)


def _check_lead(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        raise ShapeError(f"matmul(a, b): leading axes do not broadcast: a {a}, b {b}.") from None


def operator(self: Tensor, other: Any) -> Any:
    """self @ other; an array is taken to the tensor's device, dtypes are promoted as by ``+``."""
    if isinstance(other, Tensor):
        return matmul(self, other)
    if isinstance(other, np.ndarray):
        return matmul(*operands("matmul", self, other))
    return NotImplemented


def reflected_operator(self: Tensor, other: Any) -> Any:
    """other @ self; see `operator`."""
    if isinstance(other, Tensor):
        return matmul(other, self)
    if isinstance(other, np.ndarray):
        return matmul(*operands("matmul", other, self))
    return NotImplemented


def _inner_text(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if len(b) > 1:
        which = f"a's last axis ({a[-1]}) must equal b's second-last ({b[-2]})"
    else:
        which = f"a's last axis ({a[-1]}) must equal b's length ({b[-1]})"
    return (
        f"matmul(a, b): inner sizes differ: a {a}, b {b}.\n"
        f"  {which}. Did you mean to flatten the input or transpose b?"
    )


def ranked(name: str, *expected: tuple[str, Tensor, int]) -> None:
    """Raise ShapeError where a tensor has another number of axes than expected."""
    for label, x, ndim in expected:
        if check_tensor(name, x).ndim != ndim:
            raise ShapeError(f"{name}: {label} must have {ndim} axes, got shape {x.shape}.")


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    ranked("mm", ("input", input, 2), ("mat2", mat2, 2))
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of two stacks of as many matrices."""
    ranked("bmm", ("input", input, 3), ("mat2", mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(f"bmm: {input.shape[0]} and {mat2.shape[0]} matrices.")
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    ranked("mv", ("input", input, 2), ("vec", vec, 1))
    return matmul(input, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors."""
    ranked("dot", ("input", input, 1), ("tensor", tensor, 1))
    return matmul(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements: [n, m]."""
    ranked("outer", ("input", input, 1), ("vec2", vec2, 1))
    return input.unsqueeze(1) * vec2.unsqueeze(0)


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none"
) -> Tensor:
    """act(input weight^T + bias): input [..., k], weight [n, k] (or [k]), bias [n].

    activation is applied by the same kernel: none, relu, gelu, gelu_tanh, silu, sigmoid, tanh.
    """
    if AUTOCAST.on:
        input, weight, bias = AUTOCAST.cast("linear", input, weight, bias)
    x, w = check_tensor("linear", input), check_tensor("linear", weight)
    if activation not in ACTIVATIONS:
        raise ArgumentError(f"linear: activation must be one of {ACTIVATIONS}, not {activation!r}.")
    if x.array.dtype != w.array.dtype or (bias is not None and bias.array.dtype != w.array.dtype):
        facts = ", ".join(describe(t) for t in (x, w, bias) if t is not None)
        raise DTypeError(f"linear: input, weight and bias must have one dtype; got {facts}.")
    if w.array.ndim == 1:
        y = matmul(x, w)
        return y if bias is None else y + bias
    _check_linear(x.array.shape, w.array.shape, None if bias is None else bias.array.shape)
    if x.array.ndim != 2:
        x = x.contiguous()
    return Linear.apply(x, w, bias, activation=activation)


def _check_linear(x: tuple[int, ...], w: tuple[int, ...], b: tuple[int, ...] | None) -> None:
    if len(w) != 2:
        raise ShapeError(f"linear: weight must be [out_features, in_features], got {w}.")
    if not x or x[-1] != w[1]:
        raise ShapeError(
            f"linear: input {x} does not fit weight {w} [out_features, in_features].\n"
            f"  The input's last axis must be {w[1]}. Did you mean to flatten the input?"
        )
    if b is not None and b != (w[0],):
        raise ShapeError(f"linear: bias must have shape ({w[0]},), got {b}.")
