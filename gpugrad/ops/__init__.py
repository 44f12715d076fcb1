"""Differentiable operations: each a class with forward beside backward, and a function to call it.

A function is differentiable unless `NON_DIFFERENTIABLE` lists it with the reason; tests walk both.
"""

# ruff: noqa: F401 (everything imported here is exported)
from . import aliases, methods
from .activation import (
    gelu,
    glu,
    log_sigmoid,
    mish,
    relu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
    tanhshrink,
)
from .aliases import *  # noqa: F403
from .arithmetic import (
    add,
    atan2,
    div,
    floor_divide,
    maximum,
    minimum,
    mul,
    pow,
    remainder,
    sub,
)
from .bits import bitwise_left_shift, bitwise_right_shift, gcd, lcm
from .compare import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isin,
    isinf,
    isnan,
    isneginf,
    isposinf,
    isreal,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from .conv import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from .convert import clone
from .counting import bincount, bucketize, histc, histogram, searchsorted
from .distributions import multinomial
from .einsum import einsum
from .elementwise import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    deg2rad,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    neg,
    positive,
    rad2deg,
    reciprocal,
    rsqrt,
    sin,
    sinh,
    sqrt,
    square,
    tan,
)
from .facts import (
    can_cast,
    conj,
    detach,
    is_complex,
    is_floating_point,
    is_nonzero,
    is_signed,
    real,
    to_dlpack,
)
from .joining import (
    cat,
    chunk,
    concat,
    concatenate,
    flip,
    repeat_interleave,
    roll,
    split,
    split_with_sizes,
    stack,
    tile,
    tril,
    triu,
    unbind,
)
from .linalg import bmm, dot, linear, matmul, mm, mv, outer
from .losses import cross_entropy, nll_loss
from .matrices.determinant import det, logdet, slogdet
from .matrices.inverse import inv as inverse
from .matrices.lu import lu_unpack
from .matrices.older import cholesky, cross, lu_solve, pinverse, vander
from .matrices.older import lu_older as lu
from .matrices.older import qr_older as qr
from .matrices.older import svd_older as svd
from .matrices.powers import chain_matmul, matrix_exp, matrix_power
from .matrices.triangular import cholesky_inverse, cholesky_solve, triangular_solve
from .norms import dist, norm, renorm
from .order import argsort, kthvalue, msort, sort, topk, unique, unique_consecutive
from .pad import constant_pad_nd
from .pairs import (
    addcdiv,
    addcmul,
    copysign,
    float_power,
    fmax,
    fmin,
    fmod,
    hypot,
    ldexp,
    lerp,
    rsub,
)
from .picking import (
    argwhere,
    count_nonzero,
    gather,
    index_select,
    masked_select,
    narrow,
    narrow_copy,
    nonzero,
    one_hot,
    select,
    take,
    take_along_dim,
    unravel_index,
)
from .placing import (
    index_add,
    index_copy,
    index_fill,
    index_put,
    index_reduce,
    masked_scatter,
    put,
    scatter,
    scatter_add,
    scatter_reduce,
)
from .pool_functions import (
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    avg_pool1d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from .probability import log_softmax, softmax
from .products import (
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    inner,
    kron,
    tensordot,
    trace,
    vdot,
)
from .ranks import median, mode, nanmedian, nanquantile, quantile
from .rectifiers import (
    celu,
    celu_,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    prelu,
    relu_,
    rrelu,
    rrelu_,
    selu,
    selu_,
    softshrink,
    threshold,
    threshold_,
)
from .reduction import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    prod,
    sum,
)
from .resample import crop, pixel_shuffle, pixel_unshuffle
from .rounding import ceil, floor, frac, heaviside, round, sign, signbit, trunc
from .sampling import alpha_dropout, bernoulli, dropout, feature_alpha_dropout, sample
from .scans import (
    cummax,
    cummin,
    cumprod,
    cumsum,
    cumulative_trapezoid,
    diff,
    logcumsumexp,
    trapezoid,
)
from .selection import clamp, clamp_max, clamp_min, masked_fill, nan_to_num, where
from .sequences import (
    gru,
    gru_cell,
    lstm,
    lstm_cell,
    rnn_relu,
    rnn_relu_cell,
    rnn_tanh,
    rnn_tanh_cell,
)
from .similarity import bilinear, cdist, cosine_similarity, pairwise_distance, pdist
from .special_functions import logaddexp, logaddexp2, logit, sinc, xlogy
from .stacking import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cartesian_prod,
    column_stack,
    combinations,
    dsplit,
    dstack,
    fliplr,
    flipud,
    hsplit,
    hstack,
    meshgrid,
    rot90,
    row_stack,
    tensor_split,
    vsplit,
    vstack,
)
from .statistics import corrcoef, cov, std, std_mean, var, var_mean
from .strided import (
    as_strided,
    as_strided_scatter,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    diagonal_scatter,
    select_scatter,
    slice_scatter,
)
from .views import (
    adjoint,
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    channel_shuffle,
    flatten,
    movedim,
    permute,
    ravel,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
)

_BOOL = "bool result, constant between jumps"
NON_DIFFERENTIABLE: dict[str, str] = {
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), _BOOL),
    **dict.fromkeys(("logical_and", "logical_or", "logical_xor", "logical_not"), _BOOL),
    **dict.fromkeys(("isnan", "isinf", "isfinite", "isclose", "any", "all"), _BOOL),
    **dict.fromkeys(("isposinf", "isneginf", "isreal", "isin", "signbit"), _BOOL),
    **dict.fromkeys(("bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm"), "integers only"),
    "heaviside": "a step, and PyTorch gives `values` no gradient either",
    **dict.fromkeys(("allclose", "equal"), "a Python bool"),
    **dict.fromkeys(
        ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"), "integers and bool only"
    ),
    **dict.fromkeys(("argmax", "argmin", "nonzero", "count_nonzero", "one_hot"), "integer result"),
    **dict.fromkeys(
        ("can_cast", "is_complex", "is_floating_point", "is_nonzero", "is_signed"), "a Python bool"
    ),
    "to_dlpack": "memory for other libraries",
    "detach": "cuts the history, as asked",
    "floor_divide": "whole-number result, constant between jumps",
    **dict.fromkeys(("bernoulli", "sample"), "a random draw"),
    **dict.fromkeys(("argsort", "argwhere", "searchsorted", "bucketize"), "integer result"),
    "unravel_index": "integer result",
    "bincount": "counts; PyTorch gives `weights` no gradient either",
    **dict.fromkeys(("histc", "histogram"), "counts, constant between jumps"),
    **dict.fromkeys(("unique", "unique_consecutive"), "as in PyTorch: which values differ jumps"),
    "broadcast_shapes": "a tuple of ints",
    "multinomial": "a random draw",
    "crop": "moves pixels of any dtype; for the images of a data set",
}
"""Operations without derivative, and why. Their results never require a gradient."""

for _name in aliases.__all__:
    _first = getattr(aliases, _name).__name__
    if _first in NON_DIFFERENTIABLE:
        NON_DIFFERENTIABLE[_name] = NON_DIFFERENTIABLE[_first]

methods.attach()

__all__ = [name for name in dir() if not name.startswith("_") and callable(globals()[name])]
