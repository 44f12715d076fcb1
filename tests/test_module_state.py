"""Hooks and extra state around state_dict and load_state_dict; replacing and emptying parts."""

from __future__ import annotations

from typing import Any

import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import DataError


class Counting(nn.Module):
    """A layer with something to remember that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.count = 0

    def get_extra_state(self) -> Any:
        return {"count": self.count}

    def set_extra_state(self, state: Any) -> None:
        self.count = state["count"]


def test_extra_state() -> None:
    net = nn.Sequential(Counting(), nn.ReLU())
    net[0].count = 7
    state = net.state_dict()
    assert list(state) == ["0._extra_state", "0.linear.weight", "0.linear.bias"]
    twin = nn.Sequential(Counting(), nn.ReLU())
    twin.load_state_dict(state)
    assert twin[0].count == 7
    del state["0._extra_state"]
    with pytest.raises(DataError, match=r"Missing from the state \(1\):\n    0._extra_state"):
        twin.load_state_dict(state)
    assert twin.load_state_dict(state, strict=False).missing_keys == ["0._extra_state"]
    with pytest.raises(DataError, match="Not in the model"):
        nn.Linear(1, 1).load_state_dict({**nn.Linear(1, 1).state_dict(), "_extra_state": 1})
    for method in (nn.ReLU().get_extra_state, lambda: nn.ReLU().set_extra_state(1)):
        with pytest.raises(NotImplementedError, match=r"ReLU has no .et_extra_state"):
            method()


def test_state_dict_hooks() -> None:
    net, order = nn.Sequential(nn.Linear(1, 1, bias=False)), []
    net[0].register_state_dict_pre_hook(lambda m, prefix, keep: order.append((prefix, keep)))
    net[0].register_state_dict_post_hook(lambda m, s, prefix, _: s.update({prefix + "more": 1}))
    handle = net._register_state_dict_hook(lambda m, s, prefix, _: {f"x.{k}": s[k] for k in s})
    assert list(net.state_dict()) == ["x.0.weight", "x.0.more"] and order == [("0.", False)]
    handle.remove()
    assert list(net.state_dict(keep_vars=True)) == ["0.weight", "0.more"]


def test_a_subclass_state_dict_is_asked() -> None:
    class Named(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            state = super().state_dict(*args, **kwargs)
            state["named"] = gg.ones(1)
            return state

    assert list(nn.Sequential(Named(1, 1, False)).state_dict()) == ["0.weight", "named"]


def test_load_state_dict_hooks() -> None:
    net = nn.Sequential(nn.Linear(2, 1, bias=False))

    def rename(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        assert module is net[0] and rest[1] is True and rest[2:] == ([], [], [])
        if prefix + "w" in state:
            state[prefix + "weight"] = state.pop(prefix + "w")

    handle = net[0].register_load_state_dict_pre_hook(rename)
    given = {"0.w": gg.ones(1, 2)}
    net.load_state_dict(given)
    assert net[0].weight.tolist() == [[1.0, 1.0]] and list(given) == ["0.w"]
    handle.remove()
    with pytest.raises(DataError, match="nothing was loaded"):
        net.load_state_dict(given)
    without = net._register_load_state_dict_pre_hook(lambda state, prefix, *rest: state.clear())
    assert net.load_state_dict(given, strict=False) == (["0.weight"], [])
    without.remove()

    def complain(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        rest[-1].append("0.weight: too old")

    handle = net._register_load_state_dict_pre_hook(complain, with_module=True)
    with pytest.raises(DataError, match=r"0.weight: too old"):
        net.load_state_dict(net.state_dict())
    handle.remove()


def test_hooks_behind_the_loading() -> None:
    net = nn.Sequential(nn.Linear(1, 1))
    given = {"0.weight": gg.full((1, 1), 5.0)}
    order: list[Any] = []
    net[0].register_load_state_dict_post_hook(lambda m, keys: order.append(m.weight.item()))
    with pytest.raises(DataError, match="what fits was loaded"):
        net.load_state_dict(given)
    assert net[0].weight.item() == 5.0
    net.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    assert net.load_state_dict(given) == ([], []) and order == [5.0, 5.0]
    with pytest.raises(DataError, match="nothing was loaded"):  # shapes are never passed over
        net.load_state_dict({"0.weight": gg.zeros(2, 2)})


def test_set_submodule() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(1, 1)), nn.ReLU())
    new = nn.Tanh()
    net.set_submodule("0.0", new)
    assert net[0][0] is new and net.get_submodule("0.0") is new
    net.set_submodule("1", nn.Identity(), strict=True)
    with pytest.raises(AttributeError, match=r"no module '0.7'"):
        net.set_submodule("0.7", new, strict=True)
    with pytest.raises(ValueError, match="the path of a part is not empty"):
        net.set_submodule("", new)


def test_type_and_to_empty() -> None:
    net = nn.BatchNorm1d(3)
    parameters = list(net.parameters())
    assert net.type(gg.float64) is net and net.num_batches_tracked.dtype == gg.float64
    net.to_empty(device="sim")
    assert str(net.running_mean.device) == "sim" and net.weight.shape == (3,)
    assert all(p is q for p, q in zip(parameters, net.parameters(), strict=True))
    outer = nn.Sequential(net)
    outer.to_empty(device="cpu", recurse=False)
    assert str(net.weight.device) == "sim"
