"""Memory and casts between PyTorch and gpugrad."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

import gpugrad as gg
from gpugrad.dtype import DTYPES


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
def test_dlpack_both_ways(dtype: Any) -> None:
    theirs = torch.tensor([[0, 1], [1, 1]]).to(getattr(torch, dtype.name))
    ours = gg.from_dlpack(theirs.mT)
    assert ours.dtype == dtype and ours.tolist() == theirs.mT.tolist() and ours.stride() == (1, 2)
    back = torch.from_dlpack(ours)
    assert back.dtype == theirs.dtype and back.data_ptr() == theirs.data_ptr()
    ours.zero_()
    assert not theirs.any() and not back.any()


def test_can_cast() -> None:
    for a, b in itertools.product(DTYPES, DTYPES):
        theirs = torch.can_cast(*(getattr(torch, d.name) for d in (a, b)))
        assert gg.can_cast(a, b) == theirs, (a, b)
