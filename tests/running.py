"""Runs a case on a device, in a dtype: output and gradients as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cases import Case
from inputs import Sample

import gpugrad as gg

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """A fixed dy without zeros or symmetry: the same for every library and device."""
    return np.cos(np.arange(int(np.prod(shape)), dtype=np.float64) * 0.7 + 0.3).reshape(shape)


def is_floating(x: np.ndarray) -> bool:
    return np.asarray(x).dtype.kind == "f"


def run(case: Case, sample: Sample, dtype: str, device: str) -> list[np.ndarray]:
    """[y, dx for each floating input], dy being the cotangent; [y] if not differentiable."""
    leaves = []
    for x in sample:
        leaf = gg.tensor(np.asarray(x), device=device)
        if is_floating(x):
            leaf = leaf.to(getattr(gg, dtype)).requires_grad_(case.grad_order > 0)
        leaves.append(leaf)
    y = case.ours(*leaves)
    results = [y]
    if y.requires_grad:
        y.backward(gg.tensor(cotangent(tuple(y.shape)), device=device).to(y.dtype))
        results += [leaf.grad for leaf in leaves if leaf.requires_grad]
    return [to_float64(each.detach().cpu().numpy()) for each in results]


def to_float64(x: np.ndarray) -> np.ndarray:
    """bfloat16 and float16 to float64; integers and booleans as they are."""
    return x if x.dtype.kind in "iub" else x.astype(np.float64)


def assert_close(
    got: list[np.ndarray], expected: list[np.ndarray], tolerance: float, what: Callable[[int], str]
) -> None:
    """Each |got - expected| <= tolerance * max(1, largest |expected|), shapes being equal."""
    assert len(got) == len(expected), f"{len(got)} results, expected {len(expected)}"
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a.shape == b.shape, f"{what(i)}: shape {a.shape}, expected {b.shape}"
        if b.dtype.kind in "iub":
            np.testing.assert_array_equal(a, b, err_msg=what(i))
            continue
        scale = max(1.0, float(np.max(np.abs(b), initial=0, where=np.isfinite(b))))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=what(i))


def describe(case: Case, number: int) -> Callable[[int], str]:
    """What result i of a case is, for a failure's text."""
    return lambda i: f"{case.name}, sample {number}, " + ("output" if i == 0 else f"gradient {i}")
