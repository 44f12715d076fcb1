"""gpugrad.distributions beside torch.distributions: values, gradients, shapes, divergences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.distributions as theirs

import gpugrad as gg
import gpugrad.distributions as ours

# Both are the same formulas in float64, of a few operations each.
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
RNG = np.random.default_rng(0)
MATRIX = (lambda m: m @ m.T + 3 * np.eye(3))(RNG.standard_normal((3, 3)))
POSITIVE, ANY = RNG.random((2, 3)) + 0.1, RNG.standard_normal((2, 3))

CASES: list[tuple[str, dict[str, Any]]] = [
    ("Normal", {"loc": ANY[0], "scale": POSITIVE}),
    ("Laplace", {"loc": ANY[0], "scale": POSITIVE}),
    ("Uniform", {"low": ANY[0], "high": ANY[0] + POSITIVE}),
    ("Exponential", {"rate": POSITIVE}),
    ("Bernoulli", {"probs": POSITIVE / 2}),
    ("Bernoulli", {"logits": ANY}),
    ("Categorical", {"probs": POSITIVE}),
    ("Categorical", {"logits": ANY}),
    ("OneHotCategorical", {"probs": POSITIVE}),
    ("OneHotCategorical", {"logits": ANY}),
    ("MultivariateNormal", {"loc": ANY, "covariance_matrix": MATRIX}),
    ("MultivariateNormal", {"loc": ANY[0], "precision_matrix": MATRIX}),
    ("MultivariateNormal", {"loc": ANY[0], "scale_tril": np.linalg.cholesky(MATRIX)}),
]
MOMENTS = ("mean", "variance", "stddev", "mode")


def make(library: Any, kinds: Any, name: str, given: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The distribution and its parameters, which require gradients."""
    leaves = {key: library.tensor(x, requires_grad=True) for key, x in given.items()}
    return getattr(kinds, name)(**leaves), list(leaves.values())


def check(found: Any, wanted: Any, mine: list[Any], other: list[Any]) -> None:
    """Equal values, and equal gradients of all parameters."""
    np.testing.assert_allclose(found.detach().numpy(), wanted.detach().numpy(), **CLOSE)
    if not wanted.requires_grad or wanted.isnan().any():
        return
    dx = gg.autograd.grad(found.sum(), mine, allow_unused=True, retain_graph=True)
    dy = torch.autograd.grad(wanted.sum(), other, allow_unused=True, retain_graph=True)
    for a, b in zip(dx, dy, strict=True):
        exact = np.zeros(()) if b is None else b.numpy()
        np.testing.assert_allclose(0 if a is None else a.numpy(), exact, **CLOSE)


@pytest.mark.parametrize(("name", "given"), CASES, ids=lambda x: x if isinstance(x, str) else "")
def test_values_and_gradients(name: str, given: dict[str, Any]) -> None:
    (p, mine), (q, other) = make(gg, ours, name, given), make(torch, theirs, name, given)
    assert p.batch_shape == tuple(q.batch_shape) and p.event_shape == tuple(q.event_shape)
    assert (p.has_rsample, p.has_enumerate_support) == (q.has_rsample, q.has_enumerate_support)
    values = q.sample(torch.Size([4])).numpy()
    mine_values, their_values = gg.tensor(values), torch.tensor(values)
    drawn = p.sample((4,))  # before anything else: it must leave the gradients as they are
    assert drawn.shape == values.shape and drawn.dtype.name == str(values.dtype)
    assert not drawn.requires_grad
    check(p.log_prob(mine_values), q.log_prob(their_values), mine, other)
    check(p.entropy(), q.entropy(), mine, other)
    check(p.perplexity(), q.perplexity(), mine, other)
    for moment in MOMENTS if name != "Categorical" else ("mode",):
        check(getattr(p, moment), getattr(q, moment), mine, other)
    if q.has_enumerate_support:
        for expand in (True, False):
            check(p.enumerate_support(expand), q.enumerate_support(expand), mine, other)
    if name in ("Normal", "Laplace", "Uniform", "Exponential"):
        u = q.cdf(their_values)
        check(p.cdf(mine_values), u, mine, other)
        check(p.icdf(gg.tensor(u.detach().numpy())), q.icdf(u.detach()), mine, other)
    larger = p.expand((5, *p.batch_shape))
    assert larger.batch_shape == (5, *p.batch_shape) and larger.event_shape == p.event_shape
    assert larger.log_prob(mine_values[:1]).shape == (5, *p.batch_shape)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_divergences(name: str) -> None:
    given = next(kept for kind, kept in CASES if kind == name)
    near = {key: x + 0.1 * abs(x) for key, x in given.items()}
    if name == "Uniform":
        near["low"] = given["low"] - 0.1
    pairs = []
    for library, kinds in ((gg, ours), (torch, theirs)):
        p, leaves = make(library, kinds, name, given)
        q, more = make(library, kinds, name, near)
        pairs.append((kinds.kl_divergence(p, q), [*leaves, *more]))
        if p.batch_shape:
            wide = [kinds.Independent(each, 1) for each in (p, q)]
            whole = kinds.kl_divergence(*wide).detach().numpy()
            np.testing.assert_allclose(whole, pairs[-1][0].detach().sum(-1).numpy(), **CLOSE)
    check(pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1])


def test_divergences_at_certainty() -> None:
    """0 where p never falls, infinite where it does and q never."""
    sure = np.array([0.0, 0.5, 1.0])
    p, q = np.meshgrid(sure, sure, indexing="ij")
    found = ours.kl_divergence(ours.Bernoulli(gg.tensor(p)), ours.Bernoulli(gg.tensor(q)))
    wanted = theirs.kl_divergence(
        theirs.Bernoulli(torch.tensor(p)), theirs.Bernoulli(torch.tensor(q))
    )
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), **CLOSE)
    assert np.isinf(found.numpy()).sum() == 4
    one = gg.tensor(0.3)  # which is broadcast, other than in PyTorch
    assert ours.kl_divergence(ours.Bernoulli(one), ours.Bernoulli(gg.zeros(2))).isinf().all()


def test_classes_have_no_mean() -> None:
    p, q = ours.Categorical(gg.ones(2, 3)), theirs.Categorical(torch.ones(2, 3))
    for name in ("mean", "variance", "stddev"):
        np.testing.assert_array_equal(getattr(p, name).numpy(), getattr(q, name).numpy())
    which = np.array([True, False])
    found = p.log_prob(gg.tensor(which)).numpy()
    np.testing.assert_allclose(found, q.log_prob(torch.tensor(which)).numpy(), rtol=1e-6)


def test_independent() -> None:
    p = ours.Independent(ours.Normal(gg.tensor(ANY), gg.tensor(POSITIVE)), 1)
    q = theirs.Independent(theirs.Normal(torch.tensor(ANY), torch.tensor(POSITIVE)), 1)
    x = RNG.standard_normal((4, 2, 3))
    check(p.log_prob(gg.tensor(x)), q.log_prob(torch.tensor(x)), [], [])
    check(p.entropy(), q.entropy(), [], [])
    assert p.batch_shape == (2,) and p.event_shape == (3,) and p.has_rsample
    assert p.expand((5, 2)).log_prob(gg.tensor(x[:1])).shape == (5, 2)
    assert p.rsample((4,)).shape == (4, 2, 3) and p.mean.shape == p.mode.shape == (2, 3)


def test_numbers_as_parameters() -> None:
    x = RNG.standard_normal(3).astype("float32")
    for name, given in (("Normal", (0, 1)), ("Laplace", (0.5, 2)), ("Uniform", (-9, 9))):
        p, q = getattr(ours, name)(*given), getattr(theirs, name)(*given)
        found = p.log_prob(gg.tensor(x))
        assert found.dtype == gg.float32 and p.sample().shape == () and repr(p) == repr(q)
        np.testing.assert_allclose(found.numpy(), q.log_prob(torch.tensor(x)).numpy(), rtol=1e-6)


REFUSED = [
    lambda d, t: d.Normal(t.zeros(2), -t.ones(2)),
    lambda d, t: d.Normal(t.tensor(float("nan")), 1.0),
    lambda d, t: d.Laplace(0.0, 0.0),
    lambda d, t: d.Exponential(-1.0),
    lambda d, t: d.Uniform(1.0, 0.0),
    lambda d, t: d.Uniform(0.0, 1.0).log_prob(t.tensor(2.0)),
    lambda d, t: d.Bernoulli(1.5),
    lambda d, t: d.Bernoulli(0.5).log_prob(t.tensor(0.3)),
    lambda d, t: d.Bernoulli(),
    lambda d, t: d.Categorical(t.ones(2), logits=t.ones(2)),
    lambda d, t: d.Categorical(t.tensor([-1.0, 2.0])),
    lambda d, t: d.Categorical(logits=t.tensor([float("nan"), 0.0])),
    lambda d, t: d.Categorical(t.ones(3)).log_prob(t.tensor(3)),
    lambda d, t: d.OneHotCategorical(t.ones(3)).log_prob(t.tensor([1.0, 1.0, 0.0])),
    lambda d, t: d.Normal(t.zeros(2), 1.0).log_prob(t.zeros(3)),
    lambda d, t: d.Normal(0.0, 1.0).log_prob(0.5),
    lambda d, t: d.Normal([0.0], [1.0]),
    lambda d, t: d.Normal(0.0, "a"),
    lambda d, t: d.Normal(0.0, 1.0).log_prob(t.tensor(float("nan"))),
    lambda d, t: d.Laplace(0.0, 1.0).log_prob(t.tensor(float("nan"))),
    lambda d, t: d.Categorical(logits=t.tensor([float("inf"), 0.0])),
    lambda d, t: d.Categorical(logits=t.tensor([-float("inf"), -float("inf")])),
    lambda d, t: d.Independent(d.Normal(0.0, 1.0), 1),
    lambda d, t: d.MultivariateNormal(t.zeros(2)),
    lambda d, t: d.MultivariateNormal(t.zeros(2), t.eye(2), t.eye(2)),
    lambda d, t: d.MultivariateNormal(t.zeros(2), -t.eye(2)),
    lambda d, t: d.MultivariateNormal(t.zeros(2), t.tensor([[1.0, 0.5], [0.2, 1.0]])),
    lambda d, t: d.MultivariateNormal(t.zeros(2), scale_tril=t.tensor([[1.0, 0.5], [0.2, 1.0]])),
    lambda d, t: d.MultivariateNormal(t.tensor([float("nan"), 0.0]), t.eye(2)),
    lambda d, t: d.kl_divergence(
        *(d.MultivariateNormal(t.zeros(n), t.eye(n)) for n in (2, 3)),
    ),
]


@pytest.mark.parametrize("call", REFUSED)
def test_refused_as_pytorch_does(call: Any) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        call(theirs, torch)
    with pytest.raises(ValueError):
        call(ours, gg)
