"""What the contract tests share: inputs in every layout, and tolerances with their reason.

Tolerances. An operation in precision eps (2^-23 for float32 and for the float32 inside half types,
2^-52 for float64) makes a few roundings for each element, so an element may be off by a few ulp of
what it was formed from; a sum of n terms adds a random walk, sqrt(n) ulp of the sum of magnitudes.
Half results add half an ulp of their own for the one rounding. The specification runs in float64 on
the same inputs, so its error does not count (but for float64 itself, which has twice the bound).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gpugrad import backends
from gpugrad import dtype as dtypes
from gpugrad.backends import Backend, reference

# The simulator is part of every test installation: without it these tests fail, they do not skip.
DEVICES = ["cpu", "sim"] + (["cuda"] if backends.available("cuda") else [])
ROOT = Path(__file__).parents[2]
FLOATING = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
ALL = ("bool", *INTEGERS, *FLOATING)
DOMAINS = {"floating": FLOATING, "number": INTEGERS + FLOATING, "any": ALL}
DOMAINS["integer"] = ("bool", *INTEGERS)

SHAPES = [(), (0,), (1,), (7,), (2, 0, 3), (3, 5, 19), (2, 1, 3, 1, 5), (33, 70), (2051,)]
LAYOUTS = ["contiguous", "transposed", "reversed", "strided", "offset", "broadcast"]


def functors(family: str) -> dict[str, tuple[str, ...]]:
    """The names of a list in csrc/core/functors.h, each with the dtypes of its domain."""
    text = (ROOT / "csrc/core/functors.h").read_text()
    block = text.split(f"#define GG_{family}_LIST(X)")[1].split("\n\n")[0].split("#define")[0]
    entries = re.findall(r"X\((\w+)(?:, (\w+))?", block)
    return {name: DOMAINS.get(domain, ALL) for name, domain in entries}


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def values(shape: tuple[int, ...], dtype: str, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Normal floats, integers of both signs where there are, or fair bools."""
    rng, d = random(seed), dtypes.as_dtype(dtype)
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtypes.is_floating(d):
        return np.asarray(scale * rng.standard_normal(shape)).astype(d)
    low = 0 if dtype == "uint8" else -9
    return np.asarray(rng.integers(low, 10, shape)).astype(d)


def place(backend: Backend, x: np.ndarray, layout: str) -> tuple[Any, np.ndarray]:
    """(x on the device in that layout, its values). `broadcast` repeats x's first row."""
    if x.ndim == 0 or layout == "contiguous":
        return backend.from_numpy(x), x
    if layout == "transposed":
        axes = tuple(range(x.ndim))[::-1]
        return backend.from_numpy(x.transpose(axes)).transpose(axes), x
    if layout == "reversed":
        return backend.from_numpy(x[::-1, ..., ::-1] if x.ndim > 1 else x[::-1])[
            (slice(None, None, -1), ..., slice(None, None, -1))[: x.ndim + (x.ndim > 1)]
        ], x
    if layout == "strided":
        gaps = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        gaps[..., ::2] = x
        return backend.from_numpy(gaps)[..., ::2], x
    if layout == "offset":
        shifted = np.concatenate([np.zeros(1, x.dtype), x.ravel()])
        return backend.from_numpy(shifted)[1:].reshape(x.shape), x
    row = x[:1]
    return np.broadcast_to(backend.from_numpy(row), x.shape), np.broadcast_to(row, x.shape)


def wide(x: np.ndarray) -> np.ndarray:
    """Floating x in float64, for the specification; others as they are."""
    return x.astype(np.float64) if dtypes.is_floating(x.dtype) else x


def epsilon(dtype: Any) -> float:
    """The spacing at 1 of the precision that `dtype` is computed in."""
    return 2.0**-51 if dtypes.as_dtype(dtype) == dtypes.float64 else 2.0**-23


def smallest_normal(dtype: Any) -> float:
    """Of the precision that `dtype` is computed in."""
    return 2.0**-1022 if dtypes.as_dtype(dtype) == dtypes.float64 else 2.0**-126


def half_ulp(y: np.ndarray, dtype: Any) -> np.ndarray:
    """Half an ulp of y in `dtype`, subnormals included."""
    bits, smallest = {
        "float16": (11, 2.0**-24),
        "bfloat16": (8, 2.0**-133),
        "float32": (24, 2.0**-149),
        "float64": (53, 2.0**-1074),
    }[dtypes.name(dtypes.as_dtype(dtype))]
    return np.abs(y) * 2.0**-bits + smallest


def check(
    backend: Backend, got: Any, expected: np.ndarray, error: Any = None, dtype: Any = None
) -> None:
    """`got` has the shape of `expected`, `dtype` (expected's unless given), and its values.

    error None: equal bits but for the sign of zero and NaN's payload. Otherwise |got - expected| is
    at most `error` and half an ulp of the result.
    """
    __tracebackhide__ = True
    expected = np.asarray(expected)
    dtype = dtypes.as_dtype(expected.dtype if dtype is None else dtype)
    assert backend.owns(got), f"not an array of {backend.device}: {type(got)}"
    y = backend.to_numpy(got)
    assert y.dtype == dtype, f"dtype {y.dtype}, expected {dtype}"
    assert y.shape == expected.shape, f"shape {y.shape}, expected {expected.shape}"
    if not dtypes.is_floating(dtype):
        np.testing.assert_array_equal(y, expected)
        return
    a, b = y.astype(np.float64), reference.cast(expected, dtype).astype(np.float64)
    if error is None:
        np.testing.assert_array_equal(a, b)
        return
    with np.errstate(invalid="ignore"):
        exact = expected.astype(np.float64)
        bound = np.nan_to_num(np.broadcast_to(error, a.shape)) + half_ulp(exact, dtype)
        wrong = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - exact) <= bound))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} elements differ; first at {at}: got {a[at]!r}, "
            f"expected {exact[at]!r}, allowed error {bound[at]!r}"
        )


def random_walk(n: int) -> float:
    """Ulps that a sum of n terms may be off, as a share of the sum of magnitudes."""
    return 4 + float(np.sqrt(n))


def placed_inputs(
    backend: Backend, dtype: str, scale: float = 1.0
) -> Iterator[tuple[str, Any, np.ndarray]]:
    """(what, device array, values) for every shape and layout."""
    for number, shape in enumerate(SHAPES):
        for layout in LAYOUTS if shape else ["contiguous"]:
            x, numpy = place(backend, values(shape, dtype, number, scale), layout)
            yield f"{shape} {layout}", x, numpy
