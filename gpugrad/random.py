"""Random numbers: a counter-based generator, the same numbers on every device for one seed.

A generator is a seed and the number of draws made. Each draw hands the kernels {seed, base} on the
device and the number of the draw; element i of a draw depends on nothing else (Philox, see
csrc/ops.h). A draw can be repeated from the same three numbers, as dropout's backward does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import backends
from . import dtype as dtypes
from .backends import Array, Backend
from .errors import ArgumentError
from .recording import NOW
from .tensor import Tensor

DEFAULT_SEED = 0
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: spreads the seeds of forked processes


def _signed(value: int) -> int:
    """A seed as the int64 with the same bits."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value


class Generator:
    """A stream of random numbers with a state of its own.

    ``manual_seed`` starts it anew; ``get_state`` and ``set_state`` carry it over (an int64 tensor
    {seed, base, draws}). Usable on every device: `device` is only where PyTorch's spelling
    expects one. Two generators with one seed give the same numbers, whatever the device.
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = backends.get(device).device
        self._seed = DEFAULT_SEED
        self._base = 0
        self._call = 0
        self._states: dict[Backend, Array] = {}

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` (any int of 64 bits)."""
        if not isinstance(seed, (int, np.integer)) or not -(1 << 63) <= seed < 1 << 64:
            raise ArgumentError(f"manual_seed: seed must be an int of 64 bits, got {seed!r}.")
        self._restart(_signed(int(seed)), 0, 0)
        return self

    def seed(self) -> int:
        """Start from a seed of the operating system, and return it."""
        seed = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the stream, as an unsigned number of 64 bits."""
        return self._seed & 0xFFFF_FFFF_FFFF_FFFF

    def get_state(self) -> Tensor:
        """int64 {seed, base, draws} on the CPU."""
        return _cpu_tensor(np.array([self._seed, self._base, self._call], np.int64))

    def set_state(self, state: Tensor) -> None:
        """Go on from a state that `get_state` gave."""
        if not isinstance(state, Tensor) or state.shape != (3,) or state.dtype != dtypes.int64:
            tensor = isinstance(state, Tensor)
            found = f"{state.dtype.name} {state.shape}" if tensor else type(state).__name__
            raise ArgumentError(
                f"set_state: a state is an int64 tensor of shape (3,), got {found}.\n"
                "  Pass what get_state() gave."
            )
        self._restart(*state.tolist())

    def _restart(self, seed: int, base: int, call: int) -> None:
        if NOW.recording is not None:
            NOW.recording.refuse(
                "the random stream starts anew", "Seed it before the step, which draws on from it."
            )
        self._seed, self._base, self._call = seed, base, call
        self._states = {}  # new arrays, never changed ones: a backward may still need the old

    def draw(self, backend: Backend) -> tuple[Array, int]:
        """What the kernels need for the next draw: the state on the device, and its number."""
        if NOW.recording is not None:
            return NOW.recording.draw(self, backend)
        return self.next_draw(backend)

    def next_draw(self, backend: Backend) -> tuple[Array, int]:
        """`draw`, of which no recording is told."""
        state = self._states.get(backend)
        if state is None:
            state = backend.from_numpy(np.array([self._seed, self._base], np.int64))
            self._states[backend] = state
        call = self._call
        self._call = call + 1
        return state, call


def _cpu_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    backend = backends.get("cpu")
    return Tensor(backend.from_numpy(array), backend)


class _Default:
    """The generators used where none is given: one for each backend, seeded together."""

    def __init__(self) -> None:
        self.seed = DEFAULT_SEED
        self.generators: dict[Backend, Generator] = {}
        self.forks = 0

    def of(self, backend: Backend) -> Generator:
        generator = self.generators.get(backend)
        if generator is None:
            generator = self.generators[backend] = Generator()
            generator._seed = self.seed
        return generator

    def manual_seed(self, seed: int) -> None:
        self.seed = Generator().manual_seed(seed)._seed
        for generator in self.generators.values():
            generator.manual_seed(seed)

    def before_fork(self) -> None:
        self.forks += 1

    def after_fork(self) -> None:
        """A child draws its own numbers: else all workers would augment alike."""
        for generator in self.generators.values():
            seed, base, call = generator._seed, generator._base, generator._call
            generator._restart(_signed(seed + self.forks * _GOLDEN), base, call)
        self.seed = _signed(self.seed + self.forks * _GOLDEN)


_default = _Default()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_default.before_fork, after_in_child=_default.after_fork)


def generator_of(generator: Generator | None, backend: Backend) -> Generator:
    """`generator`, or the default one of `backend`."""
    return generator if generator is not None else _default.of(backend)


def default_generator(device: Any = "cpu") -> Generator:
    """The generator that operations on `device` use where none is given."""
    return _default.of(backends.get(device))


States = tuple[int, dict[Backend, tuple[int, int, int]]]


def generator_states() -> States:
    """Where all default generators stand: numbers only, nothing is read from a device."""
    found = {b: (g._seed, g._base, g._call) for b, g in _default.generators.items()}
    return _default.seed, found


def set_generator_states(states: States) -> None:
    """Put all default generators where `generator_states` found them."""
    seed, found = states
    _default.seed = seed
    for backend, generator in _default.generators.items():
        stream, base, call = found.get(backend, (seed, 0, 0))
        if (generator._seed, generator._base) != (stream, base):
            generator._restart(stream, base, call)
        generator._call = call  # what lies on the device stays: so it works in a captured step


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """After the block the default generators go on as if it had not drawn.

    Those of all devices are kept, whatever `devices` says; their state is three numbers each.
    """
    states = generator_states()
    try:
        yield
    finally:
        if enabled:
            set_generator_states(states)


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices. The CPU's is returned."""
    _default.manual_seed(seed)
    return default_generator()


def seed() -> int:
    """Seed the default generators from the operating system, and return the seed."""
    value = int.from_bytes(os.urandom(8), "little") >> 1
    _default.manual_seed(value)
    return value


def initial_seed() -> int:
    """The seed of the CPU's default generator."""
    return default_generator().initial_seed()


def get_rng_state(device: Any = "cpu") -> Tensor:
    """The state of a device's default generator."""
    return default_generator(device).get_state()


def set_rng_state(state: Tensor, device: Any = "cpu") -> None:
    """Set the state of a device's default generator."""
    default_generator(device).set_state(state)
