"""Optimizer steps on lists of arrays, in place; the norm and the scaling of lists.

`hyper` is float64[2]: {learning rate, steps done}; a step adds 1 to the second. `ticket` is for
devices with many blocks, but for its second number, if it has one: not 0 skips the step.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...dtype import float32, float64
from .precision import Array, accumulated, quiet, rounded

Arrays = Sequence[Array]


def _step(function: Callable[..., None]) -> Callable[..., None]:
    """A step as it is called: skipped where its ticket says so, and done to the master weights
    where params holds them behind the parameters."""
    place = list(inspect.signature(function).parameters).index("ticket")

    @functools.wraps(function)
    def step(*args: Any) -> None:
        params, grads, ticket = args[0], args[1], args[place]
        if ticket is not None and ticket.size == 2 and ticket[1] != 0:
            return
        masters = params[len(grads) :]
        function(masters or params, *args[1:])
        for param, master in zip(params, masters, strict=False):
            param[...] = rounded(master, param.dtype)

    return quiet(step)


def _gradient(p: Array, grad: Array, weight_decay: float, maximize: bool) -> Array:
    """The gradient in accumulation dtype, negated if maximize, with weight_decay p added."""
    g = -accumulated(grad) if maximize else accumulated(grad)
    return g + weight_decay * p if weight_decay != 0 else g


def _begin(hyper: Array) -> tuple[float, float]:
    """(learning rate, t): counts the step."""
    hyper[1] += 1
    return float(hyper[0]), float(hyper[1])


@_step
def sgd_step(
    params: Arrays,
    grads: Arrays,
    momenta: Arrays,
    hyper: Array,
    ticket: Array,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> None:
    """p -= lr g, with buf = mu buf + (1 - dampening) g in g's place where there is momentum."""
    lr, t = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], weight_decay, maximize)
        if momenta:
            buf = momenta[i]
            buf[...] = g if t == 1 else momentum * buf + (1 - dampening) * g
            g = g + momentum * buf if nesterov else buf
        param[...] = rounded(p - lr * g, param.dtype)


@_step
def adam_step(
    params: Arrays,
    grads: Arrays,
    m: Arrays,
    v: Arrays,
    vmax: Arrays,
    hyper: Array,
    ticket: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """p -= lr mhat / (sqrt(vhat) + eps): Kingma & Ba 2015; decoupled: Loshchilov & Hutter 2019."""
    lr, t = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], 0.0 if decoupled else weight_decay, maximize)
        if decoupled:
            p = p * (1 - lr * weight_decay)
        m[i][...] = beta1 * m[i] + (1 - beta1) * g
        v[i][...] = beta2 * v[i] + (1 - beta2) * g * g
        second = v[i]
        if vmax:
            second = np.maximum(vmax[i], v[i], out=vmax[i])
        mhat = m[i] / (1 - beta1**t)
        vhat = second / (1 - beta2**t)
        param[...] = rounded(p - lr * mhat / (np.sqrt(vhat) + eps), param.dtype)


@_step
def rmsprop_step(
    params: Arrays,
    grads: Arrays,
    v: Arrays,
    avg: Arrays,
    buf: Arrays,
    hyper: Array,
    ticket: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
) -> None:
    """p -= lr g / (sqrt(v) + eps), v the running mean of g^2; centred and with momentum on wish."""
    lr, _ = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], weight_decay, maximize)
        v[i][...] = alpha * v[i] + (1 - alpha) * g * g
        variance = v[i]
        if avg:
            avg[i][...] = alpha * avg[i] + (1 - alpha) * g
            variance = np.maximum(v[i] - avg[i] * avg[i], 0)
        step = g / (np.sqrt(variance) + eps)
        if buf:
            buf[i][...] = momentum * buf[i] + step
            step = buf[i]
        param[...] = rounded(p - lr * step, param.dtype)


@_step
def adagrad_step(
    params: Arrays,
    grads: Arrays,
    sum: Arrays,
    hyper: Array,
    ticket: Array,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(sum of g^2) + eps): Duchi et al. 2011."""
    lr, t = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], weight_decay, maximize)
        sum[i][...] = sum[i] + g * g
        step = g / (np.sqrt(sum[i]) + eps)
        param[...] = rounded(p - lr / (1 + (t - 1) * lr_decay) * step, param.dtype)


@_step
def adadelta_step(
    params: Arrays,
    grads: Arrays,
    v: Arrays,
    u: Arrays,
    hyper: Array,
    ticket: Array,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """p -= lr d, d = sqrt(u + eps) / sqrt(v + eps) g, u the running mean of d^2: Zeiler 2012."""
    lr, _ = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], weight_decay, maximize)
        v[i][...] = rho * v[i] + (1 - rho) * g * g
        step = np.sqrt(u[i] + eps) / np.sqrt(v[i] + eps) * g
        u[i][...] = rho * u[i] + (1 - rho) * step * step
        param[...] = rounded(p - lr * step, param.dtype)


@_step
def adamax_step(
    params: Arrays,
    grads: Arrays,
    m: Arrays,
    u: Arrays,
    hyper: Array,
    ticket: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """p -= lr mhat / u, u = max(b2 u, |g| + eps): Kingma & Ba 2015, section 7."""
    lr, t = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], weight_decay, maximize)
        m[i][...] = beta1 * m[i] + (1 - beta1) * g
        u[i][...] = np.maximum(beta2 * u[i], np.abs(g) + eps)
        param[...] = rounded(p - lr / (1 - beta1**t) * (m[i] / u[i]), param.dtype)


def _moments(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    betas: tuple[float, float],
    lr: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> tuple[Array, Array]:
    """(p after decoupled decay, g): Adam's m and v of this step, in place."""
    p = accumulated(param)
    g = _gradient(p, grad, 0.0 if decoupled else weight_decay, maximize)
    m[...] = betas[0] * m + (1 - betas[0]) * g
    v[...] = betas[1] * v + (1 - betas[1]) * g * g
    return p * (1 - lr * weight_decay) if decoupled else p, g


@_step
def nadam_step(
    params: Arrays,
    grads: Arrays,
    m: Arrays,
    v: Arrays,
    hyper: Array,
    ticket: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    momentum_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """Adam with Nesterov's momentum: Dozat 2016. hyper[2] is the product of mu so far."""
    lr, t = _begin(hyper)
    mu, following = (beta1 * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
    hyper[2] *= mu
    now, then = 1 - hyper[2], 1 - hyper[2] * following
    for i, param in enumerate(params):
        common = (lr, weight_decay, decoupled, maximize)
        p, g = _moments(param, grads[i], m[i], v[i], (beta1, beta2), *common)
        root = np.sqrt(v[i] / (1 - beta2**t)) + eps
        step = ((1 - mu) / now * g + following / then * m[i]) / root
        param[...] = rounded(p - lr * step, param.dtype)


@_step
def radam_step(
    params: Arrays,
    grads: Arrays,
    m: Arrays,
    v: Arrays,
    hyper: Array,
    ticket: Array,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> None:
    """Adam whose denominator waits until its variance is known: Liu et al. 2020."""
    lr, t = _begin(hyper)
    most = 2 / (1 - beta2) - 1
    length = most - 2 * t * beta2**t / (1 - beta2**t)
    for i, param in enumerate(params):
        common = (lr, weight_decay, decoupled, maximize)
        p, _ = _moments(param, grads[i], m[i], v[i], (beta1, beta2), *common)
        step = m[i] / (1 - beta1**t)
        if length > 5:
            above, below = (length - 4) * (length - 2) * most, (most - 4) * (most - 2) * length
            step = step * (above / below * (1 - beta2**t)) ** 0.5 / (np.sqrt(v[i]) + eps)
        param[...] = rounded(p - lr * step, param.dtype)


@_step
def lion_step(
    params: Arrays,
    grads: Arrays,
    m: Arrays,
    hyper: Array,
    ticket: Array,
    beta1: float,
    beta2: float,
    weight_decay: float,
    maximize: bool,
) -> None:
    """p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p): Chen et al. 2023."""
    lr, _ = _begin(hyper)
    for i, param in enumerate(params):
        p = accumulated(param)
        g = _gradient(p, grads[i], 0.0, maximize)
        step = np.sign(beta1 * m[i] + (1 - beta1) * g)
        m[i][...] = beta2 * m[i] + (1 - beta2) * g
        param[...] = rounded(p * (1 - lr * weight_decay) - lr * step, param.dtype)


@quiet
def global_norm(xs: Arrays, ord: float) -> Array:
    """(sum of |x|^ord over every element of every array)^(1/ord), of shape ()."""
    dtype = float64 if any(x.dtype == float64 for x in xs) else float32
    magnitudes = [np.abs(accumulated(x)).ravel() for x in xs]
    flat = np.concatenate(magnitudes) if magnitudes else np.zeros(0, dtype)
    if np.isinf(ord):
        return rounded(np.max(flat, initial=0) if ord > 0 else np.min(flat, initial=np.inf), dtype)
    return rounded(np.sum(flat**ord) ** (1 / ord), dtype)


@quiet
def scale(xs: Arrays, factor: Array) -> None:
    """x *= factor for every array of the list; in place."""
    for x in xs:
        x[...] = rounded(accumulated(x) * factor.reshape(()), x.dtype)


@quiet
def unscale(xs: Arrays, scale: Array, found: Array) -> None:
    """x *= 1 / scale for every array of the list, in place; found = 1 where an x is not finite."""
    factor = 1 / scale.reshape(()).astype(float64)
    for x in xs:
        wide = accumulated(x)
        if not np.isfinite(wide).all():
            found[...] = 1
        x[...] = rounded(wide * factor.astype(wide.dtype), x.dtype)


@quiet
def update_scale(
    scale: Array, good: Array, found: Array, growth: float, backoff: float, interval: int
) -> None:
    """scale *= backoff where found, else *= growth after `interval` good steps in a row."""
    if found.reshape(()) != 0:
        scale[...], good[...] = scale.astype(float64) * backoff, 0
        return
    good += 1
    if good.reshape(()) == interval:
        larger = (scale.astype(float64) * growth).astype(scale.dtype)
        scale[...], good[...] = np.where(np.isfinite(larger), larger, scale), 0
