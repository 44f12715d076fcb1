"""Writes reference_values.npz: every case by PyTorch in float64. Needs `pip install .[parity]`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from cases import CASES
from parity.oracle import run_torch


def main() -> None:
    values = {}
    for case in CASES:
        for number, sample in enumerate(case.inputs):
            for i, result in enumerate(run_torch(case, sample, "float64")):
                values[f"{case.name}/{number}/{i}"] = result
    np.savez_compressed(Path(__file__).with_name("reference_values.npz"), **values)


if __name__ == "__main__":
    main()
