"""Kernels of a device module (``_cuda``, ``_sim``): shapes, dtypes and memory for csrc/ops.h."""

from __future__ import annotations

import importlib
import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..dtype import (
    DType,
    accumulation,
    bfloat16,
    bool_,
    float32,
    float64,
    int64,
    is_float8,
    result_type,
    sum_dtype,
    uint8,
    unsupported,
)
from ..errors import ArgumentError, ShapeError
from .base import COMPARISONS, PREDICATES, Array, Arrays, Backend, Operand, Shape
from .layout import empty_like
from .matmul_precision import SETTING
from .native_attention import NativeAttention
from .native_images import NativeImages
from .native_index import NativeIndex
from .native_norms import NativeNorms
from .native_text import NativeText

_OF_DTYPE = re.compile(r"(defined|implemented) for|dtype|must be (b?float|u?int|bool)")
"""In the texts of csrc/core/checks.h that refuse a dtype."""

REDUCED_DTYPE: dict[str, DType] = {"argmax": int64, "argmin": int64, "any": bool_, "all": bool_}


def load(name: str) -> Any:
    """The native module gpugrad.`name`, told which NumPy dtype bfloat16 is; None if not built."""
    full = f"{__package__.rpartition('.')[0]}.{name}"
    try:
        module = importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        return None
    module.set_bfloat16(bfloat16)
    return module


def broadcast(*shapes: Shape) -> Shape:
    """The shape that all of `shapes` broadcast to. Raises ShapeError."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(map(str, shapes))
        raise ShapeError(f"shapes {listed} do not broadcast to one shape.") from None


class NativeBackend(Backend):
    """A backend whose operations are those of a native module.

    `flag` is int64[4] on the device, zero while every index was legal (csrc/ops.h).
    """

    module: Any
    flag: Array

    @abstractmethod
    def launch(self, operation: Callable[..., None], *args: Any) -> None:
        """operation(stream, *args) on this device and its current stream."""

    def ask(self, size_of: Callable[..., int], *args: Any) -> int:
        """size_of(*args) with this device the current one: sizes may depend on it."""
        return size_of(*args)

    def after_flagged(self) -> None:
        """Called when an operation that may set the flag was launched."""


class NativeKernels(NativeIndex, NativeImages, NativeNorms, NativeText, NativeAttention):
    """The methods of `Kernels` by a native module: computes the result's shape and dtype,
    allocates it, asks for workspace, launches.
    """

    def __init__(self, backend: NativeBackend) -> None:
        self.backend = backend
        self.module = backend.module
        self.empty = backend.empty
        self.launch = backend.launch

    def workspace(self, size_of: Callable[..., int], *args: Any) -> Array:
        """Memory of size_of(*args) bytes, or None if none is needed."""
        try:
            size = self.backend.ask(size_of, *args)
        except ValueError as error:
            raise refusal(size_of, args, error) from None
        return self.empty((size,), uint8) if size else None

    def flagged(self, operation: Callable[..., None], *args: Any) -> None:
        """Launch an operation whose last argument is the index flag."""
        self.launch(operation, *args, self.backend.flag)
        self.backend.after_flagged()

    # ---- element-wise ------------------------------------------------------------------------

    def unary(self, name: str, x: Array, p0: float = 0.0, p1: float = 0.0) -> Array:
        y = empty_like(self.empty, x, bool_ if name in PREDICATES else x.dtype)
        self.launch(self.module.unary, name, x, y, p0, p1)
        return y

    def binary(self, name: str, a: Operand, b: Operand, out: Array | None = None) -> Array:
        if out is not None:
            self.launch(self.module.binary, name, a, b, out)
            return out
        arrays = [v for v in (a, b) if not isinstance(v, (int, float))]
        dtype = bool_ if name in COMPARISONS else arrays[0].dtype
        y = self._result(arrays, dtype)
        self.launch(self.module.binary, name, a, b, y)
        return y

    def _result(self, arrays: Sequence[Array], dtype: DType) -> Array:
        """A new array of the shape they broadcast to, lying as the first that has this shape."""
        shape = broadcast(*(x.shape for x in arrays))
        like = next((x for x in arrays if x.shape == shape), None)
        return self.empty(shape, dtype) if like is None else empty_like(self.empty, like, dtype)

    def where(self, c: Array, a: Operand, b: Operand) -> Array:
        arrays = [v for v in (a, b) if not isinstance(v, (int, float))]
        dtype = arrays[0].dtype if arrays else result_type(a, b)
        y = self._result([*arrays, c], dtype)
        self.launch(self.module.where, c, a, b, y)
        return y

    def cast(self, x: Array, dtype: DType) -> Array:
        y = empty_like(self.empty, x, dtype)
        self.launch(self.module.copy, x, y)
        return y

    def contiguous(self, x: Array) -> Array:
        y = self.empty(x.shape, x.dtype)
        self.launch(self.module.copy, x, y)
        return y

    def copy(self, x: Array, y: Array) -> None:
        self.launch(self.module.copy, x, y)

    def fill(self, y: Array, value: float) -> None:
        self.launch(self.module.fill, y, value)

    # ---- reductions, matmul ------------------------------------------------------------------

    def reduce(self, name: str, x: Array, axes: Shape, keepdims: bool) -> Array:
        dtype = REDUCED_DTYPE.get(name, x.dtype)
        if name in ("sum", "prod"):
            dtype = sum_dtype(dtype)
        y = self.empty(tuple(1 if i in axes else n for i, n in enumerate(x.shape)), dtype)
        workspace = self.workspace(self.module.reduce_workspace, name, x, y)
        self.launch(self.module.reduce, name, x, y, workspace)
        if keepdims:
            return y
        return y.reshape(tuple(n for i, n in enumerate(x.shape) if i not in axes))

    def sum_of(
        self, name: str, x: Array, centre: Array | None, axes: Shape, keepdims: bool
    ) -> Array:
        """Three operations; `_cpu` has one."""
        dtype = accumulation(x.dtype)
        if x.dtype != dtype:
            x = self.cast(x, dtype)
            centre = centre if centre is None else self.cast(centre, dtype)
        centred = x if centre is None else self.binary("sub", x, centre)
        return self.reduce("sum", self.unary(name, centred), axes, keepdims)

    def gemm(
        self,
        a: Array,
        b: Array,
        bias: Array | None = None,
        act: str = "none",
        alpha: float = 1.0,
        beta: float = 0.0,
        out: Array | None = None,
        scale: Array | None = None,
        residual: Array | None = None,
        dtype: DType | None = None,
        row_scale: Array | None = None,
    ) -> Array:
        if a.ndim == 1 or b.ndim == 1:
            given = (bias, out, scale, residual, dtype, row_scale)
            if (act, alpha, beta) != ("none", 1.0, 0.0) or any(t is not None for t in given):
                raise ArgumentError(
                    f"gemm: a product with a vector, {a.shape} times {b.shape}, takes nothing "
                    "beside the two.\n  Give it as a matrix with an axis of length 1."
                )
            y = self.gemm(a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)
            return y.reshape((*a.shape[:-1], *b.shape[1:]))
        if out is None:
            batch = broadcast(a.shape[:-2], b.shape[:-2])
            out = self.empty((*batch, a.shape[-2], b.shape[-1]), dtype or a.dtype)
            beta = 0.0
        precision = SETTING.name
        workspace = self.workspace(self.module.gemm_workspace, a, b, out, precision)
        epilogue: tuple[Any, ...] = (scale, bias, residual, alpha, beta, act)
        if row_scale is not None:
            epilogue = (*epilogue, row_scale)
        self.launch(self.module.gemm, a, b, out, epilogue, precision, workspace)
        return out

    # ---- softmax and cross-entropy -----------------------------------------------------------

    def softmax(self, x: Array, axis: int, log: bool) -> Array:
        y = self.empty(x.shape, x.dtype)
        self.launch(self.module.softmax, x, y, axis, log)
        return y

    def softmax_grad(self, dy: Array, y: Array, axis: int, log: bool) -> Array:
        dx = self.empty(y.shape, y.dtype)
        self.launch(self.module.softmax_grad, dy, y, dx, axis, log)
        return dx

    def _class_weight(self, weight: Array | None, x: Array) -> Array | None:
        dtype = accumulation(x.dtype)
        if weight is None or weight.dtype == dtype:
            return weight
        return self.cast(weight, dtype)

    def cross_entropy(
        self,
        x: Array,
        target: Array,
        weight: Array | None,
        ignore_index: int,
        label_smoothing: float,
    ) -> tuple[Array, Array, Array]:
        weight = self._class_weight(weight, x)
        dtype = accumulation(x.dtype)
        loss, lse, target_weight = (self.empty(target.shape, dtype) for _ in range(3))
        outputs = (loss, lse, target_weight)
        options = (ignore_index, label_smoothing)
        self.flagged(self.module.cross_entropy, x, target, weight, *outputs, *options)
        return outputs

    def cross_entropy_grad(
        self,
        dloss: Array,
        x: Array,
        target: Array,
        weight: Array | None,
        lse: Array,
        ignore_index: int,
        label_smoothing: float,
    ) -> Array:
        weight = self._class_weight(weight, x)
        dx = self.empty(x.shape, x.dtype)
        inputs = (dloss, x, target, weight, lse)
        self.launch(self.module.cross_entropy_grad, *inputs, dx, ignore_index, label_smoothing)
        return dx

    # ---- random ------------------------------------------------------------------------------

    def uniform(
        self, state: Array, call: int, low: float, high: float, shape: Shape, dtype: DType
    ) -> Array:
        y = self.empty(shape, dtype)
        self.launch(self.module.uniform, state, call, low, high, y)
        return y

    def normal(
        self, state: Array, call: int, mean: float, std: float, shape: Shape, dtype: DType
    ) -> Array:
        y = self.empty(shape, dtype)
        self.launch(self.module.normal, state, call, mean, std, y)
        return y

    def bernoulli(self, state: Array, call: int, p: Operand, shape: Shape, dtype: DType) -> Array:
        y = self.empty(shape, dtype)
        self.launch(self.module.bernoulli, state, call, p, y)
        return y

    def dropout(self, state: Array, call: int, p: float, x: Array) -> Array:
        y = empty_like(self.empty, x)
        self.launch(self.module.dropout, state, call, p, x, y)
        return y

    def permutation(self, state: Array, call: int, n: int) -> Array:
        y = self.empty((n,), int64)
        self.launch(self.module.permutation, state, call, y)
        return y

    # ---- optimizers --------------------------------------------------------------------------

    def sgd_step(self, *args: Any) -> None:
        self.launch(self.module.sgd_step, *args)

    def adam_step(self, *args: Any) -> None:
        self.launch(self.module.adam_step, *args)

    def rmsprop_step(self, *args: Any) -> None:
        self.launch(self.module.rmsprop_step, *args)

    def adagrad_step(self, *args: Any) -> None:
        self.launch(self.module.adagrad_step, *args)

    def adadelta_step(self, *args: Any) -> None:
        self.launch(self.module.adadelta_step, *args)

    def adamax_step(self, *args: Any) -> None:
        self.launch(self.module.adamax_step, *args)

    def nadam_step(self, *args: Any) -> None:
        self.launch(self.module.nadam_step, *args)

    def radam_step(self, *args: Any) -> None:
        self.launch(self.module.radam_step, *args)

    def lion_step(self, *args: Any) -> None:
        self.launch(self.module.lion_step, *args)

    def global_norm(self, xs: Arrays, ord: float) -> Array:
        xs = list(xs)
        norm = self.empty((1,), float64 if any(x.dtype == float64 for x in xs) else float32)
        workspace = self.workspace(self.module.global_norm_workspace, xs)
        self.launch(self.module.global_norm, xs, ord, norm, workspace)
        return norm.reshape(())

    def scale(self, xs: Arrays, factor: Array) -> None:
        self.launch(self.module.scale, list(xs), factor.reshape(1))

    def unscale(self, xs: Arrays, scale: Array, found: Array) -> None:
        self.launch(self.module.unscale, list(xs), scale, found)

    def update_scale(self, *args: Any) -> None:
        self.launch(self.module.update_scale, *args)


def run(operation: Callable[..., None], stream: int, args: tuple[Any, ...]) -> None:
    """operation(stream, *args), with the module's refusal of an argument as ArgumentError."""
    try:
        operation(stream, *args)
    except ValueError as error:
        raise refusal(operation, args, error) from None


def refusal(operation: Callable[..., Any], args: tuple[Any, ...], error: ValueError) -> Exception:
    """What a module's refusal of `args` is in Python: where it is of a dtype, and one of them is an
    8-bit float, that of `unsupported`."""
    name = operation.__name__.removesuffix("_workspace")
    arrays = [x for y in args for x in (y if isinstance(y, list) else [y]) if hasattr(x, "dtype")]
    if name in ("copy", "gemm"):  # which take them; not as the result of a product
        arrays, name = arrays[2:3], "matmul"
    found = next((x.dtype for x in arrays if is_float8(x.dtype)), None)
    if found is None or not _OF_DTYPE.search(str(error)):
        return ArgumentError(str(error))
    return unsupported(args[0] if isinstance(args[0], str) else name, found)
