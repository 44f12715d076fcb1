"""PyTorch's own samples of activations, distances and losses, given to both libraries.

Which random elements are dropped is each library's own, so samples that draw differ; what is drawn
is tested in test_nn_activations.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from parity.op_samples import (
    Operation,
    assert_agree,
    check_refused,
    check_samples,
    differs,
    evaluate,
    excluded,
    functional,
    operations,
    refusing,
    translated,
)

ACTIVATIONS = [
    *("celu", "elu", "gelu", "glu", "hardshrink", "hardswish", "hardtanh", "leaky_relu"),
    *("logsigmoid", "mish", "normalize", "prelu", "relu", "relu6", "selu", "silu", "softmin"),
    *("softplus", "softshrink", "softsign", "tanhshrink", "threshold"),
]
POOLS = ["fractional_max_pool2d", "fractional_max_pool3d"]
RANDOM = ["rrelu", "dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"]
DISTANCES = ["bilinear", "cosine_similarity", "linear", "pairwise_distance", "pdist"]
LOSSES = [
    *("binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss"),
    *("cross_entropy", "ctc_loss", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss"),
    *("kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss"),
    *("multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss"),
    *("smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss"),
    "triplet_margin_with_distance_loss",
]


def drawing(sample: Any) -> bool:
    """Whether the result depends on a draw."""
    options = {"training": True, "p": 0.5, **sample.kwargs}
    if "lower" in sample.kwargs:  # rrelu
        return bool(options["training"])
    return bool(options["training"]) and 0 < options["p"] < 1


OTHER_DRAWS = differs("each library has its own random numbers", drawing)
EVALUATED = ("rrelu", "alpha_dropout")  # not training unless asked to


def drawn_if_asked(sample: Any) -> bool:
    return "training" in sample.kwargs and drawing(sample)


def normalised_ctc(log_probs: gg.Tensor, *args: Any, **options: Any) -> gg.Tensor:
    """PyTorch's gradient of ctc_loss is the one behind log_softmax; ours is of log_probs alone."""
    return F.ctc_loss(F.log_softmax(log_probs, -1), *args, **options)


def with_our_distance(*triplet: gg.Tensor, distance_function: Any, **options: Any) -> gg.Tensor:
    assert isinstance(distance_function, torch.nn.PairwiseDistance)
    return F.triplet_margin_with_distance_loss(
        *triplet, distance_function=nn.PairwiseDistance(), **options
    )


OPERATIONS = [
    *functional(*ACTIVATIONS, *DISTANCES),
    *functional("upsample_nearest", "upsample_bilinear"),
    *functional("hardsigmoid", roundings=2**29),  # PyTorch's derivative is a float32 sixth
    *functional(
        *RANDOM,
        except_={
            **dict.fromkeys(RANDOM, OTHER_DRAWS),
            **dict.fromkeys(EVALUATED, differs(OTHER_DRAWS.reason, drawn_if_asked)),
        },
    ),
    *functional(
        *LOSSES,
        functions={
            "ctc_loss": normalised_ctc,
            "triplet_margin_with_distance_loss": with_our_distance,
        },
    ),
    *operations("softmax", "log_softmax", "sigmoid", "tanh"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's: broadcast targets, dropout2d
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_samples(operation: Operation) -> None:
    check_samples(operation)


@pytest.mark.parametrize("operation", refusing(OPERATIONS), ids=str)
def test_refused_inputs(operation: Operation) -> None:
    check_refused(operation)


def test_few_samples_differ() -> None:
    """Those that draw; less than three in a hundred."""
    different, every = excluded(OPERATIONS)
    assert different <= 0.03 * every, f"{different} of {every} samples"


@pytest.mark.parametrize("operation", functional(*POOLS), ids=str)
def test_fractional_pools(operation: Operation) -> None:
    """Both given the same random samples, which PyTorch's op_db leaves to be drawn."""
    for number, sample in enumerate(operation.every_sample(torch.float64, True)):
        axes = 2 if "2d" in str(operation) else 3
        x = sample.input if sample.input.ndim == axes + 2 else sample.input.unsqueeze(0)
        drawn = torch.rand((*x.shape[:2], axes), dtype=torch.float64)
        sample.kwargs["_random_samples"] = drawn
        inputs = (sample.input, sample.args, sample.kwargs)
        ours = tuple(translated(v) for v in inputs)
        expected = evaluate(torch, operation.info.op, inputs, lambda y: y)
        got = evaluate(gg, operation.ours, ours, lambda y: y)
        assert_agree(got, expected, f"sample {number}: {sample}", operation.roundings)
