"""PyTorch's own samples of linear algebra (its op_db), in float64: forward, gradients, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

import gpugrad as gg
from parity.op_samples import (
    Operation,
    check_refused,
    check_samples,
    entries,
    operations,
    refusing,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PRODUCTS = """mm bmm mv dot vdot inner outer matmul __rmatmul__ addmm addmv addr addbmm baddbmm
    einsum tensordot kron trace cross cdist nn.functional.linear"""
OLDER = """cholesky cholesky_inverse cholesky_solve logdet lu lu_solve lu_unpack matrix_exp pinverse
    qr svd triangular_solve"""
LINALG = """cholesky cholesky_ex cond cross det diagonal eigh eigvalsh inv inv_ex lstsq lu lu_factor
    lu_factor_ex lu_solve matrix_norm matrix_power matrix_rank multi_dot norm pinv qr slogdet solve
    solve_ex solve_triangular svd svdvals tensorinv tensorsolve vander vecdot vector_norm"""
VARIANTS = {  # which op_db computes by functions of its own
    "linalg.pinv-singular": lambda a, b: gg.linalg.pinv(a @ b.mT),
    "linalg.lstsq-grad_oriented": lambda a, b, **options: gg.linalg.lstsq(a, b, **options)[:2],
}
OPERATIONS = [
    replace(each, ours=VARIANTS.get(str(each), each.ours))
    for each in operations(
        *PRODUCTS.split(),
        *OLDER.split(),
        *(f"linalg.{name}" for name in LINALG.split()),
        functions={"einsum": lambda tensors, equation: gg.einsum(equation, tensors)},
    )
]


ABSENT = {
    **dict.fromkeys(("linalg.eig", "linalg.eigvals"), "complex results; raise DTypeError"),
    **dict.fromkeys(
        ("linalg.householder_product", "geqrf", "ormqr"), "the reflectors inside a QR: use qr"
    ),
    **dict.fromkeys(
        ("linalg.ldl_factor", "linalg.ldl_factor_ex", "linalg.ldl_solve"), "not in NumPy's LAPACK"
    ),
    **dict.fromkeys(("svd_lowrank", "pca_lowrank"), "random: no two libraries agree"),
}
"""op_db's operations of linear algebra that are not here, and why."""


def test_the_list_is_complete() -> None:
    ours = {each.info.name for each in OPERATIONS}
    assert not ours & set(ABSENT)
    assert {name for name in entries() if name.startswith("linalg.")} <= ours | set(ABSENT)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_samples(operation: Operation) -> None:
    check_samples(operation)


@pytest.mark.parametrize("operation", refusing(OPERATIONS), ids=str)
def test_refused_inputs(operation: Operation) -> None:
    check_refused(operation)
