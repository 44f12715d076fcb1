"""Programs run with PyTorch and with gpugrad: what they share.

A program takes `t`, the library, and gives numbers, tensors, strings, or nested lists of them.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import torch

import gpugrad as gg

X = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])


def leaf(t: ModuleType, values: Any = X) -> Any:
    return t.tensor(np.asarray(values).tolist(), dtype=t.float64, requires_grad=True)


def plain(result: Any) -> Any:
    """Tensors as (values, requires_grad), so that both libraries' results compare."""
    if isinstance(result, (torch.Tensor, gg.Tensor)):
        return [result.detach().numpy().tolist(), result.requires_grad]
    if isinstance(result, dict):
        return {key: plain(value) for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [plain(each) for each in result]
    return result


def assert_same(ours: Any, theirs: Any, at: str = "result") -> None:
    assert type(ours) is type(theirs), f"{at}: {ours!r} and {theirs!r}"
    if isinstance(ours, (list, dict)):
        assert len(ours) == len(theirs), at
        keys = list(ours) if isinstance(ours, dict) else range(len(ours))
        for key in keys:
            assert_same(ours[key], theirs[key], f"{at}[{key!r}]")
    elif isinstance(ours, float):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12, err_msg=at)
    else:
        assert ours == theirs, at
