"""Chrome's trace format: what ran when, for chrome://tracing and ui.perfetto.dev.

Each thread of the host is a row with the calls of kernels and the ranges; each device whose work
does not wait for the host has a row of its own with the kernels themselves.
Source: "Trace Event Format" (Google, 2016): complete events ("X"), counters ("C"), names ("M").
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from .watching import Event


class _Range(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def begin(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def thread(self) -> int: ...


def write_trace(
    path: str | os.PathLike[str], events: Sequence[Event], ranges: Sequence[_Range], origin: float
) -> None:
    """Write the file; compressed where its name ends in .gz."""
    entries = list(_entries(events, ranges, origin))
    text = json.dumps({"traceEvents": entries, "displayTimeUnit": "ms"})
    if str(path).endswith(".gz"):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.write(text)
    else:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def _entries(
    events: Sequence[Event], ranges: Sequence[_Range], origin: float
) -> Iterator[dict[str, Any]]:
    """Microseconds since `origin`; process 0 is the host, others are devices."""
    threads: dict[int, int] = {}
    devices: dict[str, int] = {}
    allocated = 0
    for each in ranges:
        thread = threads.setdefault(each.thread, len(threads))
        yield _complete(each.name, "range", each.begin - origin, each.seconds, 0, thread, {})
    for event in events:
        thread = threads.setdefault(event.thread, len(threads))
        name, kind = f"{event.operation} {event.kernel}", event.phase or "other"
        begin, facts = event.begin - origin, _facts(event)
        yield _complete(name, kind, begin, event.host, 0, thread, facts)
        if not event.backend.synchronous and event.seconds is not None:
            device = devices.setdefault(str(event.backend.device), len(devices) + 1)
            yield _complete(name, kind, event.start, event.seconds, device, 0, facts)
        if event.memory:
            allocated += event.memory
            at = 1e6 * (begin + event.host)
            count = {"name": "bytes allocated", "args": {"bytes": allocated}}
            yield {"ph": "C", "ts": at, "pid": 0} | count
    yield _named("process_name", 0, 0, "host")
    for number in threads.values():
        yield _named("thread_name", 0, number, f"thread {number}")
    for name, process in devices.items():
        yield _named("process_name", process, 0, name)


def _facts(event: Event) -> dict[str, Any]:
    facts = {
        "module": event.module,
        "pass": event.phase,
        "shapes": event.shapes,
        "FLOP": event.cost.flops,
        "bytes": event.cost.bytes,
        "device": str(event.backend.device),
    }
    return {name: value for name, value in facts.items() if value not in ("", None)}


def _complete(
    name: str, kind: str, begin: float, seconds: float, process: int, thread: int, facts: Any
) -> dict[str, Any]:
    entry = {"ph": "X", "name": name, "cat": kind, "ts": 1e6 * begin, "dur": 1e6 * seconds}
    return entry | {"pid": process, "tid": thread, "args": facts}


def _named(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
