"""The table of Tensor's methods and operators. ``gpugrad/methods.pyi`` declares the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import creation, interop
from ..autograd import engine, hooks
from ..tensor import Tensor
from . import (
    activation,
    arithmetic,
    compare,
    convert,
    elementwise,
    indexing,
    inplace,
    joining,
    linalg,
    picking,
    probability,
    reduction,
    sampling,
    selection,
    views,
)


def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of this tensor to ``.grad`` of the leaves; see `gpugrad.autograd.backward`.

    gradient: that of this tensor; 1 for a single element.
    """
    engine.backward(self, gradient, retain_graph, create_graph, inputs)


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    return selection.where(condition, self, other)


UNARY = {
    f.__name__: f
    for module, names in (
        (elementwise, "neg abs square reciprocal sqrt rsqrt exp exp2 expm1 log log2 log10 log1p"),
        (elementwise, "sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc"),
        (elementwise, "floor ceil round trunc sign"),
        (activation, "relu sigmoid tanh"),
    )
    for f in (getattr(module, n) for n in names.split())
}

OTHERS: dict[str, tuple[Any, str]] = {
    "arithmetic": (
        arithmetic,
        "add sub mul div remainder pow maximum minimum atan2 floor_divide lerp",
    ),
    "compare": (
        compare,
        "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or "
        "bitwise_xor bitwise_not isnan isinf isfinite equal isclose allclose",
    ),
    "convert": (convert, "to cpu cuda clone contiguous type_as"),
    "reduction": (
        reduction,
        "sum mean prod amax amin max min argmax argmin any all cumsum var std norm logsumexp "
        "sum_to_size",
    ),
    "linalg": (linalg, "matmul mm bmm mv dot outer addmm"),
    "probability": (probability, "softmax log_softmax"),
    "selection": (selection, "masked_fill clamp clamp_min clamp_max nan_to_num"),
    "sampling": (sampling, "bernoulli uniform_ normal_ bernoulli_ random_"),
    "inplace": (inplace, "copy_ fill_ zero_ detach_"),
    "views": (
        views,
        "reshape view view_as reshape_as flatten unflatten permute transpose swapaxes t movedim "
        "squeeze unsqueeze expand expand_as broadcast_to",
    ),
    "joining": (
        joining,
        "split chunk unbind repeat tile repeat_interleave flip roll tril triu diagonal diag",
    ),
    "picking": (
        picking,
        "index_select gather take_along_dim scatter_add scatter index_add masked_select nonzero "
        "count_nonzero narrow select take",
    ),
    "creation": (creation, "new_zeros new_ones new_empty new_full new_tensor"),
    "hooks": (hooks, "register_hook register_post_accumulate_grad_hook retain_grad"),
}

INPLACE = {
    name + "_": function
    for name, function in {
        **UNARY,
        **{
            n: getattr(arithmetic, n)
            for n in ["add", "sub", "mul", "div", "pow", "remainder", "floor_divide", "lerp"]
        },
        **{n: getattr(selection, n) for n in ["clamp", "clamp_min", "clamp_max", "masked_fill"]},
        "clip": selection.clamp,
        **{n: getattr(picking, n) for n in ["scatter", "scatter_add", "index_add"]},
        "tril": joining.tril,
        "triu": joining.triu,
    }.items()
}

_A = arithmetic
OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": _A.operator(_A.Add),
    "__radd__": _A.operator(_A.Add, reflected=True),
    "__sub__": _A.operator(_A.Sub),
    "__rsub__": _A.operator(_A.Sub, reflected=True),
    "__mul__": _A.operator(_A.Mul),
    "__rmul__": _A.operator(_A.Mul, reflected=True),
    "__truediv__": _A.operator(_A.Div),
    "__rtruediv__": _A.operator(_A.Div, reflected=True),
    "__mod__": _A.operator(_A.Remainder),
    "__rmod__": _A.operator(_A.Remainder, reflected=True),
    "__floordiv__": compare.operator("floor_divide"),
    "__rfloordiv__": compare.reflected_floor_divide,
    "__pow__": _A.power,
    "__rpow__": _A.reflected_power,
    "__matmul__": linalg.operator,
    "__rmatmul__": linalg.reflected_operator,
    "__neg__": elementwise.neg,
    "__pos__": lambda self: self,
    "__abs__": elementwise.abs,
    "__invert__": compare.bitwise_not,
    "__eq__": compare.operator("eq"),
    "__ne__": compare.operator("ne"),
    "__lt__": compare.operator("lt"),
    "__le__": compare.operator("le"),
    "__gt__": compare.operator("gt"),
    "__ge__": compare.operator("ge"),
    "__and__": compare.operator("bitwise_and"),
    "__rand__": compare.operator("bitwise_and"),
    "__or__": compare.operator("bitwise_or"),
    "__ror__": compare.operator("bitwise_or"),
    "__xor__": compare.operator("bitwise_xor"),
    "__rxor__": compare.operator("bitwise_xor"),
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
    "__array__": interop.array,
    "__dlpack__": interop.dlpack,
    "__dlpack_device__": interop.dlpack_device,
}


AUGMENTED = {
    f"__i{name}__": inplace.augmented(f"__i{name}__", OPERATORS[f"__{name}__"])
    for name in ["add", "sub", "mul", "truediv", "mod", "floordiv", "pow", "and", "or", "xor"]
}

PROPERTIES: dict[str, Any] = {
    "T": property(views.reverse_axes, doc="All axes in reverse order."),
    "mT": property(views.matrix_transpose, doc="The last two axes change places."),
    "__cuda_array_interface__": property(interop.cuda_array_interface),
}


def table() -> dict[str, Any]:
    """Every attached name and what it is."""
    found: dict[str, Any] = dict(UNARY)
    for module, names in OTHERS.values():
        found.update((name, getattr(module, name)) for name in names.split())
    found.update((name, inplace.inplace(name, f)) for name, f in INPLACE.items())
    found.update(convert.CASTS)
    found.update(OPERATORS)
    found.update(AUGMENTED)
    found.update(PROPERTIES)
    found["where"] = _where
    found["backward"] = backward
    found["clip"] = selection.clamp
    found["__array_ufunc__"] = None  # NumPy asks us: ndarray + tensor is tensor.__radd__
    found["__array_priority__"] = 1000
    return found


def attach() -> None:
    """Give Tensor its methods; done once, when gpugrad is imported."""
    for name, value in table().items():
        setattr(Tensor, name, value)
