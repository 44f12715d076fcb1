"""Lazy layers, parameters without a shape, buffers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, DataError, GraphError, ShapeError
from gpugrad.nn.lazy import LazyModuleMixin


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )


def test_the_first_batch_tells_the_sizes() -> None:
    lazy = net()
    assert repr(lazy[4]).startswith("LazyLinear(in_features=0") and "not known yet" in repr(lazy)
    y = lazy(gg.randn(2, 3, 5, 5))
    assert y.shape == (2, 2) and lazy[0].weight.shape == (4, 3, 3, 3)
    assert [type(part) for part in lazy][:2] == [nn.Conv2d, nn.BatchNorm2d]
    assert lazy[4].in_features == 36 and lazy[1].num_features == 4
    assert type(lazy[0].weight) is nn.Parameter and lazy[1].running_mean.tolist() != [0.0] * 4
    y.sum().backward()
    gg.optim.SGD(lazy.parameters(), lr=0.1).step()
    with pytest.raises(ShapeError):
        lazy(gg.randn(2, 3, 6, 6))


def test_values_are_those_of_the_ordinary_layer() -> None:
    for lazy, plain, x in [
        (nn.LazyLinear(3), lambda: nn.Linear(4, 3), gg.ones(2, 4)),
        (nn.LazyConv1d(4, 2, groups=2), lambda: nn.Conv1d(6, 4, 2, groups=2), gg.ones(6, 5)),
        (nn.LazyConvTranspose1d(4, 2), lambda: nn.ConvTranspose1d(6, 4, 2), gg.ones(1, 6, 5)),
    ]:
        gg.manual_seed(3)
        lazy(x)
        gg.manual_seed(3)
        for a, b in zip(lazy.parameters(), plain().parameters(), strict=True):
            assert gg.equal(a, b)


def test_output_size_and_residual_reach_forward() -> None:
    layer = nn.LazyConvTranspose2d(1, 2, stride=2)
    assert layer(gg.ones(1, 1, 2, 2), output_size=(5, 5)).shape == (1, 1, 5, 5)
    x = gg.randn(2, 3, 2, 2)
    assert nn.LazyBatchNorm2d()(x, x, act="relu").shape == x.shape


def test_a_parameter_without_a_shape_says_so() -> None:
    weight = nn.LazyLinear(3).weight
    assert repr(weight) == "<UninitializedParameter>" and weight.dtype == gg.float32
    text = "has no shape and no values yet.\n  Call the lazy module once"
    for use in (
        lambda: weight.shape,
        lambda: weight + 1,
        lambda: weight.sum(),
        lambda: weight.numel(),
        lambda: weight.tolist(),
        lambda: gg.cat([weight, weight]),
        lambda: nn.utils.parameters_to_vector([weight]),
    ):
        with pytest.raises(GraphError, match=text):
            use()
    for optimizer in (gg.optim.SGD, gg.optim.Adam):
        with pytest.raises(ArgumentError, match="is an UninitializedParameter, which has no shape"):
            optimizer([weight], lr=0.1)


def test_moving_and_copying_before_the_first_call() -> None:
    lazy = net().half()
    assert lazy[0].weight.dtype == gg.float16 and lazy[1].running_var.dtype == gg.float16
    twin = copy.deepcopy(lazy).to("sim")
    assert str(twin[0].bias.device) == "sim" and str(lazy[0].bias.device) == "cpu"
    lazy.requires_grad_(False)
    lazy.zero_grad()
    lazy(gg.ones(2, 1, 3, 3).half())
    assert lazy[4].weight.dtype == gg.float16 and not lazy[4].weight.requires_grad
    assert twin[0].has_uninitialized_params()


def test_states() -> None:
    lazy, other, ready = net(), net(), net()
    ready(gg.randn(2, 3, 5, 5))
    lazy.load_state_dict(other.state_dict())  # nothing to load, nothing wrong
    assert lazy[0].has_uninitialized_params()
    with pytest.raises(DataError, match=r"0.weight: model \(4, 3, 3, 3\), given was not init"):
        ready.load_state_dict(lazy.state_dict())
    lazy.load_state_dict(ready.state_dict())
    assert type(lazy[0]) is nn.LazyConv2d and gg.equal(lazy[0].weight, ready[0].weight)
    x = gg.randn(2, 3, 5, 5)
    lazy.eval(), ready.eval()
    assert gg.equal(lazy(x), ready(x))
    assert lazy[0].in_channels == 3 and lazy[4].in_features == 36 and lazy[1].num_features == 4


def test_mistakes_of_lazy_layers() -> None:
    for call, kind, text in [
        (lambda: nn.LazyConv2d(3, 2, groups=2), ArgumentError, "out_channels=3 is not divisible"),
        (
            lambda: nn.LazyConv2d(4, 2, groups=2)(gg.ones(1, 3, 4, 4)),
            ArgumentError,
            "in_channels=3",
        ),
        (lambda: nn.LazyConv2d(4, 2)(gg.ones(3, 4)), ShapeError, "must have 4 axes, or 3"),
        (lambda: nn.LazyLinear(4)(gg.tensor(1.0)), ShapeError, "got a 0-d tensor"),
        (lambda: nn.LazyBatchNorm1d()(gg.ones(4)), ShapeError, "expected 2D or 3D input"),
    ]:
        with pytest.raises(kind, match=text):
            call()


def test_lazy_modules_of_users() -> None:
    class Scale(LazyModuleMixin):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.UninitializedParameter()
            self.register_buffer("seen", nn.UninitializedBuffer(dtype=gg.int64))

        def initialize_parameters(self, x: gg.Tensor) -> None:
            if self.has_uninitialized_params():
                self.scale.materialize(x.shape[-1:])
                self.seen.materialize(x.shape[-1:])
                nn.init.ones_(self.scale)

        def forward(self, x: gg.Tensor) -> gg.Tensor:
            return x * self.scale

    module = Scale()
    assert module(gg.ones(2, 3)).tolist() == [[1.0] * 3] * 2 and type(module) is Scale
    assert type(module.seen) is gg.Tensor and module.seen.dtype == gg.int64
    with pytest.raises(NotImplementedError, match=r"Lazy has no initialize_parameters\(\)"):
        type("Lazy", (LazyModuleMixin,), {})()(1)

    class Forgetful(Scale):
        def initialize_parameters(self, x: gg.Tensor) -> None:
            self.scale.materialize((1,))

    with pytest.raises(ArgumentError, match="left parameters uninitialised"):
        Forgetful()(gg.ones(1))


def test_saving_needs_a_first_call(tmp_path: Path) -> None:
    lazy = net()
    text = r"save: obj\['model'\]\['0.weight'\] is an UninitializedParameter"
    with pytest.raises(ArgumentError, match=text + r"(.|\n)*Call the model once, with a batch"):
        gg.save({"model": lazy.state_dict()}, tmp_path / "f")
    assert not (tmp_path / "f").exists()
    lazy(gg.randn(2, 3, 5, 5))
    gg.save(lazy.state_dict(), tmp_path / "f")
    assert gg.load(tmp_path / "f")["0.weight"].shape == (4, 3, 3, 3)


def test_buffers() -> None:
    module = nn.Module()
    module.mean = nn.Buffer(gg.ones(2))
    module.scratch = nn.Buffer(gg.zeros(2), persistent=False)
    assert list(module.state_dict()) == ["mean"] and len(list(module.buffers())) == 2
    module.mean = gg.zeros(2)
    assert module.get_buffer("mean").tolist() == [0.0, 0.0]
    assert module.double().scratch.dtype == gg.float64 and nn.Buffer().shape == (0,)
    module.mean = nn.Parameter(gg.ones(2))  # now a parameter, no buffer
    assert [n for n, _ in module.named_buffers()] == ["scratch"]
    assert [n for n, _ in module.named_parameters()] == ["mean"]
    with pytest.raises(TypeError, match=r"Buffer\(data\): expected a Tensor, got a list"):
        nn.Buffer([1.0])
