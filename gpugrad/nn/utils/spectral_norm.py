"""Spectral norm in its older form: name_orig as the parameter, the weight before each forward.

`parametrizations.spectral_norm` does the same without a hook.
"""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd import no_grad
from ...errors import ArgumentError
from ...tensor import Tensor
from .. import functional as F
from ..conv import _ConvTranspose
from ..module import Module
from ..parameter import Parameter
from .parametrizations import as_matrix, power_method, spectral_value
from .weight_norm import find_hook

M = TypeVar("M", bound=Module)


class SpectralNorm:
    """The hook before forward: name = name_orig / sigma. (Miyato et al. 2018.)"""

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Tensor:
        """The weight by its largest singular value, estimated with the vectors name_u, name_v."""
        weight, u, v = (getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v"))
        matrix = as_matrix(weight, self.dim)
        if do_power_iteration:  # v first: here u is the older of the two
            power_method(matrix.detach().mT, v, u, self.n_power_iterations, self.eps)
        result: Tensor = weight / spectral_value(matrix, u.clone(), v.clone())
        return result

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Replaces the parameter name by name_orig; name is computed from it before each forward, with
    n_power_iterations power steps on the buffers name_u and name_v in training. Returns the module.

    dim: the axis of outputs: 0, of transposed convolutions 1, unless given.
    """
    if find_hook(module, SpectralNorm, name) is not None:
        raise ArgumentError(f"spectral_norm: {name!r} of this module has one already")
    if n_power_iterations <= 0:
        raise ArgumentError(f"spectral_norm(n_power_iterations={n_power_iterations}): above 0")
    if dim is None:
        dim = 1 if isinstance(module, _ConvTranspose) else 0
    weight = module.get_parameter(name)
    matrix = as_matrix(weight.detach(), dim)
    drawn = [F.normalize(matrix.new_empty(n).normal_(), dim=0, eps=eps) for n in matrix.shape]
    delattr(module, name)
    setattr(module, f"{name}_orig", weight)
    setattr(module, name, weight.detach())
    for part, value in zip(("u", "v"), drawn, strict=True):
        module.register_buffer(f"{name}_{part}", value)
    module.register_forward_pre_hook(SpectralNorm(name, n_power_iterations, dim, eps))
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """name becomes a parameter again, with its present value. Returns the module."""
    number = find_hook(module, SpectralNorm, name)
    if number is None:
        raise ArgumentError(f"remove_spectral_norm: {name!r} of {type(module).__name__} has none")
    hook = module._forward_pre_hooks[number][0]
    with no_grad():
        weight = hook.compute_weight(module, do_power_iteration=False)
    trained = getattr(module, f"{name}_orig").requires_grad
    for part in ("", "_orig", "_u", "_v"):
        delattr(module, name + part)
    setattr(module, name, Parameter(weight.detach(), trained))
    module._forward_pre_hooks.pop(number)  # type: ignore[attr-defined]
    return module
