"""Module and its containers: what they find, save, load, move, call and print."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import DataError, DTypeError, GraphError


class Block(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, size)
        self.act = nn.ReLU()

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return x + self.act(self.linear(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(gg.ones(1))
        self.blocks = nn.ModuleList(Block(4) for _ in range(2))
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 3, bias=False)})
        self.register_buffer("mean", gg.zeros(4))
        self.register_buffer("scratch", gg.zeros(2), persistent=False)
        self.register_buffer("absent", None)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        x = (x - self.mean) * self.scale
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](x)


NAMES = ["scale"]
NAMES += [f"blocks.{i}.linear.{part}" for i in range(2) for part in ("weight", "bias")]
NAMES += ["heads.a.weight", "heads.a.bias", "heads.b.weight"]


# ---- finding -----------------------------------------------------------------------------------


def test_names_in_order_of_assignment() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_buffers()] == ["mean", "scratch"]
    assert list(net.state_dict()) == ["scale", "mean", *NAMES[1:]]
    assert [name for name, _ in net.named_children()] == ["blocks", "heads"]
    modules = [name for name, _ in net.named_modules()]
    assert modules[:4] == ["", "blocks", "blocks.0", "blocks.0.linear"]
    assert [n for n, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert next(net.named_parameters(prefix="net"))[0] == "net.scale"
    assert len(list(net.parameters())) == 8 and len(list(net.modules())) == 11


def test_shared_parts_count_once() -> None:
    linear = nn.Linear(2, 2)
    net = nn.Sequential(linear, nn.ReLU(), linear)
    assert len(list(net.parameters())) == 2 and len(list(net.modules())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(net) == 3 and net(gg.zeros(1, 2)).shape == (1, 2)


def test_super_init_may_be_left_out() -> None:
    class Short(nn.Module):
        def __init__(self) -> None:
            self.linear = nn.Linear(2, 1)

        def forward(self, x: gg.Tensor) -> gg.Tensor:
            return self.linear(x)

    assert Short()(gg.zeros(3, 2)).shape == (3, 1) and len(list(Short().parameters())) == 2


def test_get_by_path() -> None:
    net = Net()
    assert net.get_submodule("blocks.1.act") is net.blocks[1].act and net.get_submodule("") is net
    assert net.get_parameter("blocks.0.linear.bias") is net.blocks[0].linear.bias
    assert net.get_buffer("mean") is net.mean
    for call, text in [
        (lambda: net.get_submodule("blocks.0.lineer"), "no part 'lineer'; did you mean 'linear'"),
        (lambda: net.get_submodule("scale"), "'scale' in Net is a Parameter, no module"),
        (lambda: net.get_parameter("blocks.0"), "'blocks.0' in Net is a Block, no parameter"),
        (lambda: net.get_buffer("scale"), "Net has no buffer 'scale'"),
    ]:
        with pytest.raises(AttributeError, match=text):
            call()


def test_plain_list_of_modules_warns() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers: list[nn.Module] = []

    net = Hidden()
    with pytest.warns(UserWarning, match=r"Hidden.layers is a plain list .*Use nn.ModuleList"):
        net.layers = [nn.Linear(1, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.layers = [nn.Linear(1, 1)]  # told once
        net.names = ["a"]
    grown = Hidden()
    grown.layers.append(nn.Linear(1, 1))
    with pytest.warns(UserWarning, match="with 1 Module: parameters"):
        assert list(grown.parameters()) == []
    with pytest.warns(UserWarning, match=r"plain dict .*nn.ParameterDict"):
        Hidden().table = {"a": nn.Parameter(gg.zeros(1))}


def test_attributes_keep_their_kind() -> None:
    net = Net()
    with pytest.raises(TypeError, match=r"Net.scale is a parameter; assigned was a Tensor"):
        net.scale = gg.zeros(1)
    with pytest.raises(TypeError, match=r"Net.mean is a buffer; assigned was a float"):
        net.mean = 0.5
    net.mean = gg.ones(4)
    net.register_parameter("shift", nn.Parameter(gg.zeros(4)))
    assert "shift" in net.state_dict()
    net.scale = None
    assert "scale" not in net.state_dict() and net.state_dict()["mean"].tolist() == [1.0] * 4
    del net.mean
    assert "mean" not in net.state_dict()
    for call, kind, text in [
        (lambda: net.register_buffer("a.b", None), KeyError, "has no dot"),
        (lambda: net.register_buffer("forward", gg.zeros(1)), KeyError, "already has"),
        (lambda: net.register_buffer("x", 1.0), TypeError, "a float is no Tensor"),
        (lambda: net.register_parameter("w", gg.zeros(1)), TypeError, "is no Parameter"),
        (lambda: net.add_module("", nn.ReLU()), KeyError, "not empty"),
        (lambda: net.add_module("m", 1), TypeError, "a int is no Module"),
        (lambda: nn.Parameter(np.zeros(1)), TypeError, "expected a Tensor, got a ndarray"),
        (lambda: nn.Parameter(gg.tensor([1])), DTypeError, "only floating"),
    ]:
        with pytest.raises(kind, match=text):
            call()


def test_forward_must_be_written() -> None:
    with pytest.raises(NotImplementedError, match=r"Empty has no forward\(\)"):
        type("Empty", (nn.Module,), {})()(1)


# ---- state_dict --------------------------------------------------------------------------------


def test_state_dict_round_trip() -> None:
    one, two = Net(), Net()
    state = one.state_dict()
    assert not any(t.requires_grad for t in state.values())
    assert all(isinstance(t, nn.Parameter) for t in one.state_dict(keep_vars=True).values()
               if t is not one.mean)  # fmt: skip
    result = two.load_state_dict({k: v.numpy() for k, v in state.items()})
    assert result == ([], []) and result.missing_keys == []
    x = gg.randn(3, 4)
    assert gg.equal(one(x), two(x))
    with gg.no_grad():
        one.scale.fill_(5)
    assert state["scale"].item() == 5.0 and two.scale.item() == 1.0  # one shares, two copied


def test_load_casts_and_moves() -> None:
    net = nn.Linear(2, 2).double()
    weight = net.weight
    net.load_state_dict({"weight": gg.full((2, 2), 0.1), "bias": gg.zeros(2).bfloat16()})
    assert net.weight is weight and weight.dtype == gg.float64
    assert weight.tolist() == [[float(np.float32(0.1))] * 2] * 2
    net.load_state_dict(nn.Linear(2, 2).state_dict(), assign=True)
    assert net.weight is weight and weight.dtype == gg.float32 and weight.requires_grad


def test_report_of_what_does_not_fit() -> None:
    net = Net()
    before = net.blocks[1].linear.weight.detach().clone()
    state = {k: v.clone() for k, v in net.state_dict().items()}
    state["blocks.1.linear.weight"] += 1
    state["blocks.0.linear.wieght"] = state.pop("blocks.0.linear.weight")
    state["heads.a.weight"] = gg.zeros(2, 5)
    state["heads.a.bias"] = "text"
    state["extra"] = gg.zeros(1)
    with pytest.raises(DataError) as error:
        net.load_state_dict(state)
    assert str(error.value) == (
        "load_state_dict: the state does not fit Net; nothing was loaded.\n"
        "  Missing from the state (1):\n"
        "    blocks.0.linear.weight   (close: blocks.0.linear.wieght)\n"
        "  Not in the model (2):\n"
        "    blocks.0.linear.wieght   (close: blocks.0.linear.weight)\n"
        "    extra\n"
        "  Wrong shape or kind (2):\n"
        "    heads.a.weight: model (2, 4), given (2, 5)\n"
        "    heads.a.bias: a str instead of a tensor\n"
        "  strict=False loads what fits by name and passes over the rest."
    )
    assert gg.equal(net.blocks[1].linear.weight, before)
    with pytest.raises(DataError, match=r"model \(2, 4\), given \(2, 5\)"):
        net.load_state_dict(state, strict=False)
    del state["heads.a.weight"], state["heads.a.bias"]
    result = net.load_state_dict(state, strict=False)
    assert result.unexpected_keys == ["blocks.0.linear.wieght", "extra"]
    assert result.missing_keys == ["blocks.0.linear.weight", "heads.a.weight", "heads.a.bias"]
    assert gg.equal(net.blocks[1].linear.weight, before + 1)
    with pytest.raises(TypeError, match="expected a mapping"):
        net.load_state_dict([])


def test_a_common_prefix_is_named() -> None:
    net = nn.Linear(1, 1)
    state = {f"module.{k}": v for k, v in net.state_dict().items()}
    with pytest.raises(DataError, match=r"All names of the state begin with 'module.'. Remove it"):
        net.load_state_dict(state)
    with pytest.raises(DataError, match=r"All names of the model begin with 'inner.'. Add it"):
        nn.Sequential({"inner": net}).load_state_dict(net.state_dict())


# ---- changing all at once ----------------------------------------------------------------------


def test_train_eval_apply_freeze_zero_grad() -> None:
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="True or False"):
        net.train("yes")
    seen: list[str] = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen[:3] == ["Linear", "ReLU", "Block"] and seen[-1] == "Net"
    net.heads.requires_grad_(False)
    net(gg.ones(2, 4)).sum().backward()
    assert net.scale.grad is not None and net.heads["a"].weight.grad is None
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.item() == 0.0
    net.zero_grad()
    assert net.scale.grad is None


def test_to_dtype_and_back() -> None:
    net = Net()
    net.register_buffer("count", gg.tensor([3]))
    parameters = list(net.parameters())
    net(gg.ones(2, 4)).sum().backward()
    for change, dtype in [
        (net.double, gg.float64),
        (net.half, gg.float16),
        (net.bfloat16, gg.bfloat16),
        (net.float, gg.float32),
        (lambda: net.to(gg.float64), gg.float64),
        (lambda: net.to("cpu", gg.float32), gg.float32),
        (lambda: net.to(gg.zeros(1).double()), gg.float64),
        (lambda: net.to(dtype=gg.float32).cpu(), gg.float32),
    ]:
        assert change() is net
        assert {p.dtype for p in net.parameters()} == {dtype} and net.mean.dtype == dtype
        assert net.scale.grad.dtype == dtype and net.count.dtype == gg.int64
    assert all(p is q for p, q in zip(parameters, net.parameters(), strict=True))
    with pytest.raises(DTypeError, match=r"Net.to\(dtype\): parameters are floating-point, int64"):
        net.to(gg.int64)


def test_to_another_device() -> None:
    linear = nn.Linear(2, 2)
    shared = nn.Sequential(linear, linear).to("sim")
    assert str(linear.weight.device) == "sim"
    assert shared(gg.ones(1, 2, device="sim")).shape == (1, 2)
    assert str(shared.cpu()[0].bias.device) == "cpu"


def test_moving_is_seen_by_an_old_graph() -> None:
    net = nn.Linear(2, 2)
    loss = (net(gg.ones(1, 2, requires_grad=True)) ** 2).sum()
    net.to("cpu").float()
    loss.backward(retain_graph=True)  # nothing had to move
    net.double()
    with pytest.raises(GraphError, match="changed"):
        loss.backward()


def test_deepcopy() -> None:
    net = Net()
    net.tied = net.blocks[0].linear.weight
    net(gg.ones(2, 4)).sum().backward()
    twin = copy.deepcopy(net)
    assert [n for n, _ in twin.named_parameters()] == [n for n, _ in net.named_parameters()]
    for p, q in zip(net.parameters(), twin.parameters(), strict=True):
        assert p is not q and gg.equal(p, q) and type(q) is nn.Parameter and q.requires_grad
    assert twin.tied is twin.blocks[0].linear.weight
    with gg.no_grad():
        twin.scale.fill_(7)
    assert net.scale.item() == 1.0 and twin.scale.grad.item() == net.scale.grad.item()


# ---- text --------------------------------------------------------------------------------------


def test_repr() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Flatten(start_dim=1, end_dim=-1)\n"
        "  (1): Linear(in_features=784, out_features=128, bias=True)  # 100,480 parameters\n"
        "  (2): ReLU()\n"
        "  (3): Linear(in_features=128, out_features=10, bias=True)  # 1,290 parameters\n"
        ")  # 101,770 parameters"
    )
    net[3].requires_grad_(False)
    assert repr(net).endswith("# 101,770 parameters, 1,290 of them frozen")
    assert repr(net[3]).endswith("# 1,290 parameters, frozen")
    assert repr(nn.ReLU()) == "ReLU()" and "Parameter containing" in repr(nn.Parameter(gg.zeros(1)))


def test_pytorchs_places_of_the_layers() -> None:
    from gpugrad.nn.modules.batchnorm import _BatchNorm
    from gpugrad.nn.modules.module import register_module_forward_hook

    from gpugrad.nn.modules.utils import _pair, _triple

    assert issubclass(nn.BatchNorm2d, nn.modules.batchnorm._BatchNorm) and _BatchNorm
    assert nn.modules.conv._ConvNd in nn.Conv2d.__mro__ and callable(register_module_forward_hook)
    assert _pair(3) == (3, 3) and _pair([1, 2]) == (1, 2) and _triple(0) == (0, 0, 0)
