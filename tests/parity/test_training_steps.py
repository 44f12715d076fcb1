"""Twenty steps of training give the losses that PyTorch's give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg
from parity.model_cases import CASES, ModelCase, batch, loss_of, make, outputs

STEPS = 20


def losses(library: Any, case: ModelCase, model: Any) -> np.ndarray:
    """Of each step, by SGD with Nesterov momentum and weight decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = library.optim.SGD(
        trained, lr=case.lr, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    found = []
    for step in range(STEPS):
        x, target = batch(case, step % 4, "float32")
        optimizer.zero_grad()
        loss = loss_of(library, case, outputs(model, library.tensor(x)), library.tensor(target))
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return np.array(found)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_losses(case: ModelCase) -> None:
    """1e-4 relative, in float32; model_cases.py says how the learning rates were chosen."""
    ours, theirs = make(case, "float32")
    found, exact = losses(gg, case, ours), losses(torch, case, theirs)
    np.testing.assert_allclose(found, exact, rtol=1e-4)
    assert exact[-4:].mean() < exact[:4].mean()
