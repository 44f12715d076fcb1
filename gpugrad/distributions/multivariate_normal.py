"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from .. import linalg, ops, randn
from ..errors import ArgumentError, ShapeError
from ..tensor import Tensor
from .distribution import Distribution, Shape


class MultivariateNormal(Distribution):
    """p(x) = exp(-(x - loc)^T C^-1 (x - loc) / 2) / sqrt(det(2 pi C)), for x (..., n).

    Give one of covariance_matrix C, precision_matrix C^-1, or scale_tril, the lower triangular L
    with a positive diagonal and C = L L^T; each (..., n, n). All is computed from L.
    """

    has_rsample = True
    trailing: ClassVar[dict[str, int]] = {"loc": 1, "scale_tril": 2}

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ArgumentError(
                "MultivariateNormal: give exactly one of covariance_matrix, precision_matrix and "
                f"scale_tril; got {len(given)}."
            )
        (matrix,) = given
        n = loc.shape[-1] if loc.ndim else 0
        if not loc.ndim or matrix.shape[-2:] != (n, n):
            raise ShapeError(
                f"MultivariateNormal: loc (..., n) and a matrix (..., n, n) are wanted; got "
                f"{loc.shape} and {matrix.shape}."
            )
        batch = ops.broadcast_shapes(loc.shape[:-1], matrix.shape[:-2])
        super().__init__(batch, (n,), validate_args)
        if self._validate_args:
            self._check(loc, matrix, scale_tril is not None)
        if precision_matrix is not None:
            matrix = linalg.inv(precision_matrix)
        factor = matrix if scale_tril is not None else linalg.cholesky(matrix)
        self.loc = loc.expand(*batch, n)
        self.scale_tril = factor.expand(*batch, n, n)

    def _check(self, loc: Tensor, matrix: Tensor, triangular: bool) -> None:
        """Raise ArgumentError for what is seen of the entries; `cholesky` sees the rest."""
        self._demand("loc", loc, loc == loc, "a number")
        if triangular:
            upper, diagonal = matrix.triu(1), matrix.diagonal(dim1=-2, dim2=-1)
            self._demand("scale_tril above the diagonal", upper, upper == 0, "0")
            self._demand("the diagonal of scale_tril", diagonal, diagonal > 0, "above 0")
        else:
            mirrored = ops.isclose(matrix, matrix.mT, atol=1e-6)
            self._demand("the matrix", matrix, mirrored, "symmetric")

    @property
    def covariance_matrix(self) -> Tensor:
        """C = L L^T."""
        return self.scale_tril @ self.scale_tril.mT

    @property
    def precision_matrix(self) -> Tensor:
        """C^-1."""
        return linalg.inv(self.covariance_matrix)

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of C."""
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """loc + L e, e standard normal; differentiable by loc and the matrix."""
        shape = self._extended(sample_shape)
        e = randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self.scale_tril @ e.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """-(n log(2 pi) + |L^-1 (x - loc)|^2) / 2 - sum of log diag L."""
        difference = (self._number(value) - self.loc).unsqueeze(-1)
        z = linalg.solve_triangular(self.scale_tril, difference, upper=False).squeeze(-1)
        n = self.event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + (z * z).sum(-1)) - self.half_log_det()

    def entropy(self) -> Tensor:
        """n (1 + log(2 pi)) / 2 + sum of log diag L."""
        return 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi)) + self.half_log_det()

    def half_log_det(self) -> Tensor:
        """log(det C) / 2, the sum of log diag L."""
        diagonal: Any = self.scale_tril.diagonal(dim1=-2, dim2=-1)
        return diagonal.log().sum(-1)
