"""PyTorch's places of the layers: `nn.modules.batchnorm._BatchNorm` and its kin can be imported.

Each is another name of the module that holds the layers here.
"""

from __future__ import annotations

import sys

from .. import (
    activation,
    adaptive_softmax,
    container,
    conv,
    distance,
    dropout,
    embedding,
    flatten,
    lazy,
    linear,
    loss,
    module,
    norm,
    padding,
    pool,
    recurrent,
    transformer,
    upsampling,
)
from . import utils

batchnorm = instancenorm = normalization = norm
adaptive = adaptive_softmax
fold = pixelshuffle = upsampling
pooling = pool
rnn = recurrent
sparse = embedding

__all__ = [
    "activation",
    "adaptive",
    "batchnorm",
    "container",
    "conv",
    "distance",
    "dropout",
    "flatten",
    "fold",
    "instancenorm",
    "lazy",
    "linear",
    "loss",
    "module",
    "normalization",
    "padding",
    "pixelshuffle",
    "pooling",
    "rnn",
    "sparse",
    "transformer",
    "upsampling",
    "utils",
]
for _name in __all__:  # for `from gpugrad.nn.modules.batchnorm import _BatchNorm`
    sys.modules.setdefault(f"{__name__}.{_name}", globals()[_name])
