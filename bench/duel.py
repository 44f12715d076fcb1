"""Interleaved timing: ours and a rival's in turns, so that a drifting machine slows both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import gpugrad as gg

Work = Callable[[], object]
ROUND_SECONDS = 0.02


@dataclass(frozen=True)
class Duel:
    """Medians in seconds per call; ratio > 1 means we are faster."""

    name: str
    rival: str
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "ratio": self.ratio}


class Timer:
    """Times calls on one device: a batch of calls between two synchronisations."""

    def __init__(self, device: str) -> None:
        self.device = device

    def seconds(self, work: Work, calls: int) -> float:
        gg.synchronize(self.device)
        start = time.perf_counter()
        for _ in range(calls):
            work()
        gg.synchronize(self.device)
        return (time.perf_counter() - start) / calls

    def calls_per_round(self, work: Work) -> int:
        """Enough calls for a round of ROUND_SECONDS; also warms up."""
        calls = 1
        while (spent := self.seconds(work, calls) * calls) < ROUND_SECONDS and calls < 1 << 16:
            calls = max(calls + 1, int(calls * min(8.0, 1.2 * ROUND_SECONDS / max(spent, 1e-9))))
        return calls

    def duel(self, name: str, ours: Work, rival: str, theirs: Work, rounds: int = 15) -> Duel:
        """Rounds of ours and theirs in turns; medians of both."""
        calls = self.calls_per_round(ours), self.calls_per_round(theirs)
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            times[0].append(self.seconds(ours, calls[0]))
            times[1].append(self.seconds(theirs, calls[1]))
        return Duel(name, rival, median(times[0]), median(times[1]))


def table(duels: list[Duel]) -> str:
    """A readable table of ratios, one line for each duel."""
    width = max(len(duel.name) for duel in duels)
    lines = [f"{'':{width}}  {'gpugrad':>12}  {'rival':>12}  ratio"]
    lines += [
        f"{duel.name:{width}}  {duel.ours * 1e6:9.1f} us  {duel.theirs * 1e6:9.1f} us"
        f"  {duel.ratio:5.2f}  {duel.rival}"
        for duel in duels
    ]
    return "\n".join(lines)
