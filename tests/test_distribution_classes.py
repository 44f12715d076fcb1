"""gpugrad.distributions by itself: draws, their gradients, what is refused and how it is told.

Means of n draws lie within 5 standard errors of what the distribution says, as in
test_distributions.py. tests/parity/test_distributions.py holds the formulas against PyTorch's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import distributions as d
from gpugrad.errors import ArgumentError, ShapeError

N = 40_000


@pytest.mark.parametrize(
    "p",
    [
        d.Normal(gg.tensor([1.0, -2.0]), gg.tensor([0.5, 3.0])),
        d.Laplace(gg.tensor([1.0, -2.0]), gg.tensor([0.5, 3.0])),
        d.Uniform(gg.tensor([1.0, -2.0]), gg.tensor([1.5, 3.0])),
        d.Exponential(gg.tensor([0.5, 3.0])),
        d.Bernoulli(gg.tensor([0.1, 0.7])),
        d.OneHotCategorical(gg.tensor([[1.0, 2.0, 1.0], [0.0, 3.0, 1.0]])),
        d.MultivariateNormal(gg.tensor([1.0, -2.0]), gg.tensor([[2.0, 0.5], [0.5, 1.0]])),
    ],
    ids=lambda p: type(p).__name__,
)
def test_moments_of_draws(p: d.Distribution) -> None:
    gg.manual_seed(0)
    x = p.sample((N,))
    assert x.shape == (N, *p.batch_shape, *p.event_shape)
    errors = p.stddev.numpy() / math.sqrt(N)
    assert (np.abs(x.mean(0).numpy() - p.mean.numpy()) <= 5 * errors + 1e-6).all()
    # A sample's variance has a relative error of sqrt((kurtosis - 1) / n): at most sqrt(8 / n) for
    # these, the exponential's, but where the variance itself is tiny.
    wide = 5 * math.sqrt(8 / N) * p.variance.numpy()
    assert (np.abs(x.var(0).numpy() - p.variance.numpy()) <= wide + 5 / N).all()


def test_classes_are_drawn_by_their_probabilities() -> None:
    gg.manual_seed(0)
    p = d.Categorical(gg.tensor([[1.0, 2.0, 1.0], [0.0, 3.0, 1.0]]))
    x = p.sample((N // 4, 4))
    assert x.shape == (N // 4, 4, 2) and x.dtype == gg.int64
    for row, probs in zip(x.reshape(-1, 2).T, p.probs.numpy(), strict=True):
        shares = gg.bincount(row, minlength=3).numpy() / N
        assert (np.abs(shares - probs) <= 5 * np.sqrt(probs * (1 - probs) / N)).all()


def test_draws_are_differentiable() -> None:
    loc, scale = gg.zeros(3).requires_grad_(), gg.ones(3).requires_grad_()
    x = d.Normal(loc, scale).rsample((5,))
    x.sum().backward()
    assert loc.grad is not None and loc.grad.tolist() == [5.0] * 3
    assert scale.grad is not None
    np.testing.assert_allclose(scale.grad.numpy(), x.detach().sum(0).numpy(), rtol=1e-6)
    probs = gg.tensor([0.2, 0.8], requires_grad=True)
    y = d.OneHotCategoricalStraightThrough(probs).rsample()
    (y * gg.tensor([1.0, 3.0])).sum().backward()
    assert sorted(y.tolist()) == pytest.approx([0, 1]) and probs.grad is not None
    with pytest.raises(NotImplementedError, match="Categorical has no differentiable draws"):
        d.Categorical(probs).rsample()


def test_a_draw_leaves_the_gradient_of_derived_parameters() -> None:
    """Probabilities are first computed from the logits inside `sample`, which records nothing."""
    for kind in (d.Categorical, d.Bernoulli, d.OneHotCategorical):
        logits = gg.tensor([0.5, -1.0], requires_grad=True)
        p = kind(logits=logits)
        p.sample()
        assert p.probs.requires_grad
        p.entropy().sum().backward()
        assert logits.grad is not None and logits.grad.abs().sum().item() > 0.1


def test_policy_gradient_trains() -> None:
    """REINFORCE on two arms, of which the second pays."""
    gg.manual_seed(0)
    logits = gg.zeros(2).requires_grad_()
    optimizer = gg.optim.Adam([logits], lr=0.1)
    for _ in range(50):
        p = d.Categorical(logits=logits)
        action = p.sample((16,))
        optimizer.zero_grad()
        (-p.log_prob(action) * (action.float() - 0.5)).mean().backward()
        optimizer.step()
    assert d.Categorical(logits=logits).probs[1].item() > 0.9


def test_refusals_say_what_is_wrong() -> None:
    refused: list[tuple[Any, type[Exception], str]] = [
        (lambda: d.Normal(0, gg.tensor([1.0, -2.0])), ArgumentError, "must be above 0, found -2"),
        (lambda: d.Categorical(gg.zeros(3)), ArgumentError, "the sum of probs must be above 0"),
        (lambda: d.Categorical(gg.tensor(1.0)), ShapeError, "need at least one axis"),
        (lambda: d.Bernoulli(2.0), ArgumentError, r"probs must be in \[0, 1\], found 2.0"),
        (lambda: d.Bernoulli([0.5]), ArgumentError, "numbers or Tensors, got list"),
        (lambda: d.Normal(0, 1).sample(3), TypeError, r"must be a tuple, got 3.\n  .* give \(n,\)"),
        (lambda: d.Categorical(gg.ones(2)).sample(3), TypeError, "Categorical: sample_shape must"),
        (lambda: d.Bernoulli(0.5, 0.5), ArgumentError, "either probs or logits, not both"),
        (lambda: d.Normal(0, 1).log_prob(0.5), ArgumentError, "must be a Tensor, got float"),
        (lambda: d.Normal(gg.zeros(2), 1).log_prob(gg.zeros(3)), ShapeError, r"shape \(3,\) does"),
        (lambda: d.MultivariateNormal(gg.zeros(2)), ArgumentError, "exactly one of .* got 0"),
        (lambda: d.MultivariateNormal(gg.zeros(3), gg.eye(2)), ShapeError, r"matrix \(..., n, n\)"),
        (lambda: d.kl_divergence(d.Normal(0, 1), d.Uniform(0, 1)), NotImplementedError, "Estimate"),
    ]
    for call, kind, text in refused:
        with pytest.raises(kind, match=text):
            call()
    free = d.Normal(0, -1, validate_args=False)
    assert free.log_prob(gg.tensor(0.0)).isnan().item()
    d.Distribution.set_default_validate_args(False)
    try:
        assert d.Categorical(gg.ones(2)).expand((3,)).batch_shape == (3,)
        d.Normal(0, -1)
    finally:
        d.Distribution.set_default_validate_args(True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_laplace_draws_are_finite(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    """Even where the uniform number is 0, whose logarithm would be infinite."""
    monkeypatch.setattr(d.laplace, "rand", gg.zeros)
    zero = gg.tensor(0.0, dtype=gg.as_dtype(dtype))
    assert d.Laplace(zero, 1.0).rsample((3,)).isfinite().all().item()


def test_own_divergences() -> None:
    class Point(d.Distribution):
        """All weight on 0."""

    d.register_kl(Point, d.Normal)(lambda p, q: -q.log_prob(gg.tensor(0.0)))
    found = d.kl_divergence(Point(), d.Normal(0, 1)).item()
    assert found == pytest.approx(0.5 * math.log(2 * math.pi))
