"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

import pytest

import gpugrad as gg
from gpugrad import nn


def test_sequential() -> None:
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    assert net[0] is a and net[-1] is c and list(net) == [a, b, c] and len(net) == 3
    part = net[1:]
    assert type(part) is nn.Sequential and list(part.state_dict()) == ["2.weight", "2.bias"]
    assert part[1] is c
    net.append(nn.Tanh()).insert(1, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Linear", "Identity", "ReLU", "Linear", "Tanh"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    del net[1]
    assert net.pop(-1).__class__ is nn.Tanh and list(net) == [a, b, c]
    net[1] = nn.Sigmoid()
    assert type(net[1]) is nn.Sigmoid and list(net.state_dict())[-1] == "2.bias"
    net.extend([nn.ReLU()])
    assert len(net + nn.Sequential(b)) == 5
    named = nn.Sequential({"first": a, "second": b})
    assert named.first is a and list(named.state_dict()) == ["first.weight", "first.bias"]
    assert list(named[:1].state_dict()) == ["first.weight", "first.bias"]
    for call, kind, text in [
        (lambda: net[9], IndexError, r"Sequential\[9\]: it has 4 parts"),
        (lambda: net["a"], TypeError, "an index is an int or a slice"),
        (lambda: net.append(1), TypeError, "expected a Module, got a int"),
        (lambda: nn.Sequential([a, b]), TypeError, "expected a Module, got a list"),
    ]:
        with pytest.raises(kind, match=text):
            call()


def test_module_list_and_dict() -> None:
    a, b = nn.Linear(1, 1), nn.ReLU()
    items = nn.ModuleList([a])
    items += [b]
    assert list(items) == [a, b] and a in items and list(items[::-1]) == [b, a]
    assert list(items + [nn.Tanh()])[:2] == [a, b] and len(items) == 2  # noqa: RUF005
    assert type(items[:1]) is nn.ModuleList
    items.insert(0, nn.Tanh())
    del items[1]
    assert [type(m) for m in items] == [nn.Tanh, nn.ReLU] and list(vars(items)) == ["0", "1"]
    table = nn.ModuleDict([("x", a)])
    table["y"] = b
    table.update({"z": a})
    assert list(table) == ["x", "y", "z"] == list(table.keys()) and table["x"] is a
    assert dict(table.items())["y"] is b and "x" in table and list(table.values()) == [a, b, a]
    assert table.pop("z") is a and len(table) == 2
    del table["x"]
    assert list(table) == ["y"]
    table.clear()
    assert len(table) == 0
    for call, kind, text in [
        (lambda: table["x"], KeyError, "has no key 'x'"),
        (lambda: table.update({"keys": a}), KeyError, "already has an attribute 'keys'"),
        (lambda: table.update({"a": 1}), TypeError, "expected a Module, got a int"),
        (lambda: items.extend(3), TypeError, "expected an iterable"),
    ]:
        with pytest.raises(kind, match=text):
            call()


def test_parameter_list_and_dict() -> None:
    items = nn.ParameterList([gg.zeros(2), nn.Parameter(gg.ones(1))])
    assert all(isinstance(p, nn.Parameter) for p in items)
    assert list(items.state_dict()) == ["0", "1"]
    table = nn.ParameterDict({"a": gg.zeros(2)})
    assert isinstance(table["a"], nn.Parameter) and list(table.state_dict()) == ["a"]
    assert "(2,) float32" in repr(items) and "a: (2,) float32" in repr(table)
