"""Autograd: operations with derivatives, the engine that runs them backwards, and grad modes."""

from .anomaly import check_parameters, detect_nan, parameters_without_grad, watch_parameters
from .engine import backward, grad
from .function import Function
from .hooks import RemovableHandle
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)


def __getattr__(name: str) -> object:
    """gradcheck and gradgradcheck stand on the operations, and are imported when asked for."""
    if name in ("gradcheck", "gradgradcheck"):
        from .. import gradcheck as module

        return getattr(module, name)
    raise AttributeError(f"module 'gpugrad.autograd' has no attribute {name!r}")


__all__ = [
    "Function",
    "RemovableHandle",
    "backward",
    "check_parameters",
    "detect_nan",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "parameters_without_grad",
    "set_grad_enabled",
    "watch_parameters",
]
