"""Random numbers from counters: csrc/core/philox.h in NumPy, bit for bit.

Only float64 and integer operations that round exactly, in the order of that file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...dtype import DType, bfloat16, float16, float32, float64, int64, is_floating
from .precision import Array, quiet, rounded, widened

_WORD, _LONG = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_BITS = {float32: 24, float16: 11, bfloat16: 8}


def philox(state: Array, call: int, count: int) -> Array:
    """Philox4x32-10 words uint32 [count, 4] of counters 0 to count - 1 of draw `call`."""
    seed, offset = int(state[0]) & _LONG, (int(state[1]) + call) & _LONG
    counter = np.arange(count, dtype=np.uint64)
    low, shift = np.uint64(_WORD), np.uint64(32)
    c0, c1 = counter & low, counter >> shift
    c2 = np.full(count, offset & _WORD, np.uint64)
    c3 = np.full(count, offset >> 32, np.uint64)
    k0, k1 = seed & _WORD, seed >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = p1 >> shift ^ c1 ^ np.uint64(k0), p1 & low
        c2, c3 = p0 >> shift ^ c3 ^ np.uint64(k1), p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(state: Array, call: int, n: int) -> Array:
    """One word for each of n elements."""
    return philox(state, call, -(-n // 4)).ravel()[:n]


def pairs(state: Array, call: int, n: int) -> Array:
    """64 bits for each of n elements; the first word is the lower half."""
    w = philox(state, call, -(-n // 2)).astype(np.uint64)
    return (w[:, 0::2] | w[:, 1::2] << np.uint64(32)).ravel()[:n]


def _below(high: float, low: float, dtype: DType) -> float:
    """The largest number of `dtype` below high, but not less than low."""
    top = np.array(high).astype(dtype)
    if float(top) >= high:
        top = np.nextafter(top, np.array(-np.inf).astype(dtype))
    return max(float(top), low)


def _rounded_twice(y: Array, dtype: DType) -> Array:
    """float64 to dtype; halves by way of float32, as philox.h says."""
    return y if dtype == float64 else rounded(y.astype(float32), dtype)


@quiet
def uniform(
    state: Array, call: int, low: float, high: float, shape: Sequence[int], dtype: DType
) -> Array:
    """y = low + (high - low) u, u in [0, 1); integers low + (word (high - low) >> 32)."""
    n = math.prod(shape)
    if not is_floating(dtype):
        span = np.uint64(int(high) - int(low))
        drawn = words(state, call, n).astype(np.uint64) * span >> np.uint64(32)
        return (int(low) + drawn.astype(np.int64)).astype(dtype).reshape(shape)
    if dtype == float64:
        u = (pairs(state, call, n) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    else:
        bits = _BITS[dtype]
        u = (words(state, call, n) >> np.uint32(32 - bits)).astype(np.float64) * 2.0**-bits
    y = np.minimum(low + (high - low) * u, _below(high, low, dtype))
    return _rounded_twice(y, dtype).reshape(shape)


def _hex(text: str) -> tuple[float, ...]:
    return tuple(float.fromhex(number) for number in text.split())


# Highest power first, as in philox.h.
_LOG = _hex("""
    0x1.2b584aae78a57p-3 0x1.39fe606542ddep-3 0x1.7462b4ab2ef6bp-3 0x1.c71c62e5800a1p-3
    0x1.2492492df148dp-2 0x1.99999999952e2p-2 0x1.5555555555558p-1""")
_COS = _hex("""
    -0x1.b2f3eb054afcdp-28 0x1.f9ce245cada0bp-22 -0x1.a6d1eef479be1p-16 0x1.e1f5068688d5bp-11
    -0x1.55d3c7e3cb241p-6 0x1.03c1f081b5acp-2 -0x1.3bd3cc9be45dep+0""")
_SIN = _hex("""
    0x1.e4a9d9166f052p-25 -0x1.e3027dea82bd7p-19 0x1.50783208843ebp-13 -0x1.32d2cce500387p-8
    0x1.466bc6775a476p-4 -0x1.4abbce625be52p-1""")
_LN2_HIGH, _LN2_LOW, _HALF_PI = _hex("0x1.62e42fefp-1 0x1.473de6af278edp-34 0x1.921fb54442d18p+0")


def _horner(t: Array, coefficients: Sequence[float]) -> Array:
    y = np.full_like(t, coefficients[0])
    for coefficient in coefficients[1:]:
        y = y * t + coefficient
    return y


def log(u: Array) -> Array:
    """log u for u in (0, 1]: philox_log."""
    bits = u.view(np.uint64)
    e = (bits >> np.uint64(52)).astype(np.float64) - 1022.0
    fraction = bits & np.uint64(0x000FFFFFFFFFFFFF) | np.uint64(0x3FE0000000000000)
    m = fraction.view(np.float64)
    small = m < 0.7071067811865476
    m, e = np.where(small, m + m, m), np.where(small, e - 1.0, e)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    q = _horner(t, _LOG)
    return e * _LN2_HIGH + ((s + s) + (s * (t * q) + e * _LN2_LOW))


def cos_sin(u: Array) -> tuple[Array, Array]:
    """Cosine and sine of 2 pi u for u in [0, 1): philox_cos_sin."""
    x = 4.0 * u
    q = (x + 0.5).astype(np.int64)
    f = x - q.astype(np.float64)
    t = f * f
    c = 1.0 + t * _horner(t, _COS)
    s = f * _HALF_PI + f * (t * _horner(t, _SIN))
    odd, half = (q & 1).astype(bool), (q & 2).astype(bool)
    first, second = np.where(odd, -s, c), np.where(odd, c, s)
    return np.where(half, -first, first), np.where(half, -second, second)


@quiet
def normal(
    state: Array, call: int, mean: float, std: float, shape: Sequence[int], dtype: DType
) -> Array:
    """y = mean + std z, z standard normal (Box & Muller 1958); a counter makes two."""
    n = math.prod(shape)
    bits = pairs(state, call, n + n % 2).reshape(-1, 2) >> np.uint64(12)
    d = (bits | np.uint64(0x3FF0000000000000)).view(np.float64)
    r = np.sqrt(-2.0 * log(2.0 - d[:, 0]))
    cos, sin = cos_sin(d[:, 1] - 1.0)
    z = np.stack([r * cos, r * sin], axis=1).ravel()[:n]
    return _rounded_twice(mean + std * z, dtype).reshape(shape)


def unit24(state: Array, call: int, shape: Sequence[int]) -> Array:
    """u in [0, 1) of 24 bits, in float64."""
    w = words(state, call, math.prod(shape)) >> np.uint32(8)
    return (w.astype(np.float64) * 2.0**-24).reshape(shape)


@quiet
def bernoulli(state: Array, call: int, p: Any, shape: Sequence[int], dtype: DType) -> Array:
    """y = 1 where u < p, else 0; p is a number or broadcasts."""
    threshold = np.asarray(p).astype(np.float64)
    return rounded(unit24(state, call, shape) < threshold, dtype)


@quiet
def dropout(state: Array, call: int, p: float, x: Array) -> Array:
    """y = x / (1 - p) where u >= p, else 0."""
    wide = widened(x)
    kept = unit24(state, call, x.shape) >= p
    return rounded(np.where(kept, wide / wide.dtype.type(1 - p), 0), x.dtype)


def _mix_bits(x: Array) -> Array:
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return x ^ x >> np.uint32(16)


@quiet
def permutation(state: Array, call: int, n: int) -> Array:
    """y int64 [n] permutes 0..n-1: an eight-round Feistel network, walked until below n."""
    keys = philox(state, call, 2).ravel()
    half = max(3, math.ceil((n - 1).bit_length() / 2)) if n > 1 else 3
    mask = np.uint64((1 << half) - 1)
    x = np.arange(n, dtype=np.uint64)
    outside = np.ones(n, bool)
    while outside.any():
        left = (x[outside] >> np.uint64(half)).astype(np.uint32)
        right = (x[outside] & mask).astype(np.uint32)
        for key in keys:
            left, right = right, left ^ (_mix_bits(right + key) & np.uint32(mask))
        x[outside] = left.astype(np.uint64) << np.uint64(half) | right
        outside = x >= n
    return x.astype(int64)
