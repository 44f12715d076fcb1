"""Binary operations on random dtypes, shapes, 0-d tensors and Python numbers, against PyTorch: the
dtype of the result, its values, and whether it is an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties.strategies import (
    DTYPES,
    Strided,
    assert_result,
    broadcasting,
    examples,
    strided,
    wide,
)

import gpugrad as gg

NAMES = ["add", "sub", "mul", "div", "maximum", "minimum", "eq", "lt", "floor_divide", "remainder"]
NAMES += ["atan2", "logical_or", "bitwise_and", "where"]
TENSORS_ONLY = {"maximum", "minimum", "atan2", "logical_or"}


@st.composite
def mixed(draw: Any, numbers: bool) -> list[Any]:
    """Two operands: tensors, 0-d tensors, and at most one Python number."""
    found: list[Any] = [draw(strided(shape, DTYPES)) for shape in draw(broadcasting(2, 3))]
    if numbers and draw(st.booleans()):
        found[1] = draw(st.sampled_from([True, 2, -3, 1.5, -0.25]))
    return found


def theirs(x: Any) -> Any:
    if not isinstance(x, Strided):
        return x
    return torch.tensor(wide(x.array())).to(getattr(torch, x.dtype.name))


def no_zeros(x: Any) -> Any:
    """A divisor: PyTorch does not define what whole numbers divided by zero are."""
    return torch.where(x == 0, torch.ones_like(x), x) if isinstance(x, torch.Tensor) else x


def ours(x: Any) -> Any:
    if not isinstance(x, torch.Tensor):
        return x
    dtype = gg.as_dtype(str(x.dtype).removeprefix("torch."))
    values = x.double().numpy() if x.is_floating_point() else x.numpy()
    return gg.tensor(np.asarray(values)).to(dtype)


@pytest.mark.parametrize("name", NAMES)
def test_binary_operations_agree(name: str) -> None:
    @examples(100)
    @given(mixed(name not in TENSORS_ONLY))
    def check(pair: list[Any]) -> None:
        a, b = (theirs(x) for x in pair)
        if name in ("floor_divide", "remainder"):
            b = no_zeros(b)
        arguments, given_ours = (a, b), (ours(a), ours(b))
        if name == "where":
            arguments, given_ours = (a > 0, a, b), (ours(a) > 0, ours(a), ours(b))
        try:
            expected = getattr(torch, name)(*arguments)
        except (RuntimeError, TypeError):
            with pytest.raises((gg.errors.GpugradError, TypeError)):
                getattr(gg, name)(*given_ours)
            return
        y = getattr(gg, name)(*given_ours)
        values = expected.double() if expected.is_floating_point() else expected
        dtype = gg.as_dtype(str(expected.dtype).removeprefix("torch."))
        assert_result(y, values.numpy(), dtype, 2 if name == "atan2" else 1)

    check()
