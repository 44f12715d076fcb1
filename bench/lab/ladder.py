"""The ladder: its versions, what each costs, and the bound that follows. All of it is an estimate.

A version's cost is written down for one block and one slice of k, by counting the instructions of
its inner loop. A bound is the slowest of the resources, each as if it worked without a pause: what
a kernel cannot exceed, not what it will reach. Latency, launch and the epilogue are left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from machines import ISSUE, MACHINES, PORT_BYTES, Machine

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
MMA_FLOP = 2 * 16 * 8 * 16


@dataclass(frozen=True)
class Slice:
    """What one block does in one slice of k; wavefronts are 128 bytes at most."""

    k: int
    global_bytes: int  #: read, from L2 at the latest
    global_sectors: int  #: of 32 bytes, counted for each warp's request
    global_wavefronts: int  #: of loads into registers; cp.async goes past them
    stores: int  #: wavefronts into shared memory
    loads: int  #: wavefronts out of shared memory
    requests: int  #: memory instructions of warps
    fma: int = 0  #: multiply-add instructions of warps
    mma: int = 0  #: m16n8k16 instructions of warps


@dataclass(frozen=True)
class Version:
    """One step of the ladder."""

    name: str
    dtype: str
    rows: int  #: of y, that a block computes
    columns: int
    work: Slice
    store_sectors: int  #: sectors touched by a block's stores to y
    architecture: int = 75

    @property
    def source(self) -> Path:
        return HERE / f"{self.name}.cu"

    @property
    def element(self) -> int:
        return 4 if self.dtype == "float32" else 2

    def grid(self, m: int, n: int) -> int:
        return math.ceil(m / self.rows) * math.ceil(n / self.columns)

    def slices(self, k: int) -> int:
        return math.ceil(k / self.work.k)


LADDER = [
    # 8 warps, a row of 32 each. For each k a warp asks for one word of a and 32 of b.
    Version(
        "naive", "float32", 8, 32,
        Slice(k=1, global_bytes=8 * 4 + 128, global_sectors=8 * (1 + 4), global_wavefronts=8 * 2,
              stores=0, loads=0, requests=8 * 2, fma=8),
        store_sectors=8 * 4,
    ),
    # 32 warps. Two words of a thread come and go; then two words for each multiply-add.
    Version(
        "tiled", "float32", 32, 32,
        Slice(k=32, global_bytes=2 * 4096, global_sectors=32 * 2 * 4, global_wavefronts=32 * 2,
              stores=32 * 2, loads=32 * 32 * 2, requests=32 * (2 + 2 + 32 * 2), fma=32 * 32),
        store_sectors=32 * 4,
    ),
    # 8 warps. 16 bytes of a and of b for each thread; 4 stores of a, 1 of b (4 wavefronts); four
    # loads for each k, a wavefront for each quarter warp.
    Version(
        "vectorised", "float32", 128, 128,
        Slice(k=8, global_bytes=2 * 4096, global_sectors=8 * 2 * 16, global_wavefronts=8 * 2 * 4,
              stores=8 * (4 + 4), loads=8 * 8 * 4 * 4, requests=8 * (2 + 5 + 8 * 4),
              fma=8 * 8 * 64),
        store_sectors=128 * 128 * 4 // 32,
    ),
    # 4 warps. 8 vectors for each thread; for each 16 of k 4 + 4 ldmatrix of 4 matrices, which take
    # 4 wavefronts each for a and 8 for b, and 4 x 8 products.
    Version(
        "tensor_core", "bfloat16", 128, 128,
        Slice(k=32, global_bytes=2 * 8192, global_sectors=4 * 8 * 16, global_wavefronts=4 * 8 * 4,
              stores=4 * 8 * 4, loads=4 * 2 * (4 * 4 * 4 + 4 * 4 * 8),
              requests=4 * (8 + 8 + 2 * 8), mma=4 * 2 * 32),
        store_sectors=128 * 128 * 2 // 16, architecture=80,
    ),
    # The same without the way through registers, and one wavefront for each matrix.
    Version(
        "multi_stage", "bfloat16", 128, 128,
        Slice(k=32, global_bytes=2 * 8192, global_sectors=4 * 8 * 16, global_wavefronts=0,
              stores=4 * 8 * 4, loads=4 * 2 * (4 * 4 + 4 * 4), requests=4 * (8 + 2 * 8),
              mma=4 * 2 * 32),
        store_sectors=128 * 128 * 2 // 16, architecture=80,
    ),
]  # fmt: skip
VERSIONS = {version.name: version for version in LADDER}


# ---- bounds --------------------------------------------------------------------------------------


def clocks(version: Version, machine: Machine) -> dict[str, float]:
    """Clocks of each resource of a multiprocessor for one block and one slice."""
    work = version.work
    tensor = machine.tensor_flop * machine.mma_sync
    return {
        "memory port": work.global_wavefronts + work.stores + work.loads,
        "FP32 lanes": work.fma * 32 / machine.fp32_lanes,
        "tensor cores": work.mma * MMA_FLOP / tensor,
        "issue slots": (work.fma + work.mma + work.requests) / ISSUE,
        "L2": work.global_bytes / machine.l2_bytes,
    }


@dataclass(frozen=True)
class Bound:
    """The most a version can reach on a machine, and what stops it there."""

    tflops: float
    limit: str


def bound(version: Version, machine: Machine, m: int, n: int, k: int) -> Bound:
    """Full waves of blocks on all multiprocessors, or memory read and written once."""
    limit, most = max(clocks(version, machine).items(), key=lambda item: item[1])
    waves = math.ceil(version.grid(m, n) / machine.multiprocessors)
    seconds = waves * version.slices(k) * most / machine.clock_ghz / 1e9
    once = version.element * (m * k + k * n + m * n) / machine.memory_gbs / 1e9
    if once > seconds:
        limit, seconds = "memory", once
    return Bound(2 * m * n * k / seconds / 1e12, limit)


def intensity(version: Version) -> tuple[float, float]:
    """FLOP for each byte from L2, and for each byte that passes the memory port."""
    work = version.work
    flop = 2 * version.rows * version.columns * work.k
    port = PORT_BYTES * (work.global_wavefronts + work.stores + work.loads)
    return flop / work.global_bytes, flop / port


def predicted_counts(version: Version, m: int, n: int, k: int) -> dict[str, int]:
    """What the simulator should count; exact where m, n and k are multiples of the tile."""
    turns = version.grid(m, n) * version.slices(k)
    return {
        "global load sectors": turns * version.work.global_sectors,
        "global store sectors": version.grid(m, n) * version.store_sectors,
        "shared store wavefronts": turns * version.work.stores,
        "shared load wavefronts": turns * version.work.loads,
    }


# ---- what a version's file says ------------------------------------------------------------------

SIZE = 4096


def stated_bound(version: Version) -> str:
    """The header's line, for square matrices of SIZE."""
    found = [(machine, bound(version, machine, SIZE, SIZE, SIZE)) for machine in MACHINES]
    texts = [f"{machine.name} {b.tflops:.1f} ({b.limit})" for machine, b in found]
    return f"// Bound: {', '.join(texts)} TFLOP/s at {SIZE} cubed; an estimate."


def measured() -> dict[str, dict[str, dict]]:
    """Figures by GPU and version, from bench/results/lab_<gpu>.json."""
    files = sorted(RESULTS.glob("lab_*.json"))
    return {(data := json.loads(file.read_text()))["gpu"]: data["versions"] for file in files}


def stated_figures(version: Version) -> list[str]:
    """The header's lines: TFLOP/s at SIZE on each GPU that was measured."""
    return [
        f"// Reached: {figures[version.name]['tflops']:.1f} TFLOP/s on {gpu}, "
        f"{figures[version.name]['ratio']:.2f} of {figures[version.name]['rival']}."
        for gpu, figures in measured().items()
        if version.name in figures
    ] or ["// Reached: not measured."]


def with_lines(version: Version, text: str) -> str:
    """A version's source with these lines as they should be."""
    rows: list[str] = []
    for row in text.split("\n"):
        if row.startswith("// Bound:"):
            rows += [stated_bound(version), *stated_figures(version)]
        elif not row.startswith("// Reached:"):
            rows.append(row)
    return "\n".join(rows)


def table_row(version: Version) -> str:
    """The version's row in README.md."""
    per_machine = [clocks(version, machine) for machine in MACHINES]
    unit = "FP32 lanes" if version.dtype == "float32" else "tensor cores"
    bounds = [bound(version, machine, SIZE, SIZE, SIZE) for machine in MACHINES]
    cells = [
        f"[{version.name}]({version.source.name})",
        "{:.3g}, {:.2g}".format(*intensity(version)),
        f"{per_machine[0]['memory port']:.0f}",
        ", ".join(f"{found[unit]:.0f}" for found in per_machine),
        *(f"{b.tflops:.1f}, {b.limit}" for b in bounds),
    ]
    return f"| {' | '.join(cells)} |"


def with_rows(text: str) -> str:
    """README.md with each version's row as it should be."""
    rows = {f"| [{version.name}](": table_row(version) for version in LADDER}
    return "\n".join(
        next((new for start, new in rows.items() if row.startswith(start)), row)
        for row in text.split("\n")
    )
