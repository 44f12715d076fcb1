"""Ready parametrizations: weight norm, spectral norm; `orthogonal` has a file of its own."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...autograd import no_grad
from ...errors import ArgumentError, IndexOutOfRangeError, ShapeError
from ...tensor import Tensor
from .. import functional as F
from ..conv import _ConvTranspose
from ..module import Module
from . import parametrize
from .orthogonal import orthogonal

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def norm_except_dim(v: Tensor, dim: int | None) -> Tensor:
    """The 2-norm over all axes but dim, which are kept with length 1; over all for None."""
    if dim is None or dim == -1:  # PyTorch's kernel takes -1 for "all"
        return ops.norm(v)
    others = [i for i in range(v.ndim) if i != dim % v.ndim]
    return ops.norm(v, 2, others, keepdim=True) if others else v.abs()


class _WeightNorm(Module):
    """w = g v / |v|: g the magnitudes, v the directions. (Salimans & Kingma 2016.)"""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / norm_except_dim(v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except_dim(weight, self.dim), weight


class _OlderNames:
    """The hook before loading that takes name_g and name_v for the originals."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        keys = [f"{prefix}{self.name}_g", f"{prefix}{self.name}_v"]
        if all(key in state for key in keys):
            for i, key in enumerate(keys):
                state[f"{prefix}parametrizations.{self.name}.original{i}"] = state.pop(key)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Splits a weight into magnitudes (original0) and directions (original1); returns the module.

    w = original0 original1 / |original1|, the norm over all axes but dim (None: over all). States
    of the older nn.utils.weight_norm load as well. (Salimans & Kingma 2016.)
    """
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    module._register_load_state_dict_pre_hook(_OlderNames(name))
    return module


class _SpectralNorm(Module):
    """w = weight / sigma, sigma its largest singular value, by the power method on u and v."""

    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexOutOfRangeError(
                f"spectral_norm(dim={dim}): the weight has {weight.ndim} axes"
            )
        if n_power_iterations <= 0:
            raise ArgumentError(
                f"spectral_norm(n_power_iterations={n_power_iterations}): must be above 0"
            )
        self.dim, self.eps, self.n_power_iterations = dim % weight.ndim, eps, n_power_iterations
        if weight.ndim > 1:
            matrix = as_matrix(weight.detach(), self.dim)
            for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                drawn = matrix.new_empty(size).normal_()
                self.register_buffer(name, F.normalize(drawn, dim=0, eps=eps))
            power_method(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_method(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        # copies: the next power step must not change what this graph has saved
        return weight / spectral_value(matrix, self._u.clone(), self._v.clone())

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def as_matrix(weight: Tensor, dim: int) -> Tensor:
    """The weight as a matrix whose rows are axis dim."""
    return weight.movedim(dim, 0).flatten(1)


def spectral_value(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """u^T W v: the largest singular value, for the singular vectors u and v."""
    return ops.dot(u, ops.mv(matrix, v))


def power_method(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float) -> None:
    """u = W v / |W v|, v = W^T u / |W^T u|, in place, steps times."""
    with no_grad():
        for _ in range(steps):
            u.copy_(F.normalize(ops.mv(matrix, v), dim=0, eps=eps))
            v.copy_(F.normalize(ops.mv(matrix.mT, u), dim=0, eps=eps))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a weight by its largest singular value, estimated by a power step in each training
    forward; returns the module. (Miyato et al. 2018.)

    dim: the axis of outputs: 0, of transposed convolutions 1, unless given.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(f"spectral_norm: {type(module).__name__} has no tensor {name!r}")
    if weight.ndim == 0:
        raise ShapeError("spectral_norm: the weight must have an axis; it is 0-d")
    if dim is None:
        dim = 1 if isinstance(module, _ConvTranspose) else 0
    part = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, part)
    return module
