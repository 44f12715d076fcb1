"""PyTorch as the judge: runs a case with it, the way running.run does with gpugrad."""

from __future__ import annotations

import numpy as np
import torch
from cases import Case
from inputs import Sample
from running import cotangent, is_floating, to_float64


def run_torch(case: Case, sample: Sample, dtype: str) -> list[np.ndarray]:
    """[y, dx for each floating input] by PyTorch on the CPU."""
    leaves = []
    for x in sample:
        leaf = torch.tensor(np.asarray(x))
        if is_floating(x):
            leaf = leaf.to(getattr(torch, dtype)).requires_grad_(case.grad_order > 0)
        leaves.append(leaf)
    y = case.theirs(torch, *leaves)
    results = [y]
    if y.requires_grad:
        y.backward(torch.tensor(cotangent(tuple(y.shape))).to(y.dtype))
        zeros = torch.zeros_like
        needed = [leaf for leaf in leaves if leaf.requires_grad]
        results += [zeros(leaf) if leaf.grad is None else leaf.grad for leaf in needed]
    return [to_numpy(each.detach()) for each in results]


def to_numpy(x: torch.Tensor) -> np.ndarray:
    return to_float64(x.double().numpy() if x.is_floating_point() else x.numpy())
