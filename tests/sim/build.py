"""Builds programs out of kernel files and the simulator, with and without sanitizers.

A flavour is a way to compile:

- ``plain``: optimised.
- ``asan``: AddressSanitizer and UndefinedBehaviorSanitizer, everywhere.
- ``tsan``: ThreadSanitizer in everything but the simulator's own files, which are built with
  ``GG_TSAN`` instead and tell TSan what orders two GPU threads.
- ``counters``: calls to ThreadSanitizer in everything but the simulator's own files, answered by
  csrc/sim/counters: memory requests are counted, and shared memory's proxies checked. The program
  prints what ``sim.counters`` reads.

``program(flavour, name, sources, folder)`` compiles and returns the executable. Host sources, which
hold no kernels, are compiled once for all flavours. ccache is used where there is one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
HERE = ROOT / "tests" / "sim"

COMMON = ["-std=c++20", "-g1", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-ffp-contract=off"]
COMMON += [f"-I{CSRC}", f"-I{HERE}", "-DGG_SIM", '-DGG_BUILT_FOR="sim"']
if platform.machine() == "x86_64":
    COMMON += ["-march=x86-64-v3"]

# Left out of UBSan: what ASan sees anyway, or what only makes compiling slow.
_UNCHECKED = "null,vptr,object-size,pointer-overflow,nonnull-attribute,returns-nonnull-attribute"
_ASAN = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
_ASAN += [f"-fno-sanitize={_UNCHECKED}"]

# Loops of the simulator must not become calls of memcpy, which TSan would follow.
_OWN_LOOPS = "-fno-tree-loop-distribute-patterns"

_FIXED = ["-fno-pie", "--param=tsan-instrument-func-entry-exit=0"]

#: Flags for kernels and tests, for the simulator's own files, and for the linker.
FLAVOURS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "plain": (["-O2"], ["-O2"], []),
    "asan": (["-O0", *_ASAN], ["-O1", *_ASAN], _ASAN),
    "tsan": (["-O1", "-fsanitize=thread"], ["-O2", "-DGG_TSAN", _OWN_LOOPS], ["-fsanitize=thread"]),
    # -O1: no vectorizer, so that an access is what the kernel's line says. Plain addresses, for
    # addr2line.
    "counters": (["-O1", "-fsanitize=thread", *_FIXED], ["-O2", "-DGG_COUNTERS"], ["-no-pie"]),
}

SIMULATOR = sorted((CSRC / "sim").glob("*.cpp"))
COUNTERS = sorted((CSRC / "sim" / "counters").glob("*.cpp"))
KERNELS = sorted((CSRC / "kernels").glob("*.cu"))


def compiler() -> list[str]:
    """The C++ compiler, behind ccache if that is on PATH."""
    command = [os.environ.get("CXX", "g++")]
    return ["ccache", *command] if shutil.which("ccache") else command


def _run(command: list[str]) -> None:
    environment = dict(os.environ, CCACHE_BASEDIR=str(ROOT), CCACHE_NOHASHDIR="1")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if done.returncode != 0 or "warning:" in done.stderr:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def compile_object(flavour: str, source: Path, folder: Path, flags: list[str]) -> Path:
    """Compiles one file; a warning is an error. Returns the object file."""
    target = folder / flavour / (source.relative_to(ROOT).as_posix().replace("/", "_") + ".o")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}.{threading.get_ident()}.o")
        _run([*compiler(), *COMMON, *flags, "-x", "c++", "-c", str(source), "-o", str(part)])
        part.rename(target)
    return target


def program(
    flavour: str, name: str, sources: Iterable[Path], folder: Path, host: Iterable[Path] = ()
) -> Path:
    """Compiles sources and links them with host sources and the simulator.

    Objects and executables go to a new folder, where an object is made only once. Returns the
    executable. Raises RuntimeError with the compiler's output on an error or a warning.
    """
    kernel_flags, simulator_flags, link_flags = FLAVOURS[flavour]
    simulator = SIMULATOR + (COUNTERS if flavour == "counters" else [])
    jobs = [(flavour, f, folder, simulator_flags) for f in simulator]
    jobs += [(flavour, f, folder, kernel_flags) for f in sources]
    jobs += [("host", f, folder, ["-O1"]) for f in host]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda job: compile_object(*job), jobs))
    target = folder / flavour / name
    _run([compiler()[-1], *link_flags, *map(str, objects), "-pthread", "-o", str(target)])
    return target


def cases(flavour: str, folder: Path, name: str, *sources: str) -> Path:
    """The program of the cases in tests/sim/`sources`.cpp, with check.h's command line."""
    files = [HERE / f"{source}.cpp" for source in sources]
    return program(flavour, name, files, folder, host=[HERE / "main.cpp"])


def run(executable: Path, *arguments: str, timeout: float = 120) -> tuple[int, str]:
    """Runs it; returns its exit status and all it printed."""
    environment = dict(
        os.environ,
        ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
        UBSAN_OPTIONS="print_stacktrace=1",
        TSAN_OPTIONS="halt_on_error=0:atexit_sleep_ms=0",  # else each run waits a second
    )
    done = subprocess.run(
        [str(executable), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout
