"""Parametrizations, weight and spectral norm, fused layers, and the rest of nn.utils."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError
from gpugrad.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    calls = 0

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        Symmetric.calls += 1
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: gg.Tensor) -> gg.Tensor:
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return x * 2


def test_a_parametrized_weight() -> None:
    layer = nn.Linear(3, 3)
    original, before = layer.weight, layer.weight.detach().clone()
    optimizer = gg.optim.SGD(layer.parameters(), lr=0.1)
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is original  # the optimizer goes on
    assert gg.equal(original, before.triu()) and gg.equal(layer.weight, layer.weight.mT)
    layer(gg.ones(2, 3)).square().sum().backward()
    optimizer.step()
    assert not gg.equal(original, before.triu()) and gg.equal(layer.weight, layer.weight.mT)
    layer.weight = gg.eye(3)
    assert gg.equal(layer.weight, gg.eye(3)) and "Symmetric()" in repr(layer)
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert gg.equal(layer.weight, 2 * gg.eye(3))
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight is original
    assert gg.equal(original, 2 * gg.eye(3)) and not hasattr(layer, "parametrizations")


def test_removing_gives_the_original_back() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Doubled())
    parametrize.register_parametrization(layer, "bias", Doubled())
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert gg.equal(layer.weight, before) and parametrize.is_parametrized(layer, "bias")
    assert type(layer).__name__ == "ParametrizedLinear"


def test_copies_do_not_share() -> None:
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    twin = copy.deepcopy(layer)
    assert gg.equal(twin.weight, layer.weight) and isinstance(twin, nn.Linear)
    parametrize.remove_parametrizations(twin, "weight")
    assert parametrize.is_parametrized(layer, "weight") and type(twin) is nn.Linear
    with gg.no_grad():
        twin.weight.fill_(7)
    assert not (layer.weight == 7).any()


def test_pickles() -> None:
    for layer in (parametrizations.weight_norm(nn.Linear(2, 3)), nn.LazyLinear(3).double()):
        twin = pickle.loads(pickle.dumps(layer))
        assert type(twin) is type(layer) and list(twin.state_dict()) == list(layer.state_dict())
        x = gg.ones(1, 2, dtype=layer.bias.dtype)
        twin.load_state_dict(layer.state_dict())
        assert twin(x).shape == (1, 3)
    assert twin.weight.dtype == gg.float64


def test_cached() -> None:
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    Symmetric.calls = 0
    with parametrize.cached():
        with parametrize.cached():
            first = layer.weight
        assert layer.weight is first and Symmetric.calls == 1
    assert layer.weight is not first and Symmetric.calls == 2
    layer.weight = gg.eye(2)
    with parametrize.cached():
        assert gg.equal(layer.weight, gg.eye(2))  # nothing is left of the first time


def test_buffers_and_gradients_of_gradients() -> None:
    module = nn.Module()
    module.register_buffer("mask", gg.ones(2))
    parametrize.register_parametrization(module, "mask", Doubled())
    assert module.mask.tolist() == [2.0, 2.0] and [n for n, _ in module.named_buffers()] == [
        "parametrizations.mask.original"
    ]
    parametrize.remove_parametrizations(module, "mask")
    assert module.get_buffer("mask").tolist() == [2.0, 2.0]
    layer = parametrizations.weight_norm(nn.Linear(3, 2, dtype=gg.float64))
    g, v = layer.parametrizations.weight.originals()
    assert g.shape == (2, 1) and gg.autograd.gradgradcheck(lambda g, v: v * (g / v.norm()), (g, v))


def test_modes_and_moves() -> None:
    layer = parametrizations.spectral_norm(nn.Linear(4, 3))
    layer.double().eval()
    part = layer.parametrizations.weight[0]
    assert part._u.dtype == gg.float64 and not part.training
    u = part._u.clone()
    largest = np.linalg.svd(layer.weight.detach().numpy())[1].max()
    assert 0.8 < largest < 1.3 and gg.equal(part._u, u)  # evaluation: no power step
    layer.train()
    for _ in range(50):
        weight = layer.weight
    assert np.linalg.svd(weight.detach().numpy())[1].max() == pytest.approx(1, rel=1e-6)


def test_orthogonal() -> None:
    for shape in ((4, 4), (3, 5), (5, 3)):
        layer = parametrizations.orthogonal(nn.Linear(*shape, dtype=gg.float64))
        assert list(layer.state_dict())[1:] == [
            "parametrizations.weight.original",
            "parametrizations.weight.0.base",
        ]
        for _ in range(2):
            w = layer.weight.detach().numpy()
            gram = w @ w.T if len(w) <= w.shape[1] else w.T @ w
            np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
            layer.weight.pow(3).sum().backward()
            gg.optim.SGD(layer.parameters(), lr=0.5).step()
    conv = parametrizations.orthogonal(nn.Conv1d(2, 3, 2), orthogonal_map="householder")
    w = conv.weight.detach().numpy()  # a batch of matrices
    np.testing.assert_allclose(
        w @ w.swapaxes(1, 2), np.broadcast_to(np.eye(2), (3, 2, 2)), atol=1e-6
    )


class Shorter(nn.Module):
    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return x[:1]


class Halved(nn.Module):
    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return x.half()


def test_mistakes() -> None:
    linear = nn.Linear(3, 3)
    plain = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Doubled())
    normed = parametrizations.weight_norm(nn.Linear(2, 2))
    register = parametrize.register_parametrization
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: register(linear, "w", Doubled()), ArgumentError, "has no parameter or buffer 'w'"),
        (lambda: register(linear, "weight", Shorter()), ShapeError, "changes the shape from"),
        (lambda: register(linear, "weight", Halved()), DTypeError, "changes the dtype from"),
        (lambda: register(plain, "weight", Shorter()), ShapeError, "unsafe=True if that"),
        (lambda: setattr(plain, "weight", gg.eye(2)), ArgumentError, "have right_inverse"),
        (lambda: setattr(plain, "weight", 1.0), DTypeError, "assigned was a float"),
        (
            lambda: parametrize.remove_parametrizations(linear, "weight"),
            ArgumentError,
            "Linear.weight is not parametrized",
        ),
        (
            lambda: parametrize.remove_parametrizations(normed, "weight", leave_parametrized=False),
            ArgumentError,
            "has 2 originals",
        ),
        (lambda: parametrizations.spectral_norm(linear, "w"), ArgumentError, "no tensor 'w'"),
        (lambda: parametrizations.spectral_norm(linear, dim=2), IndexOutOfRangeError, "dim=2"),
        (
            lambda: parametrizations.spectral_norm(linear, n_power_iterations=0),
            ArgumentError,
            "n_power_iterations=0",
        ),
        (lambda: parametrizations.orthogonal(linear, "bias"), ShapeError, "needs a matrix"),
        (
            lambda: parametrizations.orthogonal(linear, orthogonal_map="qr"),
            ArgumentError,
            "must be one of matrix_exp, cayley, householder",
        ),
        (lambda: nn.utils.remove_weight_norm(linear), ArgumentError, "'weight' of Linear has none"),
        (lambda: nn.utils.remove_spectral_norm(linear), ArgumentError, "of Linear has none"),
        (
            lambda: nn.utils.weight_norm(nn.utils.weight_norm(nn.Linear(1, 1))),
            ArgumentError,
            "has one already",
        ),
        (lambda: plain.wieght, AttributeError, "no attribute 'wieght'"),
    ]
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()


def test_older_norms_can_be_removed() -> None:
    for apply, remove, names in [
        (nn.utils.weight_norm, nn.utils.remove_weight_norm, ["bias", "weight_g", "weight_v"]),
        (
            nn.utils.spectral_norm,
            nn.utils.remove_spectral_norm,
            ["bias", "weight_orig", "weight_u", "weight_v"],
        ),
    ]:
        layer = nn.Conv2d(2, 3, 3)
        x = gg.randn(1, 2, 4, 4)
        assert apply(layer) is layer and sorted(layer.state_dict()) == names
        assert type(layer.weight) is gg.Tensor
        y = layer.eval()(x)
        y.sum().backward()
        assert remove(layer) is layer and sorted(layer.state_dict()) == ["bias", "weight"]
        assert gg.allclose(layer(x), y) and not layer._forward_pre_hooks
        assert isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad


def test_fused_layers() -> None:
    conv, bn = nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)
    for _ in range(3):
        bn(conv(gg.randn(4, 2, 5, 5)))
    with pytest.raises(ArgumentError, match="must be in evaluation"):
        nn.utils.fuse_conv_bn_eval(conv, bn)
    conv.eval(), bn.eval()
    x = gg.randn(4, 2, 5, 5)
    fused = nn.utils.fuse_conv_bn_eval(conv, bn)
    assert conv.bias is None and fused.bias is not None
    np.testing.assert_allclose(
        fused(x).detach().numpy(), bn(conv(x)).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    linear, flat = nn.Linear(3, 4).eval(), nn.BatchNorm1d(4, affine=False).eval()
    x = gg.randn(5, 3)
    both = nn.utils.fuse_linear_bn_eval(linear, flat)
    np.testing.assert_allclose(
        both(x).detach().numpy(), flat(linear(x)).detach().numpy(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ArgumentError, match="4 features cannot go into a batch norm of 3"):
        nn.utils.fuse_linear_bn_eval(linear, nn.BatchNorm1d(3).eval())
    with pytest.raises(ArgumentError, match="no running statistics"):
        nn.utils.fuse_conv_bn_eval(conv, nn.BatchNorm2d(3, track_running_stats=False).eval())


def test_skip_init() -> None:
    gg.manual_seed(0)
    expected = gg.randn(3)
    gg.manual_seed(0)
    layer = nn.utils.skip_init(nn.Linear, 4, 3)
    assert layer.weight.shape == (3, 4) and gg.equal(gg.randn(3), expected)  # nothing was drawn
    nn.init.ones_(layer.weight)
    assert layer.weight.sum().item() == 12
    for wrong in (gg.zeros, nn.ReLU):
        with pytest.raises(ArgumentError, match="skip_init"):
            nn.utils.skip_init(wrong)


def test_memory_format_of_weights() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv3d(4, 4, 3), nn.Linear(2, 2))
    weight = net[0].weight
    assert nn.utils.convert_conv2d_weight_memory_format(net, gg.channels_last) is net
    assert weight.is_contiguous(memory_format=gg.channels_last) and net[0].weight is weight
    nn.utils.convert_conv3d_weight_memory_format(net, gg.channels_last_3d)
    assert net[1].weight.is_contiguous(memory_format=gg.channels_last_3d)


def test_stateless() -> None:
    layer = nn.Linear(2, 2)
    given = {"weight": gg.eye(2), "bias": gg.zeros(2)}
    assert nn.utils.stateless.functional_call(layer, given, gg.ones(1, 2)).tolist() == [[1.0, 1.0]]
    normed = parametrizations.weight_norm(nn.Linear(2, 2))
    state = {name: p.detach() * 2 for name, p in normed.named_parameters()}
    y = nn.utils.stateless.functional_call(normed, state, gg.ones(1, 2))
    assert gg.allclose(y, 2 * normed(gg.ones(1, 2)))
