"""Each model beside PyTorch: answers, all gradients, running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gpugrad as gg
from gpugrad import models
from parity.model_cases import CASES, ModelCase, batch, loss_of, make, outputs

Arrays = dict[str, np.ndarray]


def results(library: Any, case: ModelCase, model: Any, dtype: str, seed: int = 0) -> Arrays:
    """Answers, gradients of parameters and input, and buffers after the step, by name."""
    x, target = batch(case, seed, dtype)
    leaf = library.tensor(x, requires_grad=True)
    answers = outputs(model, leaf)
    goal = leaf.detach() if case.task == "itself" else library.tensor(target)
    loss_of(library, case, answers, goal).backward()
    found = {f"answer {i}": y.detach() for i, y in enumerate(answers)}
    found["gradient of the input"] = leaf.grad
    found |= {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    found |= dict(model.named_buffers())
    return {k: v.detach().clone().numpy().astype(float) for k, v in found.items() if v is not None}


def errors(found: Arrays, exact: Arrays) -> dict[str, float]:
    """The largest difference in each array, in its largest value.

    Values far below those of other arrays count as rounding: the bias of a convolution in front of
    a normalisation has the gradient 0, and what comes out is what rounding leaves.
    """
    assert found.keys() == exact.keys()
    scales = {name: float(np.abs(value).max()) for name, value in exact.items()}
    least = 0.01 * float(np.median(list(scales.values())))
    return {
        name: float(np.abs(found[name] - value).max() / max(scales[name], least))
        for name, value in exact.items()
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float64(case: ModelCase) -> None:
    """Same formulas: what remains is rounding, 2^-53, amplified by depth and normalisations.

    The amplification, seen in float32 below, stays under 1e5; a wrong term is of order 1.
    """
    ours, theirs = make(case, "float64")
    found = results(gg, case, ours, "float64")
    exact = results(torch, case, theirs, "float64")
    worst = errors(found, exact)
    wrong = {name: error for name, error in worst.items() if error > 1e5 * 2**-53}
    assert not wrong


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32(case: ModelCase) -> None:
    """As near to float64 as PyTorch is: answers, and the worst of the other arrays.

    Within a factor of 8, the luck of rounding: where it decides a relu or a maximum otherwise, a
    gradient changes at once by one position's part, in either library (GoogLeNet: 0.1).
    """
    ours, theirs = make(case, "float32")
    _, exactly = make(case, "float64")
    exactly.load_state_dict(theirs.state_dict())
    exact = results(torch, case, exactly, "float64")
    theirs_off = errors(results(torch, case, theirs, "float32"), exact)
    ours_off = errors(results(gg, case, ours, "float32"), exact)
    for kind in ("answer", ""):
        bound = max(2**-22, *(v for k, v in theirs_off.items() if k.startswith(kind)))
        wrong = {k: v for k, v in ours_off.items() if k.startswith(kind) and v > 8 * bound}
        assert not wrong


@pytest.mark.parametrize("case", CASES, ids=str)
def test_eval_mode(case: ModelCase) -> None:
    """With running statistics of a training step, and without auxiliary heads."""
    ours, theirs = make(case, "float64")
    for library, model in ((gg, ours), (torch, theirs)):
        results(library, case, model, "float64")
        model.eval()
    x, _ = batch(case, 1, "float64")
    with gg.no_grad(), torch.no_grad():
        (found,), (exact,) = outputs(ours, gg.tensor(x)), outputs(theirs, torch.tensor(x))
    np.testing.assert_allclose(found.numpy(), exact.numpy(), rtol=1e-9, atol=1e-9)


def test_views_of_airbench() -> None:
    """Test-time augmentation is the mean that its paper describes."""
    case = ModelCase("airbench", {"widths": [24, 24, 24]})
    ours, theirs = make(case, "float64")
    ours.eval()
    theirs.eval()
    x, _ = batch(case, 0, "float64")
    y = models.airbench.mirror_translate(ours, gg.tensor(x)).detach().numpy()
    padded = torch.nn.functional.pad(torch.tensor(x), (1, 1, 1, 1), mode="reflect")
    exact = torch.zeros(len(x), 10, dtype=torch.float64)
    for shift, weight in ((1, 0.5), (0, 0.25), (2, 0.25)):
        view = padded[..., shift : shift + 32, shift : shift + 32]
        exact += weight / 2 * (theirs(view) + theirs(view.flip(-1)))
    np.testing.assert_allclose(y, exact.detach().numpy(), rtol=1e-9, atol=1e-9)
