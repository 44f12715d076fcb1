"""Convolution layers alone: forward, and the gradients of input and weight.

On a GPU the rival is cuDNN in channels-last memory with its autotuner on, in bfloat16, in float32
and in float32 by tf32; operands are taken in turns from more memory than L2 has. On the CPU it is
PyTorch in row-major memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import pytest
import rehearsal
from duel import Cost
from rivals import as_torch, in_turn, rotated, torch_module

import gpugrad as gg

Step = Callable[[], object]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """x [n, c, size, size], weight [k, c / groups, taps, taps]."""

    n: int
    c: int
    size: int
    k: int
    taps: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def out(self) -> int:
        return (self.size + 2 * self.padding - self.taps) // self.stride + 1

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """Of x, the weight and y."""
        return (
            (self.n, self.c, self.size, self.size),
            (self.k, self.c // self.groups, self.taps, self.taps),
            (self.n, self.k, self.out, self.out),
        )

    @property
    def window(self) -> tuple[Any, ...]:
        return (self.stride,) * 2, (self.padding,) * 2, (1, 1), self.groups

    def cost(self) -> Cost:
        """Of each of the three products."""
        _, weight, y = self.shapes
        return Cost(flop=2.0 * prod(y) * prod(weight[1:]))


ON_CPU = {
    "tutorial_1": Layer(64, 3, 32, 32, 3, padding=1),
    "tutorial_2": Layer(64, 32, 16, 64, 3, padding=1),
    "lenet_1": Layer(64, 1, 28, 6, 5, padding=2),
    "lenet_2": Layer(64, 6, 14, 16, 5),
    "residual": Layer(64, 64, 32, 64, 3, padding=1),
    "resnet50_stem": Layer(8, 3, 224, 64, 7, stride=2, padding=3),
    "resnet50_1x1": Layer(8, 256, 56, 64, 1),
    "resnet50_3x3": Layer(8, 128, 28, 128, 3, padding=1),
    "resnet50_stride": Layer(8, 128, 56, 128, 3, stride=2, padding=1),
    "airbench_1": Layer(64, 3, 32, 24, 2),
    "airbench_2": Layer(64, 24, 31, 64, 3, padding=1),
    "airbench_3": Layer(64, 64, 15, 256, 3, padding=1),
    "depthwise": Layer(16, 64, 32, 64, 3, padding=1, groups=64),
}


def resnet50(n: int) -> Iterator[tuple[str, Layer]]:
    """Its different layers (He et al. 2016, table 1), the 3 x 3 with the stride as in PyTorch's."""
    yield "stem", Layer(n, 3, 224, 64, 7, stride=2, padding=3)
    inside = 64
    for stage, (width, size) in enumerate(((64, 56), (128, 28), (256, 14), (512, 7)), 1):
        before = size if stage == 1 else 2 * size
        stride = before // size
        yield f"{stage}_in", Layer(n, inside, before, width, 1)
        yield f"{stage}_3x3_first", Layer(n, width, before, width, 3, stride, padding=1)
        yield f"{stage}_shortcut", Layer(n, inside, before, 4 * width, 1, stride)
        yield f"{stage}_reduce", Layer(n, 4 * width, size, width, 1)
        yield f"{stage}_3x3", Layer(n, width, size, width, 3, padding=1)
        yield f"{stage}_expand", Layer(n, width, size, 4 * width, 1)
        inside = 4 * width


def on_gpu() -> Iterator[tuple[str, Layer]]:
    done = set()
    for name, layer in resnet50(64):
        if layer not in done:  # the first 3 x 3 of a stage without stride is like the others
            done.add(layer)
            yield f"resnet50_{name}", layer
    sizes = ((3, 32, 24, 2, 0), (24, 31, 64, 3, 1), (64, 15, 64, 3, 1), (64, 15, 256, 3, 1))
    sizes += ((256, 7, 256, 3, 1), (256, 3, 256, 3, 1))
    for i, (c, size, k, taps, padding) in enumerate(sizes, 1):
        yield f"airbench_{i}", Layer(1024, c, size, k, taps, padding=padding)
    yield "tutorial_1", Layer(512, 3, 32, 32, 3, padding=1)
    yield "tutorial_2", Layer(512, 32, 16, 64, 3, padding=1)
    yield "lenet_1", Layer(512, 1, 28, 6, 5, padding=2)
    yield "depthwise", Layer(128, 64, 32, 64, 3, padding=1, groups=64)


LAYERS = {"cpu": ON_CPU, "cuda": dict(on_gpu())}
#: label -> (dtype, precision of float32)
KINDS = {
    "cpu": {"float32": ("float32", "exact")},
    "cuda": {
        "bfloat16": ("bfloat16", "high"),
        "tf32": ("float32", "tf32"),
        "float32": ("float32", "high"),
    },
}
PASSES = ("fprop", "dgrad", "wgrad")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    device = metafunc.config.getoption("--device")
    metafunc.parametrize("kind", KINDS[device])
    metafunc.parametrize("name", LAYERS[device])
    metafunc.parametrize("product", PASSES)


@pytest.fixture(autouse=True)
def precision(device: str, kind: str) -> Iterator[None]:
    """Sets it for gpugrad and cuDNN, which chooses its algorithms by measuring."""
    torch, name = torch_module(), KINDS[device][kind][1]
    gg.set_matmul_precision(name)
    if torch is not None:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = name == "tf32"
    yield
    gg.set_matmul_precision("high")
    if torch is not None:
        torch.backends.cudnn.allow_tf32 = False


def small(layer: Layer) -> Layer:
    """For a rehearsal."""
    if not rehearsal.ON:
        return layer
    depthwise = layer.groups > 1
    c, k, size = min(layer.c, 16), min(layer.k, 16), min(layer.size, 9)
    return Layer(2, c, size, k, layer.taps, layer.stride, layer.padding, c if depthwise else 1)


def operands(layer: Layer, dtype: str, device: str) -> list[gg.Tensor]:
    """x, weight and dy, uniform random numbers."""
    tensors = [gg.rand(*shape, device=device) * 2 - 1 for shape in layer.shapes]
    tensors = [x.to(gg.as_dtype(dtype)) for x in tensors]
    if device == "cpu":
        return tensors
    return [x.contiguous(memory_format=gg.channels_last) for x in tensors]


def ours(layer: Layer, sets: list[Any], product: str) -> Step:
    """The product as its kernel computes it, without a graph."""
    kernels = sets[0][0].backend.kernels
    x_shape, w_shape, y_shape = layer.shapes
    window = layer.window
    works: dict[str, Callable[[Any], object]] = {
        "fprop": lambda s: kernels.conv_fprop(s[0], s[1], window, y_shape),
        "dgrad": lambda s: kernels.conv_dgrad(s[2], s[1], window, x_shape),
        "wgrad": lambda s: kernels.conv_wgrad(s[0], s[2], window, w_shape),
    }
    return in_turn(works[product], [tuple([x.array for x in tensors]) for tensors in sets])


def theirs(torch: Any, layer: Layer, sets: list[Any], product: str) -> Step:
    stride, padding, dilation, groups = layer.window
    fixed = (None, stride, padding, dilation, False, (0, 0), groups)
    backward = torch.ops.aten.convolution_backward
    works: dict[str, Callable[[Any], object]] = {
        "fprop": lambda s: torch.conv2d(s[0], s[1], None, stride, padding, dilation, groups),
        "dgrad": lambda s: backward(s[2], s[0], s[1], *fixed, [True, False, False]),
        "wgrad": lambda s: backward(s[2], s[0], s[1], *fixed, [False, True, False]),
    }
    return in_turn(works[product], sets)


def test_layer(compare, device: str, name: str, product: str, kind: str) -> None:
    layer, torch = small(LAYERS[device][name]), torch_module()
    dtype = KINDS[device][kind][0]
    size = sum(map(prod, layer.shapes)) * gg.as_dtype(dtype).itemsize
    gg.manual_seed(0)
    sets = rotated(lambda: operands(layer, dtype, device), size, device)
    rivals = {}
    if torch is not None:
        label = "cuDNN" if device == "cuda" else "PyTorch"
        copies = [[as_torch(x) for x in tensors] for tensors in sets]
        rivals[label] = theirs(torch, layer, copies, product)
    # In float32 cuDNN may choose Winograd's, whose transforms cost it about three bits.
    roundings = 8 if kind == "float32" else 1
    compare(ours(layer, sets, product), rivals, layer.cost(), "device", roundings=roundings)
