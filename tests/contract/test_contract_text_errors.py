"""What the operations of text say to arguments that do not fit, on every device."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from gpugrad.backends import Backend

F32, I64 = np.float32, np.int64
FLAG = np.zeros(4, I64)


def of(shape: tuple[int, ...], dtype: Any = F32) -> np.ndarray:
    return np.zeros(shape, dtype)


#: (operation, arguments, what it says)
MISUSES: list[tuple[str, list[Any], str]] = [
    (
        "embedding",
        [of((3,)), of((2,), I64), of((2, 4)), FLAG],
        r"embedding: weight must be \[V, D\], got float32 \(3,\)",
    ),
    (
        "embedding",
        [of((3, 4)), of((2,), np.int32), of((2, 4)), FLAG],
        r"embedding: index must be int64, got int32 \(2,\)",
    ),
    (
        "embedding",
        [of((3, 4)), of((2,), I64), of((2, 5)), FLAG],
        r"embedding: y must have the shape of index and then weight's columns; got index int64 "
        r"\(2,\), weight float32 \(3, 4\), y float32 \(2, 5\)",
    ),
    (
        "embedding_grad",
        [of((3, 4)), of((2,), I64), None, None, of((5, 4)), -1, False, None],
        r"embedding_grad: without row, dy must have a row for each index; got dy float32 \(3, 4\), "
        r"index int64 \(2,\)",
    ),
    (
        "embedding_grad",
        [of((2, 4)), of((2,), I64), None, of((2,), np.float64), of((5, 4)), -1, False, None],
        r"embedding_grad: scale must be float32, got float64 \(2,\)",
    ),
    (
        "embedding_grad",
        [of((2, 4)), of((2,), I64), None, None, of((5, 3)), -1, False, None],
        r"embedding_grad: dy must be \[R, D\] with dweight's D; got dy float32 \(2, 4\), dweight "
        r"float32 \(5, 3\)",
    ),
    (
        "embedding_grad",
        [of((40, 4)), of((40,), I64), None, None, of((5, 4)), -1, False, None],
        r"embedding_grad: workspace must be contiguous and hold \d+ bytes, got 0; ask "
        r"embedding_grad_workspace for the size",
    ),
    (
        "embedding_renorm",
        [of((3, 4)), of((2,), I64), -1.0, 2.0, None, FLAG],
        "embedding_renorm: max_norm must not be negative, got -1",
    ),
    (
        "embedding_renorm",
        [of((3, 4)), of((2,), I64), 1.0, 0.0, None, FLAG],
        "embedding_renorm: ord must be a number other than 0, got 0",
    ),
    (
        "embedding_renorm",
        [of((3, 4), I64), of((2,), I64), 1.0, 2.0, None, FLAG],
        r"embedding_renorm: weight must be float16, bfloat16, float32 or float64, got int64 \(3, 4",
    ),
]
BAG = [of((3, 4)), of((6,), I64), of((3,), I64), None, "sum", -1, of((2, 4)), of((6,), I64)]
BAG += [of((2,), I64), None, FLAG]


def bag_with(**changes: Any) -> list[Any]:
    names = ["weight", "index", "offsets", "scale", "mode", "padding", "y", "bag", "count"]
    names += ["winner", "flag"]
    return [changes.get(name, value) for name, value in zip(names, BAG, strict=True)]


MISUSES += [
    (
        "embedding_bag",
        bag_with(mode="prod"),
        "embedding_bag: mode must be sum, mean or max, got prod",
    ),
    (
        "embedding_bag",
        bag_with(mode="mean", scale=of((6,))),
        "embedding_bag: scale goes with mode sum, got mean",
    ),
    (
        "embedding_bag",
        bag_with(mode="max"),
        "embedding_bag: winner goes with mode max, got mode max, winner none",
    ),
    (
        "embedding_bag",
        bag_with(offsets=of((3,))),
        r"embedding_bag: offsets must be int64 \[B \+ 1\], got float32 \(3,\)",
    ),
    (
        "embedding_bag",
        bag_with(index=of((2, 3), I64)),
        r"embedding_bag: index must be int64 \[T\], got int64 \(2, 3\)",
    ),
    (
        "embedding_bag",
        bag_with(y=of((3, 4))),
        r"embedding_bag: y must have shape \(2, 4\), got float32 \(3, 4\)",
    ),
    (
        "rotary",
        [of((2, 8)), of((3, 4)), of((3, 4)), False, False, of((2, 8))],
        r"rotary: cos and sin must be \[..., r / 2\] with r at most x's last axis, and broadcast "
        r"to its others; got x float32 \(2, 8\), cos float32 \(3, 4\)",
    ),
    (
        "rotary",
        [of((2, 8)), of((2, 5)), of((2, 5)), False, False, of((2, 8))],
        r"rotary: cos and sin must be",
    ),
    (
        "rotary",
        [of((2, 8), np.float16), of((4,), np.float16), of((4,)), False, False, of((2, 8), "f2")],
        r"rotary: cos must be float32, got float16 \(4,\)",
    ),
    (
        "layer_norm",
        [of((2, 8)), of((2, 8)), None, None, None, of((2, 8)), None, of((2,)), 1e-5],
        r"layer_norm: residual and sum come together, got residual float32 \(2, 8\), sum none",
    ),
]


@pytest.mark.parametrize(("operation", "arguments", "text"), MISUSES)
def test_misuse(backend: Backend, operation: str, arguments: list[Any], text: str) -> None:
    module = importlib.import_module(f"gpugrad._{backend.device.type}")
    placed = [backend.from_numpy(v) if isinstance(v, np.ndarray) else v for v in arguments]
    with pytest.raises(ValueError, match=text):
        getattr(module, operation)(0, *placed)
