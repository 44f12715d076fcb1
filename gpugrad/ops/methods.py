"""The table of Tensor's methods and operators; ``gpugrad/methods`` declares the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import copies, creation, interop
from ..autograd import engine, hooks
from ..tensor import Tensor
from . import (
    activation,
    aliases,
    arithmetic,
    bits,
    compare,
    convert,
    counting,
    distributions,
    elementwise,
    facts,
    indexing,
    inplace,
    joining,
    linalg,
    norms,
    numpy_protocol,
    order,
    pairs,
    picking,
    placing,
    placing_here,
    probability,
    products,
    ranks,
    rectifiers,
    reduction,
    reshaping,
    rounding,
    sampling,
    scans,
    selection,
    special_functions,
    stacking,
    statistics,
    strided,
    views,
)
from .matrices import determinant, inverse, older, powers, triangular


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
    engine.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def _where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    return selection.where(condition, self, other)


UNARY = {
    f.__name__: f
    for module, names in (
        (elementwise, "neg abs square reciprocal sqrt rsqrt exp exp2 expm1 log log2 log10 log1p"),
        (elementwise, "sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc"),
        (elementwise, "erfinv rad2deg deg2rad"),
        (rounding, "floor ceil round trunc frac sign"),
        (special_functions, "logit sinc"),
        (activation, "relu sigmoid tanh"),
    )
    for f in (getattr(module, n) for n in names.split())
}

OTHERS: dict[str, tuple[Any, str]] = {
    "arithmetic": (
        arithmetic,
        "add sub mul div remainder pow maximum minimum atan2 floor_divide",
    ),
    "pairs": (
        pairs,
        "fmod hypot copysign fmax fmin float_power ldexp addcmul addcdiv lerp",
    ),
    "bits": (bits, "bitwise_left_shift bitwise_right_shift gcd lcm"),
    "special_functions": (special_functions, "xlogy logaddexp logaddexp2"),
    "rounding": (rounding, "signbit heaviside"),
    "elementwise": (elementwise, "positive"),
    "compare": (
        compare,
        "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or "
        "bitwise_xor bitwise_not isnan isinf isfinite isposinf isneginf isreal equal isclose "
        "allclose",
    ),
    "convert": (convert, "to cpu cuda clone contiguous type_as"),
    "reduction": (
        reduction,
        "sum mean prod amax amin aminmax max min argmax argmin any all nansum nanmean logsumexp "
        "sum_to_size",
    ),
    "scans": (scans, "cumsum cumprod cummax cummin logcumsumexp diff"),
    "statistics": (statistics, "var std cov corrcoef"),
    "ranks": (ranks, "median nanmedian quantile nanquantile mode"),
    "norms": (norms, "norm dist renorm"),
    "linalg": (linalg, "matmul mm bmm mv dot outer"),
    "determinant": (determinant, "det logdet slogdet"),
    "powers": (powers, "matrix_exp matrix_power"),
    "triangular": (triangular, "cholesky_inverse cholesky_solve triangular_solve"),
    "older": (older, "cholesky cross lu_solve pinverse"),
    "products": (products, "addmm addmv addr addbmm baddbmm vdot inner kron trace"),
    "probability": (probability, "softmax log_softmax"),
    "rectifiers": (rectifiers, "hardshrink prelu"),
    "selection": (selection, "masked_fill clamp clamp_min clamp_max nan_to_num"),
    "sampling": (sampling, "bernoulli uniform_ normal_ bernoulli_ random_"),
    "inplace": (inplace, "copy_ fill_ zero_ detach_"),
    "views": (
        views,
        "reshape view view_as reshape_as flatten ravel unflatten permute transpose t adjoint "
        "movedim squeeze unsqueeze expand expand_as broadcast_to",
    ),
    "reshaping": (
        reshaping,
        "squeeze_ unsqueeze_ transpose_ swapaxes_ swapdims_ t_ as_strided_ resize_ set_ ndimension "
        "is_same_size",
    ),
    "strided": (
        strided,
        "as_strided as_strided_scatter diag diag_embed diagflat diagonal diagonal_scatter unfold "
        "select_scatter slice_scatter storage_offset data_ptr",
    ),
    "stacking": (stacking, "tensor_split hsplit vsplit dsplit rot90 fliplr flipud"),
    "order": (order, "sort argsort msort topk kthvalue unique unique_consecutive"),
    "counting": (counting, "bincount histc histogram"),
    "distributions": (distributions, "multinomial exponential_ log_normal_ cauchy_ geometric_"),
    "joining": (
        joining,
        "split split_with_sizes chunk unbind repeat tile repeat_interleave flip roll tril triu",
    ),
    "picking": (
        picking,
        "index_select gather take_along_dim masked_select nonzero argwhere count_nonzero narrow "
        "narrow_copy select take",
    ),
    "placing": (
        placing,
        "scatter scatter_add scatter_reduce index_add index_copy index_fill index_put index_reduce "
        "put masked_scatter",
    ),
    "placing_here": (
        placing_here,
        "scatter_ scatter_add_ index_add_ index_copy_ index_put_ fill_diagonal_",
    ),
    "creation": (creation, "new_zeros new_ones new_empty new_empty_strided new_full new_tensor"),
    "hooks": (hooks, "register_hook register_post_accumulate_grad_hook retain_grad is_inference"),
}

_COMPARISONS = (
    "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or "
    "bitwise_xor bitwise_not"
)

_PLACING = "scatter_reduce index_fill index_reduce put masked_scatter"

INPLACE = {
    name + "_": function
    for name, function in {
        **UNARY,
        **{
            n: getattr(arithmetic, n)
            for n in ["add", "sub", "mul", "div", "pow", "remainder", "floor_divide", "atan2"]
        },
        **{
            n: getattr(pairs, n)
            for n in ["fmod", "hypot", "copysign", "ldexp", "addcmul", "addcdiv", "lerp"]
        },
        "float_power": pairs.float_power,
        **{n: getattr(bits, n) for n in OTHERS["bits"][1].split()},
        **{n: getattr(compare, n) for n in _COMPARISONS.split()},
        **{n: getattr(selection, n) for n in OTHERS["selection"][1].split()},
        **{n: getattr(scans, n) for n in ["cumsum", "cumprod"]},
        "xlogy": special_functions.xlogy,
        "heaviside": rounding.heaviside,
        "renorm": norms.renorm,
        **{n: getattr(placing, n) for n in _PLACING.split()},
        **{n: getattr(products, n) for n in ["addmm", "addmv", "addr", "addbmm", "baddbmm"]},
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
    "__pos__": elementwise.positive,
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
    "__lshift__": bits.operator("bitwise_left_shift", "shift_left"),
    "__rlshift__": bits.operator("bitwise_left_shift", "shift_left", reflected=True),
    "__rshift__": bits.operator("bitwise_right_shift", "shift_right"),
    "__rrshift__": bits.operator("bitwise_right_shift", "shift_right", reflected=True),
    "__getitem__": indexing.getitem,
    "__setitem__": indexing.setitem,
    "__array__": interop.array,
    "__copy__": copies.shallow,
    "__deepcopy__": copies.deep,
    "__reduce_ex__": copies.reduce,
    "__array_ufunc__": numpy_protocol.array_ufunc,
    "__array_function__": numpy_protocol.array_function,
    "__dlpack__": interop.dlpack,
    "__dlpack_device__": interop.dlpack_device,
}


AUGMENTED = {
    f"__i{name}__": inplace.augmented(f"__i{name}__", OPERATORS[f"__{name}__"])
    for name in [
        "add",
        "sub",
        "mul",
        "truediv",
        "mod",
        "floordiv",
        "pow",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    ]
}

PROPERTIES: dict[str, Any] = {
    "retains_grad": property(hooks.retains_grad),
    "T": property(views.reverse_axes, doc="All axes in reverse order."),
    "H": property(views.conjugate_transpose, doc="The transpose of a matrix."),
    "mH": property(views.adjoint, doc="The last two axes change places."),
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
    found.update(facts.METHODS)
    found.update(facts.PROPERTIES)
    found["where"] = _where
    found["inverse"] = inverse.inv
    found["qr"], found["svd"], found["lu"] = older.qr_older, older.svd_older, older.lu_older
    found["backward"] = backward
    found["__array_priority__"] = 1000
    for name in aliases.__all__:
        first = getattr(aliases, name).__name__
        found.update((name + end, found[first + end]) for end in ("", "_") if first + end in found)
    return found


def attach() -> None:
    """Give Tensor its methods; done once, when gpugrad is imported."""
    for name, value in table().items():
        setattr(Tensor, name, value)
