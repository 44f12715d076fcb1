"""Activations of pieces, distances and random ones: closed forms, in-place forms, mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, DeviceError, DTypeError, GraphError, ShapeError

X = np.array([-4.0, -3.0, -0.5, 0.0, 0.25, 2.0, 3.0, 5.0])


def leaf(values: Any = X) -> gg.Tensor:
    return gg.tensor(values, dtype=gg.float64, requires_grad=True)


PIECES: list[tuple[Callable[..., gg.Tensor], Any, Any]] = [
    (F.hardsigmoid, np.clip(X + 3, 0, 6) / 6, ((X > -3) & (X < 3)) / 6),
    (
        F.hardswish,
        X * np.clip(X + 3, 0, 6) / 6,
        np.where(X <= -3, 0, np.where(X >= 3, 1, X / 3 + 0.5)),
    ),
    (lambda x: F.celu(x, 2.0), np.where(X > 0, X, 2 * np.expm1(X / 2)),
     np.where(X > 0, 1, np.exp(X / 2))),
    (lambda x: F.threshold(x, 0.25, -7.0), np.where(X > 0.25, X, -7), X > 0.25),
    (F.hardshrink, np.where(np.abs(X) > 0.5, X, 0), np.abs(X) > 0.5),
    (F.softshrink, np.sign(X) * np.maximum(np.abs(X) - 0.5, 0), np.abs(X) > 0.5),
    (lambda x: F.hardtanh(x, -3, 3), np.clip(X, -3, 3), np.abs(X) < 3),
    (lambda x: F.rrelu(x, 0.1, 0.3), np.where(X > 0, X, 0.2 * X), np.where(X > 0, 1, 0.2)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_pieces_and_their_ends(number: int) -> None:
    """Values and derivatives, at the ends of the pieces as PyTorch has them."""
    function, y, slope = PIECES[number]
    x = leaf()
    result = function(x)
    np.testing.assert_allclose(result.detach().numpy(), y, rtol=1e-15, atol=1e-15)
    result.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-15, atol=1e-15)


def test_selu_keeps_mean_and_variance() -> None:
    x = gg.randn(200_000, dtype=gg.float64)
    y = F.selu(x)
    assert abs(y.mean().item()) < 0.01 and abs(y.var().item() - 1) < 0.02
    for p in (0.1, 0.5):
        dropped = F.alpha_dropout(y, p, training=True)
        assert abs(dropped.mean().item()) < 0.02 and abs(dropped.var().item() - 1) < 0.04


def test_nan_stays() -> None:
    x = gg.tensor([math.nan])
    for f in (F.selu, F.hardswish, F.hardsigmoid, F.hardshrink, F.softshrink, F.softsign):
        assert math.isnan(f(x).item())
    assert math.isnan(F.threshold(x, 0, 1).item()) and math.isnan(F.rrelu(x).item())


def test_threshold_of_integers() -> None:
    y = F.threshold(gg.tensor([0, 1, 2]), 1, 5)
    assert y.tolist() == [5, 5, 2] and y.dtype == gg.int64


def test_glu_and_prelu() -> None:
    x = gg.tensor([[1.0, -2.0, 0.0, 100.0]])
    assert F.glu(x).tolist() == [[0.5, -2.0]]
    assert nn.GLU(0)(x.T).shape == (2, 1)
    image = gg.full((2, 3, 2, 2), -1.0)
    y = nn.PReLU(3)(image)
    assert y.shape == image.shape and set(y.detach().numpy().flat) == {-0.25}
    layer = nn.PReLU(2, 0.5)
    layer(gg.tensor([[-1.0, 2.0], [-3.0, -4.0]])).sum().backward()
    assert layer.weight.grad.tolist() == [-4.0, -4.0]
    layer.weight.data = gg.zeros(2)
    layer.reset_parameters()
    assert layer.weight.tolist() == [0.5, 0.5]


def test_rrelu_draws_in_training() -> None:
    layer = nn.RReLU(0.2, 0.6)
    x = gg.full((10_000,), -1.0, requires_grad=True)
    y = layer(x)
    slopes = -y.detach().numpy()
    assert slopes.min() >= 0.2 and slopes.max() < 0.6 and abs(slopes.mean() - 0.4) < 0.005
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    assert (layer(gg.full((5,), 3.0)) == 3).all()
    layer.eval()
    assert layer(gg.tensor([-2.0])).tolist() == [pytest.approx(-0.8)]


def test_alpha_dropout_of_channels() -> None:
    gg.manual_seed(1)
    y = nn.FeatureAlphaDropout(0.5)(gg.ones(4, 50, 3, 3)).numpy().reshape(200, 9)
    assert (y == y[:, :1]).all()  # whole channels
    low, high = np.unique(y)
    a = 1 / math.sqrt((1.7580993408473766**2 * 0.5 + 1) * 0.5)  # Klambauer et al., section 3
    b = a * 1.7580993408473766 * 0.5
    np.testing.assert_allclose([low, high], [-1.7580993408473766 * a + b, a + b], rtol=1e-6)
    x = gg.ones(2, 3)
    assert nn.AlphaDropout().eval()(x) is x and F.alpha_dropout(x, 0.0, True) is x
    assert F.alpha_dropout(x, 1.0, True).tolist() == [[0.0] * 3] * 2
    assert nn.AlphaDropout(0.3)(x).shape == (2, 3)


def test_gumbel_softmax() -> None:
    """Frequencies of hard samples are the probabilities: 5 deviations of 20,000 draws."""
    p = np.array([0.1, 0.6, 0.3])
    logits = gg.tensor(np.log(p)).expand(20_000, 3).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, tau=0.7, hard=True)
    assert set(np.unique(hard.detach().numpy().round(6))) == {0.0, 1.0}
    share = hard.detach().numpy().mean(0)
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / 20_000)).all()
    (hard * gg.tensor([1.0, 2.0, 3.0], dtype=gg.float64)).sum().backward()
    assert (logits.grad.numpy() != 0).any() and abs(logits.grad.sum().item()) < 1e-9
    gg.manual_seed(3)
    soft = F.gumbel_softmax(gg.zeros(4, 5, dtype=gg.float16), dim=0)
    assert soft.dtype == gg.float16 and np.allclose(soft.sum(0).numpy(), 1, atol=2e-3)
    with pytest.raises(ArgumentError, match=r"gumbel_softmax\(tau=0\)"):
        F.gumbel_softmax(logits, tau=0)


IN_PLACE = [
    (F.relu_, F.relu, ()),
    (F.leaky_relu_, F.leaky_relu, (0.2,)),
    (F.elu_, F.elu, (0.5,)),
    (F.celu_, F.celu, (0.5,)),
    (F.selu_, F.selu, ()),
    (F.hardtanh_, F.hardtanh, (-0.5, 2.0)),
    (F.threshold_, F.threshold, (0.1, 3.0)),
    (F.rrelu_, F.rrelu, (0.1, 0.2)),
    (gg.celu_, gg.celu, (0.5,)),
    (gg.selu_, gg.selu, ()),
]


@pytest.mark.parametrize("forms", IN_PLACE, ids=lambda forms: forms[0].__name__)
def test_in_place_forms(forms: Any) -> None:
    changing, plain, options = forms
    x, twin = leaf(), leaf()
    y = x * 1.0
    assert changing(y, *options) is y
    expected = plain(twin * 1.0, *options)
    assert gg.equal(y, expected)
    y.sum().backward()
    expected.sum().backward()
    assert gg.equal(x.grad, twin.grad)
    with pytest.raises(GraphError, match=rf"{changing.__name__}: a leaf tensor"):
        changing(x, *options)


def test_cosine_and_distances() -> None:
    a, b = gg.tensor([[3.0, 4.0], [0.0, 0.0]]), gg.tensor([[4.0, 3.0], [1.0, 0.0]])
    np.testing.assert_allclose(F.cosine_similarity(a, b).numpy(), [0.96, 0.0], rtol=1e-6)
    assert F.pairwise_distance(a, b, eps=0.0).tolist() == [pytest.approx(math.sqrt(2)), 1.0]
    assert F.pairwise_distance(a, b, p=math.inf, eps=0.0, keepdim=True).tolist() == [[1.0], [1.0]]
    assert gg.pdist(a).tolist() == [5.0] and gg.pdist(a[:1]).shape == (0,)
    x = gg.zeros(3, 2, dtype=gg.float64, requires_grad=True)
    for p in (0.0, 0.5, 1.0, 2.0, 3.0, math.inf):  # of equal rows: 0, with gradient 0
        dy = gg.ones(3, dtype=gg.float64, requires_grad=p > 0)
        (dx,) = gg.autograd.grad(gg.pdist(x, p), x, dy, create_graph=True)
        assert (dx == 0).all()
        if dx.requires_grad:
            second = gg.autograd.grad(dx.sum(), [x, dy], materialize_grads=True)
            assert all((d == 0).all() for d in second), p


def test_integers() -> None:
    a, b = gg.tensor([[1, 2]]), gg.tensor([[4, 6]])
    assert F.pairwise_distance(a, b, eps=0).tolist() == [5.0]
    assert F.bilinear(a, b, gg.tensor([[[1, 0], [0, 1]]])).tolist() == [[16]]
    assert F.feature_alpha_dropout(a, training=False) is a


def test_similarity_of_float16_does_not_overflow() -> None:
    x = gg.full((1, 4), 300.0, dtype=gg.float16)
    assert F.cosine_similarity(x, x).item() == 1.0 and F.pairwise_distance(x, -x).item() == 1200.0


MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: F.celu(gg.ones(2), 0.0), ArgumentError, r"celu\(alpha=0\)"),
    (lambda: F.selu(gg.ones(2).long()), DTypeError, "selu: needs a floating tensor"),
    (lambda: F.hardswish(gg.ones(2).long()), DTypeError, "hardswish: needs a floating"),
    (lambda: F.hardsigmoid(gg.ones(2).bool()), DTypeError, "hardsigmoid: needs a floating"),
    (lambda: F.hardtanh(gg.ones(2).bool()), DTypeError, "hardtanh: not defined for bool"),
    (lambda: F.hardtanh(gg.ones(2), 1, 0), ArgumentError, "min_val must be the smaller"),
    (lambda: F.softshrink(gg.ones(2), -1), ArgumentError, r"softshrink\(lambd=-1\)"),
    (lambda: F.glu(gg.ones(3)), ShapeError, r"axis -1 of \(3,\) has the odd length 3"),
    (lambda: F.glu(gg.tensor(1.0)), ShapeError, "a 0-d tensor has no halves"),
    (lambda: F.rrelu(gg.ones(2), 0.5, 0.2), ArgumentError, "lower must be the smaller"),
    (lambda: F.prelu(gg.ones(2, 3), gg.ones(2)), ShapeError, r"2 weights for input \(2, 3\)"),
    (lambda: F.prelu(gg.ones(2, 3), gg.ones(1, 3)), ShapeError, "weight must be 0-d or"),
    (lambda: F.prelu(gg.ones(2, 3), gg.ones(3).double()), DTypeError, "one dtype"),
    (lambda: F.prelu(gg.ones(2, 3), 0.25), DTypeError, "weight must be a Tensor, got float"),
    (lambda: F.prelu(gg.ones(2), gg.ones(1, device="sim")), DeviceError, "prelu"),
    (lambda: nn.Softmax2d()(gg.ones(2, 3)), ShapeError, r"Softmax2d: x must be \(N, C, H, W\)"),
    (lambda: F.alpha_dropout(gg.ones(2), 1.5, True), ArgumentError, "alpha_dropout: p must be in"),
    (lambda: nn.AlphaDropout(-1), ArgumentError, r"AlphaDropout\(p=-1\)"),
    (lambda: F.feature_alpha_dropout(gg.ones(2), 0.5, True), ShapeError, r"must be \[N, C, ...\]"),
    (lambda: F.cosine_similarity(gg.ones(2).long(), gg.ones(2).long(), 0), DTypeError, "floating"),
    (lambda: F.cosine_similarity(gg.ones(2), 1.0, 0), DTypeError, "x2 must be a Tensor"),
    (lambda: F.pairwise_distance(gg.ones(2, 3), gg.ones(3, 3)), ShapeError, "do not broadcast"),
    (lambda: F.pdist(gg.ones(3)), ShapeError, r"pdist: input must be \[N, M\]"),
    (lambda: F.pdist(gg.ones(3, 2), -1.0), ArgumentError, "a norm's order is at least 0"),
    (
        lambda: F.bilinear(gg.ones(2, 3), gg.ones(3, 4), gg.ones(5, 3, 4)),
        ShapeError,
        r"input1 \(2, 3\), input2 \(3, 4\), weight \(5, 3, 4\) do not fit",
    ),
    (lambda: nn.Bilinear(0, 1, 1), ArgumentError, r"in1_features=0"),
    (lambda: F.bilinear(*[gg.ones(2, 2)] * 2, gg.ones(1, 2, 2).double()), DTypeError, "one dtype"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes(number: int) -> None:
    call, kind, text = MISTAKES[number]
    with pytest.raises(kind, match=text):
        call()


def test_representations() -> None:
    for layer, text in [
        (nn.CELU(0.5), "CELU(alpha=0.5)"),
        (nn.SELU(), "SELU()"),
        (nn.GLU(1), "GLU(dim=1)"),
        (nn.Threshold(0.1, 2), "Threshold(threshold=0.1, value=2)"),
        (nn.Hardshrink(0.2), "Hardshrink(0.2)"),
        (nn.Softshrink(), "Softshrink(0.5)"),
        (nn.RReLU(0.1, 0.2), "RReLU(lower=0.1, upper=0.2)"),
        (nn.PReLU(3), "PReLU(num_parameters=3)  # 3 parameters"),
        (
            nn.Bilinear(2, 3, 4),
            "Bilinear(in1_features=2, in2_features=3, out_features=4, bias=True)  # 28 parameters",
        ),
    ]:
        assert repr(layer) == text
