"""PyTorch's own samples (op_db) of what moves, picks, places, orders and makes elements."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gpugrad as gg
from parity.op_samples import (
    Operation,
    assert_agree,
    check_refused,
    check_samples,
    differs,
    operations,
    refusing,
    translated,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's own, of its samples

VIEWS = """
H T mH mT as_strided as_strided_scatter atleast_1d atleast_2d atleast_3d broadcast_shapes
broadcast_tensors broadcast_to diag diag_embed diagflat diagonal diagonal_scatter expand expand_as
flatten movedim permute ravel reshape reshape_as select select_scatter slice_scatter squeeze t
transpose unflatten unfold unsqueeze view view_as
"""
JOINS = """
block_diag cartesian_prod cat chunk column_stack combinations constant_pad_nd dsplit dstack flip
fliplr flipud hsplit hstack meshgrid repeat repeat_interleave roll rot90 split split_with_sizes
stack tensor_split tile tril triu unbind vsplit vstack
"""
PICKS = """
__getitem__ argwhere gather index_add index_copy index_fill index_put index_reduce index_select
masked_scatter masked_select narrow narrow_copy nonzero nn.functional.one_hot put scatter
scatter_add scatter_reduce take take_along_dim unravel_index
"""
ORDER = """
argsort bincount bucketize histc histogram kthvalue msort searchsorted sort topk unique
unique_consecutive
"""
CREATION = """
arange eye full full_like linspace logspace new_full new_ones new_zeros ones ones_like
scalar_tensor tril_indices triu_indices zeros zeros_like
"""


FUNCTIONS = {name: (lambda x, name=name: getattr(x, name)) for name in ("H", "T", "mH", "mT")}

DIFFERENCES: dict[str, Any] = {
    "as_strided-partial_views": differs(
        "the samples are copied to us, so the memory around a view is not there (test_strided.py)",
        lambda sample: sample.input.storage_offset() or "storage_offset" in sample.kwargs,
    ),
    "as_strided_scatter": differs(
        "PyTorch's gradient of input is that of the overwritten elements, not of the others",
        lambda sample: sample.input.requires_grad,
    ),
}
OPERATIONS = operations(
    *f"{VIEWS} {JOINS} {PICKS} {ORDER} {CREATION}".split(), except_=DIFFERENCES, functions=FUNCTIONS
)
DRAWS = ("cauchy", "exponential", "geometric", "log_normal")
OPEN = operations(
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "multinomial",
    *DRAWS,
    functions={name: getattr(gg.Tensor, name + "_") for name in DRAWS},
)
"""What PyTorch promises no values of."""

UNORDERED = ("topk", "kthvalue", "sort", "argsort")
"""Integers have equals, and the samples ask for their indices too: test_order.py."""


def of_dtype(dtype: torch.dtype, *without: str) -> list[Operation]:
    return [op for op in OPERATIONS if dtype in op.info.dtypes and op.info.name not in without]


@pytest.mark.parametrize("operation", of_dtype(torch.float64), ids=str)
def test_samples(operation: Operation) -> None:
    check_samples(operation)


@pytest.mark.parametrize("operation", of_dtype(torch.float32), ids=str)
def test_samples_in_float32(operation: Operation) -> None:
    check_samples(operation, torch.float32)


@pytest.mark.parametrize("operation", of_dtype(torch.int64, *UNORDERED), ids=str)
def test_samples_of_integers(operation: Operation) -> None:
    check_samples(operation, torch.int64)


@pytest.mark.parametrize("operation", of_dtype(torch.bool, *UNORDERED), ids=str)
def test_samples_of_bools(operation: Operation) -> None:
    check_samples(operation, torch.bool)


@pytest.mark.parametrize("operation", OPEN, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64], ids=str)
def test_shapes_and_dtypes_of_open_values(operation: Operation, dtype: torch.dtype) -> None:
    if dtype not in operation.info.dtypes:
        return
    for sample in operation.samples(dtype, False):
        given = translated((sample.input, sample.args, sample.kwargs))
        theirs = operation.info.op(sample.input, *sample.args, **sample.kwargs)
        ours = operation.ours(given[0], *given[1], **given[2])
        assert ours.shape == tuple(theirs.shape) and ours.dtype.name == str(theirs.dtype)[6:]
        if "strided" in operation.info.name and ours.numel():
            assert ours.stride() == theirs.stride()


@pytest.mark.parametrize("operation", refusing([*OPERATIONS, *OPEN]), ids=str)
def test_refused_inputs(operation: Operation) -> None:
    check_refused(operation)


IN_PLACE = [op for op in of_dtype(torch.float64) if op.info.inplace_variant is not None]


@pytest.mark.parametrize("operation", IN_PLACE, ids=str)
def test_in_place_forms(operation: Operation) -> None:
    """They write what PyTorch's write, and refuse what it refuses."""
    theirs = operation.info.inplace_variant
    ours = getattr(gg.Tensor, theirs.__name__)
    for sample in operation.samples(torch.float64, False):
        x, args, options = translated((sample.input, sample.args, sample.kwargs))
        try:
            expected = theirs(sample.input.clone(), *sample.args, **sample.kwargs)
        except RuntimeError:
            with pytest.raises(gg.errors.GpugradError):
                ours(x, *args, **options)
            continue
        y = ours(x, *args, **options)
        assert y is x
        assert_agree([y.numpy()], [expected.numpy()], str(sample), operation.roundings)
