"""What distributions of a location and a scale have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from ..tensor import Tensor
from .distribution import Distribution, broadcast_all


class LocationScale(Distribution):
    """p(x) = f((x - loc) / scale) / scale, f symmetric with its maximum at 0; scale is above 0."""

    has_rsample = True
    trailing: ClassVar[dict[str, int]] = {"loc": 0, "scale": 0}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(type(self).__name__, loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)
        if self._validate_args:
            self._demand("loc", self.loc, self.loc == self.loc, "a number")
            self._demand("scale", self.scale, self.scale > 0, "above 0")

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc
