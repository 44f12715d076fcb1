"""op_db's samples of the operations on images and text; see op_samples.py.

Of operations with hundreds of samples, every so many-th is taken.
"""

from __future__ import annotations

from typing import Any

import pytest

import gpugrad.nn.functional as F
from parity.op_samples import (
    Operation,
    check_refused,
    check_samples,
    differs,
    functional,
    refusing,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # "same" copies, dropout2d's ranks


def weight_first(name: str) -> Any:
    """Ours, with op_db's order of arguments: it puts the differentiable one first."""
    return lambda weight, index, **options: getattr(F, name)(index, weight, **options)


OPERATIONS = functional(
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
    "embedding",
    "embedding_bag",
    "scaled_dot_product_attention",
    functions={name: weight_first(name) for name in ("embedding", "embedding_bag")},
    except_={
        "batch_norm": differs(
            "PyTorch lets an empty vector pass, without a channel axis",
            lambda sample: sample.input.ndim < 2,
        ),
        "embedding_bag": differs(
            "PyTorch, on a CPU, divides by the counts of other rows: [1, 1, 1, 2] gives row 2 a "
            "third",
            lambda sample: sample.kwargs.get("scale_grad_by_freq", False),
        ),
        "scaled_dot_product_attention": differs(
            "draws are each library's own", lambda sample: sample.kwargs.get("dropout_p", 0) > 0
        ),
    },
    at_most=60,
) + functional("multi_head_attention_forward", fixed={"training": False}, at_most=60)  # no draws


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_samples(operation: Operation) -> None:
    check_samples(operation)


@pytest.mark.parametrize("operation", refusing(OPERATIONS), ids=str)
def test_refused_inputs(operation: Operation) -> None:
    check_refused(operation)
