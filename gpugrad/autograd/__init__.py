"""Autograd: operations with derivatives, the engine that runs them backwards, and grad modes."""

from .anomaly import (
    check_parameters,
    detect_anomaly,
    detect_nan,
    parameters_without_grad,
    watch_parameters,
)
from .engine import backward, grad
from .function import Function
from .gradcheck import gradcheck, gradgradcheck
from .hooks import RemovableHandle
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "RemovableHandle",
    "backward",
    "check_parameters",
    "detect_anomaly",
    "detect_nan",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "parameters_without_grad",
    "set_grad_enabled",
    "watch_parameters",
]
