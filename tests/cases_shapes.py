"""The cases of shapes, indexing and order.

Imported at the end of cases.py, whose list they join.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cases import call, case, family, method
from inputs import booleans, distinct, integers, normal, positive, together

# ---- views and joins ---------------------------------------------------------------------------

family("shapes")
CUBE = normal((2, 3, 4))
MATRIX = normal((3, 4), (4, 3))
SEVERAL = normal([(2, 3), (2, 3)], [(3,), (3,)])


def nth(name: str, number: int, *arguments: Any, **options: Any) -> Any:
    """One of the results of a method."""
    return lambda t, f, x: getattr(x, name)(*arguments, **options)[number]


def joined(name: str, *arguments: Any) -> Any:
    """A function of a list of tensors."""
    return lambda t, f, *tensors: getattr(t, name)(list(tensors), *arguments)


case("ravel", call("ravel"), CUBE)
case("unflatten", method("unflatten", 2, (2, -1)), CUBE)
case(
    "view_dtype", lambda t, f, x: x.view(t.int16), integers(-99, 99)((2, 3, 4), (3,)), grad_order=0
)
case("adjoint", lambda t, f, x: x.adjoint() + x.mH, CUBE)
case("H", lambda t, f, x: x.H, MATRIX)
case(
    "as_strided",
    lambda t, f, x: x.contiguous().as_strided((2, 3), (1, 2), 1),
    normal((12,), (3, 4)),
)
case("unfold_windows", method("unfold", 1, 3, 2), normal((2, 8), (2, 7, 3)))
case("unfold_overlapping", method("unfold", -1, 3, 1), CUBE)
case("diag_of_vector", call("diag", 1), normal((4,)))
case("diag_of_matrix", call("diag", -1), MATRIX)
case("diag_embed", call("diag_embed", 1, 0, 2), normal((2, 3)))
case("diagflat", call("diagflat", -1), normal((2, 2)))
case("diagonal_of_stack", method("diagonal", 1, 0, 2), normal((3, 2, 4)))
case("diagonal_scatter", call("diagonal_scatter", 1), normal([(3, 4), (3,)]))
case("select_scatter", call("select_scatter", 1, -1), normal([(2, 3, 4), (2, 4)]))
case("slice_scatter", call("slice_scatter", 1, 0, 3, 2), normal([(2, 3, 4), (2, 2, 4)]))
case("tensor_split", nth("tensor_split", 1, 3, dim=2), CUBE)
case("tensor_split_at", nth("tensor_split", 1, (1, 3), -1), CUBE)
case("hsplit", nth("hsplit", 1, (1, 2)), CUBE)
case("vsplit", nth("vsplit", 0, 2), CUBE)
case("dsplit", nth("dsplit", 1, 2), CUBE)
case("split_with_sizes", nth("split_with_sizes", 1, [1, 2], 1), CUBE)
for _name in ("hstack", "vstack", "dstack", "column_stack"):
    case(_name, joined(_name), SEVERAL)
case("block_diag", call("block_diag"), normal([(2, 3), (4,), ()]))
case("cartesian_prod", call("cartesian_prod"), normal([(3,), (2,)]))
case("combinations", call("combinations", 2, True), normal((4,)))
case("meshgrid", lambda t, f, a, b: t.meshgrid(a, b, indexing="xy")[1] * a[0], normal([(3,), (2,)]))
case("atleast_3d", call("atleast_3d"), normal((), (3,), (2, 3)))
case("repeat_interleave", call("repeat_interleave", 2, 1), CUBE)
case(
    "repeat_interleave_each",
    lambda t, f, x, n: x.repeat_interleave(n, 1),
    together(CUBE, [(np.array([2, 0, 3]),)]),
)
case("tile", call("tile", (2, 1, 2)), normal((3,), (2, 3)))
case("roll_two", method("roll", (1, -2), (0, 2)), CUBE)
case("rot90", call("rot90", 3, (0, 2)), CUBE)
case("fliplr", call("fliplr"), CUBE)
case("flipud", call("flipud"), CUBE)
case("constant_pad_nd", call("constant_pad_nd", (1, -1, 2, 0), 1.5), CUBE)
case("narrow_copy", lambda t, f, x: t.narrow(x, 1, 1, 2).clone(), CUBE)

# ---- picking and placing by index --------------------------------------------------------------

family("picking and placing")
COLUMNS = together(CUBE, integers(0, 3)((2, 6, 4)))
INTO = together(CUBE, integers(0, 3)((2, 5, 4)), normal((2, 5, 4)))
SLICES = together(CUBE, [(np.array([2, 0, 2, 1, 2]),)], normal((2, 5, 4)))
TWO_SLICES = together(CUBE, [(np.array([2, 0]),)], normal((2, 2, 4)))
# Factors, some of them 0: the derivative of a product must not divide by them.
FACTORS = [
    (
        np.array([[1.5, 0.0, 2.0], [0.5, 1.25, 0.0]]),
        np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0]]),
        np.array([[2.0, 0.5, 0.0], [1.5, 2.5, 3.0], [0.75, 0.0, 1.25]]),
    )
]
FAR_APART = [
    (a[:6].reshape(2, 3), i[0], a[6:].reshape(2, 5))
    for (a,), i in zip(distinct((16,)), integers(0, 3)((2, 5)), strict=True)
]

case("take", lambda t, f, x, i: x.take(i), together(CUBE, integers(-24, 24)((3, 2))))
case("take_along_dim", lambda t, f, x, i: t.take_along_dim(x, i, 1), COLUMNS)
case("masked_select", lambda t, f, m, x: x.masked_select(m), together(booleans((3, 1)), MATRIX[:1]))
case("index_add", lambda t, f, x, i, v: x.index_add(1, i, v, alpha=2), SLICES)
case("index_copy", lambda t, f, x, i, v: x.index_copy(1, i, v), TWO_SLICES)
case("index_fill", lambda t, f, x, i: x.index_fill(1, i, 2.5), together(CUBE, integers(0, 3)((2,))))
case(
    "index_put",
    lambda t, f, x, i, j, v: x.index_put((i, j), v),
    [(CUBE[0][0], np.array([0, 1]), np.array([2, 0]), normal((2, 4))[0][0])],
)
case(
    "index_put_add",
    lambda t, f, x, i, j, v: x.index_put((i, j), v, accumulate=True),
    [(CUBE[0][0], np.array([0, 1, 0]), np.array([2, 0, 2]), normal((3, 4))[0][0])],
)
case(
    "put_add",
    lambda t, f, x, i, v: x.put(i, v, True),
    [(CUBE[0][0], np.array([5, -1, 5]), np.ones(3))],
)
case(
    "masked_scatter",
    lambda t, f, m, x, v: x.masked_scatter(m, v),
    together(booleans((2, 3, 4)), CUBE, normal((30,))),
)
case("scatter_add", lambda t, f, x, i, v: x.scatter_add(1, i, v), INTO)
case(
    "scatter",
    lambda t, f, x, i, v: x.scatter(1, i, v),
    together(
        CUBE, [(np.broadcast_to(np.array([2, 0])[:, None], (2, 2, 4)).copy(),)], normal((2, 2, 4))
    ),
)
for _name in ("sum", "mean"):
    for _self in (True, False):
        case(
            f"scatter_reduce_{_name}{'' if _self else '_alone'}",
            lambda t, f, x, i, v, n=_name, s=_self: x.scatter_reduce(1, i, v, n, include_self=s),
            INTO,
        )
case(
    "scatter_reduce_prod",
    lambda t, f, x, i, v: x.scatter_reduce(0, i, v, "prod"),
    FACTORS,
    rtol=64,
)
for _name in ("amax", "amin"):
    case(
        f"scatter_reduce_{_name}",
        lambda t, f, x, i, v, n=_name: x.scatter_reduce(1, i, v, n, include_self=False),
        FAR_APART,
    )
case(
    "index_reduce_prod",
    lambda t, f, x, i, v: x.index_reduce(1, i, v, "prod", include_self=False),
    together(positive((2, 3, 4)), [(np.array([2, 0, 2, 1, 2]),)], positive((2, 5, 4))),
    rtol=64,
)
case(
    "index_reduce_mean",
    lambda t, f, x, i, v: x.index_reduce(1, i, v, "mean"),
    SLICES,
)

# ---- order -------------------------------------------------------------------------------------

family("order")
APART = distinct((3, 5), (2, 3, 4), (67, 3), (130,), ())
case("sort", lambda t, f, x: x.sort(0, descending=True).values, APART[:-1])
case("sort_last", lambda t, f, x: x.sort().values, APART)
case("argsort", call("argsort", -1, True), APART, grad_order=0)
case("msort", call("msort"), APART[:-1])
case("topk", lambda t, f, x: x.topk(2, 0).values, APART[:-1])
case("kthvalue", lambda t, f, x: x.kthvalue(2, 0, keepdim=True).values, APART[:-1])
case("unique", call("unique"), APART[:2], grad_order=0)
SORTED = [(np.array([-1.0, -0.25, 0.5, 0.5, 1.0]),)]
case(
    "searchsorted",
    lambda t, f, rows, x: t.searchsorted(rows, x, right=True),
    together(SORTED * 2, normal((3, 4), (67,))),
    grad_order=0,
)
case(
    "bucketize",
    lambda t, f, rows, x: t.bucketize(x, rows),
    together(SORTED, normal((3, 4))),
    grad_order=0,
)
case("bincount", call("bincount"), integers(0, 9)((70,), (0,)), grad_order=0)
case("histc", call("histc", 8, -2, 2), distinct((67,), (3, 5)), grad_order=0)
