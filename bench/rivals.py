"""The rivals on a device: PyTorch where it is installed, NumPy on the CPU, CuPy on a GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import cycle
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import rehearsal

import gpugrad as gg

Made = TypeVar("Made")
Work = Callable[[], object]
MOST_COPIES = 1024  # of what is smaller than 150 KiB: its launch takes longer than its memory


def torch_module() -> ModuleType | None:
    """PyTorch, or None where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch


def torch_tensor(x: np.ndarray, device: str) -> Any:
    torch = torch_module()
    assert torch is not None
    return torch.tensor(x, device=place(torch, device))


def place(library: Any, device: str) -> str:
    """The device under this name in a library; in a rehearsal PyTorch has but the CPU."""
    return "cpu" if rehearsal.ON and library is not gg else device


def as_torch(x: gg.Tensor) -> Any:
    """PyTorch's tensor on the memory of ours: both read the same bytes."""
    torch = torch_module()
    assert torch is not None
    return torch.from_dlpack(x.detach().cpu() if rehearsal.ON else x.detach())


TOLERANCE = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-15, "float64": 2.0**-40}
"""Of the largest element, by the coarser dtype; integers and bools are equal. Each result was once
rounded to bfloat16's 8 bits, float16's 11: twice 2^-8, 2^-11. Sums of up to 2^16 terms in float32,
one after the other, are off by about sqrt(2^16) times its 2^-24, ours and theirs. In a wrong tile
of a product of random numbers some element is off by a good part of the largest."""

TF32 = 2.0**-8
"""Each factor of each result has lost what is behind 11 bits, by truncation 2^-10 of itself."""


def check_agree(ours: Any, theirs: Any, roundings: int = 1) -> None:
    """Raises AssertionError where a result of a rival's and ours, or our backend's array, or one of
    a tuple of them, differ in shape or by more than TOLERANCE, or where ours is not finite; and
    where there is nothing to hold against ours, unless it is gpugrad that is the rival (a copy).

    roundings: how often what is summed was rounded to the result's dtype on its way; each of them
    leaves no more of random terms than a rounding of the result.
    """
    if torch_module() is None or isinstance(theirs, gg.Tensor):
        return
    if rehearsal.ON and hasattr(theirs, "strides"):  # of the stand-in for CuPy
        return
    ours, theirs = results(ours), results(theirs)
    assert theirs and len(ours) == len(theirs), (
        f"gpugrad gave {len(ours)} results to compare, the rival {len(theirs)}"
    )
    for a, b in zip(ours, theirs, strict=True):
        agree(a, b, roundings)


def agree(ours: Any, theirs: Any, roundings: int) -> None:
    """check_agree, of two of PyTorch's tensors."""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} is not {tuple(theirs.shape)}"
    if theirs.numel() == 0:
        return
    name, own = (str(x.dtype).removeprefix("torch.") for x in (theirs, ours))
    tolerance = max(TOLERANCE.get(name, 0.0), TOLERANCE.get(own, 0.0))
    if name == "float32" and gg.get_matmul_precision() == "tf32":
        tolerance = TF32
    # float64 holds all integers that occur; float32 takes half the memory.
    kind = theirs.dtype if name in ("float32", "float64") else theirs.float().dtype
    kind = kind if theirs.is_floating_point() else theirs.double().dtype
    a, b = ours.to(kind), theirs.to(kind)
    off, largest = float((a - b).abs().max()), float(b.abs().max())
    assert off <= roundings * tolerance * max(largest, 1e-30), (
        f"gpugrad's result is off by {off:.3g}, the largest element being {largest:.3g}"
    )


def results(found: Any) -> list[Any]:
    """What is a tensor or an array in it, as PyTorch's tensors on the same memory."""
    torch = torch_module()
    assert torch is not None
    if isinstance(found, (tuple, list)):
        return [each for one in found for each in results(one)]
    if isinstance(found, torch.Tensor):
        return [found.detach()]
    if isinstance(found, gg.Tensor):
        return [as_torch(found)]
    if not hasattr(found, "strides"):  # None, a number
        return []
    if isinstance(found, np.ndarray) and found.dtype.kind in "fiub":
        return [torch.from_numpy(np.array(found))]
    device = "cpu" if isinstance(found, np.ndarray) and not rehearsal.ON else "cuda"
    return [as_torch(gg.Tensor(found, gg.backends.get(device)))]


def libraries() -> dict[str, Any]:
    """gpugrad, and PyTorch where it is installed: both spell much code alike."""
    torch = torch_module()
    return {"gpugrad": gg} if torch is None else {"gpugrad": gg, "PyTorch": torch}


def against(steps: dict[str, Work], compare: Callable[..., None], *cost: Any) -> None:
    """compare() of what `libraries` made."""
    compare(steps.pop("gpugrad"), steps, *cost)


def array_library(device: str) -> tuple[str, ModuleType]:
    """("NumPy", numpy) or ("CuPy (cuBLAS)", cupy)."""
    if device == "cpu":
        return "NumPy", np
    import cupy

    return "CuPy (cuBLAS)", cupy


def second_level_cache(device: str) -> int:
    """Bytes of a GPU's L2; 0 on the CPU, where operands stay in caches in real use too."""
    if device == "cpu":
        return 0
    import cupy

    return int(cupy.cuda.Device().attributes["L2CacheSize"])


def rotated(make: Callable[[], Made], size: int, device: str) -> list[Made]:
    """So many results of make(), of `size` bytes each, that a call which takes one after the other
    finds none of them in L2: more than three times its size."""
    copies = 1 + 3 * second_level_cache(device) // max(size, 1)
    return [make() for _ in range(min(copies, MOST_COPIES))]


def in_turn(work: Callable[[Made], object], operands: list[Made]) -> Callable[[], object]:
    """A call of `work` for the next operands each time."""
    following = cycle(operands)
    return lambda: work(next(following))
