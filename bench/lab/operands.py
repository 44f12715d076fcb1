"""Operands of a matmul, and whether its result is right."""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np

DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
ROW_BYTES = 16  # rows begin at multiples of it
CHECKED_ROWS = 256


def pitch(length: int, dtype: np.dtype) -> int:
    """Elements from one row to the next."""
    unit = ROW_BYTES // dtype.itemsize
    return -(-length // unit) * unit


def padded(x: np.ndarray) -> np.ndarray:
    """x with zeros behind each row, up to its pitch."""
    out = np.zeros((x.shape[0], pitch(x.shape[1], x.dtype)), x.dtype)
    out[:, : x.shape[1]] = x
    return out


@dataclass(frozen=True)
class Operands:
    """a [m, k] and b [k, n] of normal numbers, with padded rows; the same ones for a seed."""

    a: np.ndarray
    b: np.ndarray
    m: int
    n: int
    k: int

    @classmethod
    def make(cls, dtype: str, m: int, n: int, k: int, seed: int = 0) -> Operands:
        rng = np.random.default_rng(seed)
        a, b = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n)))
        return cls(padded(a.astype(DTYPES[dtype])), padded(b.astype(DTYPES[dtype])), m, n, k)

    @property
    def y_shape(self) -> tuple[int, int]:
        return self.m, pitch(self.n, self.a.dtype)

    @property
    def sizes(self) -> list[int]:
        """m, n, k and the pitches of a, b and y."""
        return [self.m, self.n, self.k, self.a.shape[1], self.b.shape[1], self.y_shape[1]]

    def error(self, y: np.ndarray) -> float:
        """The largest error against float64 as a fraction of what is allowed; inf for a NaN.

        Allowed: half a unit of y's last place, and for each of the k sums a whole one of float32's
        (tensor cores truncate) of the sum of absolute values. Of many rows only some are checked.
        """
        rows = np.unique(np.linspace(0, self.m - 1, CHECKED_ROWS).astype(int))
        a = self.a[rows, : self.k].astype(np.float64)
        b = self.b[:, : self.n].astype(np.float64)
        exact, size = a @ b, np.abs(a) @ np.abs(b)
        unit = 2.0**-24 if y.dtype == np.float32 else 2.0**-8
        allowed = unit * np.abs(exact) + self.k * 2.0**-23 * size
        found = np.abs(y[rows, : self.n].astype(np.float64) - exact)
        return float(np.nan_to_num(found / allowed, nan=np.inf).max(initial=0))
