"""The contract itself: the same names everywhere, nothing missing, everything held to its test."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpugrad import backends
from gpugrad.backends import native, reference
from gpugrad.backends.base import COMPARISONS, OPERATIONS, PREDICATES, Kernels
from gpugrad.device import Device
from gpugrad.dtype import float8_e5m2
from gpugrad.errors import ArgumentError, DeviceError, DTypeError, IndexOutOfRangeError

ROOT = Path(__file__).parents[1]
OPS_H = "\n".join(p.read_text() for p in sorted((ROOT / "csrc/ops").glob("*.h")))
FUNCTORS_H = (ROOT / "csrc/core/functors.h").read_text()


def declared(text: str) -> set[str]:
    return set(re.findall(r"^(?:void|int64_t) (\w+)\(", text, re.MULTILINE))


def workspaces(names: set[str]) -> set[str]:
    return {n for n in names if n.endswith("_workspace")}


def functor_list(family: str) -> dict[str, str]:
    """Name to result ("same", "boolean" or "") of a list in functors.h."""
    block = FUNCTORS_H.split(f"#define GG_{family}_LIST(X)")[1].split("#define")[0]
    return {name: result for name, _, result in re.findall(r"X\((\w+)(, \w+, (\w+))?\)", block)}


def test_reference_has_every_operation() -> None:
    names = declared(OPS_H)
    raw = names - workspaces(names)
    raw |= {"cast", "contiguous"}  # both are `copy` into a new array
    raw |= {"sum_of"}  # _cpu's own (csrc/cpu/terms.h), elsewhere made of three
    assert raw == set(OPERATIONS)
    assert set(OPERATIONS) <= set(reference.__all__)


def test_functor_lists() -> None:
    unary, binary = functor_list("UNARY"), functor_list("BINARY")
    parameters = reference.elementwise.UNARY_WITH_PARAMETERS
    assert set(unary) == set(reference.UNARY) | set(parameters)
    assert set(binary) == set(reference.BINARY)
    assert set(functor_list("REDUCE")) == set(reference.REDUCE)
    assert set(functor_list("ACTIVATION")) == set(reference.ACTIVATION)
    assert {n for n, result in unary.items() if result == "boolean"} == PREDICATES
    assert {n for n, result in binary.items() if result == "boolean"} == COMPARISONS


@pytest.mark.parametrize("kind", ["cpu", "sim"] + (["cuda"] if backends.available("cuda") else []))
def test_native_module_has_every_operation(kind: str) -> None:
    """Of _cpu: what lies outside `#if !defined(GG_CPU)` in ops.h."""
    text = OPS_H
    if kind == "cpu":
        text = re.sub(r"#if !defined\(GG_CPU\).*?#endif", "", text, flags=re.DOTALL)
    module = importlib.import_module(f"gpugrad._{kind}")
    extra = {"set_bfloat16", "built_for"}
    if kind == "sim":
        extra |= {"set_schedule", "set_architecture", "architecture"}
    if kind == "cpu":
        extra |= {"own_numpy_memory", "keep_memory", "kept_memory"}
        extra |= {"sum_of", "sum_of_workspace", "int_product"}
        extra |= {"memory_counts", "reset_memory_peaks", "usable_cpus"}
    assert {n for n in dir(module) if not n.startswith("_")} == declared(text) | extra
    assert module.built_for() == kind or kind == "cuda"


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_kernels_have_the_signatures_of_the_specification(device: str) -> None:
    kernels = backends.get(device).kernels
    for name in OPERATIONS:
        expected = list(inspect.signature(getattr(Kernels, name)).parameters.values())[1:]
        for holder in (reference, kernels):
            got = inspect.signature(getattr(holder, name)).parameters.values()
            if [p.kind for p in got] == [inspect.Parameter.VAR_POSITIONAL]:
                continue  # handed on to the native module as they are
            assert [(p.name, p.default) for p in got] == [(p.name, p.default) for p in expected]


def test_every_operation_is_held_against_the_specification() -> None:
    """A contract test calls it, or gives its name to one that calls any (schedules: bits alone)."""
    folder = ROOT / "tests/contract"
    files = set(folder.glob("test_*.py")) - {folder / "test_contract_schedules.py"}
    tests = "".join(path.read_text() for path in files)
    called = set(re.findall(r"\bk(?:ernels)?\.(\w+)\(", tests)) | set(re.findall(r'"(\w+)"', tests))
    assert not set(OPERATIONS) - called


def test_one_backend_for_a_device() -> None:
    assert backends.get("cpu") is backends.get(Device("cpu")) is backends.get("cpu:0")
    assert backends.get("sim").device == Device("sim")
    assert str(backends.best()) == ("cuda:0" if backends.available("cuda") else "cpu")
    assert backends.get("auto") is backends.get(backends.best())
    for wrong in ("gpu", "tpu:0", ""):
        with pytest.raises(DeviceError, match='legal are "cpu", "cuda", "cuda:N", "sim" or "auto"'):
            backends.get(wrong)


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_host_arrays(device: str) -> None:
    b = backends.get(device)
    x = np.arange(6, dtype=np.float32).reshape(2, 3).T
    y = b.from_numpy(x)
    assert b.owns(y) and y is not x and y.flags.c_contiguous and not b.owns([1.0])
    x[...] = 0
    z = b.to_numpy(y)
    assert z[2, 1] == 5 and not np.shares_memory(z, y)
    assert b.empty((2, 0), np.dtype("int8")).shape == (2, 0)
    assert str(b.device) in b.memory_summary()


def test_native_refusals_are_gpugrad_errors() -> None:
    sim = backends.get("sim").kernels
    with pytest.raises(ArgumentError, match=r"sqrt.*int32"):
        sim.unary("sqrt", np.ones(3, np.int32))
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\).*broadcast"):
        sim.binary("add", np.ones(2, np.float32), np.ones(3, np.float32))


def test_native_refusals_of_8_bit_floats() -> None:
    """That an operation has none is said in one way; what else the module refuses is its text."""
    x = np.ones(3, float8_e5m2)
    with pytest.raises(DTypeError, match=r"^exp: not implemented for float8_e5m2"):
        backends.get("sim").kernels.unary("exp", x)

    def sort(*args: object) -> None:
        raise ValueError(text)

    text = "sort: y must have the shape of x, got float8_e5m2 (2,)"
    with pytest.raises(ArgumentError, match=re.escape(text)):
        native.run(sort, 0, (x, x[:2]))
    text = "dispatch_number: expected an integer dtype, got float8_e5m2"
    with pytest.raises(DTypeError, match=r"^sort: not implemented for float8_e5m2"):
        native.run(sort, 0, (x, x))


def test_a_flag_names_the_operation_and_is_cleared() -> None:
    flag = np.array([1, -9, 4, 2])
    with pytest.raises(IndexOutOfRangeError, match=r"gather: index -9 .* axis 2 of length 4"):
        backends.base.raise_flag(flag)
    assert not flag.any()
    backends.base.raise_flag(flag)


def test_unbuilt_simulator_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpugrad.backends.sim.load", lambda name: None)
    with pytest.raises(DeviceError, match=r"GPUGRAD_SIM=ON pip install \."):
        backends.sim.SimBackend(Device("sim"))


def test_import_is_lazy(python: Callable[[str], str]) -> None:
    """`import gpugrad` and the CPU need neither CuPy nor PyTorch, and no device module but _cpu."""
    code = (
        "import sys, gpugrad\nfrom gpugrad import backends\nbackends.get('cpu')\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('cupy', 'torch')"
        " or m in ('gpugrad._sim', 'gpugrad._cuda')])"
    )
    assert python(code).strip() == "[]"
