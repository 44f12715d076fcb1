"""Linear algebra beyond what the cases and PyTorch's samples reach: plans, layouts, refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import linalg
from gpugrad.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GraphError,
    IndexOutOfRangeError,
    LinAlgError,
    ShapeError,
)

RNG = np.random.default_rng(5)


def normal(*shape: int, dtype: Any = gg.float64) -> gg.Tensor:
    return gg.tensor(RNG.standard_normal(shape)).to(dtype)


def close(a: gg.Tensor, b: Any, roundings: float = 256) -> None:
    """Equal up to `roundings` epsilons of the largest element."""
    expected = np.asarray(b.detach().numpy() if isinstance(b, gg.Tensor) else b)
    limit = roundings * np.finfo(expected.dtype).eps * max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(a.detach().numpy(), expected, rtol=0, atol=limit)


# ---- products ------------------------------------------------------------------------------------


def test_beta_0_leaves_the_input_unread() -> None:
    a, b = normal(2, 3), normal(3, 4)
    close(gg.addmm(gg.full((2, 4), gg.nan, dtype=gg.float64), a, b, beta=0), a @ b)
    row = gg.full((4,), gg.nan, dtype=gg.float64)
    close(gg.addr(row, normal(2) * 0, normal(4), beta=0), np.zeros((2, 4)))


@pytest.mark.parametrize("shape", [(2, 4), (4,), (2, 1), (1, 1), ()])
@pytest.mark.parametrize("beta", [1, 0.5])
def test_addmm_of_every_input(shape: tuple[int, ...], beta: float) -> None:
    x, a, b = normal(*shape).requires_grad_(), normal(2, 3), normal(3, 4)
    y = gg.addmm(x, a, b, beta=beta, alpha=2)
    close(y, beta * x.detach().numpy() + 2 * (a.numpy() @ b.numpy()))
    y.sum().backward()
    assert x.grad is not None and x.grad.shape == shape
    close(x.grad.sum(), np.float64(8 * beta))


def test_integers_take_integer_factors() -> None:
    a = gg.arange(6).reshape(2, 3)
    y = gg.addmm(gg.ones(2, dtype=gg.int64), a, a.mT, beta=2, alpha=3)
    assert y.tolist() == (2 + 3 * (a.numpy() @ a.numpy().T)).tolist() and y.dtype == gg.int64
    with pytest.raises(ArgumentError, match=r"addmm: beta=0.5 must be an integer for int64"):
        gg.addmm(y, a, a.mT, beta=0.5)
    flags = gg.tensor([True, False])
    assert gg.addr(gg.tensor([[False], [True]]), flags, flags).tolist() == [[1, 0], [1, 1]]


def test_in_place_products() -> None:
    x, a, b = normal(2, 4), normal(2, 3), normal(3, 4)
    expected = x + a @ b
    assert x.addmm_(a, b) is x
    close(x, expected)
    with pytest.raises(ShapeError, match="addmm_"):
        normal(4).addmm_(a, b)


def test_a_sum_of_several_tensors_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """a[n, n] b[n, n] c[n]: from the right n^2 multiplications, and no product of matrices."""
    n = 60
    a, b, c = normal(n, n), normal(n, n), normal(n)
    module, factors = sys.modules["gpugrad.ops.einsum"], []

    def spied(x: gg.Tensor, y: gg.Tensor) -> gg.Tensor:
        factors.append((x.shape, y.shape))
        return x @ y

    monkeypatch.setattr(module, "matmul", spied)
    close(gg.einsum("ij,jk,k->i", a, b, c), a.numpy() @ b.numpy() @ c.numpy(), 4096)
    assert len(factors) == 2 and all(1 in (*x, *y) for x, y in factors)


EQUATIONS: list[tuple[str, list[tuple[int, ...]]]] = [
    ("i,i->", [(3,), (3,)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->ji", [(2, 2, 3)]),
    ("ij->", [(2, 3)]),
    ("ba", [(2, 3)]),
    ("...ij->...ji", [(2, 3, 4)]),
    ("...,...", [(2, 3), (3,)]),
    ("a...b,b...->...a", [(2, 5, 3), (3, 5)]),
    ("bij,bjk,kl->bil", [(2, 3, 4), (2, 4, 5), (5, 2)]),
    ("i,j->ij", [(2,), (3,)]),
    ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
    ("i , j -> j i", [(2,), (3,)]),
    ("ij,jk", [(0, 3), (3, 2)]),
    ("ij,jk", [(2, 0), (0, 2)]),
    (",i->i", [(), (3,)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=[e for e, _ in EQUATIONS])
def test_einsum_is_numpys(equation: str, shapes: list[tuple[int, ...]]) -> None:
    xs = [normal(*shape) for shape in shapes]
    expected = np.einsum(equation.replace(" ", ""), *[x.numpy() for x in xs])
    close(gg.einsum(equation, *xs), expected)
    close(gg.einsum(equation, xs), expected)


def test_einsum_beyond_numpy() -> None:
    a, b = normal(2, 3), normal(3, 4)
    close(gg.einsum(a, [0, 1], b, [1, 2], [0, 2]), a @ b)
    close(gg.einsum(a, [..., 0], b, [0, 1]), a @ b)
    close(gg.einsum("ij,jk->ik", a, normal(1, 4) * 0 + 1), a.sum(1, keepdim=True).expand(2, 4))
    assert gg.einsum("ij,kj->ik", *[gg.ones(2, 3, dtype=gg.int32)] * 2).dtype == gg.int32
    half = gg.ones(2, 4096, dtype=gg.float16)
    assert gg.einsum("ij,kj->ik", half, half).tolist() == [[4096.0] * 2] * 2


X, Y = gg.ones(2, 3), gg.ones(3, 4)
A = gg.ones(3, 3)
REFUSED: dict[str, tuple[Callable[[], Any], type, str]] = {
    "einsum_terms": (lambda: gg.einsum("ij,jk", X), ArgumentError, r"2 terms, 1 tensors"),
    "einsum_axes": (lambda: gg.einsum("ijk", X), ShapeError, r"names 3 axes.*\(2, 3\)"),
    "einsum_letter": (lambda: gg.einsum("i1", X), ArgumentError, r"'1' is no axis"),
    "einsum_dots": (lambda: gg.einsum("i.", X), ArgumentError, r"'.' is no axis"),
    "einsum_result": (lambda: gg.einsum("ij->ik", X), ArgumentError, r"'k' of the result"),
    "einsum_twice": (lambda: gg.einsum("ij->ii", X), ArgumentError, r"names axis 'i' twice"),
    "einsum_lengths": (lambda: gg.einsum("ij,ij", X, Y), ShapeError, r"'i' has length 3 in term 1"),
    "einsum_diagonal": (lambda: gg.einsum("ii", X), ShapeError, r"axes 2 and 3 'i'"),
    "einsum_nothing": (lambda: gg.einsum("ij"), ArgumentError, r"at least one tensor"),
    "einsum_dtypes": (
        lambda: gg.einsum("ij,jk", X, Y.double()),
        DTypeError,
        r"one dtype, got float32, float64",
    ),
    "einsum_sublist": (lambda: gg.einsum(X, [0, 99]), ArgumentError, r"99 in \[0, 99\]"),
    "addmm_input": (lambda: gg.addmm(gg.ones(3), X, Y), ShapeError, r"\(3,\).*\(2, 4\)"),
    "addmm_inner": (lambda: gg.addmm(X, X, X), ShapeError, r"inner sizes differ"),
    "addmm_dtype": (lambda: gg.addmm(gg.ones(4).double(), X, Y), DTypeError, r"one dtype"),
    "baddbmm_stack": (
        lambda: gg.baddbmm(X, gg.ones(2, 2, 3), gg.ones(1, 3, 4)),
        ShapeError,
        r"2 and 1 matrices",
    ),
    "tensordot_lengths": (lambda: gg.tensordot(X, Y, 2), ShapeError, r"axis 0 of \(2, 3\)"),
    "tensordot_count": (
        lambda: gg.tensordot(X, Y, ([0], [0, 1])),
        ArgumentError,
        r"two lists of as many",
    ),
    "tensordot_range": (
        lambda: gg.tensordot(X, Y, ([2], [0])),
        IndexOutOfRangeError,
        r"dim 2 is out of range",
    ),
    "inner": (lambda: gg.inner(X, Y), ShapeError, r"last axes differ"),
    "trace": (lambda: gg.trace(gg.ones(2, 2, 2)), ShapeError, r"must have 2 axes"),
    "square": (lambda: linalg.inv(X), ShapeError, r"linalg.inv: needs square matrices.*\(2, 3\)"),
    "rank": (lambda: linalg.det(gg.ones(3)), ShapeError, r"needs a matrix"),
    "half": (lambda: linalg.inv(A.half()), DTypeError, r"needs float32 or float64.*float16"),
    "integer": (lambda: linalg.svd(A.int()), DTypeError, r"got \(3, 3\) int32"),
    "solve_shapes": (lambda: linalg.solve(A, gg.ones(2, 1)), ShapeError, r"does not fit B"),
    "solve_dtype": (lambda: linalg.solve(A, A.double()), DTypeError, r"one dtype"),
    "solve_lead": (
        lambda: linalg.solve(gg.ones(2, 3, 3), gg.ones(4, 3, 1)),
        ShapeError,
        r"leading axes",
    ),
    "qr_mode": (lambda: linalg.qr(A, "economic"), ArgumentError, r"'economic'"),
    "uplo": (lambda: linalg.eigh(A, "X"), ArgumentError, r"UPLO must be 'L' or 'U', not 'X'"),
    "eig": (lambda: linalg.eig(A), DTypeError, r"no complex dtype.\n.*linalg.eigh"),
    "eigvals": (lambda: linalg.eigvals(A), DTypeError, r"linalg.eigvalsh"),
    "driver": (lambda: linalg.lstsq(A, A, driver="qr"), ArgumentError, r"'qr'"),
    "svd_driver": (lambda: linalg.svd(A, driver="gesvd"), ArgumentError, r"must be None"),
    "pivot": (lambda: linalg.lu(A, pivot=False), ArgumentError, r"pivot=False"),
    "ord": (lambda: linalg.matrix_norm(A, 3), ArgumentError, r"ord must be 'fro'.*not 3"),
    "vector_ord": (lambda: linalg.vector_norm(A, "fro"), DTypeError, r"ord must be a number"),
    "norm_dtype": (lambda: linalg.norm(A.double(), dtype=gg.float32), DTypeError, r"cannot hold"),
    "norm_nothing": (
        lambda: linalg.vector_norm(gg.ones(0), gg.inf),
        ShapeError,
        r"of nothing is not defined",
    ),
    "power": (lambda: linalg.matrix_power(A, 0.5), DTypeError, r"n must be an int, got 0.5"),
    "multi_dot": (lambda: linalg.multi_dot([X]), ArgumentError, r"at least two"),
    "multi_dot_fit": (lambda: linalg.multi_dot([X, X]), ShapeError, r"tensors 0 and 1 do not fit"),
    "cross": (lambda: linalg.cross(gg.ones(4), gg.ones(4)), ShapeError, r"length 3"),
    "tensorinv": (lambda: linalg.tensorinv(gg.ones(2, 3)), ShapeError, r"different sizes"),
    "lu_pivots": (
        lambda: linalg.lu_solve(A, gg.ones(3, dtype=gg.int64), A),
        ArgumentError,
        r"pivots must be int32",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, kind, text = REFUSED[name]
    with pytest.raises(kind, match=text):
        call()


def test_mixed_devices_are_refused() -> None:
    class Elsewhere:
        device = gg.Device("sim")
        kernels = gg.backends.get("cpu").kernels

    there: Any = gg.Tensor(np.ones((3, 3), np.float32), Elsewhere())
    for call in (
        lambda: linalg.solve(A, there),
        lambda: gg.einsum("ij,jk", A, there),
        lambda: gg.addmm(A, A, there),
        lambda: linalg.vecdot(A, there),
    ):
        with pytest.raises(DeviceError, match="one device"):
            call()


# ---- matrices that cannot be treated -------------------------------------------------------------


def stacks() -> gg.Tensor:
    """[2, 2] matrices, of which [1, 0] is 0."""
    x = gg.eye(3).expand(2, 2, 3, 3).clone()
    x[1, 0] = 0.0
    return x


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (linalg.inv, r"linalg.inv: matrix \(1, 0\) of the stack is singular.*element 1"),
        (lambda x: linalg.solve(x, x), r"linalg.solve: matrix \(1, 0\) of the stack is singular"),
        (linalg.cholesky, r"matrix \(1, 0\).*not positive definite.*order 1"),
        (linalg.lu_factor, r"linalg.lu_factor: matrix \(1, 0\) of the stack is singular"),
        (lambda x: linalg.inv(x[1, 0]), r"linalg.inv: the matrix is singular"),
        (lambda x: linalg.inv(x[1]), r"linalg.inv: matrix 0 of the stack"),
        (lambda x: linalg.svd(x * gg.nan), r"matrix \(0, 0\) of the stack contains NaN"),
        (lambda x: linalg.eigh(x / x), r"contains NaN or infinity"),
    ],
)
def test_the_error_tells_the_matrix(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(LinAlgError, match=text):
        call(stacks())


def test_info_instead_of_errors() -> None:
    x = stacks()
    inverse, info = linalg.inv_ex(x)
    assert info.tolist() == [[0, 0], [1, 0]] and info.dtype == gg.int32
    close(inverse[0, 0], np.eye(3, dtype=np.float32))
    assert linalg.solve_ex(x, x).info.tolist() == [[0, 0], [1, 0]]
    assert linalg.cholesky_ex(x).info.tolist() == [[0, 0], [1, 0]]
    assert linalg.lu_factor_ex(x).info.tolist() == [[0, 0], [1, 0]]
    indefinite = gg.tensor([[1.0, 2.0], [2.0, 1.0]])
    assert linalg.cholesky_ex(indefinite).info.item() == 2
    with pytest.raises(LinAlgError, match="order 2"):
        linalg.cholesky_ex(indefinite, check_errors=True)
    assert linalg.cond(x, 1).tolist() == [[1.0, 1.0], [gg.inf, 1.0]]


# ---- decompositions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(5, 5), (7, 4), (4, 7), (3, 6, 6), (2, 2, 65, 65), (0, 0), (3, 0)]
)
def test_lu_gives_the_matrix_back(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    p, lower, upper = linalg.lu(x)
    close(p @ lower @ upper, x, 4096)
    k = min(shape[-2:])
    assert float(lower.abs().max()) <= 1 if x.numel() else True  # partial pivoting
    assert gg.equal(
        lower[..., :k, :k].triu(), gg.eye(k, dtype=gg.float64).expand(lower[..., :k, :k].shape)
    )
    assert gg.equal(upper, upper.triu())


@pytest.mark.parametrize("n", [1, 2, 33])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("left", [False, True])
def test_lu_solve(n: int, adjoint: bool, left: bool) -> None:
    a, b = normal(2, n, n), normal(2, n, n)
    x = linalg.lu_solve(*linalg.lu_factor(a), b, left=left, adjoint=adjoint)
    matrix = a.mT if adjoint else a
    close(matrix @ x if left else x @ matrix, b, 1e5)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("n", [0, 1, 5, 64])
def test_solve_triangular_reads_its_triangle(upper: bool, left: bool, unit: bool, n: int) -> None:
    a = normal(n, n) / max(n, 1) + 2 * gg.eye(n, dtype=gg.float64)
    b = normal(3, n, n)
    triangle = a.triu() if upper else a.tril()
    if unit:
        triangle = triangle - triangle * gg.eye(n, dtype=gg.float64) + gg.eye(n, dtype=gg.float64)
    x = linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=unit)
    close(triangle @ x if left else x @ triangle, b, 4096)


def test_a_zero_on_the_diagonal_is_no_error() -> None:
    a = gg.tensor([[0.0, 0.0], [1.0, 1.0]])
    x = linalg.solve_triangular(a, gg.ones(2, 1), upper=False)
    assert x[0].item() == gg.inf


def test_det_of_singular_matrices_has_a_derivative() -> None:
    """d det / da is the adjugate: of rank n - 1 not 0, of rank n - 2 it is."""
    a = gg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]], dtype=gg.float64)
    x = gg.stack([a, gg.eye(3, dtype=gg.float64), a * 0]).requires_grad_()
    linalg.det(x).sum().backward()
    assert x.grad is not None
    cofactors = [[-3.0, 6.0, -3.0], [6.0, -12.0, 6.0], [-3.0, 6.0, -3.0]]
    close(x.grad, np.stack([cofactors, np.eye(3), np.zeros((3, 3))]), 4096)


def test_det_of_singular_matrices_has_a_second_derivative() -> None:
    a = gg.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=gg.float64, requires_grad=True)
    assert gg.autograd.gradgradcheck(linalg.det, a)
    b = gg.tensor(np.diag([1.0, 2.0, 0.0]), requires_grad=True)
    assert gg.autograd.gradgradcheck(linalg.det, b)


def test_derivatives_that_do_not_exist() -> None:
    x = normal(4, 3).requires_grad_()
    for mode, text in (("complete", "more rows than columns"), ("r", "mode='r' has no derivative")):
        with pytest.raises(GraphError, match=text):
            linalg.qr(x, mode).R.sum().backward()


def test_matrix_exp_of_large_and_empty_matrices() -> None:
    close(linalg.matrix_exp(gg.tensor([[0.0, -50.0], [50.0, 0.0]], dtype=gg.float64)),
          [[np.cos(50), -np.sin(50)], [np.sin(50), np.cos(50)]], 1e4)  # fmt: skip
    assert linalg.matrix_exp(gg.zeros(2, 0, 0)).shape == (2, 0, 0)
    nilpotent = gg.tensor([[0.0, 3.0], [0.0, 0.0]])
    assert linalg.matrix_exp(nilpotent).tolist() == [[1.0, 3.0], [0.0, 1.0]]


@pytest.mark.parametrize("n", [0, 1, 2, 5, -1, -2])
def test_matrix_power(n: int) -> None:
    a = normal(2, 3, 3) + 3 * gg.eye(3, dtype=gg.float64)
    close(linalg.matrix_power(a, n), np.linalg.matrix_power(a.numpy(), n), 1e5)
    assert linalg.matrix_power(a, 1) is not a


def test_multi_dot_takes_the_cheapest_order() -> None:
    from gpugrad.ops.matrices.powers import _splits

    # (10 x 30)(30 x 5)(5 x 60): ((1 2) 3) costs 4500, (1 (2 3)) 27000
    assert _splits([10, 30, 5, 60])[0, 2] == 1
    assert _splits([40, 20, 30, 10, 30])[0, 3] == 2


def test_results_and_gradients_on_the_kernels(kernel_device: str) -> None:
    """What is computed on the host comes back to the tensor's device, in the graph."""
    a = normal(2, 3, 3, dtype=gg.float32) + 3 * gg.eye(3)
    here, there = a.clone().requires_grad_(), a.to(kernel_device).requires_grad_()
    for x in (here, there):
        q, r = linalg.qr(x)
        y = linalg.solve(x, q) + linalg.inv(x) + linalg.svdvals(x).unsqueeze(-1) * r.abs()
        (y.sum() + linalg.det(x).sum()).backward()
    assert there.grad is not None and here.grad is not None
    assert str(there.grad.device) == str(gg.Device(kernel_device))
    close(there.grad.cpu(), here.grad, 4096)


def test_strided_and_expanded_inputs() -> None:
    a = normal(6, 6)[::2, ::-2] + 3 * gg.eye(3, dtype=gg.float64).flip(1)
    close(linalg.inv(a), np.linalg.inv(a.numpy()), 1e4)
    close(linalg.inv(a.expand(2, 3, 3)), np.stack([np.linalg.inv(a.numpy())] * 2), 1e4)
    close(
        linalg.solve(a, normal(1, 1).expand(3, 2) * 0 + 1),
        np.linalg.solve(a.numpy(), np.ones((3, 2))),
        1e4,
    )
