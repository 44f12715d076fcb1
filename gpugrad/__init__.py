"""gpugrad: tensors with gradients on hand-written CUDA kernels, with PyTorch's names.

>>> import gpugrad as gg
>>> x = gg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
tensor([2., 4., 6.])
"""

# ruff: noqa: F401 (everything imported here is exported)
from __future__ import annotations

import importlib
import os
from math import inf, nan, pi
from typing import TYPE_CHECKING, Any

from ml_dtypes import finfo
from numpy import iinfo

from . import amp, autograd, backends, errors, holders, ops
from .amp import (
    GradScaler,
    autocast,
    clear_autocast_cache,
    get_autocast_dtype,
    is_autocast_available,
    is_autocast_cache_enabled,
    is_autocast_enabled,
    set_autocast_cache_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
)
from .autograd import (
    detect_nan,
    enable_grad,
    inference_mode,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .backends import synchronize
from .backends.matmul_precision import (
    get_float32_matmul_precision,
    get_matmul_precision,
    set_float32_matmul_precision,
    set_matmul_precision,
)
from .creation import (
    as_tensor,
    empty,
    empty_like,
    empty_strided,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    ones,
    ones_like,
    scalar_tensor,
    tensor,
    zeros,
    zeros_like,
)
from .device import Device
from .device import Device as device
from .display import set_printoptions
from .draws import normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm
from .dtype import (
    as_dtype,
    bfloat16,
    float8_e4m3fn,
    float8_e5m2,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    is_floating,
    result_type,
    set_default_dtype,
    uint8,
)
from .dtype import bool_ as bool
from .dtype import promote as promote_types
from .errors import OutOfMemoryError
from .legacy import (
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    Size,
    are_deterministic_algorithms_enabled,
    compile,
    use_deterministic_algorithms,
)
from .memory_format import (
    MemoryFormat as memory_format,
)
from .memory_format import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    preserve_format,
)
from .ops import *  # noqa: F403
from .ops.quantised import _int_mm
from .random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from .ranges import arange, eye, linspace, logspace, tril_indices, triu_indices
from .tensor import Tensor, is_tensor, numel

if TYPE_CHECKING:
    from . import (
        cuda,
        data,
        distributions,
        func,
        linalg,
        models,
        nn,
        optim,
        profiler,
        special,
        text,
        train,
        utils,
        vision,
    )
    from .graphs import capture
    from .profiler import profile
    from .serialization import load, save

__version__ = "0.1.0"

half, float, double = float16, float32, float64
short, int, long = int16, int32, int64

_MODULES = (
    "cuda",
    "data",
    "distributions",
    "func",
    "linalg",
    "models",
    "nn",
    "optim",
    "profiler",
    "special",
    "text",
    "train",
    "utils",
    "vision",
)
_FUNCTIONS = {
    "capture": ".graphs",
    "load": ".serialization",
    "profile": ".profiler",
    "save": ".serialization",
    "vmap": ".func",
}
_COMPLEX = ("complex", "polar", "cfloat", "cdouble", "complex64", "complex128", "view_as_real")


def __getattr__(name: str) -> Any:
    """Upper floors are imported when they are first asked for."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _FUNCTIONS:
        value = getattr(importlib.import_module(_FUNCTIONS[name], __name__), name)
        globals()[name] = value
        return value
    hint = "; tensors are real" if name in _COMPLEX else ""
    raise AttributeError(f"module 'gpugrad' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_FUNCTIONS])


if os.environ.get("GPUGRAD_DEBUG"):
    importlib.import_module(".debug", __name__).begin()
