"""Operations that reduce, scan, order, choose and move, and broadcasting, in float32: the shapes of
cases.py that its list has no room for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from duel import NOT_COUNTED
from rehearsal import small
from rivals import torch_module, torch_tensor

import gpugrad as gg

#: name -> (library, its nn.functional, tensors by name) -> result
OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "sum_rows": lambda t, f, v: v.x.sum(1),
    "sum_columns": lambda t, f, v: v.x.sum(0),
    "sum_of_images": lambda t, f, v: v.images.sum((0, 2, 3)),
    "amax_rows": lambda t, f, v: v.x.amax(1),
    "amax_columns": lambda t, f, v: v.x.amax(0),
    "argmax_rows": lambda t, f, v: v.x.argmax(1),
    "argmax": lambda t, f, v: v.x.argmax(),
    "any_rows": lambda t, f, v: v.mask.any(1),
    "all": lambda t, f, v: v.mask.all(),
    "count": lambda t, f, v: v.mask.sum(),
    "var_rows": lambda t, f, v: v.x.var(1),
    "std": lambda t, f, v: v.x.std(),
    "logsumexp": lambda t, f, v: v.x.logsumexp(1),
    "normalize": lambda t, f, v: f.normalize(v.x, dim=1),
    "cumsum_rows": lambda t, f, v: v.x.cumsum(1),
    "cumsum_columns": lambda t, f, v: v.x.cumsum(0),
    "sort_rows": lambda t, f, v: v.x.sort(1)[0],
    "sort_columns": lambda t, f, v: v.x.sort(0)[0],
    "sort_long": lambda t, f, v: v.flat.sort()[0],
    "argsort": lambda t, f, v: v.x.argsort(1),
    "where": lambda t, f, v: t.where(v.mask, v.x, v.y),
    "masked_fill": lambda t, f, v: v.x.masked_fill(v.mask, 0.0),
    "clamp": lambda t, f, v: v.x.clamp(-0.5, 0.5),
    "compare": lambda t, f, v: v.x > v.y,
    "add_row": lambda t, f, v: v.x + v.row,
    "mul_column": lambda t, f, v: v.x * v.column,
    "transpose_copy": lambda t, f, v: v.x.mT.contiguous(),
    "channels_last_copy": lambda t, f, v: v.images.permute(0, 2, 3, 1).contiguous(),
    "clone": lambda t, f, v: v.x.clone(),
    "to_half": lambda t, f, v: v.x.half(),
    "to_int64": lambda t, f, v: v.x.long(),
    "mask_to_float": lambda t, f, v: v.mask.float(),
    "cat": lambda t, f, v: t.cat([v.x, v.y], 1),
    "index_select": lambda t, f, v: v.x.index_select(0, v.rows),
    "gather": lambda t, f, v: v.x.gather(1, v.places),
    "scatter_add": lambda t, f, v: v.x.scatter_add(0, v.places, v.y),
    "embedding": lambda t, f, v: f.embedding(v.words, v.table),
    "cross_entropy": lambda t, f, v: f.cross_entropy(v.x, v.rows),
}

TIED = ("argsort",)
"""Among so many random numbers some are equal: their order is each library's own."""


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20261123)
    shapes = {
        "x": (1024, 1024),
        "y": (1024, 1024),
        "flat": (1 << 20,),
        "row": (1024,),
        "column": (1024, 1),
        "images": (32, 64, 32, 32),
        "table": (30000, 256),
    }
    found = {
        name: rng.standard_normal(tuple(map(small, shape)), np.float32)
        for name, shape in shapes.items()
    }
    n = small(1024)
    found["mask"] = found["x"] > 0
    found["rows"] = rng.integers(0, n, n)
    found["places"] = rng.integers(0, n, (n, n))
    found["words"] = rng.integers(0, small(30000), (16, small(512)))
    return found


class Values:
    """The arrays as tensors of one library."""

    def __init__(self, tensor: Callable[[np.ndarray], Any]) -> None:
        self.__dict__.update({name: tensor(array) for name, array in arrays().items()})


@pytest.fixture(scope="module")
def ours(device: str) -> Values:
    return Values(lambda array: gg.tensor(array, device=device))


@pytest.fixture(scope="module")
def theirs(device: str) -> Values | None:
    return Values(lambda array: torch_tensor(array, device)) if torch_module() else None


@pytest.mark.parametrize("name", OPERATIONS)
def test_arrays(compare, name: str, ours: Values, theirs: Values | None) -> None:
    operation, torch = OPERATIONS[name], torch_module()
    rivals = {}
    if torch is not None:
        rivals["PyTorch"] = lambda: operation(torch, torch.nn.functional, theirs)
    same = name not in TIED
    compare(lambda: operation(gg, gg.nn.functional, ours), rivals, NOT_COUNTED, "device", same)
