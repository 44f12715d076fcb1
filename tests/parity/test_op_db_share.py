"""What op_db has beside what we have: every entry is tried, or its absence has a reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from parity import (
    test_op_db_elementwise,
    test_op_db_functional,
    test_op_db_images,
    test_op_db_linalg,
    test_op_db_reductions,
    test_op_db_shapes,
)
from parity.op_samples import Operation, check_samples, entries, excluded, operations


def without_formats(name: str) -> Any:
    """The cast; of its memory format, which our casts keep, the samples ask the default."""
    return lambda x, memory_format=None: getattr(x, name)()


CASTS = ("bool", "byte", "char", "short", "int", "long", "half", "bfloat16", "float", "double")
CONVERSIONS = operations(
    *CASTS,
    *("clone", "contiguous", "item"),
    functions={name: without_formats(name) for name in CASTS},
)
LISTS = [
    CONVERSIONS,
    test_op_db_elementwise.OPERATIONS,
    test_op_db_functional.OPERATIONS,
    test_op_db_images.OPERATIONS,
    test_op_db_linalg.OPERATIONS,
    test_op_db_reductions.OPERATIONS,
    test_op_db_shapes.OPERATIONS,
    test_op_db_shapes.OPEN,
]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's, in samples

ABSENT = {
    r"_\w+|torch\.ops\..*|native_\w+|max_pool2d_with_indices_backward|grid_sampler_\dd": "internal",
    r"\w+_copy|unsafe_\w+|alias_copy|nonzero_static|empty_permuted|resize_\w*|slice": "compilers",
    r"jiterator_\w+": "compiles CUDA while it runs",
    r"(fft|signal)\..*|stft|istft": "spectra",
    r"complex|polar|cfloat|cdouble|chalf|view_as_complex|angle|conj\w*|resolve_\w+|real": "complex",
    r"sparse\..*|to_sparse|masked\..*|hash_tensor": "sparse and masked tensors",
    r"special\..*|\w*gamma|igammac|i0|nextafter|frexp": "no kernel",
    r"linalg\.(eig|eigvals|householder_product|ldl_\w+)|geqrf|ormqr": "see test_op_db_linalg",
    r"(svd|pca)_lowrank": "random",
    r"bernoulli|normal|uniform|rand\w*|nn\.functional\.fractional_max_pool.d": "random draws",
    r"nn\.functional\.linear_cross_entropy": "ours has another signature, from before PyTorch's",
    r"to|zero_": "samples of devices, memory formats and leaves of PyTorch",
    r"gradient|histogramdd|fill": "not written",
}


@pytest.mark.parametrize("operation", CONVERSIONS, ids=str)
def test_conversions(operation: Operation) -> None:
    check_samples(operation)


def test_every_entry_is_tried_or_absent_for_a_reason() -> None:
    tried = {operation.info.name for listed in LISTS for operation in listed}
    absent = [re.compile(pattern) for pattern in ABSENT]
    every = {
        name
        for name, infos in entries().items()
        if any(torch.float64 in info.dtypes for info in infos)
    }
    left = {name for name in every - tried if not any(p.fullmatch(name) for p in absent)}
    assert not left
    unused = [p.pattern for p in absent if not any(p.fullmatch(n) for n in every - tried)]
    assert not unused


def test_the_share_of_differences() -> None:
    """At least 97 of 100 samples are held to PyTorch's answer; most lists leave none out."""
    counts = [excluded(listed) for listed in LISTS]
    different, total = (sum(column) for column in zip(*counts, strict=True))
    assert total > 9000
    assert different <= 0.03 * total, f"{different} of {total} samples differ on purpose"
