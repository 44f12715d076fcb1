"""Products of scaled 8-bit floats, for inference: PyTorch's ``nn.functional.scaled_mm``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeVar

from .. import dtype as dtypes
from ..autograd.function import describe, mixed_devices
from ..backends import Array
from ..dtype import DType
from ..errors import ArgumentError, DeviceError, DTypeError, ShapeError
from ..ops.quantised import OUTPUTS, check_constant, check_matrices, scaled_product
from ..tensor import Tensor

_NAME = "scaled_mm"
_T = TypeVar("_T")


class ScalingType(IntEnum):
    """How a matrix was scaled: which of its values share a scale."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class SwizzleType(IntEnum):
    """How the scales of blocks lie in memory."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


def scaled_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    scale_a: Tensor | list[Tensor],
    scale_recipe_a: ScalingType | list[ScalingType],
    scale_b: Tensor | list[Tensor],
    scale_recipe_b: ScalingType | list[ScalingType],
    swizzle_a: SwizzleType | list[SwizzleType] | None = None,
    swizzle_b: SwizzleType | list[SwizzleType] | None = None,
    bias: Tensor | None = None,
    output_dtype: Any = dtypes.bfloat16,
    contraction_dim: Sequence[int] = (),
    use_fast_accum: bool = False,
) -> Tensor:
    """y [m, n] = (mat_a scale_a) (mat_b scale_b) + bias, of 8-bit floats that scales made fit.

    mat_a [m, k] and mat_b [k, n] are float8_e4m3fn or float8_e5m2, in any mixture; quickest where k
    is contiguous in both and a multiple of 16. Scales multiply, and are float32; recipes, also
    by name, are both ``TensorWise`` (one element) or ``RowWise`` (scale_a [m, 1], scale_b [1, n]).
    bias [n] is added in `output_dtype`: bfloat16, float16, float32, or an 8-bit float, to which the
    result is rounded once more; None means mat_a's. Sums are float32: `use_fast_accum` changes
    nothing. There is no derivative: GraphError for inputs that require a gradient. ArgumentError
    for other recipes, swizzles and contraction_dim but (1, 0); DTypeError, ShapeError, DeviceError.
    """
    check_matrices(_NAME, mat_a, mat_b)
    dtype = _output(mat_a, mat_b, output_dtype)
    row_wise = _is_row_wise(scale_recipe_a, scale_recipe_b)
    _check_swizzles(swizzle_a, swizzle_b)
    _check_contraction(contraction_dim)
    m, n = mat_a.shape[0], mat_b.shape[1]
    row_scale = _scale("scale_a", scale_a, mat_a, (m, 1) if row_wise else None)
    scale = _scale("scale_b", scale_b, mat_a, (1, n) if row_wise else None)
    _check_bias(bias, mat_a, n)
    check_constant(_NAME, mat_a, mat_b, bias)
    return scaled_product(mat_a, mat_b, row_scale, scale, bias, dtype)


def _output(mat_a: Tensor, mat_b: Tensor, wanted: Any) -> DType:
    """The dtype of the product of two 8-bit floats."""
    for label, x in (("mat_a", mat_a), ("mat_b", mat_b)):
        if not dtypes.is_float8(x.dtype):
            raise DTypeError(
                f"{_NAME}: {label} must be float8_e4m3fn or float8_e5m2; got {describe(x)}.\n"
                "  Divide it by a scale and convert it with .to(gg.float8_e4m3fn)."
            )
    dtype = mat_a.dtype if wanted is None else dtypes.as_dtype(wanted)
    if dtype not in OUTPUTS:
        raise DTypeError(
            f"{_NAME}: output_dtype must be one of {', '.join(d.name for d in OUTPUTS)}; got "
            f"{dtype.name}.\n  Convert the result of gg.float32 with .to(dtype)."
        )
    return dtype


def _one(name: str, given: _T | list[_T]) -> _T:
    """The one thing, which may stand in a list."""
    if not isinstance(given, list):
        return given
    if len(given) != 1:
        raise ArgumentError(
            f"{_NAME}: {name} must be one of its kind, or a list of one; got {len(given)}.\n"
            "  Scales at two levels belong to 4-bit recipes, which are not supported."
        )
    return given[0]


def _name_of(member: Any) -> str:
    """The name of an enum's member, here or in PyTorch; of anything else that of its type."""
    name = getattr(member, "name", member)
    return name if isinstance(name, str) else type(member).__name__


def _is_row_wise(*given: Any) -> bool:
    """The recipe of both matrices: RowWise rather than TensorWise."""
    recipes = []
    for side, recipe in zip("ab", given, strict=True):
        label = f"scale_recipe_{side}"
        recipes.append(_name_of(_one(label, recipe)))
        if recipes[-1] not in ("TensorWise", "RowWise"):
            raise ArgumentError(
                f"{_NAME}: {label} {recipes[-1]} is not supported; supported are "
                "ScalingType.TensorWise and ScalingType.RowWise of gpugrad.nn.functional.\n"
                "  Scale whole rows instead of blocks, or multiply in bfloat16."
            )
    if recipes[0] != recipes[1]:
        raise ArgumentError(
            f"{_NAME}: both matrices need one recipe; got {recipes[0]} and {recipes[1]}.\n"
            "  A single scale for each row: scale_a.expand(m, 1), scale_b.expand(1, n)."
        )
    return recipes[0] == "RowWise"


def _check_swizzles(*swizzles: Any) -> None:
    for side, swizzle in zip("ab", swizzles, strict=True):
        label = f"swizzle_{side}"
        if swizzle is not None and _name_of(_one(label, swizzle)) != "NO_SWIZZLE":
            raise ArgumentError(
                f"{_NAME}: scales of whole tensors and rows are not swizzled; leave {label} out."
            )


def _check_contraction(dims: Any) -> None:
    """mat_a's second axis meets mat_b's first, which contraction_dim may say."""
    given = tuple(dims) if isinstance(dims, Sequence) else (dims,)
    if given and given not in ((1, 0), (1, -2), (-1, 0), (-1, -2)):
        raise ArgumentError(
            f"{_NAME}: contraction_dim must be () or (1, 0); got {dims}.\n"
            "  Transpose a matrix that lies otherwise: mat_a.T, mat_b.T."
        )


def _beside(name: str, x: Any, like: Tensor) -> Tensor:
    """`x`, if it is a tensor on the matrices' device."""
    if not isinstance(x, Tensor):
        raise DTypeError(
            f"{_NAME}: {name} must be a Tensor; got {type(x).__name__}.\n"
            "  Make one with gg.tensor()."
        )
    if x.backend is not like.backend:
        raise DeviceError(mixed_devices(_NAME, (like, x)))
    return x


def _scale(name: str, given: Any, like: Tensor, shape: tuple[int, int] | None) -> Array:
    """A scale as gemm takes it: one axis. shape: None for one element."""
    scale = _beside(name, _one(name, given), like)
    if scale.dtype != dtypes.float32:
        raise DTypeError(
            f"{_NAME}: {name} must be float32; got {describe(scale)}.\n  Convert it with .float()."
        )
    check_constant(_NAME, scale)
    if shape is None:
        if scale.numel() != 1:
            raise ShapeError(
                f"{_NAME}: {name} must have one element for ScalingType.TensorWise; got "
                f"{describe(scale)}.\n  For a scale for each row use ScalingType.RowWise."
            )
        return scale.array.reshape(1)
    if scale.shape != shape:
        raise ShapeError(
            f"{_NAME}: {name} must have shape {shape} for ScalingType.RowWise; got "
            f"{describe(scale)}.\n  Use {name}.reshape{shape}, for one scale "
            f"{name}.expand{shape}."
        )
    return scale.array[:, 0] if name == "scale_a" else scale.array[0]


def _check_bias(bias: Any, like: Tensor, n: int) -> None:
    if bias is None:
        return
    _beside("bias", bias, like)
    if not dtypes.is_floating(bias.dtype):
        raise DTypeError(
            f"{_NAME}: bias must be floating; got {describe(bias)}.\n  Convert it with .float()."
        )
    if bias.shape != (n,):
        raise ShapeError(
            f"{_NAME}: bias must have shape ({n},), one for each column; got {describe(bias)}."
        )
