"""What gpugrad means to reach on an H200, held against the result files of a GPU.

    python bench/goals.py bench/results/<gpu>

A ratio is the rival's time / ours, and of several measurements the geometric mean unless it says
"lowest". FlashAttention-3 is not run: forward it reaches 648 TFLOP/s (Shah et al. 2024, figure 5,
heads of 128, 16384 tokens, H100), backward 575 (its repository, causal, not deterministic).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Any

from duel import Duel
from store import duels_of

LARGE = r"matmul\[(square(_nn|_tn)?-(2048|4096|8192|16384)x|mlp|gpt2).*"
FA3_FORWARD, FA3_BACKWARD = 648e12, 575e12  # FLOP/s, heads of 128


class Results:
    """The result files of one GPU."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, dict[str, Any]] = {
            path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))
        }

    def duels(self, suite: str, name: str, rival: str = ".*") -> list[Duel]:
        """Those whose names these patterns match."""
        found = duels_of(self.files[suite]) if "duels" in self.files.get(suite, {}) else []
        wanted = re.compile(name), re.compile(rival)
        return [d for d in found if wanted[0].fullmatch(d.name) and wanted[1].fullmatch(d.rival)]

    def ratios(self, suite: str, name: str, rival: str) -> list[float]:
        return [duel.ratio for duel in self.duels(suite, name, rival)]

    def record(self) -> dict[str, Any]:
        """Of record_cifar10.py."""
        return self.files.get("record_cifar10", {}).get("record", {})


def mean(values: list[float]) -> float | None:
    """Geometric; None of none."""
    return exp(fmean(map(log, values))) if values else None


def lowest(values: list[float]) -> float | None:
    return min(values, default=None)


def of_rate(suite: str, name: str, rate: float) -> Callable[[Results], float | None]:
    """Our FLOP/s over `rate`."""

    def found(results: Results) -> float | None:
        return mean([d.cost.flop / d.ours / rate for d in results.duels(suite, name)])

    return found


def of_copy(results: Results, part: str) -> float | None:
    """Bytes a second of softmax and the norms over those of a copy of the same shape and dtype, the
    better of ours and the rival's."""
    found = []
    for copy in results.duels("rows", r"rows\[.*-copy-forward\]"):
        best = copy.cost.bytes / min(copy.ours, copy.theirs)
        place = re.escape(copy.name.removesuffix("-copy-forward]"))
        for duel in results.duels("rows", rf"{place}-(?!copy).*-{part}\]"):
            found.append(duel.cost.bytes / duel.ours / best)
    return mean(found)


def ratio(
    suite: str, name: str, rival: str, of: Callable[[list[float]], float | None] = mean
) -> Callable[[Results], float | None]:
    return lambda results: of(results.ratios(suite, name, rival))


def tokens(results: Results) -> float | None:
    """A second, of GPT-2's training step: the faster of the two ways."""
    duels = results.duels("steps", r"step\[gpt2_124m(_lm)?\]")
    return max([d.cost.items / d.ours for d in duels], default=None)


def cifar10(results: Results) -> float | None:
    """Seconds; a run that is less accurate than 94 % does not count."""
    record = results.record()
    return record["seconds"] if record and record["accuracy"] >= 94 else None


@dataclass(frozen=True)
class Goal:
    """`wanted` is the least, or where `most` is set the most, of what `found` gives."""

    name: str
    wanted: float
    found: Callable[[Results], float | None]
    most: bool = False

    def line(self, results: Results) -> str:
        value = self.found(results)
        bound = f"{'<=' if self.most else '>='} {self.wanted:,}"
        if value is None:
            return f"| {self.name} | {bound} | - | not measured |"
        met = value <= self.wanted if self.most else value >= self.wanted
        shown = f"{value:,.0f}" if value >= 1000 else f"{value:.2f}"
        return f"| {self.name} | {bound} | {shown} | {'yes' if met else 'no'} |"


BFLOAT16 = r"(?=.*bfloat16)"
GOALS = (
    Goal(
        "large products in bfloat16, of cuBLAS, through PyTorch",
        1.0,
        ratio("matmul", BFLOAT16 + LARGE, "PyTorch"),
    ),
    Goal("the lowest of them", 0.88, ratio("matmul", BFLOAT16 + LARGE, "PyTorch", lowest)),
    Goal(
        "skinny and odd ones, of cuBLAS, through PyTorch",
        1.2,
        ratio("matmul", BFLOAT16 + r"matmul\[(skinny|odd).*", "PyTorch"),
    ),
    Goal(
        "large products accurate as float32, of SGEMM",
        2.0,
        ratio("matmul", "(?=.*float32-high)" + LARGE, "PyTorch"),
    ),
    Goal(
        "attention forward, heads of 128, of FlashAttention-3's 648 TFLOP/s",
        0.9,
        of_rate("attention", r"attention\[(8192|16384)_size128-forward\]", FA3_FORWARD),
    ),
    Goal(
        "attention forward at 8192 tokens, of cuDNN",
        1.0,
        ratio("attention", r"attention\[8192_size128(_causal)?-forward\]", "PyTorch cuDNN"),
    ),
    Goal(
        "deterministic attention backward, of FlashAttention-3's 575 TFLOP/s",
        0.75,
        of_rate("attention", r"attention\[(8192|16384)_size128-backward\]", FA3_BACKWARD),
    ),
    Goal(
        "convolutions in bfloat16, of cuDNN", 0.9, ratio("convolutions", BFLOAT16 + ".*", "cuDNN")
    ),
    Goal("softmax and norms forward, of a copy", 0.92, lambda r: of_copy(r, "forward")),
    Goal("softmax and norms backward, of a copy", 0.75, lambda r: of_copy(r, "backward")),
    Goal(
        "Adam on GPT-2's parameters, of a copy",
        0.92,
        ratio("optimizers", r"optimizer\[(gpt2-adam|adam-gpt2)\]", "copy"),
    ),
    Goal(
        "the same, of PyTorch's fused",
        1.0,
        ratio("optimizers", r"optimizer\[(gpt2-adam|adam-gpt2)\]", "PyTorch"),
    ),
    Goal(
        "MNIST steps captured, of PyTorch eager (lowest)",
        5.0,
        ratio("steps", r"step\[mnist_.*\]", "PyTorch", lowest),
    ),
    Goal(
        "MNIST steps captured, of PyTorch compiled (lowest)",
        1.2,
        ratio("steps", r"step\[mnist_.*\]", "PyTorch compiled", lowest),
    ),
    Goal("CIFAR-10 to 94 %, seconds", 1.5, cifar10, most=True),
    Goal("GPT-2 124M, tokens a second", 520_000, tokens),
)


def table(folder: Path) -> str:
    """A line for each goal."""
    results = Results(folder)
    head = ["| goal | wanted | reached | met |", "| --- | --- | --- | --- |"]
    return "\n".join(head + [goal.line(results) for goal in GOALS])


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
