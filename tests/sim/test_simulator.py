"""The simulator: what its primitives compute, and what its guards and sanitizers catch.

Each C++ program is built plain, with ASan + UBSan, and with TSan. A planted bug must be seen by the
tool that is meant to see it, at its line; its corrected twin must pass all three.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sim import build

FLAVOURS = list(build.FLAVOURS)
ORDERS = [("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)]
BUGS = build.HERE / "bugs.cpp"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulator")


def _program(flavour: str, folder: Path, name: str, *sources: str) -> Path:
    files = [build.HERE / f"{source}.cpp" for source in sources]
    return build.program(flavour, name, files, folder, host=[build.HERE / "main.cpp"])


@pytest.fixture(scope="session", params=FLAVOURS)
def primitives(request: pytest.FixtureRequest, folder: Path) -> Path:
    sources = ("execution", "warps", "memory", "misuse")
    return _program(request.param, folder, "primitives", *sources)


@pytest.fixture(scope="session")
def bugs(folder: Path) -> dict[str, Path]:
    return {flavour: _program(flavour, folder, "bugs", "bugs") for flavour in FLAVOURS}


@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_primitives(primitives: Path, order: str, seed: int) -> None:
    status, output = build.run(primitives, "--order", order, "--seed", str(seed))
    assert status == 0, output
    assert "FAILED" not in output and "WARNING" not in output, output
    assert output.count("ok ") > 35


def test_primitives_on_several_cpu_threads(primitives: Path) -> None:
    status, output = build.run(primitives, "--order", "random", "--workers", "3")
    assert status == 0, output


def test_conversions(folder: Path) -> None:
    status, output = build.run(_program("plain", folder, "conversions", "conversions"))
    assert status == 0, output
    assert output.count("ok ") == 6


#: What each tool says of each planted bug. A tool that is not named sees nothing.
NUMBERS = "wrong"
RACE = "ThreadSanitizer: data race"
SEEN: dict[str, dict[str, str]] = {
    "missing_barrier": {"plain": NUMBERS, "tsan": RACE},
    "early_refill": {"plain": NUMBERS, "tsan": RACE},
    "missing_syncwarp": {"plain": NUMBERS, "tsan": RACE},
    "global_read_out_of_bounds": {"asan": "AddressSanitizer: heap-buffer-overflow"},
    "shared_write_out_of_bounds": {"asan": "AddressSanitizer: use-after-poison"},
    "shared_index_out_of_bounds": {"asan": "runtime error: index 64 out of bounds"},
    "lane_left": {"plain": "names lane 30, which has exited"},
    "blocks_add": {"tsan": RACE},
    "missing_fence": {"tsan": RACE},
}


def _line_of(bug: str) -> int:
    lines = BUGS.read_text().splitlines()
    return 1 + next(i for i, line in enumerate(lines) if line.endswith(f"// BUG: {bug}"))


@pytest.mark.parametrize("order", ["forward", "random"])
@pytest.mark.parametrize(("bug", "flavour"), [(b, f) for b, seen in SEEN.items() for f in seen])
def test_planted_bug_is_seen(bugs: dict[str, Path], bug: str, flavour: str, order: str) -> None:
    _, output = build.run(bugs[flavour], bug, "--order", order)
    assert SEEN[bug][flavour] in output, output
    if SEEN[bug][flavour] != NUMBERS:
        assert f"bugs.cpp:{_line_of(bug)}" in output, output


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_corrected_twins_are_clean(bugs: dict[str, Path], flavour: str) -> None:
    for order in ("forward", "reverse", "random"):
        twins = [f"{bug}_fixed" for bug in SEEN]
        status, output = build.run(bugs[flavour], *twins, "--order", order)
        assert status == 0, output
        assert output.count("right\n") == len(twins), output
        assert "wrong" not in output and "Sanitizer" not in output, output
