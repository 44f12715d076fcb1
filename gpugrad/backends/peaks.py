"""The most that a device can do: bytes moved and products formed in a second.

Of NVIDIA's GPUs by architecture: multiply-adds of one multiprocessor in one clock, dense, float16
and bfloat16 with float32 sums. Sources: NVIDIA's architecture white papers (Turing TU102, A100,
GA102, Ada AD102, H100, Blackwell B200 and RTX), whose peaks are these numbers times the number of
multiprocessors, their clock and 2. GeForce cards form float16, bfloat16 and tf32 products with
float32 sums at half of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

_MULTIPLY_ADDS: dict[str, dict[str, int]] = {
    "75": {"exact": 64, "float64": 2, "float16": 512, "int8": 1024},
    "80": {"exact": 64, "float64": 64, "float16": 1024, "tf32": 512, "int8": 2048},
    "86": {"exact": 128, "float64": 2, "float16": 512, "tf32": 256, "int8": 1024},
    "89": {"exact": 128, "float64": 2, "float16": 512, "tf32": 256, "int8": 1024},
    "90": {"exact": 128, "float64": 128, "float16": 2048, "tf32": 1024, "int8": 4096},
    "100": {"exact": 128, "float64": 64, "float16": 4096, "tf32": 2048, "int8": 8192},
    "120": {"exact": 128, "float64": 2, "float16": 512, "tf32": 256, "int8": 1024},
}
_HALVED = ("float16", "tf32")  # on GeForce cards


@dataclass(frozen=True)
class Peaks:
    """Bytes a second, FLOP a second by kind of product; None or absent where it is not known.

    Kinds: a dtype's name, and for float32 "float32 exact", "float32 high" and "float32 tf32" (see
    `gpugrad.set_matmul_precision`). `source` says where the numbers come from.
    """

    bandwidth: float | None = None
    products: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def rate(self, product: str) -> float | None:
        """FLOP a second of one kind of product."""
        return self.products.get(product, self.products.get(product.partition(" ")[0]))

    def seconds(self, flops: int, moved: int, product: str | None) -> float | None:
        """The least time for this work; None where the peak it needs is not known."""
        if self.bandwidth is None:
            return None
        least = moved / self.bandwidth
        if product is None:
            return least
        rate = self.rate(product)
        return None if rate is None else max(least, flops / rate)


UNKNOWN = Peaks()


def of_gpu(capability: str, name: str, attributes: Mapping[str, int]) -> Peaks:
    """From the driver's attributes of a GPU (CuPy's names, kHz), at its highest clocks."""
    needed = ("MemoryClockRate", "GlobalMemoryBusWidth", "ClockRate", "MultiProcessorCount")
    if not all(attributes.get(key) for key in needed):
        return UNKNOWN
    memory_clock, bus, clock, processors = (attributes[key] for key in needed)
    bandwidth = 2.0 * memory_clock * 1e3 * bus / 8
    once = 2.0 * clock * 1e3 * processors
    table = _MULTIPLY_ADDS.get(capability, {})
    halved = _HALVED if "GeForce" in name else ()
    rates = {kind: once * n / (2 if kind in halved else 1) for kind, n in table.items()}
    products = {kind: rate for kind, rate in rates.items() if kind not in ("exact", "tf32")}
    if "exact" in rates:
        tf32 = rates.get("tf32", 0.0)
        products["float32 exact"] = rates["exact"]
        products["float32 high"] = max(rates["exact"], tf32 / 3)  # three tf32 products for one
        products["float32 tf32"] = max(rates["exact"], tf32)
    if "float16" in products and capability != "75":
        products["bfloat16"] = products["float16"]
    if "int8" in products:
        products["uint8"] = products["int8"]
        if capability in ("90", "100"):
            products["float8_e4m3fn"] = products["float8_e5m2"] = products["int8"]
    return Peaks(bandwidth, products, f"{name}, from its clocks and architecture")


def of_host(copy: Callable[[Any, Any], None]) -> Peaks:
    """Measured here and now, in a tenth of a second: `copy(x, y)` of 64 MiB, NumPy's products.

    Arrays that fit a cache move faster than memory does, so a fraction of this may exceed 1.
    """
    x = np.zeros(1 << 24, np.float32)
    y = np.zeros_like(x)
    bandwidth = 2 * x.nbytes / _least(lambda: copy(x, y))
    products = {}
    for dtype in (np.float32, np.float64):
        a = np.ones((512, 512), dtype)
        products[np.dtype(dtype).name] = 2 * 512**3 / _least(partial(np.matmul, a, a))
    return Peaks(bandwidth, products, "measured here: a copy, NumPy's products")


def _least(run: Callable[[], Any], times: int = 4) -> float:
    """Seconds of the fastest of some runs."""
    least = math.inf
    for _ in range(times):
        begin = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - begin)
    return least
