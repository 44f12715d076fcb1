"""Autograd: operations with derivatives, the engine that runs them backwards, and grad modes."""

from . import functional, graph
from .anomaly import (
    detect_anomaly,
    detect_nan,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from .coverage import check_parameters, parameters_without_grad, watch_parameters
from .engine import backward, grad
from .function import Function
from .gradcheck import gradcheck, gradgradcheck
from .hooks import RemovableHandle
from .modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .variable import Variable

__all__ = [
    "Function",
    "RemovableHandle",
    "Variable",
    "backward",
    "check_parameters",
    "detect_anomaly",
    "detect_nan",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "parameters_without_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "watch_parameters",
]
