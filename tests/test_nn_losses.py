"""Losses of margins, pairs, alignments: closed forms, limits, weights, mistakes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import (
    ArgumentError,
    DeviceError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
)
from gpugrad.nn import margin_loss_functions


def test_ctc_sums_over_all_alignments() -> None:
    """Against the sum over all 3^5 paths that collapse to the target."""
    rng = np.random.default_rng(0)
    steps, classes, target = 5, 3, [1, 2]
    p = rng.random((steps, classes))
    p /= p.sum(1, keepdims=True)
    total = 0.0
    for path in itertools.product(range(classes), repeat=steps):
        runs = [c for c, _ in itertools.groupby(path)]
        if [c for c in runs if c != 0] == target:
            total += math.prod(p[t, c] for t, c in enumerate(path))
    loss = F.ctc_loss(gg.tensor(np.log(p)), gg.tensor(target), [steps], [2], reduction="none")
    assert loss.shape == () and loss.item() == pytest.approx(-math.log(total), rel=1e-12)


def test_ctc_gradient_is_true_and_differentiable_again() -> None:
    x = gg.tensor(np.random.default_rng(1).standard_normal((5, 2, 3)), requires_grad=True)

    def loss(x: gg.Tensor) -> gg.Tensor:
        return F.ctc_loss(x, gg.tensor([[1, 1], [2, 0]]), [5, 4], [2, 1], reduction="sum")

    assert gg.autograd.gradcheck(loss, x)
    assert gg.autograd.gradgradcheck(loss, x)


def test_ctc_of_what_no_alignment_spells() -> None:
    x = gg.zeros(2, 1, 3, dtype=gg.float64, requires_grad=True)
    for zero_infinity, expected in ((False, math.inf), (True, 0.0)):
        loss = F.ctc_loss(  # 1 1 needs three steps: a blank between
            x, gg.tensor([[1, 1]]), [2], [2], reduction="sum", zero_infinity=zero_infinity
        )
        assert loss.item() == expected
        (dx,) = gg.autograd.grad(loss, x)
        assert (dx == 0).all()


def test_ctc_takes_certain_and_impossible_classes() -> None:
    """log 0 among the probabilities."""
    x = gg.tensor([[0.0, -math.inf], [-math.inf, 0.0]], dtype=gg.float64, requires_grad=True)
    loss = F.ctc_loss(x, gg.tensor([1]), [2], [1], reduction="none")
    assert loss.item() == 0.0
    loss.backward()
    assert x.grad.tolist() == [[-1.0, 0.0], [0.0, -1.0]]
    first = np.log([[0.0, 0, 1], *[[0.2, 0.5, 0.3]] * 4], where=[[0, 0, 1], *[[1] * 3] * 4],
                   out=np.full((5, 3), -np.inf))  # fmt: skip
    y = gg.tensor(first, requires_grad=True)
    F.ctc_loss(y, gg.tensor([2, 1, 1]), [5], [3]).backward()
    assert y.grad.isfinite().all() and y.grad[0].tolist() == [0.0, 0.0, pytest.approx(-1 / 3)]
    half = F.ctc_loss(x.detach().half(), gg.tensor([1]), gg.tensor([2]), gg.tensor([1]))
    assert half.dtype == gg.float16 and half.item() == 0.0


def test_adaptive_softmax() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], div_value=2.0)
    x = gg.randn(20, 8)
    log_p = layer.log_prob(x)
    np.testing.assert_allclose(log_p.exp().sum(1).detach().numpy(), 1, rtol=1e-5)
    t = gg.arange(20) % 12
    output, loss = layer(x, t)
    expected = log_p.gather(1, t.unsqueeze(1)).squeeze(1)
    np.testing.assert_allclose(output.detach().numpy(), expected.detach().numpy(), rtol=1e-5)
    assert loss.item() == pytest.approx(-expected.mean().item(), rel=1e-6)
    assert gg.equal(layer.predict(x), log_p.argmax(1))
    assert layer.predict(x[:0]).shape == (0,)
    loss.backward()
    assert all(p.grad is not None for p in layer.parameters())
    before = layer.head.weight.detach().clone()
    layer.reset_parameters()
    assert not gg.equal(before, layer.head.weight)
    assert "cutoffs=[3, 6], div_value=2.0" in repr(layer)


def test_weights() -> None:
    x, t = gg.tensor([1.0, 2.0]), gg.tensor([0.0, 4.0])
    w = gg.tensor([3.0, 1.0])
    assert F.mse_loss(x, t, weight=w).item() == (3 * 1 + 4) / 4
    assert F.l1_loss(x, t, weight=w, reduction="sum").item() == 5
    assert F.huber_loss(x, t, weight=w, reduction="none").tolist() == [1.5, 1.5]
    rows = gg.tensor([[0.0, 1.0, -2.0]])
    loss = F.multi_margin_loss(rows, gg.tensor([0]), weight=gg.tensor([2.0, 1.0, 1.0]))
    assert loss.item() == pytest.approx(2 * 2 / 3)


def test_multilabel_margin_ends_at_the_first_minus_one() -> None:
    x = gg.tensor([0.1, 0.2, 0.4, 0.8])
    y = gg.tensor([3, 0, -1, 1])  # PyTorch's example: labels 3 and 0
    terms = [1 - (0.1 - 0.2), 1 - (0.1 - 0.4), 1 - (0.8 - 0.2), 1 - (0.8 - 0.4)]
    assert F.multilabel_margin_loss(x, y).item() == pytest.approx(sum(terms) / 4, rel=1e-6)
    assert F.multilabel_margin_loss(x, gg.tensor([-1, 0, 0, 0])).item() == 0


def test_multilabel_margin_takes_memory_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of label columns taken at a time, value and gradient are those of the
    sum over all pairs; and the largest array is one of [N, columns, C]."""
    n, c = 3, 6
    rng = np.random.default_rng(0)
    scores, labels = 2 * rng.standard_normal((n, c)), np.full((n, c), -1)
    labels[0], labels[1, :2] = np.arange(c)[::-1], [4, 4]
    labels[2, :3] = [0, 5, 2]
    want, slope = 0.0, np.zeros((n, c))
    for row, mine in enumerate(labels):
        mine = [t for t in mine if t >= 0]
        for t, other in itertools.product(mine, set(range(c)) - set(mine)):
            gap = 1 - scores[row, t] + scores[row, other]
            want += max(0, gap) / c
            slope[row, other] += (gap > 0) / c
            slope[row, t] -= (gap > 0) / c
    largest = 0
    relu = gg.Tensor.relu

    def noted(x: gg.Tensor) -> gg.Tensor:
        nonlocal largest
        largest = max(largest, x.numel())
        return relu(x)

    monkeypatch.setattr(gg.Tensor, "relu", noted)
    for held, most in [(1, n * c), (2 * n * c, 2 * n * c), (1 << 20, n * c * c)]:
        monkeypatch.setattr(margin_loss_functions, "GAPS", held)
        x, largest = gg.tensor(scores, requires_grad=True), 0
        loss = F.multilabel_margin_loss(x, gg.tensor(labels), reduction="sum")
        loss.backward()
        assert loss.item() == pytest.approx(want, rel=1e-12) and largest == most
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-12)


def test_gaussian_nll_of_an_infinite_variance() -> None:
    var = gg.tensor([math.inf, 0.0, 4.0], dtype="float64", requires_grad=True)
    loss = F.gaussian_nll_loss(gg.ones(3).double(), gg.zeros(3).double(), var, reduction="none")
    want = [math.inf, (math.log(1e-6) + 1e6) / 2, (math.log(4) + 1 / 4) / 2]
    assert loss.tolist() == pytest.approx(want, rel=1e-12)
    loss.sum().backward()  # (1 / v - d^2 / v^2) / 2, also below eps
    assert var.grad.tolist() == pytest.approx([0.0, (1e6 - 1e12) / 2, (1 / 4 - 1 / 16) / 2])


def test_large_scores_do_not_overflow() -> None:
    x = gg.tensor([1e4, -1e4], requires_grad=True)
    loss = F.soft_margin_loss(x, gg.tensor([-1.0, 1.0]), reduction="sum")
    assert loss.item() == 2e4
    loss.backward()
    assert x.grad.tolist() == [1.0, -1.0]


def test_modules_and_functions_agree() -> None:
    a, b, c = (gg.randn(4, 6, dtype=gg.float64) for _ in range(3))
    signs, classes = gg.tensor([1, -1, 1, 1]), gg.tensor([0, 5, 2, 1])
    pairs: list[tuple[nn.Module, tuple, Callable[..., gg.Tensor], dict[str, Any]]] = [
        (nn.HingeEmbeddingLoss(0.5), (a, b.sign()), F.hinge_embedding_loss, {"margin": 0.5}),
        (nn.MultiMarginLoss(2), (a, classes), F.multi_margin_loss, {"p": 2}),
        (nn.CosineEmbeddingLoss(0.2), (a, b, signs), F.cosine_embedding_loss, {"margin": 0.2}),
        (nn.TripletMarginLoss(swap=True), (a, b, c), F.triplet_margin_loss, {"swap": True}),
        (nn.GaussianNLLLoss(full=True), (a, b, 2.0), F.gaussian_nll_loss, {"full": True}),
        (nn.PoissonNLLLoss(False), (a.abs(), b.abs()), F.poisson_nll_loss, {"log_input": False}),
    ]
    for module, arguments, function, options in pairs:
        assert module(*arguments).item() == function(*arguments, **options).item()


X, T = gg.zeros(2, 3), gg.zeros(2, 3)
C = gg.zeros(2, dtype=gg.int64)
MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.mse_loss(X, T, size_average=False), ArgumentError, "write reduction='sum'"),
    (lambda: F.poisson_nll_loss(X, T, reduce=False), ArgumentError, "write reduction='none'"),
    (lambda: nn.CTCLoss(size_average=True), ArgumentError, r"CTCLoss\(size_average=True\): depr"),
    (lambda: F.cross_entropy(X, C, reduce=True), ArgumentError, "write reduction='mean'"),
    (lambda: F.mse_loss(X, T, weight=gg.ones(3)), ShapeError, r"weight \(3,\) must have the shape"),
    (lambda: F.gaussian_nll_loss(X, T, gg.ones(2, 2)), ShapeError, r"var \(2, 2\) does not fit"),
    (lambda: F.gaussian_nll_loss(X, T, -X - 1), ArgumentError, "holds -1; a variance is at least"),
    (lambda: F.gaussian_nll_loss(X, T, -1.0), ArgumentError, r"var=-1.0"),
    (lambda: F.poisson_nll_loss(X, gg.zeros(2)), ShapeError, r"\(2, 3\), \(2,\) do not broadcast"),
    (lambda: F.hinge_embedding_loss(X, T, reduction="avg"), ArgumentError, "reduction='avg'"),
    (lambda: F.margin_ranking_loss(X, X, gg.zeros(3)), ShapeError, "all need as many axes"),
    (lambda: F.soft_margin_loss(X, 1.0), DTypeError, r"soft_margin_loss\(target\): expected a T"),
    (lambda: F.multi_margin_loss(X, gg.zeros(2)), DTypeError, "target holds classes, int64"),
    (lambda: F.multi_margin_loss(X, C, p=3), ArgumentError, r"p=3"),
    (lambda: F.multi_margin_loss(X, C[:1]), ShapeError, r"target must be \[2\] for input"),
    (lambda: F.multi_margin_loss(X, C + 3), IndexOutOfRangeError, "3"),
    (lambda: F.multi_margin_loss(X, C - 1), IndexOutOfRangeError, "-1"),
    (lambda: F.multi_margin_loss(X, C, weight=gg.ones(2)), ShapeError, r"weight must be \[3\]"),
    (lambda: F.multi_margin_loss(gg.zeros(2, 0), C), ShapeError, "C > 0"),
    (lambda: F.multi_margin_loss(X, C.to("sim")), DeviceError, "multi_margin_loss"),
    (lambda: nn.MultiMarginLoss(3), ArgumentError, r"MultiMarginLoss\(p=3\)"),
    (lambda: F.multilabel_margin_loss(X, C), ShapeError, "must have input's shape"),
    (lambda: F.multilabel_margin_loss(X, C[:, None].expand(2, 3) + 3), IndexOutOfRangeError, "3"),
    (lambda: F.multilabel_soft_margin_loss(X, T[:1]), ShapeError, "shapes differ"),
    (lambda: F.triplet_margin_loss(X, X, X, margin=0), ArgumentError, r"margin=0"),
    (lambda: F.triplet_margin_loss(X, X, X[0]), ShapeError, r"negative \(3,\)"),
    (lambda: nn.TripletMarginLoss(-1), ArgumentError, r"TripletMarginLoss\(margin=-1\)"),
    (lambda: F.cosine_embedding_loss(X, X, X), ShapeError, r"inputs \(N, D\) with target \(N\)"),
    (lambda: F.ctc_loss(X, C, [2], [2], blank=3), ArgumentError, "none of the 3 classes"),
    (lambda: F.ctc_loss(X, C, [3], [2]), ArgumentError, r"input_lengths reach 3"),
    (lambda: F.ctc_loss(X, C, [2], [1]), ShapeError, "target_lengths add up to 1"),
    (lambda: F.ctc_loss(X, C[None], [2], [3]), ShapeError, r"must be \(1, S\) with S at least 3"),
    (lambda: F.ctc_loss(X, C, [2, 2], [2]), ShapeError, r"\(input_lengths\): expected 1 lengths"),
    (lambda: F.ctc_loss(X, C, [2], [-2]), ArgumentError, "a length is negative: -2"),
    (lambda: F.ctc_loss(X, C, [2.5], [2]), DTypeError, "lengths are integers"),
    (lambda: F.ctc_loss(X, C.float(), [2], [2]), DTypeError, "targets are classes, integers"),
    (lambda: F.ctc_loss(X, C + 7, [2], [2]), IndexOutOfRangeError, "7"),
    (lambda: F.ctc_loss(X[0], C, [2], [2]), ShapeError, r"log_probs must be \(T, N, C\)"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 9, []), ArgumentError, "cutoffs are integers that"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 9, [3, 9]), ArgumentError, r"cutoffs=\[3, 9\]"),
    (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(3, 9, [3])(X, C + 9),
        IndexOutOfRangeError,
        r"targets lie in \[0, 8\]; found were 9 to 9",
    ),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(3, 9, [3])(X, C[:1]), ShapeError, "2 inputs, but 1"),
    (lambda: nn.AdaptiveLogSoftmaxWithLoss(3, 9, [3])(X[0], C), ShapeError, r"input \(N, 3\)"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes(number: int) -> None:
    call, kind, text = MISTAKES[number]
    with pytest.raises(kind, match=text):
        call()
