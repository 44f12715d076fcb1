"""Initial values for parameters. Each function changes its tensor in place and returns it.

Draws come from the generator given, or from that of the tensor's device, which `gg.manual_seed`
sets.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import dtype as dtypes
from ..autograd import no_grad
from ..creation import empty
from ..errors import ArgumentError, ShapeError
from ..random import Generator
from ..tensor import Tensor
from .parameter import copy_values

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations: sqrt 2 for relu, 5/3 for tanh, ...

    leaky_relu: sqrt(2 / (1 + param^2)), param the slope below zero (0.01 unless given).
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ArgumentError(f"calculate_gain: negative_slope {param!r} is not a number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}; known are "
            f"{', '.join([*_GAINS, 'leaky_relu'])}"
        )
    return _GAINS[nonlinearity]


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of one unit: weight (out, in, kernel...) -> (in, out) * kernel size."""
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ShapeError(
            f"fan in and fan out need at least 2 axes (out, in, ...), the tensor has shape {shape}"
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"init: mode {mode!r} is neither 'fan_in' nor 'fan_out'")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


_skipping: list[bool] = []


@contextmanager
def skipped() -> Iterator[None]:
    """Inside, nothing here changes a tensor: for parameters whose values are loaded at once."""
    _skipping.append(True)
    try:
        yield
    finally:
        _skipping.pop()


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in [a, b)."""
    if not _skipping:
        with no_grad():
            tensor.uniform_(a, b, generator=generator)
    return tensor


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal with this mean and standard deviation."""
    if not _skipping:
        with no_grad():
            tensor.normal_(mean, std, generator=generator)
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """The same value everywhere."""
    if not _skipping:
        with no_grad():
            tensor.fill_(val)
    return tensor


def _write(values: np.ndarray[Any, Any], tensor: Tensor, operation: str) -> Tensor:
    if not _skipping:
        copy_values(values, tensor, operation)
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix (1 on the diagonal); 2 axes."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: needs 2 axes, the tensor has shape {tuple(tensor.shape)}")
    return _write(np.eye(*tensor.shape, dtype=np.float32), tensor, "eye_")


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution that passes channels on: weight[g n + i, i, centre] = 1, everything else 0.

    tensor: (out_channels, in_channels / groups, kernel...), 3 to 5 axes; n = out_channels / groups,
    i below n and in_channels / groups. (Zagoruyko & Komodakis 2017.)
    """
    shape = tuple(tensor.shape)
    if not 3 <= len(shape) <= 5:
        raise ShapeError(f"dirac_: needs 3, 4 or 5 axes (out, in, kernel...), tensor has {shape}")
    if groups < 1 or shape[0] % groups:
        raise ArgumentError(f"dirac_: {shape[0]} output channels cannot be {groups} groups")
    values = np.zeros(shape, dtype=np.float32)
    each = shape[0] // groups
    centre = tuple(size // 2 for size in shape[2:])
    for group in range(groups):
        for k in range(min(each, shape[1])):
            values[(group * each + k, k, *centre)] = 1
    return _write(values, tensor, "dirac_")


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in +-gain sqrt(6 / (fan_in + fan_out)). (Glorot & Bengio 2010.)"""
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with deviation gain sqrt(2 / (fan_in + fan_out)). (Glorot & Bengio 2010.)"""
    deviation = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return normal_(tensor, 0.0, deviation, generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Uniform in +-gain sqrt(3 / fan). a: slope of the leaky_relu behind. (He et al. 2015.)"""
    fan = _calculate_correct_fan(tensor, mode)
    if tensor.numel() == 0:
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / fan)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal, deviation gain / sqrt(fan). a: slope of the leaky_relu behind. (He et al. 2015.)"""
    fan = _calculate_correct_fan(tensor, mode)
    if tensor.numel() == 0:
        return tensor
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(fan), generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal, of the values in [a, b] only: the inverse distribution function of uniforms."""
    if not a < b:
        raise ArgumentError(f"trunc_normal_(a={a}, b={b}): a must be below b")

    def phi(x: float) -> float:
        return math.erf((x - mean) / std / math.sqrt(2.0))

    if _skipping:
        return tensor
    draws = _draws(tensor, "uniform_", generator, phi(a), phi(b))
    values = mean + std * math.sqrt(2.0) * _inverse_erf(draws)
    return _write(np.clip(values, a, b), tensor, "trunc_normal_")


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """gain times a random orthogonal matrix, all axes but the first taken as columns.

    The Q of a normal matrix, signs set so that it is uniform (Saxe et al. 2014). QR runs in NumPy,
    in float64.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: needs 2 axes or more, has shape {tuple(tensor.shape)}")
    if tensor.numel() == 0 or _skipping:
        return tensor
    flat = _draws(tensor, "normal_", generator).reshape(tensor.shape[0], -1)
    tall = flat if flat.shape[0] >= flat.shape[1] else flat.T
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    q = q if flat.shape[0] >= flat.shape[1] else q.T
    return _write((gain * q).reshape(tensor.shape), tensor, "orthogonal_")


def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal with deviation std, but in each column a share of `sparsity` (rounded up) is 0, at
    random rows. (Martens 2010.) 2 axes."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: needs 2 axes, the tensor has shape {tuple(tensor.shape)}")
    if not 0 <= sparsity <= 1:
        raise ArgumentError(f"sparse_(sparsity={sparsity}): a share lies between 0 and 1")
    if _skipping:
        return tensor
    values = _draws(tensor, "normal_", generator, 0.0, std)
    order = _draws(tensor, "uniform_", generator).argsort(axis=0)
    np.put_along_axis(values, order[: math.ceil(sparsity * tensor.shape[0])], 0.0, axis=0)
    return _write(values, tensor, "sparse_")


def _draws(
    tensor: Tensor, method: str, generator: Generator | None, *args: float
) -> np.ndarray[Any, Any]:
    """Random numbers in the tensor's shape from its device's generator, float64, on the host."""
    drawn = empty(tuple(tensor.shape), dtype=dtypes.float64, device=tensor.device)
    getattr(drawn, method)(*args, generator=generator)
    return drawn.numpy()


# Giles 2010, "Approximating the erfinv function": relative error below 4e-7 up to |x| = 1 - 1e-7
# and below 2e-3 beyond, which is enough for a draw.
_CENTRE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
           -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
         -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


def _inverse_erf(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The y with erf(y) = x, for -1 <= x <= 1."""
    tiny = np.finfo(np.float64).tiny
    w = -np.log(np.maximum((1.0 - x) * (1.0 + x), tiny))
    centre = np.polyval(_CENTRE, np.minimum(w, 5.0) - 2.5)
    tail = np.polyval(_TAIL, np.sqrt(np.maximum(w, 5.0)) - 3.0)
    return np.where(w < 5.0, centre, tail) * x


def _renamed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """PyTorch's deprecated name without the _, which warns."""
    name = function.__name__

    def deprecated(*args: Any, **kwargs: Any) -> Tensor:
        warnings.warn(
            f"init.{name[:-1]} is deprecated in favour of init.{name}", FutureWarning, stacklevel=2
        )
        return function(*args, **kwargs)

    deprecated.__name__ = deprecated.__qualname__ = name[:-1]
    deprecated.__doc__ = f"Deprecated name of {name}."
    return deprecated


uniform = _renamed(uniform_)
normal = _renamed(normal_)
constant = _renamed(constant_)
eye = _renamed(eye_)
dirac = _renamed(dirac_)
xavier_uniform = _renamed(xavier_uniform_)
xavier_normal = _renamed(xavier_normal_)
kaiming_uniform = _renamed(kaiming_uniform_)
kaiming_normal = _renamed(kaiming_normal_)
orthogonal = _renamed(orthogonal_)
sparse = _renamed(sparse_)
