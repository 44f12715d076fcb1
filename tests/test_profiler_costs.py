"""What operations cost, and the most that devices can do."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad.backends.base import OPERATIONS, AttentionOptions, Kernels
from gpugrad.backends.peaks import UNKNOWN, Peaks, of_gpu
from gpugrad.profiler import COSTS, profile
from gpugrad.profiler.costs import elements, nbytes

# ---- costs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_cost(name: str) -> None:
    """An entry, whose parameters are the operation's behind the result (or any)."""
    parameters = list(inspect.signature(COSTS[name]).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    expected = list(inspect.signature(getattr(Kernels, name)).parameters.values())[1:]
    assert [(p.name, p.default) for p in parameters[1:]] == [(p.name, p.default) for p in expected]


def cost_of(run: Any, kernel: str) -> Any:
    with profile() as p:
        run()
    (event,) = [e for e in p.events() if e.kernel == kernel]
    return event.cost


def test_costs() -> None:
    """By hand: FLOP of the mathematics, bytes that must be moved."""
    a, b, bias = gg.rand(4, 5, 6), gg.rand(4, 6, 7), gg.rand(7)
    assert cost_of(lambda: a @ b, "gemm") == (2 * 4 * 5 * 6 * 7, 4 * 4 * (30 + 42 + 35),
                                              "float32 high")  # fmt: skip
    x, w = gg.rand(2, 4, 9, 9), gg.rand(6, 2, 3, 3)
    conv = cost_of(lambda: F.conv2d(x, w, padding=1, groups=2), "conv_fprop")
    assert conv.flops == 2 * (2 * 6 * 81) * 2 * 9
    assert conv.bytes == 4 * (2 * 4 * 81 + 6 * 18 + 2 * 6 * 81)
    assert cost_of(lambda: gg.rand(3, 1).expand(3, 50) + 1.0, "binary add") == (150, 4 * 153, None)
    row = gg.arange(10)
    assert cost_of(lambda: gg.rand(100, 8)[row[:3]], "gather").bytes == 2 * 4 * 24 + 8 * 3
    index = gg.zeros(5, dtype=gg.int64)
    assert cost_of(lambda: gg.zeros(9).scatter_add(0, index, bias[:5]), "scatter add") == (
        5, 8 * 5 + 4 * 5 + 2 * 4 * 5, None)  # fmt: skip
    p = gg.rand(10, requires_grad=True)
    p.sum().backward()
    optimizer = gg.optim.Adam([p])
    optimizer.step()
    assert cost_of(optimizer.step, "adam_step") == (120, 4 * (10 + 2 * 30), None)


def test_costs_of_attention() -> None:
    """Of the pairs that are seen, forward two products and backward five."""
    cost = COSTS["attention"]
    q = np.zeros((2, 3, 5, 8), np.float32)
    k = np.zeros((2, 3, 7, 8), np.float32)
    whole = 2 * 2 * (2 * 3 * 8)

    def pairs(**options: Any) -> float | None:
        flops = cost(None, q, k, k, AttentionOptions(**options)).flops
        return None if flops is None else flops / whole

    assert pairs() == 35
    assert pairs(right=0) == 1 + 2 + 3 + 4 + 5
    assert pairs(right=0, align_end=True) == 3 + 4 + 5 + 6 + 7
    assert pairs(left=1, right=1) == 2 + 3 + 3 + 3 + 3
    assert pairs(k_lengths=np.zeros(2)) is None, "lengths lie on the device"
    grad = COSTS["attention_grad"](None, q, q, k, k, q, q, AttentionOptions(), False)
    assert grad.flops == whole * 35 * 5 / 2


def test_bytes_in_memory() -> None:
    x = np.zeros((4, 3), np.float64)
    assert elements(np.broadcast_to(x[:, :1], (4, 100))) == 4
    assert elements(np.zeros((3, 0))) == 0 and elements(np.zeros(())) == 1
    assert nbytes(x, [x, (x, None, "x", 2)]) == 96


# ---- peaks ---------------------------------------------------------------------------------------


def test_peaks_of_gpus() -> None:
    """An H200 by its driver's numbers: NVIDIA's sheet has 4.8 TB/s, and at 1.755 GHz 989 TFLOP/s in
    bfloat16, which at the highest clock are 1.7 % and 1.13 times that."""
    attributes = {
        "MemoryClockRate": 3_201_000,
        "GlobalMemoryBusWidth": 6144,
        "ClockRate": 1_980_000,
        "MultiProcessorCount": 132,
    }
    peaks = of_gpu("90", "NVIDIA H200", attributes)
    assert peaks.bandwidth == pytest.approx(4.9e12, rel=0.01)
    assert peaks.rate("bfloat16") == peaks.rate("float16") == pytest.approx(1.07e15, rel=0.01)
    assert peaks.rate("float32 tf32") == 3 * peaks.rate("float32 high")
    assert peaks.rate("float32 exact") == pytest.approx(66.9e12, rel=0.01)
    assert peaks.rate("int32") is None
    geforce = of_gpu("89", "NVIDIA GeForce RTX 4090", attributes)
    assert of_gpu("89", "NVIDIA L40S", attributes).rate("float16") == 2 * geforce.rate("float16")
    assert of_gpu("75", "Tesla T4", attributes).rate("bfloat16") is None
    later = of_gpu("130", "?", attributes)
    assert later.bandwidth is not None and later.rate("float16") is None
    assert of_gpu("90", "?", {}) is UNKNOWN


def test_the_bound() -> None:
    peaks = Peaks(100.0, {"float32": 1000.0, "float16": 4000.0}, "test")
    assert peaks.seconds(5000, 200, "float32 high") == 5
    assert peaks.seconds(100, 200, "float32") == 2
    assert peaks.seconds(100, 200, None) == 2
    assert peaks.seconds(100, 200, "int8") is None and UNKNOWN.seconds(1, 1, None) is None
