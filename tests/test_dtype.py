"""Promotion and result types against PyTorch 2.13's, written down here as tables."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

import gpugrad as gg
from gpugrad import dtype as dtypes
from gpugrad.device import Device
from gpugrad.errors import DeviceError, DTypeError

# One letter for each dtype, in the order of dtypes.DTYPES.
CODES = "?u1248hbfd"

# torch.promote_types(row, column)
PROMOTE = """\
?u1248hbfd
uu2248hbfd
121248hbfd
222248hbfd
444448hbfd
888888hbfd
hhhhhhhffd
bbbbbbfbfd
fffffffffd
dddddddddd
"""

# torch.result_type(row, column) of ten arrays with axes, ten 0-d arrays, and True, 1, 1.0.
# F is the default dtype.
RESULT = """\
?u1248hbfd?u1248hbfd?8F
uu2248hbfduuuuuuhbfduuF
121248hbfd111111hbfd11F
222248hbfd222222hbfd22F
444448hbfd444444hbfd44F
888888hbfd888888hbfd88F
hhhhhhhffdhhhhhhhhhhhhh
bbbbbbfbfdbbbbbbbbbbbbb
fffffffffdfffffffffffff
ddddddddddddddddddddddd
?u1248hbfd?u1248hbfd?8F
uu1248hbfduu2248hbfduuF
1u1248hbfd121248hbfd11F
2u1248hbfd222248hbfd22F
4u1248hbfd444448hbfd44F
8u1248hbfd888888hbfd88F
hhhhhhhbfdhhhhhhhffdhhh
bbbbbbhbfdbbbbbbfbfdbbb
ffffffhbfdfffffffffdfff
ddddddhbfdddddddddddddd
?u1248hbfd?u1248hbfd?8F
8u1248hbfd8u1248hbfd88F
FFFFFFhbfdFFFFFFhbfdFFF
"""

OPERANDS = [
    *(np.ones(1, d) for d in dtypes.DTYPES),
    *(np.ones((), d) for d in dtypes.DTYPES),
    *(True, 1, 1.0),
]


def decode(letter: str) -> np.dtype:
    return dtypes.get_default_dtype() if letter == "F" else dtypes.DTYPES[CODES.index(letter)]


@pytest.fixture
def keep_default() -> Iterator[None]:
    yield
    dtypes.set_default_dtype("float32")


def test_promote() -> None:
    for a, row in zip(dtypes.DTYPES, PROMOTE.splitlines(), strict=True):
        for b, letter in zip(dtypes.DTYPES, row, strict=True):
            assert dtypes.promote(a, b) is decode(letter), (a, b)


@pytest.mark.parametrize("default", ["float32", "float64", "bfloat16"])
def test_result_type(default: str, keep_default: None) -> None:
    dtypes.set_default_dtype(default)
    for a, row in zip(OPERANDS, RESULT.splitlines(), strict=True):
        for b, letter in zip(OPERANDS, row, strict=True):
            assert dtypes.result_type(a, b) is decode(letter), (a, b)


def test_result_type_of_three_and_one() -> None:
    ints, half = np.ones(2, np.int32), np.ones((), np.float16)
    assert dtypes.result_type(ints, half, 2.0) is dtypes.float16
    assert dtypes.result_type(ints, 2, 2.0) is dtypes.float32
    assert dtypes.result_type(np.float64(2.0)) is dtypes.float32  # a number, not an array
    assert dtypes.result_type(np.ones(1, ml_dtypes.bfloat16)) is dtypes.bfloat16
    with pytest.raises(DTypeError, match="at least one"):
        dtypes.result_type()
    with pytest.raises(DTypeError, match="str is neither a tensor nor a number"):
        dtypes.result_type(ints, "one")


def test_accumulation() -> None:
    accumulated = "8888 88fffd".replace(" ", "")
    for d, letter in zip(dtypes.DTYPES, accumulated, strict=True):
        assert dtypes.accumulation(d) is decode(letter)
        assert dtypes.is_floating(d) == (letter != "8")
        assert dtypes.sum_dtype(d) is (d if dtypes.is_floating(d) else dtypes.int64)


def test_as_dtype() -> None:
    for d in dtypes.DTYPES:
        assert dtypes.as_dtype(d) is d
        assert dtypes.as_dtype(dtypes.name(d)) is d
        assert dtypes.as_dtype(d.type) is d
    assert dtypes.as_dtype(float) is dtypes.float32
    assert dtypes.as_dtype(int) is dtypes.int64
    assert dtypes.as_dtype(bool) is dtypes.bool_
    for wrong in ("complex64", "int7", np.uint32, None, 3, [1]):
        with pytest.raises(DTypeError, match="legal are bool, uint8"):
            dtypes.as_dtype(wrong)
    with pytest.raises(DTypeError, match="only floating"):
        dtypes.set_default_dtype("int32")


def test_device_names() -> None:
    assert str(Device("cuda")) == "cuda:0" == str(Device("cuda", 0))
    assert Device("cuda:3") == Device("cuda", 3) != Device("cuda")
    assert len({Device("sim"), Device("sim"), Device(Device("cpu"))}) == 2
    for wrong in ("gpu", "cuda:", "cuda:x", "cuda:-1", "", "CPU", None, 3):
        with pytest.raises(DeviceError, match='legal are "cpu", "cuda"'):
            Device(wrong)  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="two different indices"):
        Device("cuda:1", 2)
    with pytest.raises(DeviceError, match="index 0 only"):
        Device("cpu:1")
    with pytest.raises(AttributeError, match="immutable"):
        Device("cpu").type = "cuda"


def test_limits() -> None:
    assert gg.finfo(gg.float32).eps == 2.0**-23 and gg.finfo(gg.bfloat16).eps == 2.0**-7
    assert gg.iinfo(gg.int8).max == 127
    assert gg.finfo(gg.float64).max < gg.inf and gg.tensor(gg.nan).isnan().item()
    assert 3.14 < gg.pi < 3.15
