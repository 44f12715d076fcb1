"""Special functions, under the names that PyTorch gives them in ``torch.special``."""

from .ops.activation import sigmoid as expit
from .ops.elementwise import erf, erfc, erfinv, exp2, expm1, log1p
from .ops.probability import log_softmax, softmax
from .ops.reduction import logsumexp
from .ops.rounding import round
from .ops.special_functions import entr, logit, ndtr, sinc, xlog1py, xlogy

__all__ = [
    "entr",
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "log1p",
    "log_softmax",
    "logit",
    "logsumexp",
    "ndtr",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
]
