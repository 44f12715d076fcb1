"""Every case's derivative against central differences in float64, to the case's order."""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES, Case
from inputs import Sample

import gpugrad as gg

DIFFERENTIABLE = [case for case in CASES if case.grad_order > 0]


def small(case: Case) -> list[Sample]:
    """Samples that finite differences can afford; derivatives do not depend on the size."""
    return [sample for sample in case.inputs if sum(np.size(x) for x in sample) <= 160]


def tensors(sample: Sample) -> list[gg.Tensor]:
    """float64 leaves that require gradients; integers and booleans as they are."""
    leaves = [gg.tensor(np.asarray(x)) for x in sample]
    for leaf in leaves:
        leaf.requires_grad_(gg.is_floating(leaf.dtype))
    return leaves


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_first_order(case: Case) -> None:
    samples = small(case)
    assert samples, f"{case.name} has no sample small enough to check"
    for sample in samples:
        assert gg.autograd.gradcheck(case.ours, tensors(sample))


@pytest.mark.parametrize(
    "case", [case for case in DIFFERENTIABLE if case.grad_order > 1], ids=lambda case: case.name
)
def test_second_order(case: Case) -> None:
    sample = min((s for s in small(case) if all(np.size(x) for x in s)), key=lambda s: s[0].size)
    assert gg.autograd.gradgradcheck(case.ours, tensors(sample))


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_create_graph_gives_the_same_gradient(case: Case) -> None:
    """Fused operations have a kernel for the gradient, and a composed one that has a gradient."""
    found = []
    for create_graph in (False, True):
        leaves = tensors(small(case)[0])
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        y = case.ours(*leaves)
        dy = gg.tensor(np.cos(np.arange(y.numel()) * 0.7 + 0.3).reshape(y.shape), dtype=y.dtype)
        found.append(
            gg.autograd.grad(y, wanted, dy, create_graph=create_graph, materialize_grads=True)
        )
    for a, b in zip(*found, strict=True):
        assert a is not None and b is not None
        np.testing.assert_allclose(
            b.detach().numpy(), a.detach().numpy(), rtol=1e-10, atol=1e-12, err_msg=case.name
        )


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_input_used_twice(case: Case) -> None:
    """f(x) + f(x) has twice the gradient of f(x): nothing overwrites a shared gradient."""
    sample = small(case)[0]
    once, twice = tensors(sample), tensors(sample)
    case.ours(*once).sum().backward()
    (case.ours(*twice) + case.ours(*twice)).sum().backward()
    for a, b in zip(once, twice, strict=True):
        if a.requires_grad:
            np.testing.assert_allclose(b.grad.numpy(), 2 * a.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_twice_through_backward(case: Case) -> None:
    """backward twice with retain_graph adds the same gradient again."""
    leaves = tensors(small(case)[0])
    total = case.ours(*leaves).sum()
    total.backward(retain_graph=True)
    first = [leaf.grad.numpy().copy() for leaf in leaves if leaf.requires_grad]
    total.backward()
    second = [leaf.grad.numpy() for leaf in leaves if leaf.requires_grad]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(b, 2 * a, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_strided_inputs(case: Case) -> None:
    """The same values behind other strides give the same result and gradient."""
    plain = tensors(small(case)[0])
    views = [restride(x).requires_grad_(x.requires_grad) for x in plain]
    expected, got = case.ours(*plain), case.ours(*views)
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-12)
    expected.sum().backward()
    got.sum().backward()
    for a, b in zip(plain, views, strict=True):
        if a.requires_grad:
            np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), rtol=1e-12, atol=1e-12)


def restride(x: gg.Tensor) -> gg.Tensor:
    """x's values in every second element of a reversed-axes buffer."""
    array = x.detach().numpy()
    buffer = np.zeros((*reversed(array.shape), 2), array.dtype)
    view = buffer[..., 0].transpose()
    view[...] = array
    return gg.from_numpy(view)
