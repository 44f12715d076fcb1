"""Decompositions and solutions of matrices, computed on the host by NumPy's LAPACK.

No kernel computes these: a tensor of another device is copied to the host (which waits for the
device), decomposed there, and the result copied back. Derivatives are written in Tensor operations,
so they run where the tensor is, save for decompositions they need themselves. float32 and float64;
half types are refused, as PyTorch does.

host           where arrays go to NumPy and come back, and the errors of singular matrices
triangular     solve_triangular, cholesky_solve, triangular_solve
cholesky, qr, lu, spectral (eigh, svd), inverse (inv, solve), determinant, least_squares (pinv,
lstsq, matrix_rank), norms (and cond), powers (matrix_power, multi_dot, matrix_exp), vectors (cross,
vecdot, vander, tensorinv, tensorsolve)
older          PyTorch's older names, in the namespace of the package itself
"""
