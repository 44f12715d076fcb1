"""The cases of nn: the activations, distances and losses beyond the most used ones.

Imported at the end of cases.py, whose list they join.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import BIG, call, case, family, functional
from inputs import Sample, away, distinct, integers, normal, positive, together

# ---- activations -------------------------------------------------------------------------------

family("activations")
Generator = Callable[..., list[Sample]]


def activation(name: str, inputs: Generator, *options: Any, **more: Any) -> None:
    case(name, functional(name, *options), inputs((3, 5), (), (2, 0), (67,)), **more)


activation("celu", away(0), 0.5, rtol=64)  # PyTorch's own derivative takes 1 / alpha in float32
activation("selu", away(0), rtol=64)
activation("hardswish", away(-3, 3, scale=4), bench=normal(BIG))
activation("softsign", away(0), rtol=64)
activation("tanhshrink", normal, rtol=64)
activation("threshold", away(0.5), 0.5, -2.0)
activation("hardshrink", away(-0.5, 0.5))
activation("softshrink", away(-0.5, 0.5))
case("glu", functional("glu"), normal((3, 6), (2, 0), (4,)), rtol=64)
case("glu_dim", functional("glu", 1), normal((2, 6, 3), (1, 2, 5)), rtol=64)
SLOPES = ([(2, 3, 4), (3,)], [(3, 5), (1,)], [(67,), ()], [(0, 3), (3,)])
case("prelu", functional("prelu"), away(0)(*SLOPES))
case("rrelu_mean", functional("rrelu", 0.1, 0.3), away(0)((3, 5), ()))
case("softmin", functional("softmin", -1), normal((4, 7), (2, 0, 5)), rtol=64)
case("normalize", functional("normalize", dim=-1), away(0)((3, 5), (2, 67)), rtol=64)

# ---- two vectors in one number -----------------------------------------------------------------

family("distances")
PAIRS = ([(3, 5), (3, 5)], [(2, 1, 7), (4, 7)], [(0, 5), (0, 5)])
case("cosine_similarity", functional("cosine_similarity", dim=-1), normal(*PAIRS), rtol=64)
case("pairwise_distance", functional("pairwise_distance"), normal(*PAIRS), rtol=64)
case("pairwise_distance_1", functional("pairwise_distance", p=1.0), normal(*PAIRS), rtol=64)
case("cdist", call("cdist"), normal([(3, 4), (5, 4)], [(2, 3, 4), (5, 4)]), rtol=64)
case("cdist_1", call("cdist", 1.0), normal([(3, 4), (5, 4)]), rtol=64)
case("pdist", functional("pdist"), normal((4, 3), (2, 5), (1, 3)), rtol=64)
BILINEAR = ([(3, 4), (3, 2), (5, 4, 2), (5,)], [(2, 3, 4), (2, 3, 2), (1, 4, 2), (1,)])
case("bilinear", functional("bilinear"), normal(*BILINEAR), rtol=128)

# ---- losses ------------------------------------------------------------------------------------

family("softmax and losses")


def loss(label: str, inputs: list[Sample], name: str = "", **options: Any) -> None:
    case(label, functional(name or label, **options), inputs, rtol=64)


def signs(*shapes: Any) -> list[Sample]:
    """1 or -1, integers: not differentiated."""
    return [tuple(2 * x - 1 for x in sample) for sample in integers(0, 2)(*shapes)]


def constant(*samples: np.ndarray) -> list[Sample]:
    """Arguments that are given."""
    return [(sample,) for sample in samples]


BATCH = ((4, 7), (3, 5))
COUNTS = integers(0, 9)(*BATCH)
case(
    "poisson_nll_loss",
    lambda t, f, x, n: f.poisson_nll_loss(x, n.to(x.dtype), full=True),
    together(normal(*BATCH), COUNTS),
    rtol=64,
)
loss("poisson_nll_rates", together(positive(*BATCH), COUNTS), "poisson_nll_loss", log_input=False)
loss("gaussian_nll_loss", together(normal([(3, 4), (3, 4)]), positive((3, 4))), full=True)
APART = away(0, 1)(*BATCH)
loss("hinge_embedding_loss", together(APART, signs(*BATCH)))
loss("margin_ranking_loss", together(normal([(5,), (5,)]), signs((5,))), margin=0.5)
loss("soft_margin_loss", together(normal(*BATCH), signs(*BATCH)))
# Differences are multiples of 0.225, so none is near the margin 1.
SCORES = [(0.9 * x,) for (x,) in distinct(*BATCH)]
CLASSES = constant(np.array([0, 6, 2, 2]), np.array([4, 0, 1]))
loss("multi_margin_loss", together(SCORES, CLASSES))
loss("multi_margin_loss_2", together(SCORES, CLASSES), "multi_margin_loss", p=2)
LABELS = constant(np.array([[2, 5, -1, 0, 0, 0, 0]] * 4), np.array([[4, 0, 1, 3, 2]] * 3))
loss("multilabel_margin_loss", together(SCORES, LABELS))
loss(
    "multilabel_soft_margin_loss",
    together(normal(*BATCH), integers(0, 2)(*BATCH)),
)
loss("triplet_margin_loss", normal([(4, 7)] * 3, [(5,)] * 3))
loss("triplet_margin_swap", normal([(4, 7)] * 3), "triplet_margin_loss", swap=True, p=3.0)
loss(
    "cosine_embedding_loss",
    together(normal([(4, 7), (4, 7)]), constant(np.array([1, -1, -1, 1]))),
    margin=-0.9,
)
STEPS = together(normal((7, 2, 4)), constant(np.array([[1, 1, 3], [2, 3, 0]])))
case(
    "ctc_loss",  # of logits: PyTorch's derivative is the one behind log_softmax
    lambda t, f, x, targets: f.ctc_loss(
        f.log_softmax(x, -1), targets, (7, 5), (3, 2), reduction="none"
    ),
    STEPS,
    rtol=1024,
)
case(
    "bce_pos_weight",
    lambda t, f, x, target: f.binary_cross_entropy_with_logits(
        x, target.to(x.dtype), pos_weight=t.full((4,), 2.5, dtype=x.dtype, device=x.device)
    ),
    together(normal((3, 4)), integers(0, 2)((3, 4))),
    rtol=64,
)
WEIGHED = together(normal([(3, 4), (3, 4)]), positive((3, 4)))
case(
    "mse_loss_weighted",
    lambda t, f, x, target, w: f.mse_loss(x, target, weight=w),
    WEIGHED,
    rtol=64,
)
loss("huber_loss_delta", normal([(3, 4), (3, 4)]), "huber_loss", delta=0.3)
loss("smooth_l1_loss_beta", normal([(3, 4), (3, 4)]), "smooth_l1_loss", beta=0.3)
