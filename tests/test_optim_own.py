"""Optimizers that a user writes; hooks; parameters with names. As PyTorch's base class has them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

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
