"""Cross-entropy of a linear layer's logits, a slice of rows at a time: they are never all stored.

logits = x W^T + b of a slice live until its loss is known; backward computes them again, unless
one slice was enough:
    dlogits = dloss (softmax(logits) - onehot(t));  dx = dlogits W,  dW = sum of dlogits^T x,
    db = sum of dlogits
dW and db are summed in the accumulation dtype over the slices, in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import dtype as dtypes
from ..amp.autocast_mode import AUTOCAST
from ..autograd.composed import through
from ..autograd.function import Function, describe, mixed_devices
from ..autograd.modes import MODE
from ..errors import DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .linalg import linear
from .losses import check_reduction, cross_entropy
from .operands import check_tensor, demand_floating

SLICE_BYTES = 32 << 20
"""Memory that the logits of a slice may take."""


class LinearCrossEntropy(Function):
    """loss = cross_entropy(x W^T + b, target);  dx = dlogits W, dW = dlogits^T x, db = its sum.

    x [N, D], W [C, D], b [C] or None, target [N]. precise: the loss stays in the accumulation
    dtype.
    """

    def forward(
        self,
        x: Any,
        w: Any,
        bias: Any,
        target: Any,
        weight: Any,
        ignore_index: int,
        smoothing: float,
        reduction: str,
        precise: bool,
    ) -> Any:
        k, wide = self.kernels, dtypes.accumulation(x.dtype)
        self.options, self.reduction = (ignore_index, smoothing), reduction
        loss, lse, counted = (self.backend.empty((len(x), 1), wide) for _ in range(3))
        logits = None
        for rows in self._slices(x, w):
            logits = k.gemm(x[rows], w.T, bias)[:, :, None]
            parts = k.cross_entropy(logits, target[rows][:, None], weight, *self.options)
            for whole, part in zip((loss, lse, counted), parts, strict=True):
                k.copy(part, whole[rows])
        total = None
        if reduction != "none":
            loss = k.reduce("sum", loss, (0, 1), False)
        if reduction == "mean":
            total = k.reduce("sum", counted, (0, 1), False)
            loss = k.binary("div", loss, total)
        self.save(x, w, bias, target, weight, lse, total, self._whole(x, logits))
        loss = loss.reshape(-1) if reduction == "none" else loss
        return loss if precise or wide == x.dtype else k.cast(loss, x.dtype)

    def _slices(self, x: Any, w: Any) -> Iterator[slice]:
        """Rows whose logits fit SLICE_BYTES."""
        rows = max(SLICE_BYTES // max(len(w) * x.itemsize, 1), 1)
        return (slice(i, min(i + rows, len(x))) for i in range(0, len(x), rows))

    def _whole(self, x: Any, logits: Any) -> Any:
        """The logits, if they are those of all rows and a gradient may want them."""
        return logits if any(self.edges) and logits is not None and len(logits) == len(x) else None

    def backward(self, dy: Tensor) -> Any:
        x, w, bias, target, weight, lse, total, logits = self.saved
        if MODE.grad:
            return self._composed(dy, x, w, bias, target, weight)
        dloss = dy.to(lse.dtype)
        if total is not None:
            dloss = dloss / total
        dloss = dloss.expand(target.shape).unsqueeze(1)
        fixed = [None if t is None else t.array for t in (target, weight, lse, logits)]
        return self._gradients(x.array, w.array, bias, dloss.array, fixed)

    def _gradients(self, x: Any, w: Any, bias: Any, dloss: Any, fixed: list[Any]) -> Any:
        k, wide = self.kernels, dtypes.accumulation(x.dtype)
        target, weight, lse, logits = fixed
        raw_bias = None if bias is None else bias.array
        dx = self.backend.empty(x.shape, x.dtype) if self.needs(0) else None
        dw = self.backend.empty(w.shape, wide) if self.needs(1) else None
        db = self.backend.empty(w.shape[:1], wide) if bias is not None and self.needs(2) else None
        for sums in (dw, db) if len(x) == 0 else (db,):
            if sums is not None:
                k.fill(sums, 0)
        for rows in self._slices(x, w):
            slice_ = k.gemm(x[rows], w.T, raw_bias)[:, :, None] if logits is None else logits
            inputs = (dloss[rows], slice_, target[rows][:, None], weight, lse[rows])
            dlogits = k.cross_entropy_grad(*inputs, *self.options)[:, :, 0]
            if dx is not None:
                k.gemm(dlogits, w, out=dx[rows])
            if dw is not None:
                k.gemm(dlogits.T, x[rows], beta=float(rows.start > 0), out=dw)
            if db is not None:
                part = k.reduce("sum", dlogits, (0,), False)
                db = k.binary("add", db, part if part.dtype == wide else k.cast(part, wide))
        grads = [None if g is None else Tensor(g, self.backend).to(x.dtype) for g in (dx, dw, db)]
        return (*grads, None, None)

    def _composed(
        self, dy: Tensor, x: Tensor, w: Tensor, bias: Any, target: Tensor, weight: Any
    ) -> Any:
        ignore_index, smoothing = self.options

        def again(x: Tensor, w: Tensor, bias: Any) -> Tensor:
            logits = linear(x, w, bias)
            return cross_entropy(logits, target, weight, ignore_index, self.reduction, smoothing)

        return (*through(again, (x, w, bias), (dy.to(x.dtype),)), None, None)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target) without all the logits.

    input [N, D] or [D], linear_weight [C, D], target class indices [N] or 0-d; the other arguments
    are cross_entropy's. For the head of a language model: memory for N x C logits and their
    gradient is not needed, at most 32 MiB of them exist at a time.
    Probabilities as target are composed. Raises ShapeError, DTypeError, DeviceError.
    """
    name = "linear_cross_entropy"
    precise = False
    if AUTOCAST.on:
        precise = AUTOCAST.holds(input)
        values = (input, linear_weight, linear_bias)
        input, linear_weight, linear_bias = AUTOCAST.cast(name, *values)
    for t in (input, linear_weight):
        demand_floating(name, check_tensor(name, t))
    check_reduction(name, reduction)
    facts = f"input {describe(input)}, linear_weight {describe(linear_weight)}"
    if linear_weight.backend is not input.backend or target.backend is not input.backend:
        raise DeviceError(mixed_devices(name, (input, linear_weight, target)))
    if input.dtype != linear_weight.dtype:
        raise DTypeError(f"{name}: input and linear_weight must have one dtype; got {facts}.")
    if dtypes.is_floating(target.dtype) or input.ndim not in (1, 2):
        logits = linear(input, linear_weight, linear_bias)
        return cross_entropy(logits, target, weight, ignore_index, reduction, label_smoothing)
    if linear_weight.ndim != 2 or input.shape[-1] != linear_weight.shape[1]:
        raise ShapeError(
            f"{name}: linear_weight must be [classes, {input.shape[-1]}]; got {facts}."
        )
    if target.shape != input.shape[:-1]:
        raise ShapeError(
            f"{name}: target {tuple(target.shape)} must have a class for each row of input: "
            f"{tuple(input.shape[:-1])}."
        )
    classes = linear_weight.shape[0]
    for label, vector in (("linear_bias", linear_bias), ("weight", weight)):
        if vector is not None and vector.shape != (classes,):
            raise ShapeError(f"{name}: {label} must be ({classes},), got {tuple(vector.shape)}.")
    loss: Tensor = LinearCrossEntropy.apply(
        input.reshape(-1, input.shape[-1]),
        linear_weight,
        linear_bias,
        target.reshape(-1).to(dtypes.int64),
        None if weight is None else weight.to(dtypes.accumulation(input.dtype)),
        ignore_index=ignore_index,
        smoothing=float(label_smoothing),
        reduction=reduction,
        precise=precise,
    )
    return loss if reduction != "none" else loss.reshape(target.shape)
