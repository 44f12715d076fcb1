"""Optimizers that a user writes; hooks; parameters with names. As PyTorch's base class has them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from parameters import parameter, set_grad, values

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.errors import ArgumentError, DataError


class Heavy(optim.Optimizer):
    """Momentum, written as one writes it for PyTorch."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @gg.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"] = gg.tensor(0.0)
                    state["buffer"] = gg.zeros_like(p)
                    state["parts"] = [gg.zeros_like(p), 1]
                state["step"].add_(1)
                state["buffer"].mul_(0.9).add_(p.grad)
                p.add_(state["buffer"], alpha=-group["lr"])
        return loss


def test_a_users_optimizer(tmp_path: Path) -> None:
    p, q = parameter([1.0, 2.0], "float32"), parameter([1.0, 2.0], "float32")
    mine, same = Heavy([p]), optim.SGD([q], lr=0.1, momentum=0.9)
    schedules = [optim.lr_scheduler.ExponentialLR(o, 0.5) for o in (mine, same)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the schedule knows that a step was taken
        for _ in range(3):
            for each, optimizer in ((p, mine), (q, same)):
                set_grad(each, [0.5, -1.0])
                optimizer.step()
            for schedule in schedules:
                schedule.step()
    np.testing.assert_allclose(values(p), values(q), rtol=1e-6)
    assert mine.step_count == 3 and mine.state[p]["step"].item() == 3

    gg.save(mine.state_dict(), tmp_path / "f")
    other = parameter([1.0, 2.0], "bfloat16")
    again = Heavy([other], lr=5.0)
    again.load_state_dict(gg.load(tmp_path / "f"))
    assert again.param_groups[0]["lr"] == 0.0125
    state = again.state[other]
    assert state["buffer"].dtype == gg.bfloat16 and state["step"].dtype == gg.float32
    assert state["parts"][0].dtype == gg.bfloat16 and state["parts"][1] == 1
    with pytest.raises(DataError, match="group 0 has 1 parameters in the state, 2 in this"):
        Heavy([p, q]).load_state_dict(mine.state_dict())
    with pytest.raises(DataError, match="'state' and 'param_groups'"):
        again.load_state_dict({})


def test_hooks_of_a_step() -> None:
    p = parameter([1.0])
    optimizer = optim.SGD([p], lr=0.5)
    seen: list[Any] = []
    pre = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append((args, kwargs)))
    post = optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(o.step_count))
    set_grad(p, 1.0)
    optimizer.step()
    assert seen == [((optimizer,), {}), 1]

    def closure() -> float:
        return 7.0

    other = optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, closure), {}))
    assert optimizer.step() == 7.0
    other.remove()
    pre.remove()
    post.remove()
    assert optimizer.step() is None and len(seen) == 4
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 5)
    with pytest.raises(ArgumentError, match=r"SGD.step: a pre-hook must return None or .*not 5"):
        optimizer.step()


def test_a_step_of_the_base_calls_the_hooks_once() -> None:
    class Twice(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            super().step(closure)
            return super().step(closure)

    p = parameter([1.0])
    optimizer = Twice([p], lr=0.25)
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *args: calls.append(1))
    set_grad(p, 1.0)
    optimizer.step()
    assert calls == [1] and optimizer.step_count == 1 and p.item() == 0.5


def test_hooks_of_states() -> None:
    p = parameter([1.0])
    for make in (lambda: optim.Adam([p]), lambda: optim.LBFGS([p]), lambda: Heavy([p])):
        optimizer = make()
        seen: list[str] = []
        optimizer.register_state_dict_pre_hook(lambda o, seen=seen: seen.append("before"))
        optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
        optimizer.register_state_dict_post_hook(lambda o, s, seen=seen: seen.append(str(len(s))))
        state = optimizer.state_dict()
        assert state["more"] == 1 and seen == ["before", "3"]
        given = {**state, "param_groups": [{**state["param_groups"][0], "lr": 3.0}]}

        def halve(o: Any, state: Any) -> Any:
            state.pop("more")
            group = state["param_groups"][0]
            return {**state, "param_groups": [{**group, "lr": group["lr"] / 2}]}

        optimizer.register_load_state_dict_pre_hook(halve)
        optimizer.register_load_state_dict_post_hook(lambda o, seen=seen: seen.append("after"))
        optimizer.load_state_dict(given)
        assert optimizer.param_groups[0]["lr"] == 1.5 and seen[-1] == "after"
        assert given["more"] == 1  # a hook gets a copy


def test_parameters_with_names() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = optim.AdamW(net.named_parameters())
    names = ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert optimizer.param_groups[0]["param_names"] == names
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in net.parameters()]
    net(gg.ones(1, 2)).sum().backward()
    optimizer.step()
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == names
    unnamed = optim.AdamW(net.parameters())
    unnamed.load_state_dict(optimizer.state_dict())
    assert unnamed.param_groups[0]["param_names"] == names
    plain = optim.AdamW(net.parameters())
    optimizer.load_state_dict(plain.state_dict())
    assert optimizer.param_groups[0]["param_names"] == names
    for params, text in [
        ([("a", parameter([1.0])), parameter([1.0])], "all parameters need a name, or none"),
        (
            [{"params": [("a", parameter([1.0]))]}, {"params": [parameter([1.0])]}],
            "all groups need names, or none",
        ),
    ]:
        with pytest.raises(ArgumentError, match=text):
            optim.SGD(params)


def test_a_loaded_rate_is_its_own() -> None:
    """A schedule that fills the lr tensor of one optimizer does not reach the other."""
    p = parameter([1.0])
    for make in (optim.SGD, Heavy, optim.LBFGS):
        one, two = (make([p], lr=gg.tensor(0.5)) for _ in range(2))
        two.load_state_dict(one.state_dict())
        one.param_groups[0]["lr"].fill_(4.0)
        assert two.param_groups[0]["lr"].item() == 0.5, make


class Pair(NamedTuple):
    mean: Any
    count: int


def test_named_tuples_in_the_state() -> None:
    p = parameter([1.0])
    one, two = Heavy([p]), Heavy([p])
    one.state[p]["pair"] = Pair(gg.tensor([2.0]), 3)
    two.load_state_dict(one.state_dict())
    pair = two.state[p]["pair"]
    assert isinstance(pair, Pair) and pair.mean.item() == 2.0 and pair.count == 3
    assert pair.mean is not one.state[p]["pair"].mean


def test_own_step_states_that_do_not_fit_change_nothing() -> None:
    big, small, row = (parameter(np.ones(shape)) for shape in [(5, 6), (3, 4), (5,)])
    target = optim.Adafactor([big], lr=0.5)
    states = []
    for p in (small, row):
        other = optim.Adafactor([p], lr=0.1)
        set_grad(p, np.ones(p.shape))
        other.step()
        states.append(other.state_dict())
    wrong = {**optim.Adafactor([big]).state_dict()}
    wrong["param_groups"] = [{**wrong["param_groups"][0], "d": 0.5}]
    for state, kind, text in [
        (states[0], DataError, r"row_var of parameter 0 has shape \(3, 1\); .* needs \(5, 1\)"),
        (states[1], DataError, "state of parameter 0 lacks row_var; it has step, variance"),
        (wrong, ArgumentError, r"Adafactor\(d=0.5\)"),
    ]:
        with pytest.raises(kind, match=text):
            target.load_state_dict(state)
        assert target.param_groups[0]["lr"] == 0.5 and not target.state
    bad = Heavy([small]).state_dict()
    bad["param_groups"][0]["lr"] = -1.0
    with pytest.raises(ArgumentError, match=r"Heavy\(lr=-1.0\)"):
        Heavy([small]).load_state_dict(bad)


def test_asgd_reads_no_rate_for_parameters_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    p, idle = parameter([1.0]), parameter([1.0])
    optimizer = optim.ASGD([p, idle], lr=gg.tensor(0.5))
    set_grad(p, 1.0)
    optimizer.step()  # the first one starts the clock from the rate

    def read(x: gg.Tensor) -> float:
        raise AssertionError("the host has read the rate")

    monkeypatch.setattr(gg.Tensor, "__float__", read)
    optimizer.step()
    set_grad(idle, 1.0)
    with pytest.raises(AssertionError, match="the host has read"):
        optimizer.step()
