"""Kullback-Leibler divergences in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import inf, linalg, ops
from ..errors import ShapeError
from ..tensor import Tensor
from .bernoulli import Bernoulli
from .categorical import Categorical
from .distribution import Distribution
from .exponential import Exponential
from .independent import Independent
from .laplace import Laplace
from .multivariate_normal import MultivariateNormal
from .normal import Normal
from .uniform import Uniform

Divergence = Callable[[Any, Any], Tensor]
_known: dict[tuple[type, type], Divergence] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Divergence], Divergence]:
    """A decorator: the function of (p, q) that gives KL(p || q) for these types."""

    def register(function: Divergence) -> Divergence:
        _known[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p || q) = E log(p(x) / q(x)) over x of p, in nats; one number for each of the batch.

    The function registered for the nearest base classes is taken. Raises NotImplementedError for
    pairs that have none; `register_kl` adds one.
    """
    for kind_p in type(p).__mro__:
        for kind_q in type(q).__mro__:
            if (kind_p, kind_q) in _known:
                return _known[kind_p, kind_q](p, q)
    raise NotImplementedError(
        f"kl_divergence: no closed form is known for {type(p).__name__} and {type(q).__name__}.\n"
        "  Estimate it: (p.log_prob(x) - q.log_prob(x)).mean(0) with x = p.sample((n,)), or add "
        "it with register_kl."
    )


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    def of(p: Tensor, q: Tensor, p_logits: Tensor, q_logits: Tensor) -> Tensor:
        """p log(p / q), which is 0 for p = 0, else infinite for q = 0."""
        term = p * (ops.log_sigmoid(p_logits) - ops.log_sigmoid(q_logits))
        term = ops.where(q == 0, inf, term)
        return ops.where(p == 0, 0.0, term)

    one = of(p.probs, q.probs, p.logits, q.logits)
    return one + of(1 - p.probs, 1 - q.probs, -p.logits, -q.logits)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    terms = p.probs * (p.logits - q.logits)
    terms = ops.where((q.probs == 0).expand_as(terms), inf, terms)
    return ops.where((p.probs == 0).expand_as(terms), 0.0, terms).sum(-1)


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return ops.where((q.low > p.low) | (q.high < p.high), inf, result)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    """(tr(Cq^-1 Cp) + d^T Cq^-1 d - n) / 2 + log(det Cq / det Cp) / 2, d = loc_q - loc_p."""
    if p.event_shape != q.event_shape:
        raise ShapeError(f"kl_divergence: event shapes {p.event_shape} and {q.event_shape} differ.")
    between = linalg.solve_triangular(q.scale_tril, p.scale_tril, upper=False)
    difference = (q.loc - p.loc).unsqueeze(-1)
    shift = linalg.solve_triangular(q.scale_tril, difference, upper=False)
    squares = (between**2).sum((-2, -1)) + (shift**2).sum((-2, -1))
    return q.half_log_det() - p.half_log_det() + 0.5 * (squares - p.event_shape[0])


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "kl_divergence: both Independent must have the same reinterpreted_batch_ndims."
        )
    return p.summed(kl_divergence(p.base_dist, q.base_dist))
