"""PyTorch's own samples of the operations on images and text (its op_db), given to both libraries.

The samples reach what our cases do not think of: every combination of options that PyTorch tests
itself with, float64, forward and gradients; and the inputs it must refuse. Of operations with
hundreds of samples, every so many-th is taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from running import EPSILON, cotangent

import gpugrad as gg
import gpugrad.nn.functional as F

pytest.importorskip("expecttest", reason="op_db needs expecttest")
with warnings.catch_warnings():  # PyTorch's test utilities warn of their own use of PyTorch
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # "same" copies, dropout2d's ranks

NAMES = [
    *(f"{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3)),
    *(f"{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    *(f"adaptive_{kind}_pool{n}d" for kind in ("max", "avg") for n in (1, 2, 3)),
    *(f"max_unpool{n}d" for n in (1, 2, 3)),
    "pad",
    "channel_shuffle",
    "grid_sample",
    "interpolate",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "rms_norm",
    "interpolate",
    "grid_sample",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
    "embedding",
    "embedding_bag",
    "scaled_dot_product_attention",
    "multi_head_attention_forward",
]
PREFIX = "nn.functional."
INFOS = [op for op in op_db if op.name in [PREFIX + name for name in NAMES]]
AT_MOST = 60  # samples of one operation
LONGEST = 1024  # products in one sum of the largest sample: its roundings, both ways


def title(op: Any) -> str:
    return "-".join(filter(None, (op.name.removeprefix(PREFIX), op.variant_test_name)))


def samples(op: Any) -> Iterator[Any]:
    every = list(op.sample_inputs("cpu", torch.float64, requires_grad=True))
    if (
        op.name == PREFIX + "batch_norm"
    ):  # PyTorch lets an empty vector pass, without a channel axis
        every = [sample for sample in every if sample.input.ndim > 1]
    every = [sample for sample in every if not unequal(sample)]
    if op.name == PREFIX + "multi_head_attention_forward":  # with dropout of 0.5
        for sample in every:
            sample.kwargs["training"] = False
    yield from every[:: -(-len(every) // AT_MOST)]


def unequal(sample: Any) -> bool:
    """Draws are each library's own; and PyTorch's bags, on a CPU, divide by the counts of other
    rows where scale_grad_by_freq is asked for: [1, 1, 1, 2] gives row 2 a third."""
    bag = "offsets" in sample.kwargs or "mode" in sample.kwargs
    if sample.kwargs.get("dropout_p", 0) > 0:
        return True
    return bag and sample.kwargs.get("scale_grad_by_freq", False)


def function_of(op: Any) -> Any:
    """Ours, with op_db's order of arguments: it puts the differentiable one first."""
    name = op.name.removeprefix(PREFIX)
    function = getattr(F, name)
    if name.startswith("embedding"):
        return lambda weight, index, **options: function(index, weight, **options)
    return function


def ours(value: Any) -> Any:
    """PyTorch's tensors in arguments as ours, copied: running statistics change in place."""
    if isinstance(value, torch.Tensor):
        return gg.from_numpy(value.detach().numpy()).clone().requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(ours(v) for v in value)
    return value


def leaves(arguments: Any, library: Any) -> list[Any]:
    return [x for x in arguments if isinstance(x, library.Tensor) and x.requires_grad]


def call(library: Any, function: Any, arguments: list[Any], options: dict[str, Any]) -> list[Any]:
    """The results and the gradients of the first of them, as NumPy arrays."""
    result = function(*arguments, **options)
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    found = [y.detach().numpy() for y in results]
    inputs = leaves([*arguments, *options.values()], library)
    if results[0].requires_grad:
        dy = library.tensor(cotangent(tuple(results[0].shape)))
        grads = library.autograd.grad(results[0], inputs, dy, allow_unused=True)
        zeros = (np.zeros(tuple(x.shape)) for x in inputs)
        pairs = zip(grads, zeros, strict=True)
        found += [zero if g is None else g.detach().numpy() for g, zero in pairs]
    return found


@pytest.mark.parametrize("op", INFOS, ids=title)
def test_samples(op: Any) -> None:
    function = function_of(op)
    for number, sample in enumerate(samples(op)):
        arguments = [sample.input, *sample.args]
        options = {name: ours(value) for name, value in sample.kwargs.items()}
        got = call(gg, function, ours(arguments), options)
        theirs = call(torch, op.op, arguments, sample.kwargs)
        assert len(got) == len(theirs)
        for i, (a, b) in enumerate(zip(got, theirs, strict=True)):
            what = f"sample {number}, result {i}: {sample}"
            assert a.shape == b.shape, f"{what}: {a.shape}, PyTorch {b.shape}"
            assert a.dtype == b.dtype, f"{what}: {a.dtype}, PyTorch {b.dtype}"
            limit = LONGEST * EPSILON["float64"] * max(1.0, float(np.max(np.abs(b), initial=0)))
            np.testing.assert_allclose(a, b, rtol=0, atol=limit, err_msg=what)


@pytest.mark.parametrize("op", [op for op in INFOS if op.error_inputs_func], ids=title)
def test_refused_inputs(op: Any) -> None:
    """What op_db says must raise, raises one of our errors."""
    function = function_of(op)
    for wrong in op.error_inputs("cpu"):
        sample = wrong.sample_input
        options = {name: ours(value) for name, value in sample.kwargs.items()}
        with pytest.raises(gg.errors.GpugradError):
            function(ours(sample.input), *ours(list(sample.args)), **options)
