"""Reads what a program of the ``counters`` flavour prints: memory requests of kernels, by line."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """What one line of a kernel did, summed over all its requests.

    ``cost`` and ``ideal`` are 32-byte sectors (space "global") or wavefronts ("shared"); ``bytes``
    are those that differ within a request; ``width`` is what one lane moves.
    """

    kernel: str
    file: str
    number: int
    access: str
    space: str
    width: int
    requests: int
    cost: int
    ideal: int
    bytes: int

    def __str__(self) -> str:
        """One row of a report, for error messages."""
        return (
            f"{self.file}:{self.number} {self.access} {self.space} {8 * self.width} bits: "
            f"{self.requests} requests, {self.cost} for an ideal {self.ideal}, {self.bytes} bytes"
        )


@dataclass
class Counts:
    """One case of a program: its kernels' lines and launches, and what it noted by name."""

    lines: list[Line] = field(default_factory=list)
    launches: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    def of(self, kernel: str = "", access: str = "", space: str = "") -> list[Line]:
        """The lines of kernels whose names begin so, and of one access and space."""
        return [
            line
            for line in self.lines
            if line.kernel.startswith(kernel)
            and access in ("", line.access)
            and space in ("", line.space)
        ]

    def bytes(self, access: str, kernel: str = "") -> int:
        """Bytes moved between global memory and these kernels."""
        return sum(line.bytes for line in self.of(kernel, access, "global"))

    def ratio(self, space: str, kernel: str = "", access: str = "") -> float:
        """Sectors or wavefronts for each ideal one; 1 where there were no requests."""
        lines = self.of(kernel, access, space)
        ideal = sum(line.ideal for line in lines)
        return sum(line.cost for line in lines) / ideal if ideal else 1.0

    def requests(self, kernel: str = "") -> float:
        """Requests to global memory for each 512 bytes: 1 if all lanes move 16 bytes at a time."""
        lines = self.of(kernel, space="global")
        return 512 * sum(line.requests for line in lines) / (sum(line.bytes for line in lines) or 1)

    def worst(self, space: str, kernel: str = "", most: int = 5) -> str:
        """The lines with most cost above the ideal, for error messages."""
        lines = sorted(self.of(kernel, space=space), key=lambda line: line.ideal - line.cost)
        return "\n".join(f"  {line.kernel}: {line}" for line in lines[:most])


_OWN = re.compile(r"/csrc/(device|sim)/")


def _resolve(executable: Path, addresses: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Function and file:line of addresses; inlined code of device primitives counts as its user's.

    The first is the name of the function that holds the code, without namespace and parameters.
    """
    wanted = sorted(set(addresses))
    command = ["addr2line", "-e", str(executable), "-a", "-f", "-i", "-C", *wanted]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    blocks = re.split(r"^0x[0-9a-f]+\n", text, flags=re.M)[1:]
    for address, block in zip(wanted, blocks, strict=True):
        rows = block.splitlines()
        places = rows[1::2]
        place = next((p for p in places if not _OWN.search(p)), places[0])
        found[address] = (_short(rows[-2]), place.split(" (")[0])
    return found


def _short(function: str) -> str:
    """``kernel<float, 8>`` of ``void gg::(anonymous namespace)::kernel<float, 8>(float*)``."""
    name = function.replace("(anonymous namespace)::", "").removeprefix("void ")
    depth, end = 0, len(name)
    for i, c in enumerate(name):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0:
            end = i
            break
    name = name[:end]
    while (cut := re.match(r"[a-z_]+::", name)) is not None:
        name = name[cut.end() :]
    return name


def read(executable: Path, output: str) -> dict[str, Counts]:
    """The counts of each case of a program that printed ``output``, by the case's name."""
    rows = [row.split() for row in output.splitlines()]
    raw = {row[1] for row in rows if row[0] in ("KERNEL", "LINE")}
    raw |= {row[2] for row in rows if row[0] == "LINE" and row[2].startswith("0x")}
    places = _resolve(executable, raw) if raw else {}
    cases: dict[str, Counts] = {}
    counts = Counts()
    for row in rows:
        if row[0] == "KERNEL":
            counts.launches[places[row[1]][0]] = int(row[2])
        elif row[0] == "LINE":
            counts.lines.append(_line(row, places))
        elif row[0] == "NOTE":
            counts.notes[row[1]] = int(row[2])
        elif row[0] == "ok":
            cases[row[1]] = counts
            counts = Counts()
    return cases


def _line(row: list[str], places: dict[str, tuple[str, str]]) -> Line:
    place = places[row[2]][1] if row[2] in places else row[2]
    file, _, number = place.rpartition(":")
    numbers = [int(n) for n in row[5:]]
    return Line(places[row[1]][0], Path(file).name, int(number), row[3], row[4], *numbers)
