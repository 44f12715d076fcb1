"""The specification: every raw operation of csrc/ops.h in plain NumPy, as short as the mathematics.

Each native module is held against these functions by tests/contract. float16 and bfloat16 are
computed in float32 and rounded once; sums accumulate as csrc/ops.h says.
"""

from .attention import attention, attention_grad, rotary
from .conv import conv_dgrad, conv_fprop, conv_wgrad
from .elementwise import BINARY, UNARY, binary, cast, contiguous, copy, fill, unary, where
from .embedding import embedding, embedding_bag, embedding_grad, embedding_renorm
from .index import SCATTER, gather, nonzero, scatter
from .linalg import ACTIVATION, gemm
from .norm import (
    batch_norm_apply,
    batch_norm_grad,
    batch_norm_stats,
    group_norm,
    group_norm_grad,
    layer_norm,
    layer_norm_grad,
)
from .optim import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    global_norm,
    lion_step,
    nadam_step,
    radam_step,
    rmsprop_step,
    scale,
    sgd_step,
    unscale,
    update_scale,
)
from .order import search_sorted, sort
from .pool import avg_pool, avg_pool_grad, max_pool, max_pool_grad
from .random import bernoulli, dropout, normal, permutation, uniform
from .recurrent import recurrent, recurrent_grad
from .reduce import REDUCE, SCAN, reduce, scan, sum_of
from .resample import crop, fold, resample, unfold
from .rows import cross_entropy, cross_entropy_grad, softmax, softmax_grad
from .sampling import sample

__all__ = [
    "ACTIVATION",
    "BINARY",
    "REDUCE",
    "SCAN",
    "SCATTER",
    "UNARY",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "attention",
    "attention_grad",
    "avg_pool",
    "avg_pool_grad",
    "batch_norm_apply",
    "batch_norm_grad",
    "batch_norm_stats",
    "bernoulli",
    "binary",
    "cast",
    "contiguous",
    "conv_dgrad",
    "conv_fprop",
    "conv_wgrad",
    "copy",
    "crop",
    "cross_entropy",
    "cross_entropy_grad",
    "dropout",
    "embedding",
    "embedding_bag",
    "embedding_grad",
    "embedding_renorm",
    "fill",
    "fold",
    "gather",
    "gemm",
    "global_norm",
    "group_norm",
    "group_norm_grad",
    "layer_norm",
    "layer_norm_grad",
    "lion_step",
    "max_pool",
    "max_pool_grad",
    "nadam_step",
    "nonzero",
    "normal",
    "permutation",
    "radam_step",
    "recurrent",
    "recurrent_grad",
    "reduce",
    "resample",
    "rmsprop_step",
    "rotary",
    "sample",
    "scale",
    "scan",
    "scatter",
    "search_sorted",
    "sgd_step",
    "softmax",
    "softmax_grad",
    "sort",
    "sum_of",
    "unary",
    "unfold",
    "uniform",
    "unscale",
    "update_scale",
    "where",
]
