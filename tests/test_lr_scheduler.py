"""Learning-rate schedules against PyTorch's values; resuming; warnings and mistakes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.errors import ArgumentError
from gpugrad.optim import lr_scheduler

REFERENCE = json.loads((Path(__file__).parent / "data" / "optim.json").read_text())


def parameter() -> nn.Parameter:
    return nn.Parameter(gg.zeros(1))


def sgd(lr: float = 0.2, momentum: float = 0.9) -> optim.SGD:
    return optim.SGD([parameter()], lr=lr, momentum=momentum)


@pytest.mark.parametrize("case", REFERENCE["schedules"], ids=lambda c: f"{c[0]}-{c[1]}")
def test_schedules_of_pytorch(case: Any) -> None:
    name, options, expected = case
    optimizer = sgd()
    schedule = getattr(lr_scheduler, name)(optimizer, **options)
    group = optimizer.param_groups[0]
    for i, (lr, momentum) in enumerate(expected):
        assert group["lr"] == pytest.approx(lr, rel=1e-12, abs=1e-15), i
        assert group["momentum"] == pytest.approx(momentum, rel=1e-12), i
        assert schedule.get_last_lr() == [group["lr"]]
        optimizer.step()
        if i < len(expected) - 1:
            schedule.step()


def warm_up(optimizer: optim.Optimizer) -> lr_scheduler.SequentialLR:
    warm = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, 8)
    return lr_scheduler.SequentialLR(optimizer, [warm, cosine], [4])


def test_warm_up_then_cosine() -> None:
    optimizer = sgd()
    schedule = warm_up(optimizer)
    for lr in REFERENCE["warm_up"]:
        assert schedule.get_last_lr() == [pytest.approx(lr, rel=1e-12)]
        optimizer.step()
        schedule.step()


def test_lambda_and_groups() -> None:
    a, b = parameter(), parameter()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 2.0}], lr=1.0)
    schedule = lr_scheduler.LambdaLR(optimizer, [lambda e: 1 / (e + 1), lambda e: 0.5**e])
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 1.0]
    with pytest.raises(ArgumentError, match="1 functions for 2 parameter groups"):
        lr_scheduler.LambdaLR(optimizer, [lambda e: 1.0])


@pytest.mark.parametrize("make", [warm_up, lambda o: lr_scheduler.OneCycleLR(o, 0.5, 12)])
def test_schedule_resumes(make: Any, tmp_path: Path) -> None:
    optimizer = sgd()
    schedule = make(optimizer)
    rates = []
    for i in range(10):
        if i == 5:
            state = {"optim": optimizer.state_dict(), "schedule": schedule.state_dict()}
            gg.save(state, tmp_path / "f")
        optimizer.step()
        schedule.step()
        rates.append(schedule.get_last_lr())
    saved = gg.load(tmp_path / "f")
    optimizer = sgd()
    schedule = make(optimizer)
    optimizer.load_state_dict(saved["optim"])
    schedule.load_state_dict(saved["schedule"])
    for i in range(5, 10):
        optimizer.step()
        schedule.step()
        assert schedule.get_last_lr() == rates[i]


def test_wrong_order_warns_once() -> None:
    optimizer = sgd()
    schedule = lr_scheduler.StepLR(optimizer, 5)
    with pytest.warns(UserWarning, match=r"StepLR.step\(\) was called before optimizer.step\(\)"):
        schedule.step()
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schedule.step()


def test_mistakes_in_schedules() -> None:
    optimizer = sgd()
    for make, kind, text in [
        (lambda: lr_scheduler.StepLR("x", 1), TypeError, "str is no Optimizer"),
        (lambda: lr_scheduler.StepLR(optimizer, 0), ArgumentError, "step_size=0"),
        (lambda: lr_scheduler.LinearLR(optimizer, 0.0), ArgumentError, "start_factor=0.0"),
        (lambda: lr_scheduler.ConstantLR(optimizer, 2.0), ArgumentError, "factor=2.0"),
        (lambda: lr_scheduler.CosineAnnealingLR(optimizer, 0), ArgumentError, "T_max=0"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0), ArgumentError, "give total_steps"),
        (
            lambda: lr_scheduler.OneCycleLR(optimizer, [1.0, 2.0], 5),
            ArgumentError,
            "2 values for 1",
        ),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 0), ArgumentError, "positive int, got 0"),
        (
            lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5, pct_start=2),
            ArgumentError,
            "pct_start",
        ),
        (
            lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 5, anneal_strategy="exp"),
            ArgumentError,
            "'cos' or 'linear'",
        ),
        (lambda: lr_scheduler.StepLR(optimizer, 1, last_epoch=3), KeyError, "no 'initial_lr'"),
        (lambda: lr_scheduler.SequentialLR(optimizer, [], []), ArgumentError, "is empty"),
        (
            lambda: lr_scheduler.SequentialLR(optimizer, [lr_scheduler.StepLR(sgd(), 1)], []),
            ArgumentError,
            "of the given optimizer",
        ),
    ]:
        with pytest.raises(kind, match=text):
            make()
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, 2)
    optimizer.step()
    schedule.step()
    schedule.step()
    with pytest.raises(ArgumentError, match="called 4 times, but total_steps is 2"):
        schedule.step()


def test_one_cycle_turns_beta1_of_adam_and_takes_values_for_each_group() -> None:
    a, b = parameter(), parameter()
    optimizer = optim.Adam([{"params": [a]}, {"params": [b], "betas": (0.9, 0.99)}])
    schedule = lr_scheduler.OneCycleLR(optimizer, [1.0, 2.0], 10, base_momentum=[0.8, 0.7])
    assert schedule.get_last_lr() == pytest.approx([0.04, 0.08])
    for _ in range(2):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [1.0, 2.0]  # the top, after 30 % of the steps
    assert [g["betas"] for g in optimizer.param_groups] == [(0.8, 0.999), (0.7, 0.99)]


def test_nested_sequences() -> None:
    optimizer = sgd(1.0)
    constant = lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=10)
    inner = lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.ExponentialLR(optimizer, 0.5), lr_scheduler.ExponentialLR(optimizer, 0.25)],
        [2],
    )
    schedule = lr_scheduler.SequentialLR(optimizer, [constant, inner], [2])
    rates = []
    for _ in range(6):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert rates == [0.5, 0.5, 1.0, 0.5, 1.0, 0.25]
