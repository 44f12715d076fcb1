"""Normalisation: of batches, rows, groups of channels; each by one fused kernel and its gradient.

With h = (x - mean) rstd, where mean and rstd = 1 / sqrt(variance + eps) are taken over some axes:
    y = h weight + bias
    dx = rstd (g - mean(g) - h mean(g h)),  g = dy weight
    dweight = sum of dy h,  dbias = sum of dy
Under create_graph the same mathematics in Tensor operations, in the accumulation dtype.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ..autograd.function import Function
from ..autograd.modes import MODE
from ..backends.base import Array, Kernels
from ..dtype import DType, accumulation
from ..tensor import Tensor
from .activation import ReluGrad

Axes = tuple[int, ...]


def moments(x: Tensor, axes: Axes, eps: float, centred: bool = True) -> tuple[Any, Tensor]:
    """(x - mean, rstd) over `axes`; mean is 0 unless `centred`. RMSNorm's rstd then."""
    d = x - x.mean(axes, keepdim=True) if centred else x
    return d, (d.square().mean(axes, keepdim=True) + eps).rsqrt()


def gradient(g: Tensor, h: Tensor, rstd: Tensor, axes: Axes, centred: bool = True) -> Tensor:
    """rstd (g - mean(g) - h mean(g h)), means over `axes`."""
    dx = g - h * (g * h).mean(axes, keepdim=True)
    return (dx - g.mean(axes, keepdim=True) if centred else dx) * rstd


def by_channel(vector: Tensor, ndim: int) -> Tensor:
    """[C] beside [N, C, ...]."""
    return vector.reshape(-1, *[1] * (ndim - 2))


def cast(kernels: Kernels, array: Array, dtype: DType) -> Array:
    """`array`, or its values in `dtype`."""
    return array if array.dtype == dtype else kernels.cast(array, dtype)


class Norm(Function, abstract=True):
    """What the normalisations share: saved are x, weight, ..., mean and rstd."""

    kernels: Any
    eps: float
    bias_dtype: Any

    def tensors(self, dy: Tensor, *arrays: Any) -> Any:
        """Gradients that a kernel computed, as tensors; dbias in the dtype of bias."""
        dx, dweight, dbias, *rest = arrays
        if dbias is not None:
            dbias = cast(self.kernels, dbias, self.bias_dtype)
        found = (dx, dweight, dbias, *rest)
        return tuple([None if a is None else Tensor(a, dy.backend) for a in found])

    def sums(self, dz: Tensor, h: Tensor, weight: Any, outer: Axes) -> tuple[Any, Any]:
        """(dweight, dbias) by Tensor operations: sums over `outer`, each where it is needed."""
        dweight = (dz * h).sum(outer).to(weight.dtype) if self.needs(1) else None
        return dweight, (dz.sum(outer).to(self.bias_dtype) if self.needs(2) else None)


class BatchNorm(Norm):
    """y = act(h weight + bias + residual), statistics over all axes but 1, or given (`fixed`).

    Through relu: dz = dy where y > 0 else 0. dresidual = dz. Given statistics are constants:
    dx = weight rstd dz.
    """

    def forward(
        self,
        x: Any,
        weight: Any,
        bias: Any,
        residual: Any,
        running_mean: Any,
        running_var: Any,
        training: bool,
        momentum: float,
        eps: float,
        act: str,
    ) -> Any:
        k, wide = self.kernels, accumulation(x.dtype)
        self.act, self.fixed, self.eps = act, not training, eps
        self.bias_dtype = None if bias is None else bias.dtype
        if self.fixed:
            mean = k.cast(running_mean, wide)  # a copy: they may move before backward
            rstd = k.unary("rsqrt", k.binary("add", cast(k, running_var, wide), eps))
        else:
            mean, rstd = self._statistics(x, running_mean, running_var, momentum)
        y = k.batch_norm_apply(x, mean, rstd, weight, bias, residual, act)
        self.save(x, weight, y if act == "relu" else None, mean, rstd)
        return y

    def _statistics(self, x: Any, running_mean: Any, running_var: Any, momentum: float) -> Any:
        """(mean, rstd) of x; moves the running statistics, of whatever dtype, in place."""
        k, wide = self.kernels, accumulation(x.dtype)
        running = (running_mean, running_var)
        if x.size == 0 or running_mean is None:
            running = (None, None)
        moved: Any = [None if r is None else cast(k, r, wide) for r in running]
        statistics = k.batch_norm_stats(x, *moved, momentum, self.eps)
        for given, new in zip(running, moved, strict=True):
            if given is not new:
                k.copy(new, given)
        return statistics

    def backward(self, dy: Tensor) -> Any:
        x, weight, y, mean, rstd = self.saved
        if MODE.grad:
            return self._by_operations(dy, x, weight, y, mean, rstd)
        options = (self.act, self.fixed, self.needs(2), self.needs(3))
        inputs: Any = [None if t is None else t.array for t in (dy, x, y, mean, rstd, weight)]
        grads = self.kernels.batch_norm_grad(*inputs, *options)
        return *self.tensors(dy, *grads), None, None

    def _by_operations(
        self, dy: Tensor, x: Tensor, weight: Any, y: Any, mean: Tensor, rstd: Tensor
    ) -> Any:
        ndim, outer = x.ndim, (0, *range(2, x.ndim))
        dz, wide = dy if y is None else ReluGrad.apply(dy, y), mean.dtype
        dresidual, dz, x_wide = dz if self.needs(3) else None, dz.to(wide), x.to(wide)
        g = dz if weight is None else dz * by_channel(weight.to(wide), ndim)
        if self.fixed:
            scale = by_channel(rstd, ndim)
            h = (x_wide - by_channel(mean, ndim)) * scale
            dx = g * scale
        else:
            d, scale = moments(x_wide, outer, self.eps)
            h = d * scale
            dx = gradient(g, h, scale, outer)
        sums = self.sums(dz, h, weight, outer)
        return dx.to(x.dtype), *sums, dresidual, None, None


class LayerNorm(Norm):
    """Statistics of rows: over the last axes, of `shape`. RMSNorm (not `centred`): mean is 0."""

    def forward(
        self, x: Any, weight: Any, bias: Any, shape: Axes, eps: float, centred: bool
    ) -> Any:
        self.of, self.eps, self.centred = shape, eps, centred
        self.bias_dtype = None if bias is None else bias.dtype
        vectors: Any = (weight, bias)
        if len(shape) > 1:
            vectors = [None if v is None else v.reshape(-1) for v in vectors]
        y, _, mean, rstd = self.kernels.layer_norm(self._rows(x), None, *vectors, eps, centred)
        self.save(x, weight, mean, rstd)
        return y if y.shape == x.shape else y.reshape(x.shape)

    def _rows(self, x: Any) -> Any:
        """x as [M, D], a row for each normalised part."""
        outer = x.ndim - len(self.of)
        if x.ndim == 2 and outer == 1:
            return x
        x = x if x.flags.c_contiguous else self.kernels.contiguous(x)
        return x.reshape(prod(x.shape[:outer]), prod(self.of))

    def backward(self, dy: Tensor) -> Any:
        x, weight, mean, rstd = self.saved
        if MODE.grad:
            return self._by_operations(dy, x, weight, rstd.dtype)
        rows = (self._rows(dy.array), self._rows(x.array))
        vectors: Any = [None if t is None else t.array.reshape(-1) for t in (weight, mean, rstd)]
        dx, *sums = self.kernels.layer_norm_grad(*rows, *vectors, None, self.needs(2))
        sums = [None if v is None else v.reshape(self.of) for v in sums]
        return self.tensors(dy, dx.reshape(x.shape), *sums)

    def _by_operations(self, dy: Tensor, x: Tensor, weight: Any, wide: DType) -> Any:
        outer = x.ndim - len(self.of)
        axes = tuple(range(outer, x.ndim))
        dz = dy.to(wide)
        g = dz if weight is None else dz * weight.to(wide)
        d, rstd = moments(x.to(wide), axes, self.eps, self.centred)
        h = d * rstd
        dx = gradient(g, h, rstd, axes, self.centred)
        if outer == 0:  # one row: nothing to sum over
            dz, h = dz.unsqueeze(0), h.unsqueeze(0)
        return dx.to(x.dtype), *self.sums(dz, h, weight, tuple(range(max(outer, 1))))


class AddLayerNorm(LayerNorm):
    """(y, sum): sum = x + residual, y its LayerNorm;  dx = dresidual = dsum + LayerNorm's dx."""

    def forward(  # type: ignore[override]
        self, x: Any, weight: Any, bias: Any, residual: Any, shape: Axes, eps: float, centred: bool
    ) -> Any:
        self.of, self.eps, self.centred = shape, eps, centred
        self.bias_dtype = None if bias is None else bias.dtype
        vectors: Any = [None if v is None else v.reshape(-1) for v in (weight, bias)]
        rows = (self._rows(x), self._rows(residual))
        y, total, mean, rstd = self.kernels.layer_norm(*rows, *vectors, eps, centred)
        total = total.reshape(x.shape)
        self.save(total, weight, mean, rstd)
        return y.reshape(x.shape), total

    def backward(self, dy: Tensor | None, dsum: Tensor | None = None) -> Any:
        total, weight, mean, rstd = self.saved
        if dy is None:
            return dsum, None, None, dsum
        if MODE.grad:
            dx, *sums = self._by_operations(dy, total, weight, rstd.dtype)
            dx = dx if dsum is None else dx + dsum
            return dx, *sums, dx
        rows = (self._rows(dy.array), self._rows(total.array))
        vectors: Any = [None if t is None else t.array.reshape(-1) for t in (weight, mean, rstd)]
        past = None if dsum is None else self._rows(dsum.array)
        dx, *sums = self.kernels.layer_norm_grad(*rows, *vectors, past, self.needs(2))
        sums = [None if v is None else v.reshape(self.of) for v in sums]
        dx, *rest = self.tensors(dy, dx.reshape(total.shape), *sums)
        return dx, *rest, dx


class GroupNorm(Norm):
    """y = h weight + bias, h = (x - mean) rstd, over each sample's groups of channels.

    dx = rstd (g - mean(g) - h mean(g h)), g = dy weight; dweight = sum(dy h), dbias = sum(dy).
    """

    def forward(self, x: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
        self.groups, self.eps = groups, eps
        self.bias_dtype = None if bias is None else bias.dtype
        y, mean, rstd = self.kernels.group_norm(x, weight, bias, groups, eps)
        self.save(x, weight, mean, rstd)
        return y

    def backward(self, dy: Tensor) -> Any:
        x, weight, mean, rstd = self.saved
        if MODE.grad:
            return self._by_operations(dy, x, weight, rstd.dtype)
        inputs: Any = [None if t is None else t.array for t in (dy, x, weight, mean, rstd)]
        return self.tensors(dy, *self.kernels.group_norm_grad(*inputs, self.needs(2)))

    def _by_operations(self, dy: Tensor, x: Tensor, weight: Any, wide: DType) -> Any:
        dz, (n, c, *spatial) = dy.to(wide), x.shape
        rows = (n, self.groups, c // self.groups * prod(spatial))
        g = dz if weight is None else dz * by_channel(weight.to(wide), x.ndim)
        d, rstd = moments(x.to(wide).reshape(rows), (2,), self.eps)
        h = d * rstd
        dx = gradient(g.reshape(rows), h, rstd, (2,)).reshape(x.shape)
        sums = self.sums(dz, h.reshape(x.shape), weight, (0, *range(2, x.ndim)))
        return dx.to(x.dtype), *sums
