"""conv_fprop, conv_dgrad and conv_wgrad of every device against the specification.

Tolerances: the sums' terms are those of the same convolution of magnitudes; contract_tools.py says
what a sum may be off. tf32 rounds both factors to 11 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from math import prod
from typing import Any, NamedTuple

import numpy as np
import pytest
from contract_tools import DEVICES, FLOATING, check, epsilon, functors, place, random_walk, values

from gpugrad import backends
from gpugrad.backends import Backend, reference
from gpugrad.backends.matmul_precision import SETTING
from gpugrad.errors import ArgumentError

ARCHITECTURES = {"sim-75": 75, "sim": 80, "sim-90": 90}  # each has kernels of its own
PRECISIONS = ("exact", "high", "tf32")


@pytest.fixture(params=[*(d for d in DEVICES if d != "sim"), *ARCHITECTURES])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every device; the simulator as each architecture whose kernels differ."""
    architecture = ARCHITECTURES.get(request.param)
    if architecture is None:
        yield backends.get(request.param)
        return
    from gpugrad import _sim

    _sim.set_architecture(architecture)
    yield backends.get("sim")
    _sim.set_architecture(80)


@pytest.fixture
def precision() -> Iterator[None]:
    """What a test does to the precision of float32 is undone."""
    before = SETTING.name
    yield
    SETTING.name = before


class Case(NamedTuple):
    """A convolution; `behind` is padded behind beyond what is padded before."""

    n: int
    c: int
    k: int
    size: tuple[int, ...]
    taps: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    behind: tuple[int, ...] = (0, 0, 0)

    @property
    def window(self) -> tuple[Any, ...]:
        return (self.stride, self.padding, self.dilation, self.groups)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of x, w, y."""
        axes = zip(
            self.size,
            self.taps,
            self.stride,
            self.padding,
            self.dilation,
            self.behind,
            strict=False,
        )
        out = (max((n + 2 * p + b - d * (t - 1) - 1) // s + 1, 0) for n, t, s, p, d, b in axes)
        x, w = (self.n, self.c, *self.size), (self.k, self.c // self.groups, *self.taps)
        return x, w, (self.n, self.k, *out)


GENERAL = [
    Case(3, 5, 7, (19,), (4,), (3,), (2,), (2,)),
    Case(2, 16, 24, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(2, 20, 33, (11, 6), (3, 2), (2, 3), (1, 2), (2, 1)),
    Case(2, 12, 18, (5, 8), (2, 3), (1, 2), (0, 1), (1, 1), 1, (1, 2)),  # behind: even kernels
    Case(2, 16, 32, (4, 5, 6), (3, 2, 3), (1, 2, 1), (1, 0, 1), (1, 1, 2)),
    Case(1, 3, 40, (15, 13), (7, 7), (2, 2), (3, 3), (1, 1)),  # the first layer
    Case(2, 48, 1, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(1, 8, 16, (7, 7), (3, 3), (3, 2), (4, 5), (1, 1)),  # padding beyond the kernel
    Case(2, 24, 16, (8, 9), (2, 1), (3, 4), (0, 0), (1, 1)),  # positions that nothing meets
    Case(2, 16, 16, (13,), (3,), (4,), (1,), (2,)),  # stride and dilation have a factor in common
    Case(1, 16, 16, (3, 3), (1, 5), (1, 1), (0, 1), (1, 1)),  # one window, larger than x
]
PRODUCTS = [
    Case(2, 20, 24, (5, 6), (1, 1), (1, 1), (0, 0), (1, 1)),  # a matrix product
    Case(2, 20, 24, (5, 6), (1, 1), (2, 3), (0, 0), (1, 1)),
    Case(2, 20, 24, (5,), (1,), (1,), (2,), (1,)),
    Case(2, 16, 24, (2, 3, 4), (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
]
GROUPED = [
    Case(2, 32, 48, (7, 6), (3, 3), (1, 1), (1, 1), (1, 1), 2),
    Case(2, 60, 36, (7, 6), (3, 2), (2, 1), (1, 0), (1, 2), 3),  # channels that are no chunk
    Case(2, 12, 12, (8, 8), (3, 3), (1, 1), (1, 1), (1, 1), 4),
    Case(2, 9, 9, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1), 9),  # depthwise
    Case(2, 8, 16, (7, 6), (3, 3), (2, 2), (1, 1), (1, 1), 8),  # ... with two outputs each
    Case(1, 4, 6, (5, 4), (1, 1), (1, 1), (0, 0), (1, 1), 2),
]
LARGE = [  # fills the larger tiles of tensor cores, and splits their sums
    Case(2, 40, 136, (13, 12), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(1, 128, 128, (12, 12), (3, 2), (2, 1), (1, 0), (1, 2), 1),
    Case(1, 264, 72, (3, 3), (3, 3), (1, 1), (1, 1), (1, 1)),
]
EMPTY = [
    Case(0, 4, 8, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(2, 0, 8, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(2, 8, 0, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(2, 8, 16, (0, 5), (3, 3), (1, 1), (2, 1), (1, 1)),
    Case(2, 8, 16, (2, 5), (3, 3), (1, 1), (0, 1), (1, 1)),  # no window
    Case(2, 0, 4, (3, 3), (1, 1), (1, 1), (0, 0), (1, 1)),
    Case(2, 4, 0, (3, 3), (1, 1), (1, 1), (0, 0), (1, 1)),
]
CASES = [*GENERAL, *PRODUCTS, *GROUPED, *LARGE, *EMPTY]

LAYOUTS = ("rows", "last", "offset", "gaps", "strided", "reversed", "broadcast")


def place_image(backend: Backend, x: np.ndarray, layout: str) -> tuple[Any, np.ndarray]:
    """(x on the device in that layout, its values)."""
    if layout == "rows":
        return backend.from_numpy(x), x
    if layout == "last":
        return np.moveaxis(backend.from_numpy(np.moveaxis(x, 1, -1).copy()), -1, 1), x
    if layout == "gaps":  # channels-last, three of five channels
        wide = np.zeros((x.shape[0], *x.shape[2:], x.shape[1] + 2), x.dtype)
        wide[..., 1:-1] = np.moveaxis(x, 1, -1)
        return np.moveaxis(backend.from_numpy(wide)[..., 1:-1], -1, 1), x
    return place(backend, x, layout)


def magnitude(x: np.ndarray) -> np.ndarray:
    return np.abs(x.astype(np.float64))


def sum_error(dtype: str, terms: int) -> float:
    """What a sum of so many products may be off, as a share of the sum of magnitudes."""
    error = epsilon(dtype) * random_walk(terms)
    if dtype == "float32" and SETTING.name == "tf32":
        error += 2 * 2.0**-11 + 2.0**-22 + (terms / 8 + 2) * 2.0**-23
    return error


class Held:
    """Runs a case's three operations on a device and holds each against the specification."""

    def __init__(self, backend: Backend, case: Case, dtype: str, layouts: tuple[str, ...]) -> None:
        self.backend, self.case, self.dtype = backend, case, dtype
        placed = [
            place_image(backend, values(shape, dtype, i), layout)
            for i, (shape, layout) in enumerate(zip(case.shapes, layouts, strict=True))
        ]
        (self.x, self.w, self.y), (x, w, y) = zip(*placed, strict=True)
        self.wide = [a.astype(np.float64) for a in (x, w, y)]
        self.magnitudes = [magnitude(a) for a in (x, w, y)]

    def check(self, got: Any, expected: np.ndarray, terms: np.ndarray, count: int) -> None:
        __tracebackhide__ = True
        error = sum_error(self.dtype, count) * terms
        check(self.backend, got, expected, error, self.dtype)

    def fprop(self, act: str = "none", bias: bool = False, residual: str = "") -> None:
        __tracebackhide__ = True
        case, shape = self.case, self.case.shapes[2]
        b = values(shape[1:2], self.dtype, 3) if bias else None
        r, numpy_r = None, None
        if residual:
            r, numpy_r = place_image(self.backend, values(shape, self.dtype, 4), residual)
        device_b = None if b is None else self.backend.from_numpy(b)
        k = self.backend.kernels
        got = k.conv_fprop(self.x, self.w, case.window, shape, device_b, act, r)
        x, w = self.wide[:2]
        extra = [None if a is None else a.astype(np.float64) for a in (b, numpy_r)]
        expected = reference.conv_fprop(x, w, case.window, shape, extra[0], act, extra[1])
        terms = reference.conv_fprop(self.magnitudes[0], self.magnitudes[1], case.window, shape)
        # Every activation changes by at most 1.13 times its argument.
        count = prod(case.shapes[1][1:])
        self.check(got, expected, 1.13 * (terms + (4 if bias or residual else 0)), count)

    def dgrad(self, bias: bool = False) -> None:
        __tracebackhide__ = True
        case, shape = self.case, self.case.shapes[0]
        b = values(shape[1:2], self.dtype, 3) if bias else None
        device_b = None if b is None else self.backend.from_numpy(b)
        got = self.backend.kernels.conv_dgrad(self.y, self.w, case.window, shape, device_b)
        wide_b = None if b is None else b.astype(np.float64)
        expected = reference.conv_dgrad(self.wide[2], self.wide[1], case.window, shape, wide_b)
        terms = reference.conv_dgrad(self.magnitudes[2], self.magnitudes[1], case.window, shape)
        count = case.k // case.groups * prod(case.taps)
        self.check(got, expected, terms + (4 if bias else 0), count)

    def wgrad(self) -> None:
        __tracebackhide__ = True
        case, shape = self.case, self.case.shapes[1]
        got = self.backend.kernels.conv_wgrad(self.x, self.y, case.window, shape)
        expected = reference.conv_wgrad(self.wide[0], self.wide[2], case.window, shape)
        terms = reference.conv_wgrad(self.magnitudes[0], self.magnitudes[2], case.window, shape)
        self.check(got, expected, terms, case.n * prod(case.shapes[2][2:]))


MEMORY = [("last", "last", "last"), ("rows", "rows", "rows"), ("last", "rows", "rows")]


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
def test_conv(backend: Backend, dtype: str, operation: str) -> None:
    for case, layouts in zip(CASES, cycle(MEMORY), strict=False):
        getattr(Held(backend, case, dtype, layouts), operation)()


MIXED = [
    Case(2, 16, 24, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    Case(2, 24, 16, (7, 5), (3, 2), (2, 1), (1, 0), (1, 2), 2),
    Case(2, 16, 24, (4, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    Case(2, 6, 6, (7, 5), (3, 3), (1, 1), (1, 1), (1, 1), 6),
    Case(2, 3, 16, (9, 8), (3, 3), (2, 2), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
def test_conv_layouts(backend: Backend, dtype: str, layout: str, operation: str) -> None:
    for case in MIXED:
        getattr(Held(backend, case, dtype, (layout, "last", "last")), operation)()
        getattr(Held(backend, case, dtype, ("last", layout, "rows")), operation)()
        getattr(Held(backend, case, dtype, ("rows", "last", layout)), operation)()


def windows(seed: int) -> Case:
    """A mixture drawn at random: axes, strides, padding, dilation, groups, sizes."""
    draw = np.random.default_rng(seed).integers
    axes, groups = int(draw(1, 4)), int(draw(1, 4))
    several = [tuple(int(i) for i in draw(low, high, axes)) for low, high in
               ((3, 12 - 2 * axes), (1, 4), (1, 4), (0, 3), (1, 3))]  # fmt: skip
    channels = [groups * int(draw(1, 21)) for _ in range(2)]
    return Case(int(draw(1, 4)), *channels, *several, groups)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
def test_conv_windows(backend: Backend, dtype: str, operation: str) -> None:
    for seed in range(40):
        layouts = MEMORY[seed % 3] if seed % 2 else ("gaps", "gaps", "gaps")
        getattr(Held(backend, windows(seed), dtype, layouts), operation)()


@pytest.mark.usefixtures("precision")
@pytest.mark.parametrize("setting", PRECISIONS)
@pytest.mark.parametrize("operation", ["fprop", "dgrad", "wgrad"])
def test_conv_precision(backend: Backend, setting: str, operation: str) -> None:
    SETTING.name = setting
    for case in (*MIXED, *LARGE, GENERAL[2], GENERAL[4], GROUPED[1]):
        for layouts in MEMORY[:2]:
            getattr(Held(backend, case, "float32", layouts), operation)()


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("act", functors("ACTIVATION"))
def test_conv_fprop_epilogue(backend: Backend, dtype: str, act: str) -> None:
    for case in (*MIXED, LARGE[2]):
        for layout in ("last", "rows"):
            held = Held(backend, case, dtype, (layout, layout, layout))
            held.fprop(act, bias=True)
            held.fprop(act, bias=True, residual=layout)
            held.fprop(act, residual="broadcast")


@pytest.mark.parametrize("dtype", FLOATING)
def test_conv_dgrad_bias(backend: Backend, dtype: str) -> None:
    for case in (*MIXED, GENERAL[8], GENERAL[9], EMPTY[2]):  # two: phases without a tap
        Held(backend, case, dtype, ("last", "last", "last")).dgrad(bias=True)


def test_conv_fprop_and_dgrad_are_adjoint(backend: Backend) -> None:
    """<conv x, y> = <x, conv^T y> to the last bit, for integers: no term is lost or met twice."""
    k = backend.kernels
    for case in (*GENERAL, *GROUPED):
        x, w, y = (backend.from_numpy(np.rint(values(s, "float32", i)))
                   for i, s in enumerate(case.shapes))  # fmt: skip
        forward = backend.to_numpy(k.conv_fprop(x, w, case.window, case.shapes[2]))
        back = backend.to_numpy(k.conv_dgrad(y, w, case.window, case.shapes[0]))
        weight = backend.to_numpy(k.conv_wgrad(x, y, case.window, case.shapes[1]))
        total = (forward.astype(np.float64) * backend.to_numpy(y)).sum()
        assert total == (back.astype(np.float64) * backend.to_numpy(x)).sum()
        assert total == (weight.astype(np.float64) * backend.to_numpy(w)).sum()


# ---- errors -------------------------------------------------------------------------------------

NATIVE = [d for d in DEVICES if d != "cuda"]  # what takes NumPy arrays
BAD = {
    "rank": ({"x": (2, 8)}, r"conv_fprop: x must be \[N, C, spatial...\].* float32 \(2, 8\)"),
    "axes": ({"w": (4, 8, 3)}, r"conv_fprop: x, w and y must have as many axes .*\(4, 8, 3\)"),
    "w": ({"w": (4, 7, 3, 3)}, r"conv_fprop: w must have 8 input channels .*\(4, 7, 3, 3\)"),
    "k": ({"y": (2, 5, 5, 5)}, r"conv_fprop: y must begin with \(2, 4\), .*\(2, 5, 5, 5\)"),
    "n": ({"y": (1, 4, 5, 5)}, r"conv_fprop: y must begin with \(2, 4\), .*\(1, 4, 5, 5\)"),
    "groups": ({"groups": 3}, r"conv_fprop: groups must divide the channels of x .* got 3 groups"),
    "no group": ({"groups": 0}, r"conv_fprop: groups must divide .* got 0 groups"),
    "stride": ({"stride": (1, 0)}, r"conv_fprop: stride and dilation must be positive .* got 0, 1"),
    "padding": ({"padding": (-1, 1)}, r"conv_fprop: .* padding not negative, got 1, 1 and -1"),
    "dilation": ({"dilation": (0, 1)}, r"conv_fprop: stride and dilation must be positive .* 1, 0"),
    "window": ({"stride": (1,)}, r"conv_fprop: stride, padding and dilation must have 2 numbers"),
}


def refuses(device: str, wrong: dict[str, Any], match: str) -> None:
    """Each operation's workspace, asked for with one thing wrong, fails so (text: fprop's)."""
    import importlib

    module = importlib.import_module(f"gpugrad._{device}")
    shapes = {"x": (2, 8, 5, 5), "w": (4, 8, 3, 3), "y": (2, 4, 5, 5)}
    settings = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    settings.update({k: v for k, v in wrong.items() if k in settings})
    x, w, y = (np.ones(wrong.get(k, s), np.float32) for k, s in shapes.items())
    named = {"fprop": (x, w, y), "dgrad": (y, w, x), "wgrad": (x, y, w)}
    for operation, arrays in named.items():
        workspace = getattr(module, f"conv_{operation}_workspace")
        text = match if operation == "fprop" else f"conv_{operation}: "
        with pytest.raises(ValueError, match=text):
            workspace(*arrays, tuple(settings.values()), "exact")


@pytest.mark.parametrize("device", NATIVE)
@pytest.mark.parametrize("name", BAD)
def test_conv_refuses(device: str, name: str) -> None:
    refuses(device, *BAD[name])


def test_conv_refuses_positions_beyond_int() -> None:
    far = r"conv_fprop: positions along axis 2 must stay below 2\^30.* padding 2147483648"
    refuses("sim", {"padding": (2**31, 1)}, far)


@pytest.mark.parametrize("device", NATIVE)
def test_conv_refuses_dtypes_and_epilogues(device: str) -> None:
    k, window = backends.get(device).kernels, ((1, 1), (1, 1), (1, 1), 1)
    x, w = np.ones((2, 8, 5, 5), np.float32), np.ones((4, 8, 3, 3), np.float32)
    shape = (2, 4, 5, 5)
    with pytest.raises(ArgumentError, match=r"conv_fprop: x and w must have one dtype, .*float64"):
        k.conv_fprop(x, w.astype(np.float64), window, shape)
    with pytest.raises(ArgumentError, match=r"conv_fprop: x must be float16.* got int32"):
        k.conv_fprop(x.astype(np.int32), w.astype(np.int32), window, shape)
    with pytest.raises(ArgumentError, match=r"conv_fprop: bias must be float32 \(4,\).*\(3,\)"):
        k.conv_fprop(x, w, window, shape, np.ones(3, np.float32))
    with pytest.raises(ArgumentError, match=r"conv_dgrad: bias must be float32 \(8,\).*\(4,\)"):
        k.conv_dgrad(np.ones(shape, np.float32), w, window, x.shape, np.ones(4, np.float32))
    with pytest.raises(ArgumentError, match=r"conv_fprop: residual .*\(2, 4, 5, 4\)"):
        k.conv_fprop(x, w, window, shape, None, "none", np.ones((2, 4, 5, 4), np.float32))
