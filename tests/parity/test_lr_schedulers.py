"""Schedules beside PyTorch's: fifty steps of every one, two groups; chained, resumed, by epoch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parameters import parameter

import gpugrad as gg
from gpugrad.errors import ArgumentError

STEPS = 50
Make = Callable[[Any, Any], Any]
"""(lr_scheduler module, optimizer) -> schedule."""


def make(name: str, *args: Any, **options: Any) -> Make:
    """The schedule of that name with these arguments."""
    part = "swa_utils" if name == "SWALR" else "lr_scheduler"
    return lambda m, o: getattr(getattr(m, part), name)(o, *args, **options)


class Power:
    """A callable object, whose attributes belong to the schedule's state."""

    def __init__(self, base: float) -> None:
        self.base = base

    def __call__(self, epoch: float) -> float:
        return float(self.base**epoch)


def sequence(milestones: list[int], *parts: Make) -> Make:
    return lambda m, o: m.lr_scheduler.SequentialLR(o, [part(m, o) for part in parts], milestones)


def chain(*parts: Make) -> Make:
    return lambda m, o: m.lr_scheduler.ChainedScheduler([part(m, o) for part in parts])


WARM = make("LinearLR", 0.1, total_iters=4)
CASES: dict[str, Make] = {
    "lambda": make("LambdaLR", lambda e: 0.95**e),
    "lambda for each": make("LambdaLR", [lambda e: 1 / (e + 1), Power(0.9)]),
    "multiplicative": make("MultiplicativeLR", lambda e: 0.95 if e % 3 else 1.02),
    "multiplicative for each": make("MultiplicativeLR", [lambda e: 0.9, lambda e: 1.01]),
    "step": make("StepLR", 7, 0.5),
    "multi step": make("MultiStepLR", [3, 11, 11, 30], 0.3),
    "constant": make("ConstantLR", 0.25, 9),
    "linear": make("LinearLR", 0.2, 0.7, 13),
    "exponential": make("ExponentialLR", 0.93),
    "polynomial": make("PolynomialLR", 20, 2.5),
    "polynomial default": make("PolynomialLR"),
    "cosine": make("CosineAnnealingLR", 12, 0.01),
    "restarts": make("CosineAnnealingWarmRestarts", 5),
    "longer restarts": make("CosineAnnealingWarmRestarts", 4, 2, 0.01),
    "triangular": make("CyclicLR", 0.01, 0.3, 6),
    "triangular2": make("CyclicLR", 0.01, [0.3, 0.5], 4, 7, "triangular2"),
    "exp_range": make("CyclicLR", [0.01, 0.02], 0.3, 5, mode="exp_range", gamma=0.97),
    "scale_fn": make("CyclicLR", 0.01, 0.3, 5, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "scale_fn of steps": make(
        "CyclicLR", 0.01, 0.3, 5, scale_fn=Power(0.9), scale_mode="iterations",
        base_momentum=[0.5, 0.6], max_momentum=0.95,
    ),
    "one cycle": make("OneCycleLR", [0.3, 0.5], 51),
    "three phases": make("OneCycleLR", 0.3, 51, three_phase=True, anneal_strategy="linear"),
    "swa": make("SWALR", 0.05),
    "swa linear": make("SWALR", [0.05, 0.5], 7, "linear"),
    "swa at once": make("SWALR", 0.05, 0),
    "warm-up, cosine": sequence([4], WARM, make("CosineAnnealingLR", 20)),
    "sequence of five": sequence(
        [3, 12, 20, 30], make("ConstantLR", 0.5, 9), make("PolynomialLR", 9, 0.9),
        make("CosineAnnealingWarmRestarts", 3), make("LambdaLR", lambda e: 0.9**e),
        make("StepLR", 4, 0.5),
    ),
    "warm-up, restarts": sequence([5], WARM, make("CosineAnnealingWarmRestarts", 6, 2)),
    "warm-up, exponential": sequence([5], WARM, make("ExponentialLR", 0.9)),
    "constant, multiplicative": sequence([5], make("ConstantLR", 0.5, 9),
                                         make("MultiplicativeLR", lambda e: 0.9)),
    "chained": chain(make("ConstantLR", 0.1, 5), make("ExponentialLR", 0.9)),
    "chain of three": chain(WARM, make("StepLR", 6, 0.5), make("MultiplicativeLR", lambda e: 0.99)),
}  # fmt: skip


def optimizers() -> tuple[Any, Any]:
    """Ours and PyTorch's, each with groups of learning rates 0.2 and 0.4."""
    a, b = parameter([0.0]), parameter([0.0])
    c, d = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    options = {"lr": 0.2, "momentum": 0.9}
    return (
        gg.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.4}], **options),
        torch.optim.SGD([{"params": [c]}, {"params": [d], "lr": 0.4}], **options),
    )


def rates(optimizer: Any) -> list[float]:
    groups = optimizer.param_groups
    return [g["lr"] for g in groups] + [g["momentum"] for g in groups]


def check(mine: Any, other: Any, at: Any) -> None:
    """The same formulas in the same order but for a few roundings, which 50 steps add up."""
    assert rates(mine) == pytest.approx(rates(other), rel=1e-13 * STEPS, abs=1e-15), at


@pytest.mark.parametrize("name", CASES)
def test_fifty_steps(name: str) -> None:
    mine, other = optimizers()
    ours, theirs = CASES[name](gg.optim, mine), CASES[name](torch.optim, other)
    for step in range(STEPS):
        check(mine, other, step)
        assert ours.get_last_lr() == rates(mine)[:2]
        for each in (mine, other, ours, theirs):
            each.step()
    check(mine, other, STEPS)


@pytest.mark.parametrize("name", CASES)
def test_state_goes_through_a_file(name: str, tmp_path: Path) -> None:
    mine, _ = optimizers()
    ours = CASES[name](gg.optim, mine)
    for _ in range(13):
        mine.step()
        ours.step()
    gg.save({"optim": mine.state_dict(), "schedule": ours.state_dict()}, tmp_path / "f")
    saved = gg.load(tmp_path / "f")
    second, _ = optimizers()
    resumed = CASES[name](gg.optim, second)
    second.load_state_dict(saved["optim"])
    resumed.load_state_dict(saved["schedule"])
    assert resumed.get_last_lr() == ours.get_last_lr()
    for step in range(20):
        for each in (mine, ours, second, resumed):
            each.step()
        assert rates(mine) == rates(second), step


def test_attributes_of_callable_objects_are_state() -> None:
    mine, _ = optimizers()
    for schedule, again in [
        (gg.optim.lr_scheduler.LambdaLR(mine, Power(0.5)), Power(0.1)),
        (gg.optim.lr_scheduler.MultiplicativeLR(mine, Power(0.5)), Power(0.1)),
    ]:
        other = type(schedule)(mine, again)
        other.load_state_dict(schedule.state_dict())
        assert again.base == 0.5
    cyclic, scale = gg.optim.lr_scheduler.CyclicLR, Power(0.1)
    other = cyclic(mine, 0.1, 0.2, scale_fn=scale)
    other.load_state_dict(cyclic(mine, 0.1, 0.2, scale_fn=Power(0.5)).state_dict())
    assert scale.base == 0.5


@pytest.mark.parametrize(
    "name",
    ["lambda", "step", "multi step", "constant", "linear", "exponential", "polynomial", "cosine",
     "restarts", "longer restarts"],
)  # fmt: skip
def test_an_epoch_may_be_given(name: str) -> None:
    """Forward, back and far ahead."""
    mine, other = optimizers()
    ours, theirs = CASES[name](gg.optim, mine), CASES[name](torch.optim, other)
    with warnings.catch_warnings():  # PyTorch's of wrong order, and that it is deprecated
        warnings.simplefilter("ignore")
        for epoch in (1, 2, 3, 10, 4, 5, 33, 0, 6):
            ours.step(epoch)
            theirs.step(epoch)
            check(mine, other, epoch)


def test_restarts_take_fractions() -> None:
    mine, other = optimizers()
    ours = CASES["longer restarts"](gg.optim, mine)
    theirs = CASES["longer restarts"](torch.optim, other)
    for step in range(100):
        for each in (mine, other):
            each.step()
        for each in (ours, theirs):
            each.step(step / 3)
        check(mine, other, step / 3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "max", "patience": 2, "factor": 0.5},
        {"threshold": 0.3, "threshold_mode": "abs", "patience": 1},
        {"mode": "max", "threshold": 0.3, "threshold_mode": "abs", "patience": 0, "cooldown": 3},
        {"patience": 0, "cooldown": 2, "min_lr": [0.01, 0.05], "factor": 0.7},
        {"patience": 0, "eps": 0.02, "factor": 0.9},
    ],
)
def test_plateau(options: dict[str, Any]) -> None:
    mine, other = optimizers()
    ours, theirs = (
        m.lr_scheduler.ReduceLROnPlateau(o, **options)
        for m, o in ((gg.optim, mine), (torch.optim, other))
    )
    for step in range(STEPS):
        metric = math.sin(step) + (1 / (step + 1) if step < 20 else math.inf * (step == 30))
        ours.step(gg.tensor(metric) if step % 2 else metric)
        theirs.step(torch.tensor(metric) if step % 2 else metric)
        check(mine, other, step)
        assert ours.get_last_lr() == rates(mine)[:2]
        for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", "in_cooldown"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name)), (step, name)
    again = gg.optim.lr_scheduler.ReduceLROnPlateau(mine)
    again.load_state_dict(ours.state_dict())
    assert again.state_dict() == ours.state_dict()


def test_a_group_may_be_added_to_a_plateau() -> None:
    mine, _ = optimizers()
    plateau = gg.optim.lr_scheduler.ReduceLROnPlateau(mine, patience=0, min_lr=0.1, factor=0.1)
    listed = gg.optim.lr_scheduler.ReduceLROnPlateau(mine, patience=0, min_lr=[0.1, 0.2])
    mine.add_param_group({"params": [parameter([1.0])], "lr": 5.0})
    plateau.step(1.0)
    plateau.step(1.0)
    assert plateau.get_last_lr() == [0.1, 0.1, 0.5]
    listed.step(1.0)
    with pytest.raises(ArgumentError, match="has 3 parameter groups now, and min_lr has 2 values"):
        listed.step(1.0)


def test_a_resumed_schedule_begins_where_the_groups_are() -> None:
    """last_epoch of an earlier run, as PyTorch has it: the first value is not changed again."""
    for name, args in [("ExponentialLR", (0.9,)), ("PolynomialLR", (20,)), ("LinearLR", (0.5,)),
                       ("MultiplicativeLR", (lambda e: 0.9,)), ("CosineAnnealingLR", (9,)),
                       ("StepLR", (2,))]:  # fmt: skip
        mine, other = optimizers()
        for optimizer in (mine, other):
            for group in optimizer.param_groups:
                group["initial_lr"] = 1.0
        ours, theirs = (
            getattr(m.lr_scheduler, name)(o, *args, last_epoch=3)
            for m, o in ((gg.optim, mine), (torch.optim, other))
        )
        for step in range(5):
            check(mine, other, (name, step))
            for each in (mine, other, ours, theirs):
                each.step()


def test_mistakes() -> None:
    mine, _ = optimizers()
    m = gg.optim.lr_scheduler
    plateau = m.ReduceLROnPlateau(mine)
    step = m.StepLR(mine, 5)
    adagrad = gg.optim.Adagrad([parameter([1.0])])
    mine.step()
    for make, kind, text in [
        (lambda: m.MultiplicativeLR(mine, [abs]), ArgumentError, "1 functions for 2 parameter"),
        (lambda: m.MultiplicativeLR(mine, 0.5), TypeError, "float is no function"),
        (lambda: m.PolynomialLR(mine, 0), ArgumentError, "total_iters=0"),
        (lambda: m.CosineAnnealingWarmRestarts(mine, 0), ArgumentError, "T_0=0"),
        (lambda: m.CosineAnnealingWarmRestarts(mine, 5, 1.5), ArgumentError, "T_mult=1.5"),
        (lambda: m.CosineAnnealingWarmRestarts(mine, 5, 1, "x"), ArgumentError, "eta_min='x'"),
        (lambda: m.CosineAnnealingWarmRestarts(mine, 5).step(-1), ArgumentError, "at least 0"),
        (lambda: m.CyclicLR(mine, 0.1, 1.0, mode="x"), ArgumentError, "or give a scale_fn"),
        (lambda: m.CyclicLR(mine, [0.1], 1.0), ArgumentError, r"base_lr\): 1 values for 2 groups"),
        (lambda: m.CyclicLR(adagrad, 0.1, 1.0), ArgumentError, "Adagrad has neither momentum"),
        (lambda: m.CyclicLR(1, 0.1, 1.0), TypeError, "int is no Optimizer"),
        (lambda: m.ReduceLROnPlateau(mine, "x"), ArgumentError, "mode='x'"),
        (lambda: m.ReduceLROnPlateau(mine, factor=1.0), ArgumentError, "factor=1.0"),
        (lambda: m.ReduceLROnPlateau(mine, threshold_mode="x"), ArgumentError, "'rel' or 'abs'"),
        (lambda: m.ReduceLROnPlateau(mine, min_lr=[0.1]), ArgumentError, "1 values for 2 groups"),
        (lambda: plateau.step(), TypeError, "give the metric"),
        (lambda: m.ChainedScheduler([]), ArgumentError, "ChainedScheduler: schedulers is empty"),
        (lambda: m.ChainedScheduler([step, plateau]), ArgumentError, r"\[1\] is a ReduceLROnPl"),
        (lambda: m.ChainedScheduler([step, m.StepLR(adagrad, 1)]), ArgumentError, "another Ada"),
        (lambda: m.SequentialLR(mine, [step, plateau], [1]), ArgumentError, "needs a metric"),
        (lambda: m.SequentialLR(mine, [step, 5], [1]), TypeError, r"schedulers\[1\], a int"),
        (lambda: gg.optim.swa_utils.SWALR(mine, 0.1, -1), ArgumentError, "anneal_epochs=-1"),
        (
            lambda: gg.optim.swa_utils.SWALR(mine, 0.1, anneal_strategy="x"),
            ArgumentError,
            "'cos' or 'linear'",
        ),
    ]:
        with pytest.raises(kind, match=text):
            make()
