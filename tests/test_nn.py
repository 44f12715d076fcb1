"""Layers, activations, losses and initial values: against PyTorch's values and closed forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from gpugrad.errors import ArgumentError, DTypeError, ShapeError
from gpugrad.nn import init

REFERENCE = json.loads((Path(__file__).parent / "data" / "nn.json").read_text())


def tensor(values: Any, requires_grad: bool = False) -> gg.Tensor:
    array = np.asarray(values)
    return gg.tensor(array, requires_grad=requires_grad)


def close(result: gg.Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    actual = result.detach().numpy()
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def weighted(y: gg.Tensor) -> gg.Tensor:
    """A scalar in which each element of y counts differently, as in make_nn.py."""
    return (y * tensor(np.arange(1.0, y.numel() + 1).reshape(y.shape))).sum()


@pytest.mark.parametrize("case", REFERENCE["activations"], ids=lambda c: f"{c[0]}-{c[1]}")
def test_activations_of_pytorch(case: Any) -> None:
    name, options, expected, gradient = case
    x = tensor(REFERENCE["x"], True)
    y = getattr(nn, name)(**options)(x)
    close(y, expected)
    weighted(y).backward()
    close(x.grad, gradient)


@pytest.mark.parametrize("case", REFERENCE["losses"], ids=lambda c: f"{c[0]}-{c[1]}")
@pytest.mark.filterwarnings("ignore:kl_div")
def test_losses_of_pytorch(case: Any) -> None:
    name, options, x, target, expected = case
    made = {k: tensor(v) if isinstance(v, list) else v for k, v in options.items()}
    for reduction, (loss, gradient) in expected.items():
        input = tensor(x, True)
        result = getattr(nn, name)(reduction=reduction, **made)(input, tensor(target))
        close(result, loss)
        weighted(result).backward()
        # PyTorch's smallest p (1 - p) in BCELoss is the float32 nearest 1e-12
        close(input.grad, gradient, 1e-8 if name == "BCELoss" else 1e-12)


# ---- losses: mistakes --------------------------------------------------------------------------

EQUAL_SHAPES = [
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.kl_div,
]


@pytest.mark.parametrize("loss", EQUAL_SHAPES, ids=lambda f: f.__name__)
def test_no_silent_broadcasting(loss: Callable[..., Any]) -> None:
    text = r"shapes differ: input \(4, 1\), target \(4,\).\n.*mean target.reshape\(\(4, 1\)\)"
    with pytest.raises(ShapeError, match=f"{loss.__name__}.input, target.: {text}"):
        loss(gg.zeros(4, 1), gg.zeros(4))
    with pytest.raises(ShapeError, match=r"They must be equal; nothing is broadcast.$"):
        loss(gg.zeros(4), gg.zeros(()))


def test_wrong_arguments_of_losses() -> None:
    x = gg.zeros(2, 3)
    for call, kind, text in [
        (lambda: F.mse_loss(x, x, reduction="avg"), ArgumentError, "reduction='avg'"),
        (lambda: nn.MSELoss("batchmean"), ArgumentError, r"MSELoss\(reduction='batchmean'\)"),
        (lambda: F.mse_loss(x, 1.0), DTypeError, r"mse_loss\(target\): expected a Tensor"),
        (lambda: F.huber_loss(x, x, delta=0), ArgumentError, "delta=0"),
        (lambda: F.smooth_l1_loss(x, x, beta=-1), ArgumentError, "beta=-1"),
        (lambda: F.binary_cross_entropy(x, x.long()), DTypeError, "input float32, target int64"),
        (
            lambda: F.binary_cross_entropy_with_logits(x, x, gg.zeros(2)),
            ShapeError,
            r"weight \(2,\) does not broadcast to the losses \(2, 3\)",
        ),
        (
            lambda: F.binary_cross_entropy_with_logits(x, x, pos_weight=gg.zeros(1, 2, 3)),
            ShapeError,
            r"pos_weight \(1, 2, 3\) does not broadcast",
        ),
    ]:
        with pytest.raises(kind, match=text):
            call()


def test_kl_div_mean_warns() -> None:
    x = gg.zeros(2, 3)
    with pytest.warns(UserWarning, match="'batchmean' is the mathematical definition"):
        F.kl_div(x, x)


@pytest.mark.parametrize("worst", [1.5, -0.25, math.nan])
def test_bce_takes_probabilities_only(worst: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = gg.tensor([[0.0, worst, 1.0]]), gg.zeros(1, 3)
    text = rf"input \(1, 3\) holds {worst:g}; .*\[0, 1\].\n.*_with_logits"
    with pytest.raises(ArgumentError, match=text):
        F.binary_cross_entropy(x, t)
    assert F.binary_cross_entropy(gg.zeros(0), gg.zeros(0), reduction="sum").item() == 0
    monkeypatch.setattr(x.backend, "synchronous", False)  # as on CUDA, where looking would wait
    assert math.isnan(F.binary_cross_entropy(x, t).item())


def test_bce_names_the_worst_of_several_values() -> None:
    for given, worst in [([2.0, -3.0], "-3"), ([4.0, -2.5], "4")]:
        with pytest.raises(ArgumentError, match=f"holds {worst};"):
            F.binary_cross_entropy(gg.tensor(given), gg.zeros(2))


def test_bce_gradient_of_the_target() -> None:
    p, t = tensor([0.2, 0.9]), tensor([0.3, 0.6], True)
    F.binary_cross_entropy(p, t, reduction="sum").backward()
    close(t.grad, [math.log(0.8 / 0.2), math.log(0.1 / 0.9)])


def test_loss_weights_move_with_the_module() -> None:
    loss = nn.CrossEntropyLoss(gg.ones(3)).double()
    assert loss.weight.dtype == gg.float64 and list(loss.state_dict()) == ["weight"]
    assert not list(nn.CrossEntropyLoss().state_dict())


# ---- layers ------------------------------------------------------------------------------------


def test_linear() -> None:
    layer = nn.Linear(3, 2, dtype=gg.float64)
    x = tensor(np.arange(12.0).reshape(2, 2, 3), True)
    y = layer(x)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    close(y, x.detach().numpy() @ w.T + b)
    y.sum().backward()
    close(layer.bias.grad, [4.0, 4.0])
    close(layer.weight.grad, np.tile(x.detach().numpy().sum((0, 1)), (2, 1)))
    close(x.grad, np.broadcast_to(w.sum(0), (2, 2, 3)))
    assert nn.Linear(3, 2, bias=False).bias is None
    assert [n for n, _ in nn.Linear(3, 2, bias=False).named_parameters()] == ["weight"]


def test_linear_initial_values_and_seed() -> None:
    gg.manual_seed(3)
    one = nn.Linear(400, 300)
    gg.manual_seed(3)
    two = nn.Linear(400, 300)
    assert gg.equal(one.weight, two.weight) and gg.equal(one.bias, two.bias)
    w = one.weight.detach().numpy()
    assert 0.0499 < np.abs(w).max() <= 0.05 and abs(w.mean()) < 1e-3
    assert abs(w.std() - 0.05 / math.sqrt(3)) < 1e-3 and np.abs(one.bias.tolist()).max() <= 0.05


def test_linear_of_a_wrong_size() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 4\)"):
        nn.Linear(3, 2)(gg.zeros(2, 4))
    with pytest.raises(ArgumentError, match="sizes are integers of at least 0"):
        nn.Linear(-1, 2)


def test_flatten_and_unflatten() -> None:
    x = gg.zeros(2, 3, 4, 5)
    assert nn.Flatten()(x).shape == (2, 60) and nn.Flatten(0, 1)(x).shape == (6, 4, 5)
    assert nn.Unflatten(1, (1, -1))(gg.zeros(2, 60)).shape == (2, 1, 60)
    assert nn.Unflatten(-1, (3, 4, 5))(gg.zeros(2, 60)).shape == (2, 3, 4, 5)
    assert nn.Unflatten(0, [2, -1])(gg.zeros(0)).shape == (2, 0)
    for make, text in [
        (lambda: nn.Unflatten(1, (7, -1))(gg.zeros(2, 60)), "length 60, which does not split"),
        (lambda: nn.Unflatten(1, (6, 5))(gg.zeros(2, 60)), r"does not split into \(6, 5\)"),
        (lambda: nn.Unflatten(2, (6, 10))(gg.zeros(2, 60)), "has no such axis"),
        (lambda: nn.Unflatten(1, (-1, -1)), "at most one -1"),
    ]:
        with pytest.raises(ShapeError, match=text):
            make()


def test_dropout() -> None:
    gg.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = gg.ones(100, 100, requires_grad=True)
    y = layer(x)
    found = y.detach().numpy()
    assert set(np.unique(found)) == {0.0, np.float32(1 / 0.75)}
    assert abs((found == 0).mean() - 0.25) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), found)  # the same mask
    assert not gg.equal(layer(x), y)
    layer.eval()
    assert gg.equal(layer(x), x)
    assert nn.Dropout(1.0)(x).sum().item() == 0.0 and gg.equal(nn.Dropout(0.0)(x), x)
    with pytest.raises(ArgumentError, match=r"Dropout\(p=1.5\)"):
        nn.Dropout(1.5)


def test_identity() -> None:
    x = gg.zeros(3)
    assert nn.Identity(54, unused=True)(x) is x


def test_softmin() -> None:
    x = tensor([[0.0, 1.0], [2.0, -1.0]])
    close(nn.Softmin(1)(x), gg.softmax(-x, 1).numpy())


def test_wrong_arguments_of_activations() -> None:
    for make, text in [
        (lambda: nn.GELU("exact"), r"GELU\(approximate='exact'\)"),
        (lambda: nn.Hardtanh(1.0, 1.0), "min_val must be the smaller"),
        (lambda: nn.Softmax()(gg.zeros(2, 2)), r"softmax\(dim=None\): name the axis"),
        (lambda: F.dropout(gg.zeros(2), -0.1), r"dropout: p must be in \[0, 1\], got -0.1"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            make()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_whole_model_in_every_precision(dtype: str) -> None:
    gg.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3))
    model.to(gg.as_dtype(dtype))
    x = gg.randn(5, 6).to(gg.as_dtype(dtype))
    loss = F.cross_entropy(model(x), gg.tensor([0, 1, 2, 1, 0]))
    loss.backward()
    assert all(p.grad.dtype == gg.as_dtype(dtype) for p in model.parameters())
    assert math.isfinite(loss.item())


# ---- init --------------------------------------------------------------------------------------


def draw(fn: Callable[..., gg.Tensor], *args: Any, shape: Any = (200, 300), **kw: Any) -> Any:
    gg.manual_seed(7)
    weight = nn.Parameter(gg.empty(shape))
    assert fn(weight, *args, **kw) is weight and weight.requires_grad and weight.is_leaf
    return weight.detach().numpy()


def test_uniform_and_normal() -> None:
    u = draw(init.uniform_, -2.0, 3.0)
    assert u.min() >= -2 and u.max() < 3 and abs(u.mean() - 0.5) < 0.02
    z = draw(init.normal_, 1.0, 0.5)
    assert abs(z.mean() - 1) < 0.01 and abs(z.std() - 0.5) < 0.01


def test_constants() -> None:
    assert (draw(init.constant_, 0.3) == np.float32(0.3)).all()
    assert (draw(init.ones_) == 1).all() and (draw(init.zeros_) == 0).all()
    np.testing.assert_array_equal(draw(init.eye_, shape=(2, 3)), np.eye(2, 3))
    with pytest.raises(ShapeError, match=r"eye_: needs 2 axes, the tensor has shape \(3,\)"):
        init.eye_(gg.zeros(3))


@pytest.mark.parametrize(
    ("fn", "options", "deviation"),
    [
        (init.xavier_uniform_, {}, math.sqrt(2 / 500)),
        (init.xavier_normal_, {"gain": 2.0}, 2 * math.sqrt(2 / 500)),
        (init.kaiming_uniform_, {}, math.sqrt(2 / 300)),
        (init.kaiming_uniform_, {"a": math.sqrt(5)}, math.sqrt(2 / 6 / 300)),
        (init.kaiming_normal_, {"mode": "fan_out"}, math.sqrt(2 / 200)),
        (init.kaiming_normal_, {"nonlinearity": "tanh"}, 5 / 3 / math.sqrt(300)),
    ],
)
def test_variance_scaling(fn: Any, options: Any, deviation: float) -> None:
    w = draw(fn, **options)
    assert abs(w.std() / deviation - 1) < 0.02 and abs(w.mean()) < 0.02 * deviation
    if "uniform" in fn.__name__:
        assert np.abs(w).max() <= deviation * math.sqrt(3) * 1.000001


def test_fans_of_a_convolution() -> None:
    assert init._calculate_fan_in_and_fan_out(gg.zeros(8, 3, 5, 5)) == (75, 200)
    with pytest.raises(ShapeError, match=r"at least 2 axes .out, in, ...., .* shape \(8,\)"):
        init.xavier_uniform_(gg.zeros(8))
    with pytest.raises(ArgumentError, match="mode 'fan_avg'"):
        init.kaiming_normal_(gg.zeros(2, 2), mode="fan_avg")


def test_trunc_normal() -> None:
    w = draw(init.trunc_normal_, 0.5, 2.0, -1.0, 1.5)
    assert w.min() >= -1 and w.max() <= 1.5
    low, high = -0.75, 0.5  # mean and deviation of a normal cut at these, by its density
    phi = [math.exp(-z * z / 2) / math.sqrt(2 * math.pi) for z in (low, high)]
    mass = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    shift = (phi[0] - phi[1]) / mass
    variance = 1 + (low * phi[0] - high * phi[1]) / mass - shift**2
    assert abs(w.mean() - (0.5 + 2 * shift)) < 0.01
    assert abs(w.std() - 2 * math.sqrt(variance)) < 0.01
    far = draw(init.trunc_normal_, 0.0, 1.0, 5.0, 6.0)
    assert far.min() >= 5 and far.max() <= 6
    with pytest.raises(ArgumentError, match="a must be below b"):
        init.trunc_normal_(gg.zeros(2), a=1.0, b=1.0)


def test_inverse_erf() -> None:
    y = np.linspace(-4.5, 4.5, 901)
    x = np.array([math.erf(v) for v in y])
    keep = np.abs(x) < 1 - 1e-7
    np.testing.assert_allclose(init._inverse_erf(x)[keep], y[keep], rtol=5e-7, atol=1e-7)
    np.testing.assert_allclose(init._inverse_erf(x[x < 1]), y[x < 1], rtol=2e-3)


def test_orthogonal() -> None:
    for shape in [(20, 30), (30, 20), (8, 3, 2, 2)]:
        w = draw(init.orthogonal_, 2.0, shape=shape).reshape(shape[0], -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
    with pytest.raises(ShapeError, match="orthogonal_: needs 2 axes or more"):
        init.orthogonal_(gg.zeros(3))


def test_gains() -> None:
    gains = {"linear": 1.0, "conv2d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "selu": 0.75}
    for name, gain in {**gains, "relu": math.sqrt(2)}.items():
        assert init.calculate_gain(name) == gain
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / 1.0001)
    assert init.calculate_gain("leaky_relu", 1) == 1.0
    with pytest.raises(ArgumentError, match="unknown nonlinearity 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ArgumentError, match="negative_slope 'a'"):
        init.calculate_gain("leaky_relu", "a")


def test_sparse() -> None:
    w = draw(init.sparse_, 0.35, 2.0, shape=(10, 400))
    assert ((w == 0).sum(0) == 4).all() and abs(w[w != 0].std() - 2) < 0.1
    assert 0.3 < (w[0] == 0).mean() < 0.5  # at random rows
    with pytest.raises(ShapeError, match="sparse_: needs 2 axes"):
        init.sparse_(gg.zeros(3), 0.5)
    with pytest.raises(ArgumentError, match=r"sparsity=1.5"):
        init.sparse_(gg.zeros(3, 3), 1.5)


def test_draws_of_a_generator() -> None:
    def sparse_(w: gg.Tensor, generator: gg.Generator) -> gg.Tensor:
        return init.sparse_(w, 0.5, 1.0, generator)

    functions = [init.uniform_, init.normal_, init.trunc_normal_, init.xavier_uniform_]
    functions += [init.xavier_normal_, init.kaiming_uniform_, init.kaiming_normal_]
    gg.manual_seed(9)
    expected = gg.rand(2)
    for fn in [*functions, init.orthogonal_, sparse_]:
        one, two, three = (gg.zeros(4, 5) for _ in range(3))
        generator = gg.Generator().manual_seed(5)
        gg.manual_seed(9)
        fn(one, generator=generator)
        assert gg.equal(gg.rand(2), expected)  # the default generator was not asked
        fn(two, generator=generator)
        fn(three, generator=gg.Generator().manual_seed(5))
        assert gg.equal(one, three) and not gg.equal(one, two)


def test_deprecated_names_warn() -> None:
    w = gg.zeros(2, 2)
    with pytest.warns(FutureWarning, match=r"init.constant is deprecated in favour of init.const"):
        assert init.constant(w, 3.0) is w and w.sum().item() == 12


def test_initialisation_can_be_skipped() -> None:
    with init.skipped():
        for fn in (init.ones_, init.normal_, init.eye_, init.orthogonal_, init.trunc_normal_):
            assert fn(gg.zeros(2, 2)).sum().item() == 0
    assert init.ones_(gg.zeros(2)).sum().item() == 2
