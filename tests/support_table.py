"""The support table of README, generated from the case list.

python tests/support_table.py            # writes it into README.md
"""

from __future__ import annotations

from pathlib import Path

from cases import CASES, Case

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- support table: tests/support_table.py -->", "<!-- end of support table -->"


def names(cases: list[Case]) -> str:
    return ", ".join(f"`{case.name}`" for case in cases) or "-"


def table() -> str:
    """One row for each family; every case runs on `cpu`, `cuda` and `sim`."""
    lines = [
        "| family | cases | differentiable (any order, unless marked 1) | not differentiable |",
        "| --- | --- | --- | --- |",
    ]
    for family in dict.fromkeys(case.family for case in CASES):
        members = [case for case in CASES if case.family == family]
        smooth = [case for case in members if case.grad_order > 1]
        once = [case for case in members if case.grad_order == 1]
        flat = [case for case in members if case.grad_order == 0]
        differentiable = names(smooth) + (f"; 1: {names(once)}" if once else "")
        lines.append(f"| {family} | {len(members)} | {differentiable} | {names(flat)} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """README's text with the table between its marks replaced by today's."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
