"""PyTorch's own samples of its operations (its op_db), given to both libraries.

The samples reach what our cases do not think of: every combination of options that PyTorch tests
itself with, forward and gradients; and the inputs it must refuse. A test file lists `Operation`s:

    OPERATIONS = operations("add", "sub", except_={"sub": differs("why", lambda sample: ...)})

    @pytest.mark.parametrize("operation", OPERATIONS, ids=str)
    def test_samples(operation): check_samples(operation)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from running import EPSILON, cotangent

import gpugrad as gg
from gpugrad.dtype import DTYPES

pytest.importorskip("expecttest", reason="op_db needs expecttest")
with warnings.catch_warnings():  # PyTorch's test utilities warn of their own use of PyTorch
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

LONGEST = 1024  # products in one sum of the largest sample: its roundings, both ways
HALF_ROUNDINGS = 8  # ours rounds once; PyTorch after each of its steps
SUPPORTED = {getattr(torch, d.name): d for d in DTYPES}
"""PyTorch's dtypes that gpugrad has, and ours of the same names."""


@dataclass(frozen=True)
class Difference:
    """Samples that we answer otherwise, or not at all, and why."""

    reason: str
    holds: Callable[[Any], bool]


def differs(reason: str, holds: Callable[[Any], bool] = lambda sample: True) -> Difference:
    """Samples for which `holds(sample)`; all of them unless it is given."""
    return Difference(reason, holds)


@dataclass(frozen=True)
class Operation:
    """An entry of op_db, our function, and where the two differ on purpose.

    at_most: samples taken, evenly; None: all. roundings: of the longest path, in epsilons.
    fixed: options given to both, whatever the sample says.
    """

    info: Any
    ours: Callable[..., Any]
    differences: tuple[Difference, ...] = ()
    at_most: int | None = None
    roundings: float = LONGEST
    fixed: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return title(self.info)

    def every_sample(self, dtype: torch.dtype, requires_grad: bool) -> list[Any]:
        """PyTorch's samples of a dtype."""
        every = list(self.info.sample_inputs("cpu", dtype, requires_grad=requires_grad))
        for sample in every:
            sample.kwargs.update(self.fixed)
        return every

    def differs(self, sample: Any) -> bool:
        return any(difference.holds(sample) for difference in self.differences)

    def samples(self, dtype: torch.dtype, requires_grad: bool) -> Iterator[Any]:
        """Those on which the two must agree."""
        every = self.every_sample(dtype, requires_grad)
        step = 1 if self.at_most is None else -(-len(every) // self.at_most) or 1
        return (sample for sample in every[::step] if not self.differs(sample))


FUNCTIONAL = "nn.functional."


def title(info: Any) -> str:
    """The entry's name, and its variant."""
    return "-".join(filter(None, (info.name.removeprefix(FUNCTIONAL), info.variant_test_name)))


@cache
def entries() -> dict[str, list[Any]]:
    """op_db's entries by name."""
    found: dict[str, list[Any]] = {}
    for info in op_db:
        found.setdefault(info.name, []).append(info)
    return found


def our_function(info: Any) -> Callable[..., Any]:
    """gpugrad's function of the entry's name: of nn.functional, of a namespace, or a method."""
    place: Any = gg
    *path, name = info.name.split(".")
    for part in path:
        place = getattr(place, part)
    return getattr(place, name) if hasattr(place, name) else getattr(gg.Tensor, name)


def operations(
    *names: str,
    except_: dict[str, Difference | tuple[Difference, ...]] | None = None,
    functions: dict[str, Callable[..., Any]] | None = None,
    **options: Any,
) -> list[Operation]:
    """The entries of these names ("add", "linalg.inv", "nn.functional.relu").

    except_: differences, by title or name; functions: ours, by name, where op_db's order of
    arguments is another; both without "nn.functional."; options: of every `Operation`.
    """
    differences, found = except_ or {}, []
    for name in names:
        short = name.removeprefix(FUNCTIONAL)
        for info in entries()[name]:
            different: Any = differences.get(title(info), differences.get(short, ()))
            different = different if isinstance(different, tuple) else (different,)
            ours = (functions or {}).get(short) or our_function(info)
            found.append(Operation(info, ours, different, **options))
    return found


def functional(*names: str, **options: Any) -> list[Operation]:
    """`operations` of nn.functional."""
    return operations(*(FUNCTIONAL + name for name in names), **options)


# ---- values from one library to the other ----------------------------------------------------


def translated(value: Any) -> Any:
    """PyTorch's tensors, dtypes and sizes in arguments as ours. Tensors are copied: some
    operations change them in place."""
    if isinstance(value, torch.Tensor):
        copy = value.detach().resolve_neg().clone(memory_format=torch.preserve_format)
        if value.dtype == torch.bfloat16:  # which NumPy has no DLPack of
            x = gg.from_numpy(copy.view(torch.int16).numpy().view(gg.bfloat16))
        else:
            x = gg.from_dlpack(copy)
        return x.requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype):
        return SUPPORTED[value]
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        return type(value)(translated(v) for v in value)
    if isinstance(value, dict):
        return {name: translated(v) for name, v in value.items()}
    return value


def tensors(value: Any, library: Any) -> list[Any]:
    """The tensors in nested arguments or results, in order."""
    if isinstance(value, library.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [x for v in value for x in tensors(v, library)]
    if isinstance(value, dict):
        return tensors(list(value.values()), library)
    return []


def to_numpy(x: Any) -> np.ndarray:
    x = x.detach()
    if x.dtype == torch.bfloat16:  # which PyTorch does not give to NumPy
        return x.view(torch.int16).numpy(force=True).view(gg.bfloat16)
    if isinstance(x, torch.Tensor):
        return x.numpy(force=True)  # force: also zeros that PyTorch has not written out
    return np.asarray(x.numpy())


def evaluate(library: Any, function: Any, sample: tuple[Any, Any, Any], after: Any) -> list[Any]:
    """[results..., gradients of the differentiable ones together]: NumPy arrays, and what else the
    function returns."""
    first, args, options = sample
    result = after(function(first, *args, **options))
    found = tensors(result, library)
    if not found:
        return [result]
    arrays = [to_numpy(y) for y in found]
    smooth = [y for y in found if y.requires_grad]
    inputs = [x for x in tensors([first, args, options], library) if x.requires_grad]
    if smooth and inputs:
        dys = [library.tensor(cotangent(tuple(y.shape)), dtype=y.dtype) for y in smooth]
        grads = library.autograd.grad(smooth, inputs, dys, allow_unused=True)
        pairs = zip(grads, inputs, strict=True)
        arrays += [np.zeros_like(to_numpy(x)) if g is None else to_numpy(g) for g, x in pairs]
    return arrays


# ---- checks ------------------------------------------------------------------------------------


def check_samples(operation: Operation, dtype: torch.dtype = torch.float64) -> None:
    """Forward and, of floating dtypes, gradients agree on every sample."""
    floating = dtype.is_floating_point and operation.info.supports_autograd
    for number, sample in enumerate(operation.samples(dtype, floating)):
        after = sample.output_process_fn_grad
        inputs = (sample.input, sample.args, sample.kwargs)
        what = f"{operation}, sample {number}: {sample}"
        ours = tuple(translated(v) for v in inputs)  # before theirs, which may change them
        expected = evaluate(torch, operation.info.op, inputs, after)
        got = evaluate(gg, operation.ours, ours, after)
        assert_agree(got, expected, what, operation.roundings)


def assert_agree(got: list[Any], expected: list[Any], what: str, roundings: float) -> None:
    assert len(got) == len(expected), f"{what}: {len(got)} results, PyTorch {len(expected)}"
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        if not isinstance(b, np.ndarray):
            assert a == b or (a != a and b != b), f"{what}: {a}, PyTorch {b}"
            continue
        assert a.shape == b.shape, f"{what}: result {i} {a.shape}, PyTorch {b.shape}"
        assert a.dtype == b.dtype, f"{what}: result {i} {a.dtype}, PyTorch {b.dtype}"
        atol = 0.0
        if b.dtype.name in EPSILON:
            a, b, name = a.astype(np.float64), b.astype(np.float64), b.dtype.name
            largest = max(1.0, float(np.max(np.abs(b), initial=0, where=np.isfinite(b))))
            half = name.endswith("float16")
            atol = (HALF_ROUNDINGS if half else roundings) * EPSILON[name] * largest
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=f"{what}, result {i}")


def check_refused(operation: Operation) -> None:
    """What op_db says must raise, raises one of our errors (or Python's for a wrong call)."""
    for wrong in operation.info.error_inputs("cpu"):
        sample = wrong.sample_input
        if operation.differs(sample):
            continue
        with pytest.raises((gg.errors.GpugradError, TypeError)):
            first, args, options = map(translated, (sample.input, sample.args, sample.kwargs))
            operation.ours(first, *args, **options)
            pytest.fail(f"{operation} took what PyTorch refuses: {sample}")


def check_in_place(operation: Operation, dtype: torch.dtype = torch.float64) -> None:
    """The in-place method does on every sample what PyTorch's does: values, gradients, refusals."""
    name = operation.info.inplace_variant.__name__
    floating = dtype.is_floating_point and operation.info.supports_autograd

    def method(x: Any, *args: Any, **options: Any) -> Any:
        return getattr(x.clone(), name)(*args, **options)

    for number, sample in enumerate(operation.samples(dtype, floating)):
        inputs = (sample.input, sample.args, sample.kwargs)
        what = f"{name}, sample {number}: {sample}"
        ours = tuple(translated(v) for v in inputs)
        try:
            expected = evaluate(torch, method, inputs, sample.output_process_fn_grad)
        except (RuntimeError, TypeError):
            with pytest.raises((gg.errors.GpugradError, TypeError)):
                method(ours[0], *ours[1], **ours[2])
                pytest.fail(f"{what}: taken, which PyTorch refuses")
            continue
        got = evaluate(gg, method, ours, sample.output_process_fn_grad)
        assert_agree(got, expected, what, operation.roundings)


def in_place(listed: list[Operation]) -> list[Operation]:
    """The operations that have an in-place method."""
    return [operation for operation in listed if operation.info.inplace_variant]


def of_dtypes(
    listed: list[Operation], dtypes: Sequence[torch.dtype]
) -> list[tuple[Operation, torch.dtype]]:
    """The operations beside each of the dtypes that PyTorch has samples of."""
    return [(each, dtype) for each in listed for dtype in dtypes if dtype in each.info.dtypes]


def refusing(listed: list[Operation]) -> list[Operation]:
    """The operations for which op_db has inputs that must raise."""
    return [operation for operation in listed if operation.info.error_inputs_func]


def excluded(listed: list[Operation], dtype: torch.dtype = torch.float64) -> tuple[int, int]:
    """(samples that differ on purpose, all samples)."""
    every = [
        (operation, sample)
        for operation in listed
        if dtype in operation.info.dtypes
        for sample in operation.every_sample(dtype, False)
    ]
    return sum(operation.differs(sample) for operation, sample in every), len(every)
