"""Products of 8-bit matrices: of scaled 8-bit floats, and of integers into int32.

Both are one gemm and, as PyTorch's, have no derivative.
"""

from __future__ import annotations

from typing import Any

from .. import dtype as dtypes
from ..autograd.function import describe, mixed_devices
from ..autograd.modes import MODE
from ..backends import Array
from ..dtype import DType
from ..errors import DeviceError, DTypeError, GraphError, ShapeError
from ..tensor import Tensor
from .operands import check_tensor

OUTPUTS = (dtypes.bfloat16, dtypes.float16, dtypes.float32, *dtypes.FLOAT8)
"""What a product of 8-bit floats may be written in."""


def check_matrices(name: str, a: Any, b: Any) -> None:
    """Raise where `a` and `b` are no matrices [m, k] and [k, n] on one device."""
    for label, x in (("first", a), ("second", b)):
        if check_tensor(name, x).ndim != 2:
            raise ShapeError(f"{name}: the {label} matrix must have 2 axes; got {describe(x)}.")
    if a.backend is not b.backend:
        raise DeviceError(mixed_devices(name, (a, b)))
    if a.shape[1] != b.shape[0]:
        raise ShapeError(f"{name}: inner sizes differ: {describe(a)} times {describe(b)}.")


def check_constant(name: str, *tensors: Tensor | None) -> None:
    """Raise GraphError for a tensor that requires a gradient: there is none."""
    for x in tensors:
        if MODE.grad and x is not None and x.requires_grad:
            raise GraphError(
                f"{name}: has no derivative, and {describe(x)} requires a gradient.\n"
                "  Use it under gg.no_grad() or on x.detach(); for training multiply in bfloat16."
            )


def scaled_product(
    a: Tensor, b: Tensor, row_scale: Array, scale: Array, bias: Tensor | None, dtype: DType
) -> Tensor:
    """row_scale scale (a b) + bias in `dtype`; both scales are float32, of one element or [m] and
    [n]. 8-bit results are rounded from float32 ones."""
    kernels = a.backend.kernels
    wide = dtypes.float32 if dtypes.is_float8(dtype) else dtype
    row = None if bias is None else bias.to(wide).array
    y = kernels.gemm(a.array, b.array, row, scale=scale, dtype=wide, row_scale=row_scale)
    return Tensor(y if wide == dtype else kernels.cast(y, dtype), a.backend)


def _int_mm(input: Tensor, mat2: Tensor) -> Tensor:
    """y [m, n] = sum over k of input [m, k] mat2 [k, n], in int32: ``torch._int_mm``.

    Both are int8, or both uint8; PyTorch's other mixtures, and its `out`, are not taken. Sums wrap
    beyond 32 bits. (``@`` of int8 gives int8.)
    Raises DTypeError, ShapeError or DeviceError for matrices that do not fit.
    """
    name = "_int_mm"
    check_matrices(name, input, mat2)
    given = (input.dtype, mat2.dtype)
    if given[0] != given[1] or given[0] not in (dtypes.int8, dtypes.uint8):
        raise DTypeError(
            f"{name}: both matrices must be int8, or both uint8; got {describe(input)} and "
            f"{describe(mat2)}.\n  Convert them with .to(gg.int8)."
        )
    y = input.backend.kernels.gemm(input.array, mat2.array, dtype=dtypes.int32)
    return Tensor(y, input.backend)
