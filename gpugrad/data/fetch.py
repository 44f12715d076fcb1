"""From indices to a batch, in this process or in a worker, with seeded random numbers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpugrad.random import default_generator


@dataclass(frozen=True)
class Fetcher:
    """Takes items from a data set and collates them; sent to workers by pickling."""

    dataset: Any
    collate: Callable[[Any], Any]

    def __call__(self, indices: Any, seed: int) -> Any:
        """The batch of a list of indices, or the item of a single index.

        `random`, `numpy.random` and gpugrad's CPU generator are seeded with `seed` meanwhile, so a
        batch is the same whichever process makes it.
        """
        with seeded(seed):
            if not isinstance(indices, list | tuple):
                return self.collate(self.dataset[indices])
            if hasattr(self.dataset, "__getitems__"):
                return self.collate(self.dataset.__getitems__(indices))
            return self.collate([self.dataset[index] for index in indices])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the three global CPU generators, and put their states back afterwards."""
    ours = default_generator("cpu")
    states = random.getstate(), np.random.get_state(), ours.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    ours.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        ours.set_state(states[2])
