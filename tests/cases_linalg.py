"""The cases of linear algebra beyond the plain products.

Imported at the end of cases.py, whose list they join. Matrices to decompose are made well
conditioned in the case: noise added to a multiple of the identity, or a product with the transpose.
Tolerances: 2 (multiplications on the longest path) epsilons, times the condition, at most 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cases import call, case, family
from inputs import Sample, distinct, normal, positive

family("linear algebra")

SUMS = normal([(3, 5), (3, 4), (4, 5)], [(5,), (3, 4), (4, 5)], [(), (3, 4), (4, 5)])
case("addmm_scaled", call("addmm", beta=0.5, alpha=-2), SUMS, rtol=64)
case("addmv", call("addmv", beta=0.5, alpha=2), normal([(3,), (3, 4), (4,)]), rtol=64)
case("addr", call("addr", beta=0.5, alpha=2), normal([(3, 4), (3,), (4,)], [(4,), (3,), (4,)]))
STACKS = normal([(2, 3, 5), (2, 3, 4), (2, 4, 5)], [(3, 5), (2, 3, 4), (2, 4, 5)])
case("baddbmm", call("baddbmm"), STACKS, rtol=64)
case("baddbmm_scaled", call("baddbmm", beta=0.5, alpha=2), STACKS, rtol=64)
case("addbmm", call("addbmm", beta=0.5, alpha=2), normal([(3, 5), (2, 3, 4), (2, 4, 5)]), rtol=64)
case("mm", call("mm"), normal([(3, 4), (4, 5)]), rtol=64)
case("mv", call("mv"), normal([(3, 4), (4,)]), rtol=64)
case("vdot", call("vdot"), normal([(67,), (67,)]), rtol=128)
case("inner", call("inner"), normal([(2, 3), (4, 3)], [(3,), (3,)], [(), (2, 3)]), rtol=64)
case("kron", call("kron"), normal([(2, 3), (3, 2)], [(2,), (2, 1, 3)]))
case("trace", call("trace"), normal((3, 5), (4, 4)), rtol=64)
case("tensordot", call("tensordot", dims=([1, 2], [2, 0])), normal([(2, 3, 4), (4, 5, 3)]), rtol=64)


def einsum(label: str, equation: str, inputs: Sequence[Sample]) -> None:
    function: Callable[..., Any] = lambda t, f, *xs: t.einsum(equation, *xs)  # noqa: E731
    case(f"einsum_{label}", function, inputs, rtol=128)


einsum("matrices", "bij,bjk->bik", normal([(2, 3, 4), (2, 4, 5)]))
einsum("diagonal", "ii,i...->...i", normal([(3, 3), (3, 2, 4)]))
einsum("chain", "ij,jk,kl->il", normal([(2, 5), (5, 3), (3, 4)]))
einsum("heads", "bqhd,bkhd->bhqk", normal([(2, 3, 2, 4), (2, 5, 2, 4)]))
einsum("implicit", "...i,ij", normal([(2, 3, 4), (4, 5)]))
einsum("product", "i,j,ij->j", normal([(3,), (4,), (3, 4)]))

# ---- decompositions ----------------------------------------------------------------------------

family("decompositions (host)")
SQUARE = normal((4, 4), (2, 3, 3), (1, 1))


def wide(x: Any) -> Any:
    """Half types in float32: decompositions refuse them."""
    return x.float() if x.dtype.itemsize < 4 else x


def regular(t: Any, x: Any) -> Any:
    """Condition about 3: noise in [-1/2n, 1/2n] and the identity."""
    x, n = wide(x), x.shape[-1]
    return x.tanh() / (2 * n) + t.eye(n, dtype=x.dtype, device=x.device)


def definite(t: Any, x: Any) -> Any:
    a = regular(t, x)
    return a @ a.mT


def spread(t: Any, x: Any) -> Any:
    """Symmetric, with eigenvalues at least 1/2 apart: 1 to n and noise."""
    x, n = wide(x), x.shape[-1]
    noise = (x + x.mT).tanh() / (4 * n)
    steps = t.arange(1, n + 1, device=x.device).to(x.dtype)
    return noise + t.diag(steps)


def of(make: Callable[..., Any], name: str, *more: Any, **options: Any) -> Callable[..., Any]:
    """t.linalg.name(make(x), ...)."""
    return lambda t, f, x, *others: getattr(t.linalg, name)(
        make(t, x), *(wide(each) for each in others), *more, **options
    )


def linalg(name: str, make: Callable[..., Any], inputs: Sequence[Sample] = SQUARE) -> None:
    case(f"linalg_{name}", of(make, name), inputs, rtol=256)


for _name in ("inv", "det", "pinv", "matrix_exp"):
    linalg(_name, regular)
linalg("cholesky", definite)
linalg("eigvalsh", spread)
linalg("svdvals", spread)
case("linalg_slogdet", lambda t, f, x: t.linalg.slogdet(regular(t, x)).logabsdet, SQUARE, rtol=256)
case("logdet", lambda t, f, x: t.logdet(regular(t, x)), SQUARE, rtol=256)
PAIRS = normal([(4, 4), (4, 2)], [(2, 3, 3), (3, 2)], [(3, 3), (3,)])
case("linalg_solve", of(regular, "solve"), PAIRS, rtol=256)
case("linalg_solve_triangular", of(regular, "solve_triangular", upper=False), PAIRS[:2], rtol=256)
case(
    "linalg_lstsq",
    lambda t, f, x, b: t.linalg.lstsq(regular(t, x), wide(b)).solution,
    normal([(4, 4), (4, 2)], [(2, 3, 3), (2, 3, 2)], [(3, 3), (3,)]),
    rtol=512,
)
case(
    "cholesky_solve",
    lambda t, f, x, b: t.cholesky_solve(wide(b), t.linalg.cholesky(definite(t, x))),
    PAIRS[:2],
    rtol=512,
)


def reconstructed(t: Any, f: Any, x: Any) -> Any:
    """Q R with R weighted: the signs of Q and R, which are free, cancel."""
    q, r = t.linalg.qr(regular(t, x))
    return q.square() @ r.square()


case("linalg_qr", reconstructed, SQUARE, rtol=512)


def spectrum(t: Any, f: Any, x: Any) -> Any:
    """V^2 w: free of the signs of the eigenvectors."""
    w, v = t.linalg.eigh(spread(t, x))
    return (v.square() @ w.unsqueeze(-1)).squeeze(-1)


case("linalg_eigh", spectrum, SQUARE, rtol=512)


def singular(t: Any, f: Any, x: Any) -> Any:
    u, s, vh = t.linalg.svd(spread(t, x), full_matrices=False)
    return (u.square() * s.unsqueeze(-2)) @ vh.square()


case("linalg_svd", singular, SQUARE, rtol=512)


def factored(t: Any, f: Any, x: Any) -> Any:
    p, lower, upper = t.linalg.lu(regular(t, x))
    return p @ lower.square() @ upper.square()


case("linalg_lu", factored, SQUARE, rtol=512)

# ---- norms and vectors ---------------------------------------------------------------------------

family("linear algebra")
GRIDS = distinct((3, 5), (2, 3, 4))


def given(t: Any, x: Any) -> Any:
    return x


for _ord in (2, 1, 3, 0.5, float("inf")):
    case(f"vector_norm_{_ord:g}", of(given, "vector_norm", _ord, -1), GRIDS, rtol=64)
for _label in ("fro", 1, float("inf")):
    case(f"matrix_norm_{_label}", of(given, "matrix_norm", _label), GRIDS, rtol=64)
case("matrix_norm_nuc", of(spread, "matrix_norm", "nuc"), SQUARE, rtol=256)
case("linalg_cond", of(spread, "cond"), SQUARE[:2], rtol=512)
case("matrix_power", of(regular, "matrix_power", 3), SQUARE, rtol=256)
case(
    "multi_dot",
    lambda t, f, *xs: t.linalg.multi_dot(xs),
    normal([(2, 5), (5, 3), (3, 4)], [(5,), (5, 3), (3,)]),
    rtol=128,
)
case("cross", lambda t, f, a, b: t.linalg.cross(a, b), normal([(4, 3), (4, 3)], [(1, 3), (4, 3)]))
case("vecdot", lambda t, f, a, b: t.linalg.vecdot(a, b), normal([(4, 3), (4, 3)]), rtol=64)
case("vander", of(given, "vander", N=4), positive((3,), (2, 3)), rtol=64)
