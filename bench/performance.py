"""README's table of speed, from the result files: what has no file is not in it.

python bench/performance.py              # writes it into README.md

A line for each machine, suite and rival: the geometric mean of the ratios of all its measurements
(rival's time / ours), how many there are, how many are below 1 and below 0.5, and the lowest. Below
it for each GPU that was measured what it reached of its goals (goals.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import goals
from duel import OURS, Duel, geometric_mean
from store import duels_of

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- speed: bench/performance.py -->", "<!-- end of speed -->"
LOWEST = 4  # named in a line


def results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The result files, by machine and suite."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json"))]


def line(machine: str, suite: str, rival: str, duels: list[Duel]) -> str:
    lowest = sorted(duels, key=lambda duel: duel.ratio)[:LOWEST]
    below = [sum(duel.ratio < limit for duel in duels) for limit in (1, 0.5)]
    named = ", ".join(f"{duel.short} {duel.ratio:.2f}" for duel in lowest)
    mean = geometric_mean(duels)
    return (
        f"| {machine} | {suite} | {rival} | {mean:.2f} | {len(duels)} | {below[0]} | {below[1]} "
        f"| {named} |"
    )


def machine_of(result: dict[str, Any]) -> str:
    threads = f", {result['threads']} threads" if "threads" in result else ""
    return f"{result['machine']}{threads} ({result['commit']})"


def table(found: Iterable[dict[str, Any]]) -> str:
    lines = [
        "| machine (commit) | suite | rival | geometric mean | of | < 1 | < 0.5 | lowest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in found:
        if "duels" not in result:
            continue
        duels = duels_of(result)
        for rival in dict.fromkeys(duel.rival for duel in duels if duel.rival != OURS):
            chosen = [duel for duel in duels if duel.rival == rival]
            lines.append(line(machine_of(result), chosen[0].suite, rival, chosen))
    return "\n".join(lines) if len(lines) > 2 else "Nothing has been measured."


def reached(folder: Path) -> str:
    """A table of goals for each GPU; empty where none was measured."""
    tables = []
    for place in sorted({path.parent for path in folder.glob("*/*.json")}):
        gpus = [r for r in goals.Results(place).files.values() if r.get("device") == "cuda"]
        if gpus:
            machines = ", ".join(dict.fromkeys(map(machine_of, gpus)))
            tables.append(f"\nGoals on {machines}:\n\n{goals.table(place)}\n")
    return "".join(tables)


def updated(text: str, folder: Path = RESULTS) -> str:
    """README's text with the table between its marks replaced by today's."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table(results(folder))}\n{reached(folder)}{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
