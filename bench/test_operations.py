"""Forward of every case that names benchmark inputs; floats in float32."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import rehearsal
from duel import NOT_COUNTED
from rivals import array_library, torch_module, torch_tensor

import gpugrad as gg

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from cases import CASES, Case

RUNS = [
    pytest.param(
        case, sample, id="-".join([case.name, *("x".join(map(str, x.shape)) for x in sample)])
    )
    for case in CASES
    for sample in case.bench
]


@pytest.mark.parametrize(("case", "sample"), RUNS)
def test_operation(compare, device: str, case: Case, sample: tuple[np.ndarray, ...]) -> None:
    if rehearsal.ON:
        sample = case.inputs[0]
    arrays = [np.asarray(x, np.float32) if x.dtype.kind == "f" else x for x in sample]
    tensors = [gg.tensor(x, device=device) for x in arrays]
    rivals = {}
    if (torch := torch_module()) is not None:
        theirs = [torch_tensor(x, device) for x in arrays]
        rivals["PyTorch"] = lambda: case.theirs(torch, *theirs)
    if case.name == "matmul":
        name, library = array_library(device)
        copies = [library.asarray(x) for x in arrays]
        rivals[name] = lambda: library.matmul(*copies)
    compare(lambda: case.ours(*tensors), rivals, NOT_COUNTED, "device")
