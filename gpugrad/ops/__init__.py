"""Differentiable operations: each a class with forward beside backward, and a function to call it.

A function is differentiable unless `NON_DIFFERENTIABLE` lists it with the reason; tests walk both.
"""

# ruff: noqa: F401 (everything imported here is exported)
from . import methods
from .activation import (
    elu,
    gelu,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from .arithmetic import (
    add,
    atan2,
    div,
    floor_divide,
    lerp,
    maximum,
    minimum,
    mul,
    pow,
    remainder,
    sub,
)
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
    isinf,
    isnan,
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
from .elementwise import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    neg,
    reciprocal,
    round,
    rsqrt,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    trunc,
)
from .joining import (
    cat,
    chunk,
    concat,
    concatenate,
    diag,
    diagonal,
    flip,
    repeat_interleave,
    roll,
    split,
    stack,
    tile,
    tril,
    triu,
    unbind,
)
from .linalg import addmm, bmm, dot, linear, matmul, mm, mv, outer
from .losses import cross_entropy, nll_loss
from .picking import (
    count_nonzero,
    gather,
    index_add,
    index_select,
    masked_select,
    narrow,
    nonzero,
    one_hot,
    scatter,
    scatter_add,
    select,
    take,
    take_along_dim,
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
from .reduction import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from .resample import crop, pixel_shuffle, pixel_unshuffle
from .sampling import bernoulli, dropout, sample
from .selection import clamp, masked_fill, nan_to_num, where
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
from .views import (
    broadcast_tensors,
    broadcast_to,
    channel_shuffle,
    flatten,
    movedim,
    permute,
    reshape,
    squeeze,
    swapaxes,
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
    **dict.fromkeys(("allclose", "equal"), "a Python bool"),
    **dict.fromkeys(
        ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"), "integers and bool only"
    ),
    **dict.fromkeys(("argmax", "argmin", "nonzero", "count_nonzero", "one_hot"), "integer result"),
    "floor_divide": "whole-number result, constant between jumps",
    **dict.fromkeys(("bernoulli", "sample"), "a random draw"),
    "crop": "moves pixels of any dtype; for the images of a data set",
}
"""Operations without derivative, and why. Their results never require a gradient."""

methods.attach()

__all__ = [name for name in dir() if not name.startswith("_") and callable(globals()[name])]
