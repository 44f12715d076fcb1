"""Calls of kernels summed up, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..backends import Backend
from ..errors import ArgumentError
from .watching import Event

_KEYS = ("kernel", "operation", "phase", "module", "shapes", "device")

_SORTS = {
    "time": "seconds",
    "calls": "count",
    "mean": "mean",
    "flops": "flops",
    "bytes": "bytes",
    "bound": "bound",
    "host": "host",
    "memory": "memory",
}
# PyTorch's names
_SORTS |= {"count": "count", "self_cpu_memory_usage": "memory", "cpu_memory_usage": "memory"}
_SORTS |= {f"{own}{place}_time_total": "seconds" for own in ("", "self_")
           for place in ("cpu", "cuda", "device")}  # fmt: skip
_SORTS |= {f"{place}_time": "mean" for place in ("cpu", "cuda", "device")}


class Average:
    """The calls of one kernel for one operation: count, seconds, FLOP and bytes.

    seconds: on the device; None where it could not be told. flops, bytes: None where a call's are
    not known. bound: the least seconds the device could have taken over the seconds; None where it
    is not known. host: seconds that the calls took on the host; memory: bytes left allocated.
    """

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts = parts
        self.key = " ".join(part for part in parts if part)
        self.count = self.memory = 0
        self.host = 0.0
        self.seconds: float | None = 0.0
        self.least: float | None = 0.0
        self.flops: int | None = 0
        self.bytes: int | None = 0

    def add(self, event: Event) -> None:
        """One call more, whose seconds are known."""
        flops, moved, product = event.cost
        least = None
        if flops is not None and moved is not None:
            least = event.backend.peaks().seconds(flops, moved, product)
        self.count += 1
        self.host += event.host
        self.memory += event.memory
        self.seconds = _sum(self.seconds, event.seconds)
        self.least = _sum(self.least, least)
        self.flops = _sum(self.flops, flops)
        self.bytes = _sum(self.bytes, moved)

    @property
    def mean(self) -> float | None:
        """Seconds of a call."""
        return None if self.seconds is None else self.seconds / self.count

    @property
    def bound(self) -> float | None:
        """Fraction of the bound that was reached."""
        return self.least / self.seconds if self.least is not None and self.seconds else None

    def rate(self, amount: int | None) -> float | None:
        """`amount` (flops or bytes) a second."""
        return amount / self.seconds if amount and self.seconds else None

    @property
    def device_time_total(self) -> float:
        """Microseconds on the device, under PyTorch's name."""
        return 1e6 * (self.seconds or 0.0)

    @property
    def cpu_time_total(self) -> float:
        """Microseconds that the calls took on the host, under PyTorch's name."""
        return 1e6 * self.host


def _sum(a: Any, b: Any) -> Any:
    """a + b; None if one is not known."""
    return None if a is None or b is None else a + b


class Averages(Sequence[Average]):
    """Averages of a profile, the longest first. `table` is their text; ``print`` shows it."""

    def __init__(
        self, keys: Sequence[str], events: Iterable[Event] = (), wall: float = 0.0
    ) -> None:
        for key in keys:
            if key not in _KEYS:
                raise ArgumentError(
                    f"key_averages: {key!r} is no key to group by; legal are {', '.join(_KEYS)}."
                )
        self.keys, self.wall = tuple(keys), wall
        self._found: dict[tuple[str, ...], Average] = {}
        self._backends: dict[Backend, None] = {}
        self.add(events)

    def add(self, events: Iterable[Event]) -> None:
        """More calls, whose seconds are known."""
        for event in events:
            parts = tuple(
                [
                    str(event.backend.device) if key == "device" else getattr(event, key)
                    for key in self.keys
                ]
            )
            average = self._found.get(parts)
            if average is None:
                average = self._found[parts] = Average(parts)
            average.add(event)
            self._backends[event.backend] = None

    def _sorted(self, name: str = "seconds") -> list[Average]:
        return sorted(self._found.values(), key=lambda a: -(getattr(a, name) or 0))

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, index: Any) -> Any:
        return self._sorted()[index]

    def __iter__(self) -> Iterator[Average]:
        return iter(self._sorted())

    def table(self, sort_by: str | None = None, row_limit: int = 40) -> str:
        """The text. sort_by: "time" (default), "calls", "mean", "flops", "bytes", "bound", "host",
        "memory", or PyTorch's names ("cuda_time_total", ...); the largest first. Raises
        ArgumentError for others."""
        name = _SORTS.get(sort_by or "time")
        if name is None:
            raise ArgumentError(
                f"table: cannot sort by {sort_by!r}; legal are {', '.join(_SORTS)}."
            )
        shown = self._sorted(name)
        total = sum(a.seconds or 0.0 for a in shown)
        rows = [self._header(), *[self._row(a, total) for a in shown[:row_limit]]]
        lines = _aligned(rows, len(self.keys))
        if len(shown) > row_limit:
            lines.append(f"... and {len(shown) - row_limit} more (row_limit)")
        return "\n".join([*lines, *self._footer(total)])

    __str__ = table

    def _asynchronous(self) -> bool:
        return any(not backend.synchronous for backend in self._backends)

    def _measured(self) -> bool:
        return any(a.memory for a in self._found.values())

    def _header(self) -> list[str]:
        titles = ["pass" if key == "phase" else key for key in self.keys]
        titles += ["calls", "total ms", "%", "mean us", "GFLOP/s", "GB/s", "of bound"]
        titles += ["host ms"] if self._asynchronous() else []
        return titles + (["MiB kept"] if self._measured() else [])

    def _row(self, a: Average, total: float) -> list[str]:
        share = None if a.seconds is None or not total else 100 * a.seconds / total
        cells = [_cut(key, part) for key, part in zip(self.keys, a.parts, strict=True)]
        cells += [str(a.count), _number(a.seconds, 1e3, 3), _number(share, 1, 1)]
        cells += [_number(a.mean, 1e6, 1), _number(a.rate(a.flops), 1e-9, 1)]
        cells += [_number(a.rate(a.bytes), 1e-9, 1), _number(a.bound, 1, 2)]
        cells += [_number(a.host, 1e3, 3)] if self._asynchronous() else []
        return cells + ([_number(a.memory, 2**-20, 1)] if self._measured() else [])

    def _footer(self, total: float) -> list[str]:
        calls = sum(a.count for a in self._found.values())
        lines = [
            f"{calls} calls, {1e3 * total:.3f} ms in kernels; {1e3 * self.wall:.3f} ms from "
            "beginning to end"
        ]
        for backend in self._backends:
            peaks = backend.peaks()
            if peaks.bandwidth is None:
                lines.append(f"bound of {backend.device}: not known")
                continue
            text = [f"{peaks.bandwidth / 1e9:.1f} GB/s"]
            text += [f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in peaks.products.items()]
            lines.append(f"bound of {backend.device}: {', '.join(text)} ({peaks.source})")
        return lines


def _number(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def _cut(key: str, text: str) -> str:
    """A cell's text: of long shapes the beginning, of long paths the end."""
    if len(text) <= 48:
        return text or "-"
    return f"{text[:45]}..." if key == "shapes" else f"...{text[-45:]}"


def _aligned(rows: list[list[str]], left: int) -> list[str]:
    """Columns in line: the first `left` to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
