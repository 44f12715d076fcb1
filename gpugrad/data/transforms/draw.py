"""Random numbers for transforms: all from gpugrad's CPU generator.

`gg.manual_seed` thus makes a program's augmentation reproducible; a DataLoader seeds this generator
for each batch, so that batches do not depend on the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence

import gpugrad as gg


def uniform(low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(gg.rand(1, dtype=gg.float64).item())


def integer(low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(gg.randint(low, high + 1, (1,)).item())


def chance(p: float) -> bool:
    """True with probability p."""
    return uniform(0.0, 1.0) < p


def permutation(n: int) -> list[int]:
    """0 to n - 1 in random order."""
    order: list[int] = gg.randperm(n).tolist()
    return order


def weighted(weights: Sequence[float]) -> int:
    """An index, with probabilities in proportion to the weights."""
    at = uniform(0.0, sum(weights))
    for i, weight in enumerate(weights):
        at -= weight
        if at < 0:
            return i
    return max(i for i, weight in enumerate(weights) if weight > 0)
