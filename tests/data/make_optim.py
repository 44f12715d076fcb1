"""Writes optim.json beside this file: what PyTorch's optimizers and schedules compute.

pip install torch==2.13.0 && python tests/data/make_optim.py
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.optim import lr_scheduler

STEPS = 6
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9, "momentum": 0.7, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "centered": True, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.02, "centered": True, "momentum": 0.5, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "initial_accumulator_value": 0.1}),
    ("Adadelta", {"rho": 0.8, "eps": 1e-3, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.05, "betas": (0.8, 0.95), "maximize": True}),
    ("NAdam", {"lr": 0.05, "momentum_decay": 0.1, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("Rprop", {"lr": 0.05}),
    ("ASGD", {"lr": 0.05, "t0": 2, "lambd": 0.1}),
]
SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.5}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
    ("LinearLR", {"start_factor": 0.1, "total_iters": 5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.01}),
    ("PolynomialLR", {"total_iters": 7, "power": 2.0}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.5, "step_size_up": 3, "mode": "triangular2"}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 12}),
    ("OneCycleLR", {"max_lr": 0.5, "total_steps": 12, "three_phase": True}),
    ("OneCycleLR", {"max_lr": 0.5, "epochs": 3, "steps_per_epoch": 4, "pct_start": 0.5,
                    "anneal_strategy": "linear", "cycle_momentum": False}),
]  # fmt: skip


def gradient(step: int, n: int) -> torch.Tensor:
    """The test computes the same; parameter element i starts at cos(i)."""
    return torch.sin(torch.arange(n, dtype=torch.float64) * (step + 1) + step)


def run_optimizer(name: str, options: dict[str, Any]) -> list[float]:
    p = torch.nn.Parameter(torch.cos(torch.arange(5, dtype=torch.float64)))
    optimizer = getattr(torch.optim, name)([p], **options)
    for step in range(STEPS):
        p.grad = gradient(step, 5)
        optimizer.step()
    return p.tolist()


def run_schedule(name: str, options: dict[str, Any]) -> list[list[float]]:
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr=0.2, momentum=0.9)
    schedule = getattr(lr_scheduler, name)(optimizer, **options)
    group = optimizer.param_groups[0]
    values = [[group["lr"], group["momentum"]]]
    for _ in range(11):
        optimizer.step()
        schedule.step()
        values.append([group["lr"], group["momentum"]])
    return values


def run_warm_up() -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    warm = lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, 8)
    schedule = lr_scheduler.SequentialLR(optimizer, [warm, cosine], [4])
    values = [optimizer.param_groups[0]["lr"]]
    for _ in range(11):
        optimizer.step()
        schedule.step()
        values.append(optimizer.param_groups[0]["lr"])
    return values


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_default_dtype(torch.float64)  # of the scalars NAdam and ASGD keep
    result = {
        "torch": torch.__version__,
        "optimizers": [[n, o, run_optimizer(n, o)] for n, o in OPTIMIZERS],
        "schedules": [[n, o, run_schedule(n, o)] for n, o in SCHEDULES],
        "warm_up": run_warm_up(),
    }
    path = Path(__file__).with_name("optim.json")
    lines = json.dumps(result, indent=None, separators=(", ", ": ")).replace("]], [", "]],\n[")
    path.write_text(lines + "\n")


if __name__ == "__main__":
    main()
