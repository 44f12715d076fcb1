"""What a benchmark found: the times of ours and of a rival's, what was computed and moved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import exp, log
from statistics import fmean

OURS = "gpugrad"


@dataclass(frozen=True)
class Cost:
    """What a call computes and moves at least; 0 where nobody counts it.

    items: tokens, images, ... (`unit`) that a training step learns from.
    """

    flop: float = 0.0
    bytes: float = 0.0
    items: float = 0.0
    unit: str = ""

    def rate(self, seconds: float) -> str:
        """TFLOP/s, or GB/s, or items a second, or nothing."""
        if self.items:
            return f"{self.items / seconds:,.0f} {self.unit}/s"
        if self.flop:
            return f"{self.flop / seconds / 1e12:.4g} TFLOP/s"
        return f"{self.bytes / seconds / 1e9:.4g} GB/s" if self.bytes else ""


NOT_COUNTED = Cost()


@dataclass(frozen=True)
class Duel:
    """Medians (or another quantile) in seconds per call; ratio > 1 means we are faster.

    suite: the file that measures it, without "test_". clock: "device" is the time of the kernels
    alone, "wall" that of the caller, Python's share included (timing.py).
    """

    name: str
    rival: str
    ours: float
    theirs: float
    suite: str = ""
    cost: Cost = NOT_COUNTED
    clock: str = "wall"

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours

    @property
    def short(self) -> str:
        """Its parameters, where it has any: "layer[lenet_1-fprop]" is lenet_1-fprop."""
        return self.name.partition("[")[2][:-1] or self.name

    @property
    def overhead(self) -> bool:
        """Is it Python's share that is measured, on a few elements?"""
        return self.suite == "overhead"

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "ratio": self.ratio}


def geometric_mean(duels: list[Duel]) -> float:
    return exp(fmean(log(duel.ratio) for duel in duels))


def summary(duels: list[Duel], worst: int = 8) -> str:
    """Against each rival: geometric mean of the ratios, those below 1, the worst by name; what is
    measured on 10 elements (test_overhead.py) by itself."""
    lines = []
    for rival in sorted({duel.rival for duel in duels}):
        for small in (False, True):
            found = [d for d in duels if d.rival == rival and d.overhead == small]
            if not found:
                continue
            found.sort(key=lambda duel: duel.ratio)
            below = sum(duel.ratio < 1 for duel in found)
            half = sum(duel.ratio < 0.5 for duel in found)
            lines.append(
                f"{rival}, {'overhead' if small else 'operations'}: geometric mean "
                f"{geometric_mean(found):.2f} of {len(found)}; {below} below 1, {half} below 0.5"
            )
            lines.append("  " + ", ".join(f"{d.name} {d.ratio:.2f}" for d in found[:worst]))
    return "\n".join(lines)


def table(duels: list[Duel]) -> str:
    """A readable table of ratios, one line for each duel."""
    width = max(len(duel.name) for duel in duels)
    lines = [f"{'':{width}}  {'gpugrad':>12}  {'rival':>12}  ratio"]
    lines += [
        f"{duel.name:{width}}  {duel.ours * 1e6:9.1f} us  {duel.theirs * 1e6:9.1f} us"
        f"  {duel.ratio:5.2f}  {duel.rival}  {duel.cost.rate(duel.ours)}".rstrip()
        for duel in duels
    ]
    return "\n".join(lines)
