"""Weight norm in its older form: name_g and name_v as parameters, the weight before each forward.

`parametrizations.weight_norm` does the same without a hook.
"""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd import no_grad
from ...errors import ArgumentError
from ..module import Module
from ..parameter import Parameter
from .parametrizations import norm_except_dim

M = TypeVar("M", bound=Module)


class WeightNorm:
    """The hook before forward: name = name_g name_v / |name_v|. (Salimans & Kingma 2016.)"""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def compute_weight(self, module: Module) -> Any:
        """The weight of the present magnitudes and directions."""
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / norm_except_dim(v, self.dim))

    def __call__(self, module: Module, args: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Replaces the parameter name by name_g, its norms over all axes but dim (None: over all),
    and name_v; name is computed from both before each forward. Returns the module."""
    if find_hook(module, WeightNorm, name) is not None:
        raise ArgumentError(f"weight_norm: {name!r} of this module has one already")
    weight = module.get_parameter(name)
    hook = WeightNorm(name, dim)
    with no_grad():
        g = norm_except_dim(weight, dim)
    delattr(module, name)
    setattr(module, f"{name}_g", Parameter(g, weight.requires_grad))
    setattr(module, f"{name}_v", Parameter(weight.detach(), weight.requires_grad))
    setattr(module, name, hook.compute_weight(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """name becomes a parameter again, with its present value. Returns the module."""
    number = find_hook(module, WeightNorm, name)
    if number is None:
        raise ArgumentError(f"remove_weight_norm: {name!r} of {type(module).__name__} has none")
    hook = module._forward_pre_hooks[number][0]
    with no_grad():
        weight = hook.compute_weight(module)
    trained = getattr(module, f"{name}_v").requires_grad
    for part in (name, f"{name}_g", f"{name}_v"):
        delattr(module, part)
    setattr(module, name, Parameter(weight.detach(), trained))
    module._forward_pre_hooks.pop(number)  # type: ignore[attr-defined]
    return module


def find_hook(module: Module, kind: type[Any], name: str) -> int | None:
    """The number of the module's forward pre-hook of a kind for this name."""
    for number, (hook, _, _) in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            return number
    return None
