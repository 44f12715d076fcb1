"""The kernel laboratory (bench/lab): every step of the ladder is right, and costs what it says."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench" / "lab"))
import ladder
import simulate
from ladder import LADDER, Version
from machines import A100, H200, MACHINES
from operands import Operands

#: Odd sizes, several blocks, more slices of k than stages; smaller ones for slow flavours.
SHAPES = {"plain": (37, 141, 203), "asan": (37, 45, 171), "tsan": (9, 37, 139)}
#: Wavefronts of shared memory for each one that would do.
CONFLICTS = {"tensor_core": 13 / 3}
SCHEDULES = [("forward", "eager"), ("reverse", "lazy"), ("random", "random")]
by_name = pytest.mark.parametrize("version", LADDER, ids=lambda version: version.name)


@pytest.mark.parametrize("flavour", SHAPES)
@by_name
def test_result_is_right(version: Version, flavour: str) -> None:
    """In each schedule; and sanitizers are silent."""
    operands = Operands.make(version.dtype, *SHAPES[flavour])
    for order, completion in SCHEDULES:
        schedule = {"GPUGRAD_SIM_ORDER": order, "GPUGRAD_SIM_ASYNC": completion}
        y, output = simulate.run(version, operands, flavour, schedule)
        assert operands.error(y) <= 1, (order, completion)
        assert output == "ok matmul\n"


@by_name
def test_counts_are_as_predicted(version: Version) -> None:
    """Sectors and wavefronts of two blocks of whole tiles, to the last one."""
    shape = (version.rows, 2 * version.columns, 4 * version.work.k)
    counts, conflicts = simulate.count(version, Operands.make(version.dtype, *shape))
    assert counts == ladder.predicted_counts(version, *shape)
    assert conflicts == pytest.approx(CONFLICTS.get(version.name, 1))


@by_name
def test_source_states_its_bound_and_figure(version: Version) -> None:
    text = version.source.read_text()
    assert ladder.with_lines(version, text) == text, "run `python bench/lab/run.py --write`"
    assert "// Bound: " in text and "// Reached: " in text


def test_figures_come_from_result_files(monkeypatch, tmp_path: Path) -> None:
    """A line for each GPU, in place of "not measured"; and the other versions keep theirs."""
    for gpu, tflops in (("H100", 412.34), ("A100", 250.0)):
        figure = {"tflops": tflops, "ratio": 0.6, "rival": "cuBLAS float16"}
        result = {"gpu": gpu, "versions": {"multi_stage": figure}}
        (tmp_path / f"lab_{gpu}.json").write_text(json.dumps(result))
    monkeypatch.setattr(ladder, "RESULTS", tmp_path)
    version = ladder.VERSIONS["multi_stage"]
    lines = ladder.with_lines(version, "// Bound: old\n// Reached: old\n// Reached: old\nend")
    assert lines.split("\n")[1:] == [
        "// Reached: 250.0 TFLOP/s on A100, 0.60 of cuBLAS float16.",
        "// Reached: 412.3 TFLOP/s on H100, 0.60 of cuBLAS float16.",
        "end",
    ]
    assert ladder.stated_figures(ladder.VERSIONS["naive"]) == ["// Reached: not measured."]


def test_readme_has_the_ladder_as_it_is() -> None:
    text = (ladder.HERE / "README.md").read_text()
    assert ladder.with_rows(text) == text, "run `python bench/lab/run.py --write`"
    assert all(ladder.table_row(version) in text for version in LADDER)


@by_name
def test_source_works_its_bound_out(version: Version) -> None:
    """The clocks of port and arithmetic stand in the header as the model has them."""
    header = version.source.read_text().split("#include")[0]
    for machine in MACHINES:
        clocks = ladder.clocks(version, machine)
        unit = "FP32 lanes" if version.dtype == "float32" else "tensor cores"
        for clock in (clocks["memory port"], clocks[unit]):
            assert f" {clock:.0f}" in header, (machine.name, clock)


def test_peaks_are_those_of_the_data_sheets() -> None:
    assert A100.peak("bfloat16") == pytest.approx(312, rel=0.01)
    assert A100.peak("float32") == pytest.approx(19.5, rel=0.01)
    assert H200.peak("bfloat16") == pytest.approx(989, rel=0.01)


def test_bounds_by_hand() -> None:
    """Small shapes fill one multiprocessor; a long thin product is bound by memory."""
    naive = ladder.VERSIONS["naive"]
    alone = ladder.bound(naive, A100, 8, 32, 1000)
    assert alone.limit == "memory port"
    assert alone.tflops == pytest.approx(2 * 8 * 32 * 1.41e9 / 16 / 1e12)
    full = ladder.bound(naive, A100, 8, 32 * 108, 1000)
    assert full.tflops == pytest.approx(108 * alone.tflops)
    multi_stage = ladder.VERSIONS["multi_stage"]
    thin = ladder.bound(replace(multi_stage, columns=10**6), H200, 128, 10**6, 32)
    assert thin.limit == "memory"
    assert thin.tflops == pytest.approx(4.8 * 128 * 32 / (128 + 32), rel=1e-3)


def test_wrong_results_are_seen() -> None:
    """One product of k left out, one element not written, one row too few."""
    operands = Operands.make("float32", 20, 30, 100)
    a, b = operands.a[:, :100], operands.b[:, :30]
    y = a @ b
    assert operands.error(y) <= 1
    assert operands.error(a[:, :99] @ b[:99]) > 1
    for wrong in (np.nan, 0):
        spoiled = y.copy()
        spoiled[19, 29] = wrong
        assert operands.error(spoiled) > 1
