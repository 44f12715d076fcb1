"""The module _cpu itself, at any size, against the specification.

Device "cpu" gives small arrays to NumPy, so the tests of all devices hardly reach what `_cpu` does
with odd strides, few elements and nothing at all. Here the same tests run on `_cpu` alone, and then
on arrays large enough to be cut into tasks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract_tools import ALL, FLOATING, check, epsilon, random_walk, values, wide
from test_contract_elementwise import (  # noqa: F401
    test_binary_with_a_number,
    test_cast,
    test_cast_always_copies,
    test_contiguous_and_cast_layouts,
    test_copy,
    test_unary,
    test_unary_layouts,
    test_where,
    test_where_of_numbers,
)
from test_contract_index import (  # noqa: F401
    test_gather,
    test_gather_and_scatter_flag_a_bad_index,
)
from test_contract_order import *  # noqa: F403
from test_contract_reduce import *  # noqa: F403
from test_contract_reduce import hold_sum_of

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import reference
from gpugrad.backends.base import OPERATIONS
from gpugrad.backends.cpu_native import NATIVE
from gpugrad.backends.host import HostBackend
from gpugrad.errors import DTypeError, IndexOutOfRangeError


class Kernels:
    """`_cpu` where it has the operation, else the specification."""

    def __init__(self) -> None:
        native = {name for name in OPERATIONS if hasattr(NATIVE.module, name)}
        native |= {"cast", "contiguous"}  # by copy
        for name in set(OPERATIONS) - {"binary"}:
            setattr(self, name, getattr(NATIVE if name in native else reference, name))

    def binary(self, name: str, a: Any, b: Any, out: Any = None) -> Any:
        array = a if isinstance(a, np.ndarray) else b
        kernels: Any = NATIVE if dtypes.is_floating(array.dtype) else reference
        return kernels.binary(name, a, b, out)


class Native(HostBackend):
    """Device "cpu" without NumPy's share."""

    kernels = Kernels()  # type: ignore[assignment]


@pytest.fixture
def backend() -> backends.Backend:
    return Native(backends.get("cpu").device)


LARGE = [((300, 700), (0,)), ((300, 700), (1,)), ((3, 70000), (1,)), ((70000, 3), (0,))]
LARGE += [((8, 40, 700), (0, 2)), ((200000,), (0,)), ((70000, 4), (1,)), ((5, 3, 20000), (1,))]


@pytest.mark.parametrize("name", reference.REDUCE)
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "float16", "float32", "float64"])
def test_reduce_in_tasks(name: str, dtype: str) -> None:
    """Few and many outputs, stretches joined in order, equal values and NaN in several of them."""
    if name == "mean" and dtype not in FLOATING:
        return
    for number, (shape, axes) in enumerate(LARGE):
        x = values(shape, dtype, number)
        if name == "prod" and dtype in FLOATING:
            x = (1 + wide(x) / 4096).astype(x.dtype)
        inputs = [x]
        if dtype in FLOATING and name not in ("sum", "mean", "prod"):
            holed = x.copy()
            holed.reshape(-1)[[x.size // 3, x.size // 2, x.size - 1]] = np.nan
            inputs.append(holed)
        for given in inputs:
            got = NATIVE.reduce(name, given, axes, False)
            expected = reference.reduce(name, wide(given), axes, False)
            error = None
            if dtype in FLOATING and name in ("sum", "mean", "prod"):
                n = given.size // max(expected.size, 1)
                magnitude = reference.reduce("sum", np.abs(wide(given)), axes, False)
                magnitude = magnitude / n if name == "mean" else magnitude
                error = epsilon(dtype) * random_walk(n) * magnitude
                if name == "prod":  # near 1 ties are many and round one way: no walk
                    error = epsilon(dtype) * n * np.abs(expected)
            result = expected.dtype if expected.dtype.kind in "bi" else dtype
            check(backends.get("cpu"), got, expected, error, result)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ["square", "exp"])
def test_sum_of_in_tasks(backend: backends.Backend, name: str, dtype: str) -> None:
    for number, (shape, axes) in enumerate(LARGE):
        for centred in (False, True):
            hold_sum_of(backend, name, values(shape, dtype, number), "contiguous", axes, centred)


def test_sum_of_refuses_what_it_is_not_for() -> None:
    x, y = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
    with pytest.raises(ValueError, match=r"sum_of: f must be square or exp, got abs"):
        NATIVE.module.sum_of(0, "abs", x, None, y, None)
    with pytest.raises(ValueError, match=r"sum_of: x must be float16.*got int32"):
        NATIVE.module.sum_of(0, "exp", np.ones((2, 3), np.int32), None, y, None)
    with pytest.raises(ValueError, match=r"sum_of: y and centre must have one shape"):
        NATIVE.module.sum_of(0, "exp", x, x, y, None)
    with pytest.raises(ValueError, match=r"sum_of: centre must have x's dtype or y's"):
        NATIVE.module.sum_of(0, "exp", x, y.astype(np.float64), y, None)


@pytest.mark.parametrize("dtype", ALL)
def test_copy_transposes_in_tiles(dtype: str) -> None:
    for shape, axes in [
        ((130, 67), (1, 0)),
        ((3, 65, 9, 40), (0, 3, 1, 2)),
        ((9, 200, 8), (2, 1, 0)),
    ]:
        x = values(shape, dtype)
        for given in (x, x[::-1], x[..., ::-1]):
            y = NATIVE.contiguous(given.transpose(axes))
            check(backends.get("cpu"), y, given.transpose(axes))
            assert y.flags.c_contiguous
        y = np.empty_like(x.transpose(axes), order="C")
        NATIVE.copy(x.transpose(axes), y)
        check(backends.get("cpu"), y, x.transpose(axes))


def test_gather_names_the_first_bad_index_of_the_first_array() -> None:
    x = np.zeros((40, 50), np.float32)
    first, second = np.zeros((2, 100000), np.int64)
    first[[70000, 99000]], second[5] = [41, -77], 50
    with pytest.raises(
        IndexOutOfRangeError, match="index 41 is out of range for axis 0 of length 40"
    ):
        NATIVE.gather(x, (first, second))


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_scatter_overwrites_8_bit_floats_but_joins_none(name: str) -> None:
    dtype = getattr(dtypes, name)
    one, two = (np.full(3, number, np.float32).astype(dtype) for number in (1, 2))
    index = [np.array([0, 2, 2])]
    x = one.copy()
    NATIVE.scatter("set", x, index, two)
    assert x.astype(np.float32).tolist() == [2, 1, 2]
    for join in ("add", "mul", "max", "min"):
        with pytest.raises(DTypeError, match=f"not implemented for {name}"):
            NATIVE.scatter(join, x, index, one)
    assert x.astype(np.float32).tolist() == [2, 1, 2]


@pytest.mark.parametrize("dtype", ALL)
def test_sort_of_long_rows(dtype: str) -> None:
    """Rows that are sorted by bytes, with many equals."""
    x = values((3, 5000), dtype, 3, 2.0)
    for descending in (False, True):
        y, index = NATIVE.sort(x, descending)
        expected, places = reference.sort(x, descending)
        check(backends.get("cpu"), y, expected)
        check(backends.get("cpu"), index, places)
