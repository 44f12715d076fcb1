"""The specification: every raw operation of csrc/ops.h in plain NumPy, as short as the mathematics.

Each native module is held against these functions by tests/contract. float16 and bfloat16 are
computed in float32 and rounded once; sums accumulate as csrc/ops.h says.
"""

from .elementwise import BINARY, UNARY, binary, cast, contiguous, copy, fill, unary, where
from .index import gather, nonzero, scatter
from .linalg import ACTIVATION, gemm
from .optim import adam_step, global_norm, rmsprop_step, scale, sgd_step
from .random import bernoulli, dropout, normal, permutation, uniform
from .reduce import REDUCE, cumsum, reduce
from .rows import cross_entropy, cross_entropy_grad, softmax, softmax_grad

__all__ = [
    "ACTIVATION",
    "BINARY",
    "REDUCE",
    "UNARY",
    "adam_step",
    "bernoulli",
    "binary",
    "cast",
    "contiguous",
    "copy",
    "cross_entropy",
    "cross_entropy_grad",
    "cumsum",
    "dropout",
    "fill",
    "gather",
    "gemm",
    "global_norm",
    "nonzero",
    "normal",
    "permutation",
    "reduce",
    "rmsprop_step",
    "scale",
    "scatter",
    "sgd_step",
    "softmax",
    "softmax_grad",
    "unary",
    "uniform",
    "where",
]
