"""Which steps of a program a profile records."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from ..errors import ArgumentError


class Action(Enum):
    """What a profile does with a step. Neither NONE nor WARMUP is recorded."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Callable[[int], Action]:
    """After `skip_first` steps, `repeat` times (0: for ever): `wait` steps not recorded, `warmup`
    more (a GPU's clocks and caches get warm), `active` steps recorded. PyTorch's function."""
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ArgumentError(
            f"schedule: wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, "
            f"skip_first={skip_first}; active must be at least 1, the others at least 0."
        )
    cycle = wait + warmup + active

    def action(step: int) -> Action:
        step -= skip_first
        if step < 0 or (repeat and step >= repeat * cycle):
            return Action.NONE
        step %= cycle
        if step < wait:
            return Action.NONE
        if step < wait + warmup:
            return Action.WARMUP
        return Action.RECORD_AND_SAVE if step == cycle - 1 else Action.RECORD

    return action
