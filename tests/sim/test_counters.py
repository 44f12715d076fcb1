"""The access counters are right: kernels whose requests can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from sim import build, counters

#: Case: access, space, and the requests, cost, ideal and bytes of the kernel's one such line.
ANSWERS: dict[str, tuple[str, str, int, int, int, int]] = {
    # 32-byte sectors
    "stride_1": ("load", "global", 2, 8, 8, 256),
    "stride_2": ("load", "global", 1, 8, 4, 128),
    "stride_32": ("load", "global", 1, 32, 4, 128),
    "off_by_one": ("load", "global", 1, 5, 4, 128),
    "broadcast": ("load", "global", 1, 1, 1, 4),
    "vectors_of_16_bytes": ("store", "global", 1, 16, 16, 512),
    "halves": ("load", "global", 1, 2, 2, 64),
    "atomics": ("atomic", "global", 1, 1, 1, 4),
    "turns_of_a_loop": ("load", "global", 10, 40, 40, 1280),
    # wavefronts
    "columns_of_32": ("load", "shared", 32, 1024, 32, 4096),
    "columns_of_33": ("load", "shared", 32, 32, 32, 4096),
    "columns_of_34": ("load", "shared", 32, 64, 32, 4096),
    "rows_of_16_bytes": ("load", "shared", 1, 32, 4, 512),
    "rows_of_16_bytes_swizzled": ("load", "shared", 1, 4, 4, 512),
    "rows_of_8_bytes": ("load", "shared", 1, 32, 2, 256),
    "one_word_for_all": ("load", "shared", 1, 1, 1, 4),
    # ldmatrix, four matrices: rows 64 bytes apart meet in every second row's banks
    "matrices": ("load", "shared", 1, 16, 4, 512),
    "matrices_swizzled": ("load", "shared", 1, 4, 4, 512),
    "box": ("load", "global", 64, 256, 256, 8192),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counters")
    files = [build.HERE / "requests.cpp"]
    return build.program("counters", "requests", files, folder, host=[build.HERE / "main.cpp"])


@pytest.mark.parametrize(("order", "seed"), [("forward", 0), ("reverse", 0), ("random", 3)])
def test_counts_are_those_worked_out_by_hand(program: Path, order: str, seed: int) -> None:
    status, output = build.run(program, "--order", order, "--seed", str(seed))
    assert status == 0, output
    cases = counters.read(program, output)
    assert set(cases) == set(ANSWERS)
    for case, (access, space, *numbers) in ANSWERS.items():
        (line,) = cases[case].of(access=access, space=space)
        assert [line.requests, line.cost, line.ideal, line.bytes] == numbers, f"{case}: {line}"


def test_copies_count_on_both_sides(program: Path) -> None:
    """cp.async reads global memory, a quarter of each sector pair a lane, and writes shared."""
    _, output = build.run(program, "matrices", "matrices_swizzled")
    for case, wavefronts in (("matrices", 64), ("matrices_swizzled", 16)):
        counts = counters.read(program, output)[case]
        assert counts.bytes("load") == 32 * 64
        assert [line.cost for line in counts.of(access="load", space="global")] == [4 * 32]
        assert [line.cost for line in counts.of(access="store", space="shared")] == [wavefronts]


def test_nothing_else_is_counted(program: Path) -> None:
    """Registers, parameters, constants and threadIdx are no memory."""
    _, output = build.run(program, "turns_of_a_loop")
    lines = counters.read(program, output)["turns_of_a_loop"].lines
    assert sorted((line.access, line.bytes) for line in lines) == [("load", 1280), ("store", 128)]


def test_lines_are_the_kernels_own(program: Path) -> None:
    """A primitive's accesses count for the line that calls it; kernels are known by name."""
    _, output = build.run(program, "vectors_of_16_bytes")
    counts = counters.read(program, output)["vectors_of_16_bytes"]
    source = (build.HERE / "requests.cpp").read_text().splitlines()
    number = 1 + next(i for i, text in enumerate(source) if "store_vec(y + threadIdx.x" in text)
    assert {(line.file, line.number) for line in counts.lines} == {("requests.cpp", number)}
    assert counts.launches == {"copy_vectors<float, 4>": 1}
    assert counts.of("copy_vectors", "store") and not counts.of("copy_strided")
