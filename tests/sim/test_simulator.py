"""The simulator: what its primitives compute, and what its guards and sanitizers catch.

Each C++ program is built plain, with ASan + UBSan, and with TSan. A planted bug must be seen by the
tool that is meant to see it, at its line; its corrected twin must pass all three.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from sim import build

FLAVOURS = ["plain", "asan", "tsan"]
ORDERS = [("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)]
ASYNC = ["eager", "lazy", "random"]
BUGS = ["bugs", "bugs_async"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulator")


@pytest.fixture(scope="session", params=FLAVOURS)
def primitives(request: pytest.FixtureRequest, folder: Path) -> Path:
    sources = ["execution", "warps", "memory", "misuse"]
    sources += ["matrix", "mma", "cp_async", "barriers", "misuse_async"]
    return build.cases(request.param, folder, "primitives", *sources)


@pytest.fixture(scope="session")
def bugs(folder: Path) -> dict[tuple[str, str], Path]:
    return {(f, name): build.cases(f, folder, name, name) for f in FLAVOURS for name in BUGS}


@pytest.mark.parametrize("mode", ASYNC)
@pytest.mark.parametrize(("order", "seed"), ORDERS)
def test_primitives(primitives: Path, order: str, seed: int, mode: str) -> None:
    arguments = ["--order", order, "--seed", str(seed), "--async", mode]
    status, output = build.run(primitives, *arguments)
    assert status == 0, output
    assert "FAILED" not in output and "WARNING" not in output, output
    assert output.count("ok ") > 60


def test_primitives_on_several_cpu_threads(primitives: Path) -> None:
    status, output = build.run(primitives, "--order", "random", "--workers", "3")
    assert status == 0, output


def test_conversions(folder: Path) -> None:
    sources = ("conversions", "conversions_f8")
    status, output = build.run(build.cases("plain", folder, "conversions", *sources))
    assert status == 0, output
    assert output.count("ok ") == 9


#: What each tool says of each planted bug, in all modes of asynchronous copies or, after a slash,
#: in one. A tool or mode that is not named need not see anything.
NUMBERS = "wrong"
RACE = "ThreadSanitizer: data race"
POISON = "AddressSanitizer: use-after-poison"
SEEN: dict[str, dict[str, str]] = {
    "missing_barrier": {"plain": NUMBERS, "tsan": RACE},
    "early_refill": {"plain": NUMBERS, "tsan": RACE},
    "missing_syncwarp": {"plain": NUMBERS, "tsan": RACE},
    "global_read_out_of_bounds": {"asan": "AddressSanitizer: heap-buffer-overflow"},
    "shared_write_out_of_bounds": {"asan": POISON},
    "shared_index_out_of_bounds": {"asan": "runtime error: index 64 out of bounds"},
    "lane_left": {"plain": "names lane 30, which has exited"},
    "blocks_add": {"tsan": RACE},
    "missing_fence": {"tsan": RACE},
    "matrix_read_early": {"plain": NUMBERS, "tsan": RACE},
    "matrix_refilled_early": {"plain": NUMBERS, "tsan": RACE},
    "wait_one_short": {
        "plain/eager": "right",  # which is why there are other modes
        "plain/lazy": NUMBERS,
        "plain/random": NUMBERS,
        "asan/lazy": POISON,
        "tsan/lazy": RACE,
    },
    "slot_refilled": {"plain": NUMBERS, "asan/lazy": POISON, "tsan": RACE},
    "wait_without_barrier": {"plain": NUMBERS, "tsan": RACE},
    "never_empty": {"plain": "this thread arrives again before the barrier is complete"},
    "arrive_too_early": {"tsan": RACE},
}


def _runs() -> list[tuple[str, str, str, str]]:
    """Each bug, flavour, mode of asynchronous copies, and what is said there."""
    runs = []
    for bug, seen in SEEN.items():
        copies = any("/" in key for key in seen) or bug == "wait_without_barrier"
        for key, text in seen.items():
            flavour, _, mode = key.partition("/")
            modes = [mode] if mode else ASYNC if copies else ["eager"]
            runs += [(bug, flavour, m, text) for m in modes]
    return runs


def _faulty_lines() -> dict[str, tuple[str, int]]:
    """Program and line of each bug."""
    found = {}
    for name in BUGS:
        lines = (build.HERE / f"{name}.cpp").read_text().splitlines()
        for number, line in enumerate(lines, start=1):
            _, marked, bug = line.partition("// BUG: ")
            if marked:
                found[bug] = (name, number)
    return found


PLACES = _faulty_lines()


@pytest.mark.parametrize("order", ["forward", "random"])
@pytest.mark.parametrize(("bug", "flavour", "mode", "text"), _runs())
def test_planted_bug_is_seen(
    bugs: dict[tuple[str, str], Path], bug: str, flavour: str, mode: str, text: str, order: str
) -> None:
    name, line = PLACES[bug]
    _, output = build.run(bugs[flavour, name], bug, "--order", order, "--async", mode)
    assert text in output, output
    if text not in (NUMBERS, "right"):
        assert f"{name}.cpp:{line}" in output, output


@pytest.mark.parametrize("name", BUGS)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_corrected_twins_are_clean(
    bugs: dict[tuple[str, str], Path], flavour: str, name: str
) -> None:
    twins = [f"{bug}_fixed" for bug in SEEN if PLACES[bug][0] == name]
    for order, mode in [*product(["forward", "reverse"], ASYNC), ("random", "random")]:
        status, output = build.run(bugs[flavour, name], *twins, "--order", order, "--async", mode)
        assert status == 0, output
        assert output.count("right\n") == len(twins), output
        assert "wrong" not in output and "Sanitizer" not in output, output
