"""Products with a sum around them, and of more axes than matrices have."""

from __future__ import annotations

import itertools
from typing import Any

from ..amp.autocast_mode import AUTOCAST
from ..autograd.function import Function, describe, mixed_devices
from ..dtype import is_floating
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..tensor import Tensor
from .linalg import dot, matmul, outer, ranked
from .operands import axes, axis, check_tensor

Number = float


class AddProduct(Function):
    """y = beta x + alpha a b, one kernel;  da = alpha dy b^T, db = alpha a^T dy, dx = beta dy.

    Matrices, or stacks of as many; x broadcasts to y. A row x with beta = 1 is gemm's bias, a whole
    x its residual; another x is first copied to where y is written.
    """

    def forward(self, a: Any, b: Any, x: Any, alpha: Number, beta: Number) -> Any:
        self.alpha, self.beta = alpha, beta
        edges = self.edges
        self.save(a if edges[1] else None, b if edges[0] else None)
        shape = (*a.shape[:-1], b.shape[-1])
        if beta == 0:
            return self.kernels.gemm(a, b, alpha=alpha)
        if beta == 1 and x.shape == shape[-1:]:
            return self.kernels.gemm(a, b, x, alpha=alpha)
        if beta == 1 and x.shape == shape:
            return self.kernels.gemm(a, b, residual=x, alpha=alpha)
        out = self.backend.empty(shape, a.dtype)
        self.kernels.copy(x, out)
        return self.kernels.gemm(a, b, alpha=alpha, beta=beta, out=out)

    def backward(self, dy: Tensor) -> Any:
        a, b = self.saved
        scaled = dy if self.alpha == 1 else dy * self.alpha
        da = scaled @ b.mT if self.needs(0) else None
        db = a.mT @ scaled if self.needs(1) else None
        return da, db, ((dy if self.beta == 1 else dy * self.beta) if self.needs(2) else None)


def _add_product(
    name: str, x: Tensor, a: Tensor, b: Tensor, beta: Number, alpha: Number, shape: tuple[int, ...]
) -> Tensor:
    """`AddProduct` after checking what PyTorch checks; `shape` is what x must broadcast to."""
    if AUTOCAST.on:
        x, a, b = AUTOCAST.cast(name, x, a, b)
    fits = x.array.shape == shape or x.array.shape == shape[-1:]
    alike = a.array.dtype == b.array.dtype == x.array.dtype and a.backend is b.backend is x.backend
    if fits and alike and alpha == beta == 1 and a.array.shape[-1] == b.array.shape[-2]:
        usual: Tensor = AddProduct.apply(a, b, x, alpha=alpha, beta=beta)
        return usual
    if not (a.backend is b.backend is x.backend):
        raise DeviceError(mixed_devices(name, (x, a, b)))
    if not (a.dtype == b.dtype == x.dtype):
        facts = ", ".join(describe(t) for t in (x, a, b))
        raise DTypeError(f"{name}: all three need one dtype; got {facts}.\n  Use .to(dtype).")
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"{name}: inner sizes differ: {a.shape} and {b.shape}.")
    given = x.shape
    extra = len(shape) - len(given)
    if extra < 0 or any(n not in (1, m) for n, m in zip(given, shape[extra:], strict=True)):
        raise ShapeError(f"{name}: input {given} does not expand to the product's {tuple(shape)}.")
    _check_factors(name, a, beta, alpha)
    y: Tensor = AddProduct.apply(a, b, x, alpha=alpha, beta=beta)
    return y


def _check_factors(name: str, x: Tensor, beta: Number, alpha: Number) -> None:
    for label, factor in (("beta", beta), ("alpha", alpha)):
        if isinstance(factor, float) and not is_floating(x.dtype):
            raise ArgumentError(f"{name}: {label}={factor} must be an integer for {x.dtype.name}.")


def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """beta input + alpha mat1 mat2, in one kernel: [n, k], [k, m] -> [n, m]; input broadcasts.

    beta = 0 leaves `input` unread, NaN and all. Raises ShapeError, DTypeError or DeviceError.
    """
    ranked("addmm", ("mat1", mat1, 2), ("mat2", mat2, 2))
    x = check_tensor("addmm", input)
    shape = (mat1.shape[0], mat2.shape[1])
    return _add_product("addmm", x, mat1, mat2, beta, alpha, shape)


def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """beta input + alpha mat vec: [n, k], [k] -> [n]; input broadcasts."""
    ranked("addmv", ("mat", mat, 2), ("vec", vec, 1))
    x = check_tensor("addmv", input)
    if x.ndim > 1:
        raise ShapeError(f"addmv: input {x.shape} does not expand to ({mat.shape[0]},).")
    shape, row = (mat.shape[0], 1), x.unsqueeze(-1)
    return _add_product("addmv", row, mat, vec.unsqueeze(-1), beta, alpha, shape).squeeze(-1)


def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """beta input + alpha vec1 vec2^T: [n], [m] -> [n, m]; input broadcasts, dtypes are promoted."""
    if AUTOCAST.on:
        input, vec1, vec2 = AUTOCAST.cast("addr", input, vec1, vec2)
    ranked("addr", ("vec1", vec1, 1), ("vec2", vec2, 1))
    x, product = check_tensor("addr", input), outer(vec1, vec2)
    if x.ndim > 2 or any(
        n not in (1, m) for n, m in zip(x.shape[::-1], product.shape[::-1], strict=False)
    ):
        raise ShapeError(f"addr: input {x.shape} does not expand to {product.shape}.")
    for label, t in (("beta", x), ("alpha", product)):
        _check_factors(f"addr ({label})", t, beta, alpha)
    if product.dtype.kind == "b" and x.dtype.kind == "b":
        product = product & bool(alpha)
        return product if beta == 0 else (x & bool(beta)) | product
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product if product.dtype == x.dtype else product + x.new_zeros(())
    return (x if beta == 1 else x * beta) + product


def _check_stacks(name: str, batch1: Tensor, batch2: Tensor) -> None:
    ranked(name, ("batch1", batch1, 3), ("batch2", batch2, 3))
    if batch1.shape[0] != batch2.shape[0]:
        raise ShapeError(f"{name}: {batch1.shape[0]} and {batch2.shape[0]} matrices.")


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """beta input + alpha batch1 batch2, in one kernel: [b, n, k], [b, k, m] -> [b, n, m]."""
    _check_stacks("baddbmm", batch1, batch2)
    x = check_tensor("baddbmm", input)
    shape = (*batch1.shape[:2], batch2.shape[2])
    return _add_product("baddbmm", x, batch1, batch2, beta, alpha, shape)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Number = 1, alpha: Number = 1
) -> Tensor:
    """beta input + alpha (sum over b of batch1[b] batch2[b]): [b, n, k], [b, k, m] -> [n, m].

    The stack is laid side by side, so that one product of matrices forms the sum.
    """
    _check_stacks("addbmm", batch1, batch2)
    x, (b, n, k), m = check_tensor("addbmm", input), batch1.shape, batch2.shape[2]
    if k != batch2.shape[1]:
        raise ShapeError(f"addbmm: inner sizes differ: {batch1.shape} and {batch2.shape}.")
    side = batch1.transpose(0, 1).reshape(n, b * k)
    return _add_product("addbmm", x, side, batch2.reshape(b * k, m), beta, alpha, (n, m))


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The sum of products of two vectors; for real numbers the same as `dot`."""
    ranked("vdot", ("input", input, 1), ("other", other, 1))
    return dot(input, other)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products along the last axes: [..., k], [---, k] -> [..., ---]; 0-d scales."""
    a, b = check_tensor("inner", input), check_tensor("inner", other)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"inner: last axes differ: {a.shape} and {b.shape}.")
    return tensordot(a, b, ([-1], [-1]))


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over several axes at once, as one product of matrices.

    dims: the axes of `a` and those of `b`, two lists (or a tensor of two rows); or a number: so
    many last axes of `a` with first ones of `b`. The result has the other axes, those of a first.
    An axis of length 1 meets any length.
    """
    check_tensor("tensordot", a), check_tensor("tensordot", b)
    first, second = _contracted(a, b, dims)
    for i, j in zip(first, second, strict=True):
        n, m = a.shape[i], b.shape[j]
        if n != m and 1 not in (n, m):
            raise ShapeError(f"tensordot: axis {i} of {a.shape} does not fit {j} of {b.shape}.")
        if n != m:
            a = a if n == 1 else a.sum(i, keepdim=True).to(a.dtype)
            b = b if m == 1 else b.sum(j, keepdim=True).to(b.dtype)
    rest = [i for i in range(a.ndim) if i not in first]
    others = [j for j in range(b.ndim) if j not in second]
    shape = [a.shape[i] for i in rest], [b.shape[j] for j in others]
    k = _size(a.shape[i] for i in first)
    rows = a.permute([*rest, *first]).reshape(_size(shape[0]), k)
    columns = b.permute([*second, *others]).reshape(k, _size(shape[1]))
    return matmul(rows, columns).reshape([*shape[0], *shape[1]])


def _contracted(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    given = dims.tolist() if isinstance(dims, Tensor) else dims
    if isinstance(given, int):
        if given < 0 or given > min(a.ndim, b.ndim):
            raise ArgumentError(
                f"tensordot: dims={given} must be 0 to {min(a.ndim, b.ndim)} for {a.shape} and "
                f"{b.shape}."
            )
        return list(range(a.ndim - given, a.ndim)), list(range(given))
    pair = [[d] if isinstance(d, int) else list(d) for d in given]
    if len(pair) != 2 or len(pair[0]) != len(pair[1]):
        raise ArgumentError(f"tensordot: dims must be two lists of as many axes, got {given}.")
    first = [axis("tensordot", d, a.ndim) for d in pair[0]]
    second = [axis("tensordot", d, b.ndim) for d in pair[1]]
    if first:  # refuses an axis that is named twice
        axes("tensordot", first, a.ndim), axes("tensordot", second, b.ndim)
    return first, second


def _size(lengths: Any) -> int:
    return list(itertools.accumulate(lengths, lambda n, m: n * m, initial=1))[-1]


def kron(input: Tensor, other: Tensor) -> Tensor:
    """Kronecker's product: each element of `input` times all of `other`, in blocks."""
    a, b = check_tensor("kron", input), check_tensor("kron", other)
    n = max(a.ndim, b.ndim)
    left, right = (1,) * (n - a.ndim) + a.shape, (1,) * (n - b.ndim) + b.shape
    wide = a.reshape([m for length in left for m in (length, 1)])
    product = wide * b.reshape([m for length in right for m in (1, length)])
    return product.reshape([i * j for i, j in zip(left, right, strict=True)])


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal; int64 for integers."""
    ranked("trace", ("input", input, 2))
    return input.diagonal().sum()
