"""Linear algebra: ``gg.linalg``, with the names of torch.linalg.

Products (`matmul`, `vecdot`, `multi_dot`, `matrix_power`, `cross`) and the norms that are sums run
where the tensors are. Decompositions and what rests on them have no kernel: they run on the host,
in NumPy's LAPACK, in float32 or float64; a tensor of another device is copied there and its result
back, and the program waits for the device. Their derivatives are of any order, written in Tensor
operations; where each comes from stands with it in ``gpugrad.ops.matrices``.

Singular and indefinite matrices raise `LinAlgError`, which tells the first of the stack.
General eigenvalues (`eig`, `eigvals`) are complex and raise DTypeError.
"""

from .errors import LinAlgError
from .ops.linalg import matmul
from .ops.matrices.cholesky import cholesky, cholesky_ex
from .ops.matrices.determinant import det, slogdet
from .ops.matrices.inverse import inv, inv_ex, solve, solve_ex
from .ops.matrices.least_squares import lstsq, matrix_rank, pinv
from .ops.matrices.lu import lu, lu_factor, lu_factor_ex, lu_solve
from .ops.matrices.norms import cond, matrix_norm, norm, vector_norm
from .ops.matrices.powers import matrix_exp, matrix_power, multi_dot
from .ops.matrices.qr import qr
from .ops.matrices.spectral import eig, eigh, eigvals, eigvalsh, svd, svdvals
from .ops.matrices.triangular import solve_triangular
from .ops.matrices.vectors import cross, diagonal, tensorinv, tensorsolve, vander, vecdot

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
