"""Runs steps of the matmul ladder, and prints prediction beside fact.

    python bench/lab/run.py tensor_core             # in the simulator, 128 x 128 x 128
    python bench/lab/run.py --all --shape 100 70 50 # every step; m n k
    python bench/lab/run.py --all --device cuda     # 4096 cubed beside cuBLAS; bench/results
    python bench/lab/run.py --table                 # the ladder: bounds and figures
    python bench/lab/run.py --write                 # writes both into headers and README

In the simulator: the result against NumPy in float64, and sectors and wavefronts as predicted and
as counted. On a GPU: the result, time and TFLOP/s in turns with cuBLAS. README.md is the lesson.
"""

from __future__ import annotations

import argparse
import sys

import gpu
import simulate
from ladder import (
    HERE,
    LADDER,
    SIZE,
    VERSIONS,
    Version,
    bound,
    intensity,
    measured,
    predicted_counts,
    with_lines,
    with_rows,
)
from machines import MACHINES
from operands import Operands

Shape = tuple[int, int, int]


def print_bounds(version: Version, shape: Shape) -> None:
    l2, port = intensity(version)
    print(f"  {l2:.1f} FLOP for each byte of L2, {port:.1f} for each of the memory port")
    print(f"  estimates for {' x '.join(map(str, shape))}:")
    for machine in MACHINES:
        found = bound(version, machine, *shape)
        share = found.tflops / machine.peak(version.dtype)
        print(
            f"    at most {found.tflops:6.1f} TFLOP/s on {machine.name}, {share:4.0%} of its "
            f"{version.dtype} peak: {found.limit}"
        )
    for name, figures in measured().items():
        if version.name in figures:
            print(f"  measured {figures[version.name]['tflops']:.1f} TFLOP/s on {name}")


def run_in_simulator(version: Version, shape: Shape, schedule: dict[str, str]) -> bool:
    """Prints what was found; is the result right?"""
    operands = Operands.make(version.dtype, *shape)
    y, _ = simulate.run(version, operands, schedule=schedule)
    error = operands.error(y)
    print(f"  {'right' if error <= 1 else 'WRONG'}: largest error {error:.2g} of the allowed one")
    counted, conflicts = simulate.count(version, operands)
    print(f"  {'':24} {'predicted':>12} {'counted':>12}   (predicted: for whole tiles)")
    for name, number in predicted_counts(version, *shape).items():
        print(f"  {name:24} {number:12} {counted[name]:12}")
    print(f"  shared memory takes {conflicts:.1f} wavefronts for each one that would do")
    return error <= 1


def run_on_gpu(version: Version, shape: Shape, figures: dict) -> bool:
    operands = Operands.make(version.dtype, *shape)
    try:
        found = figures[version.name] = gpu.measure(version, operands)
    except RuntimeError as error:
        print(f"  {error}")
        return False
    print(
        f"  {found['ms']:.3f} ms, {found['tflops']:.1f} TFLOP/s, {found['ratio']:.2f} of "
        f"{found['rival']} ({found['rival_tflops']:.1f}); error {found['error']:.2g} of the allowed"
    )
    return True


def print_table() -> None:
    """One line for each step: bounds at SIZE, and figures."""
    print(f"{'':12} " + "".join(f"{m.name + ' at most':>30}" for m in MACHINES) + "  measured")
    for version in LADDER:
        bounds = [bound(version, machine, SIZE, SIZE, SIZE) for machine in MACHINES]
        cells = "".join(f"{f'{b.tflops:.1f} TFLOP/s, {b.limit}':>30}" for b in bounds)
        figures = [
            f"{found[version.name]['tflops']:.1f} TFLOP/s on {name}"
            for name, found in measured().items()
            if version.name in found
        ]
        print(f"{version.name:12} {cells}  {', '.join(figures) or 'not measured'}")


def write_statements() -> None:
    """Bounds and figures into the versions' headers and README's table."""
    for version in LADDER:
        version.source.write_text(with_lines(version, version.source.read_text()))
    readme = HERE / "README.md"
    readme.write_text(with_rows(readme.read_text()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("versions", nargs="*", choices=[*VERSIONS, []], metavar="version")
    parser.add_argument("--all", action="store_true", help="every step")
    parser.add_argument("--device", default="sim", choices=["sim", "cuda"])
    parser.add_argument("--size", type=int, help="m = n = k (sim: 128, cuda: 4096)")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("M", "N", "K"))
    parser.add_argument("--order", default="forward", choices=["forward", "reverse", "random"])
    parser.add_argument("--async-mode", default="eager", choices=["eager", "lazy", "random"])
    parser.add_argument("--table", action="store_true", help="print bounds and figures")
    parser.add_argument("--write", action="store_true", help="write them into sources and README")
    options = parser.parse_args()
    if not (options.versions or options.all or options.table or options.write):
        parser.error(f"name a version ({', '.join(VERSIONS)}), or --all, --table or --write")
    return options


def main() -> int:
    options = parse()
    size = options.size or (128 if options.device == "sim" else SIZE)
    shape: Shape = tuple(options.shape or [size] * 3)
    schedule = {"GPUGRAD_SIM_ORDER": options.order, "GPUGRAD_SIM_ASYNC": options.async_mode}
    figures: dict[str, dict[str, float | str]] = {}
    right = True
    for name in list(VERSIONS) if options.all else options.versions:
        version = VERSIONS[name]
        print(f"{name}: {' x '.join(map(str, shape))} (m n k), {version.dtype}, {options.device}")
        if options.device == "sim":
            right &= run_in_simulator(version, shape, schedule)
            print_bounds(version, (SIZE, SIZE, SIZE))
        else:
            right &= run_on_gpu(version, shape, figures)
            print_bounds(version, shape)
    if figures and shape == (SIZE, SIZE, SIZE):
        print(f"written: {gpu.write(figures, shape)}")
    if options.write:
        write_statements()
    if options.table:
        print_table()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
