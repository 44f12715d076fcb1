"""What a device's memory holds: the numbers of a backend, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..device import Device
from ..errors import OutOfMemoryError

MIB = 1 << 20


class MemoryStats(NamedTuple):
    """Bytes and blocks. Reserved is what arrays hold (allocated) and what is kept for new ones.

    None: the device cannot tell. `largest_free` is the largest of the kept blocks; where it is not
    known, `free` and the kept bytes bound it.
    """

    allocated: int
    allocated_peak: int
    reserved: int
    reserved_peak: int
    blocks: int | None
    free_blocks: int
    largest_free: int | None
    free: int
    total: int

    def largest_request(self) -> int:
        """No array larger than this can be had: the driver's memory, or one kept block."""
        kept = self.reserved - self.allocated if self.largest_free is None else self.largest_free
        return max(self.free, kept)


def mib(size: float) -> str:
    """ "3.0 MiB"."""
    return f"{size / MIB:.1f} MiB"


def table(device: str, stats: MemoryStats, note: str) -> str:
    """The numbers, a line each; `note` says whose they are."""
    blocks = "" if stats.blocks is None else f", {stats.blocks} blocks"
    kept = stats.reserved - stats.allocated
    largest = "" if stats.largest_free is None else f", the largest {mib(stats.largest_free)}"
    rows = [
        ("allocated", f"{mib(stats.allocated)}{blocks}", stats.allocated_peak),
        ("reserved", mib(stats.reserved), stats.reserved_peak),
    ]
    lines = [f"{device}: {note}"]
    lines += [f"  {name:10} {text:28} peak {mib(peak)}" for name, text, peak in rows]
    lines.append(f"  {'kept free':10} {mib(kept)} in {stats.free_blocks} blocks{largest}")
    lines.append(f"  {'device':10} {mib(stats.free)} free of {mib(stats.total)}")
    return "\n".join(lines)


holders: list[Callable[[Device], list[tuple[str, int]]]] = []
"""Who knows what the memory of a device is held for: gives (name, bytes), the most first. Filled by
gpugrad/holders.py, which knows modules and the graph."""


def out_of_memory(device: Device, asked: str, stats: MemoryStats) -> OutOfMemoryError:
    """The error for an array that found no room, with what holds the memory and the way out."""
    kept = stats.reserved - stats.allocated
    lines = [
        f"out of memory on {device}: {asked}.",
        f"  {mib(stats.allocated)} are in use (at most {mib(stats.allocated_peak)} were), "
        f"{mib(kept)} cached in {stats.free_blocks} blocks; {mib(stats.free)} of "
        f"{mib(stats.total)} are free.",
        f"  The largest block to be had has at most {mib(stats.largest_request())}.",
    ]
    held = [f"{mib(size)} {name}" for look in holders for name, size in look(device)]
    if held:
        lines.append("  Held most: " + "; ".join(held) + ".")
    lines.append(
        "  Use a smaller batch, gg.utils.checkpoint for parts of the model, float16 or bfloat16, "
        "no_grad()\n  where no gradient is needed; drop references to old losses. "
        "gg.cuda.empty_cache() gives cached\n  blocks of other shapes back to the GPU."
    )
    return OutOfMemoryError("\n".join(lines))
