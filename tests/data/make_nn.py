"""Writes nn.json beside this file: losses and activations of PyTorch, with their gradients.

pip install torch==2.13.0 && python tests/data/make_nn.py
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

LOGITS = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]
PROBABILITIES = [[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]]
TARGETS = [[0.1, 0.6, 0.3], [1.0, 0.0, 0.0]]
CLASSES = [2, 0]
WEIGHT = [0.5, 2.0, 1.0]
LOSSES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("CrossEntropyLoss", {}, LOGITS, CLASSES),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.1}, LOGITS, CLASSES),
    ("CrossEntropyLoss", {"ignore_index": 0}, LOGITS, CLASSES),
    ("CrossEntropyLoss", {}, LOGITS, TARGETS),
    ("CrossEntropyLoss", {"weight": WEIGHT, "label_smoothing": 0.2}, LOGITS, TARGETS),
    ("NLLLoss", {}, LOGITS, CLASSES),
    ("NLLLoss", {"weight": WEIGHT, "ignore_index": 2}, LOGITS, CLASSES),
    ("MSELoss", {}, LOGITS, TARGETS),
    ("L1Loss", {}, LOGITS, TARGETS),
    ("SmoothL1Loss", {"beta": 0.5}, LOGITS, TARGETS),
    ("SmoothL1Loss", {"beta": 0.0}, LOGITS, TARGETS),
    ("HuberLoss", {"delta": 0.7}, LOGITS, TARGETS),
    ("BCELoss", {}, PROBABILITIES, TARGETS),
    ("BCELoss", {"weight": WEIGHT}, [[0.0, 1.0, 0.5], [1.0, 0.0, 1.0]], TARGETS),
    ("BCEWithLogitsLoss", {}, LOGITS, TARGETS),
    ("BCEWithLogitsLoss", {"weight": WEIGHT, "pos_weight": [3.0, 1.0, 0.5]}, LOGITS, TARGETS),
    ("BCEWithLogitsLoss", {}, [[200.0, -200.0, 0.0], [-1000.0, 1000.0, 50.0]], TARGETS),
    ("KLDivLoss", {}, LOGITS, TARGETS),
    ("KLDivLoss", {"log_target": True}, LOGITS, PROBABILITIES),
]
X = [-4.0, -1.0, -0.25, 0.0, 0.5, 1.0, 3.0, 6.0, 30.0]
ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    ("ReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("ELU", {"alpha": 0.5}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Sigmoid", {}),
    ("LogSigmoid", {}),
    ("Tanh", {}),
    ("Softplus", {"beta": 2.0, "threshold": 5.0}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -0.25, "max_val": 2.0}),
    ("ReLU6", {}),
    ("Softmax", {"dim": 0}),
    ("LogSoftmax", {"dim": 0}),
]


def tensor(values: Any) -> Any:
    floating = isinstance(torch.tensor(values).flatten()[0].item(), float)
    return torch.tensor(values, dtype=torch.float64 if floating else torch.int64)


def run_loss(name: str, options: dict[str, Any], x: Any, target: Any) -> dict[str, Any]:
    made = {k: tensor(v) if isinstance(v, list) else v for k, v in options.items()}
    result = {}
    for reduction in ("none", "mean", "sum", *(["batchmean"] if name == "KLDivLoss" else [])):
        input = tensor(x).requires_grad_()
        loss = getattr(nn, name)(reduction=reduction, **made)(input, tensor(target))
        (loss * torch.arange(1.0, loss.numel() + 1).view(loss.shape)).sum().backward()
        result[reduction] = [loss.tolist(), input.grad.tolist()]
    return result


def run_activation(name: str, options: dict[str, Any]) -> list[list[float]]:
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    y = getattr(nn, name)(**options)(x)
    (y * torch.arange(1.0, len(X) + 1)).sum().backward()
    return [y.tolist(), x.grad.tolist()]


def main() -> None:
    warnings.simplefilter("ignore")
    result = {
        "torch": torch.__version__,
        "x": X,
        "activations": [[n, o, *run_activation(n, o)] for n, o in ACTIVATIONS],
        "losses": [[n, o, x, t, run_loss(n, o, x, t)] for n, o, x, t in LOSSES],
    }
    text = json.dumps(result, separators=(", ", ": "))
    for name, _ in ACTIVATIONS:
        text = text.replace(f', ["{name}"', f',\n["{name}"')
    for name, *_ in LOSSES:
        text = text.replace(f', ["{name}"', f',\n["{name}"')
    Path(__file__).with_name("nn.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
