"""scaled_mm and _int_mm: what they refuse, and what they take in more than one way.

Their numbers are held by tests/contract/test_gemm_float8.py and tests/parity/test_float8.py.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    GpugradError,
    GraphError,
    ShapeError,
)

TENSOR, ROW = F.ScalingType.TensorWise, F.ScalingType.RowWise


class PyTorchs(Enum):
    """Another's enum, with the names of ours."""

    TensorWise = "tensor"


def operands(device: str = "cpu") -> dict[str, Any]:
    """Of a legal call: a [3, 4] b [4, 5]."""
    rng = np.random.default_rng(0)
    return {
        "mat_a": gg.tensor(rng.integers(-8, 9, (3, 4)), dtype=gg.float8_e4m3fn, device=device),
        "mat_b": gg.tensor(rng.integers(-8, 9, (5, 4)), dtype=gg.float8_e5m2, device=device).T,
        "scale_a": gg.tensor(0.5, device=device),
        "scale_recipe_a": TENSOR,
        "scale_b": gg.tensor(2.0, device=device),
        "scale_recipe_b": TENSOR,
    }


ROWS = {
    "scale_a": gg.tensor([[0.5], [1.0], [2.0]]),
    "scale_recipe_a": ROW,
    "scale_b": gg.ones(1, 5),
    "scale_recipe_b": ROW,
}
a8 = operands()["mat_a"]
wide = gg.float32

REFUSED: dict[str, tuple[dict[str, Any], type[GpugradError], str]] = {
    "no float8": (
        {"mat_a": gg.zeros(3, 4)}, DTypeError,
        r"mat_a must be float8_e4m3fn or float8_e5m2; got \(3, 4\) float32 on cpu\.\n  Divide it",
    ),
    "int8": ({"mat_b": gg.zeros(4, 5, dtype=gg.int8)}, DTypeError, "mat_b must be float8_e4m3fn"),
    "a stack": ({"mat_a": a8.unsqueeze(0)}, ShapeError, r"the first matrix must have 2 axes; got"),
    "a row": ({"mat_b": a8[0]}, ShapeError, "the second matrix must have 2 axes; got"),
    "inner sizes": ({"mat_b": a8}, ShapeError, r"inner sizes differ: \(3, 4\) .* times \(3, 4\)"),
    "no tensor": ({"mat_b": 3}, DTypeError, "input must be a Tensor, got int"),
    "devices": ({"mat_b": operands("sim")["mat_b"]}, DeviceError, "all tensors must be on one"),
    "its device": ({"scale_b": gg.ones(1, device="sim")}, DeviceError, "all tensors must be on"),
    "output": ({"output_dtype": gg.int8}, DTypeError, "output_dtype must be one of bfloat16, flo"),
    "float64": ({"output_dtype": "float64"}, DTypeError, "output_dtype must be .*got float64"),
    "blocks": (
        {"scale_recipe_a": F.ScalingType.BlockWise1x128}, ArgumentError,
        r"scale_recipe_a BlockWise1x128 is not supported; supported are ScalingType\.TensorWise",
    ),
    "no recipe": ({"scale_recipe_b": "row"}, ArgumentError, "scale_recipe_b row is not supported"),
    "an array": (
        {"scale_recipe_a": np.zeros(2)}, ArgumentError,
        r"scale_recipe_a ndarray is not .* of gpugrad\.nn\.functional\.\n  Scale whole rows",
    ),
    "two recipes": (
        {"scale_recipe_b": [TENSOR, TENSOR]}, ArgumentError, "scale_recipe_b must be one of its"
    ),
    "no scale": (
        {"scale_a": 0.5}, DTypeError,
        r"scale_a must be a Tensor; got float\.\n  Make one with gg\.tensor\(\)",
    ),
    "no bias": ({"bias": [1.0]}, DTypeError, "bias must be a Tensor; got list"),
    "axes": (
        {"contraction_dim": (0, 1)}, ArgumentError,
        r"contraction_dim must be \(\) or \(1, 0\); got \(0, 1\)\.\n  Transpose a matrix",
    ),
    "one axis": ({"contraction_dim": [1]}, ArgumentError, "contraction_dim must be"),
    "no axes": ({"contraction_dim": 1}, ArgumentError, "contraction_dim must be .* got 1"),
    "mixed": (
        {"scale_recipe_a": ROW, "scale_a": ROWS["scale_a"]}, ArgumentError,
        r"both matrices need one recipe; got RowWise and TensorWise\.\n.*scale_b\.expand\(1, n\)",
    ),
    "two levels": (
        {"scale_a": [gg.ones(1), gg.ones(1)]}, ArgumentError,
        r"scale_a must be one of its kind, or a list of one; got 2\.\n  Scales at two levels",
    ),
    "swizzle": (
        {"swizzle_b": F.SwizzleType.SWIZZLE_32_4_4}, ArgumentError,
        "scales of whole tensors and rows are not swizzled; leave swizzle_b out",
    ),
    "scale's dtype": (
        {"scale_a": gg.ones(1, dtype=gg.float64)}, DTypeError,
        r"scale_a must be float32; got \(1,\) float64 on cpu\.\n  Convert it with \.float\(\)",
    ),
    "several scales": (
        {"scale_b": gg.ones(5)}, ShapeError,
        r"scale_b must have one element for ScalingType\.TensorWise; got \(5,\).*\n.*RowWise",
    ),
    "rows": (
        ROWS | {"scale_a": gg.ones(3)}, ShapeError,
        r"scale_a must have shape \(3, 1\) for ScalingType\.RowWise; got \(3,\) float32",
    ),
    "columns": (ROWS | {"scale_b": gg.ones(5, 1)}, ShapeError, r"scale_b must have shape \(1, 5\)"),
    "bias": ({"bias": gg.ones(3)}, ShapeError, r"bias must have shape \(5,\), .*; got \(3"),
    "bias's dtype": (
        {"bias": gg.ones(5, dtype=gg.int32)}, DTypeError,
        r"bias must be floating; got \(5,\) int32 on cpu\.\n  Convert it with \.float\(\)",
    ),
    "bias's device": ({"bias": gg.ones(5, device="sim")}, DeviceError, "all tensors must be on"),
    "a gradient": (
        {"bias": gg.ones(5, requires_grad=True)}, GraphError,
        r"has no derivative, and \(5,\) float32 on cpu requires a gradient\.\n  Use it under gg\.",
    ),
    "a's gradient": ({"mat_a": a8.clone().requires_grad_()}, GraphError, "has no derivative, and"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    change, error, text = REFUSED[what]
    with pytest.raises(error, match="^scaled_mm(: [a-z_]+)?: " + text):
        F.scaled_mm(**(operands() | change))


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_ways_to_say_the_same(device: str) -> None:
    given = operands(device)
    y = F.scaled_mm(**given)
    exact = given["mat_a"].to("cpu").float() @ given["mat_b"].to("cpu").float()
    assert y.dtype == gg.bfloat16 and y.tolist() == exact.tolist()  # small integers, times 1
    lists = {name: [value] for name, value in given.items() if "scale" in name}
    one = {"scale_a": given["scale_a"].reshape(1, 1), "scale_b": given["scale_b"].reshape(1)}
    plain = {"swizzle_a": F.SwizzleType.NO_SWIZZLE, "contraction_dim": (1, 0)}
    rows = {
        "scale_a": given["scale_a"].expand(3, 1),
        "scale_b": given["scale_b"].expand(1, 5),
        "scale_recipe_a": ROW,
        "scale_recipe_b": ROW,
    }
    names = {"scale_recipe_a": "TensorWise", "scale_recipe_b": [PyTorchs.TensorWise]}
    axes: list[dict[str, Any]] = [{"contraction_dim": d} for d in ((1, -2), [-1, 0], (-1, -2))]
    for change in (lists, one, plain, rows, names, *axes, {"use_fast_accum": True}):
        assert F.scaled_mm(**(given | change)).tolist() == y.tolist()
    assert F.scaled_mm(**given, output_dtype=wide).tolist() == exact.tolist()
    assert F.scaled_mm(**given, output_dtype=None).dtype == gg.float8_e4m3fn
    bias = gg.tensor([1.0, 2, 3, 4, 5], device=device, requires_grad=True)
    with gg.no_grad():
        got = F.scaled_mm(**given, bias=bias, output_dtype=gg.float16)
    assert got.tolist() == (exact + bias.detach().to("cpu")).tolist()
    assert not got.requires_grad


def test_nothing_to_multiply() -> None:
    scales = {"scale_recipe_a": TENSOR, "scale_recipe_b": TENSOR}
    scales |= {"scale_a": gg.ones(1), "scale_b": gg.ones(1)}  # type: ignore[dict-item]
    for m, k, n in ((0, 4, 3), (3, 0, 4), (3, 4, 0)):
        a, b = gg.zeros(m, k, dtype=gg.float8_e5m2), gg.zeros(k, n, dtype=gg.float8_e5m2)
        y = F.scaled_mm(a, b, **scales)  # type: ignore[arg-type]
        assert y.shape == (m, n) and not y.float().any()


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_int_mm(dtype: str, device: str) -> None:
    limits = np.iinfo(dtype)
    a = np.full((17, 300), limits.min, dtype)
    b = np.full((300, 9), limits.max, dtype)
    b[::2] = limits.min
    y = gg._int_mm(gg.tensor(a, device=device), gg.tensor(b, device=device))
    assert y.dtype == gg.int32
    np.testing.assert_array_equal(y.to("cpu").numpy(), a.astype(np.int64) @ b.astype(np.int64))


def test_int_mm_refuses() -> None:
    i, u = gg.zeros(3, 4, dtype=gg.int8), gg.zeros(4, 5, dtype=gg.uint8)
    cases = [
        (
            (i, u),
            DTypeError,
            r"both matrices must be int8, or both uint8; got \(3, 4\) int8 on cpu",
        ),
        ((i.int(), u.int()), DTypeError, r"both matrices must be int8.*\n  Convert them with"),
        ((i, i), ShapeError, r"inner sizes differ: \(3, 4\) int8 on cpu times \(3, 4\) int8"),
        ((i[None], u), ShapeError, "the first matrix must have 2 axes"),
        ((i, i.T.to("sim")), DeviceError, "all tensors must be on one device"),
        ((i, 3), DTypeError, "input must be a Tensor, got int"),
    ]
    for given, error, text in cases:
        with pytest.raises(error, match="^" + re.escape("_int_mm: ") + text):
            gg._int_mm(*given)  # type: ignore[arg-type]
