"""The same training on CIFAR-10 in gpugrad and in PyTorch, from equal weights in equal order.

    python bench/accuracy_cifar10.py --data DIR --seeds 0 1 2          the tutorial CNN, 10 epochs
    python bench/accuracy_cifar10.py --data DIR --model resnet18 --steps 200 --no-test

The CNN is trained as tutorials do it: SGD with learning rate 0.001 and momentum 0.9, batches of 64,
no augmentation. resnet18 and airbench take the recipes of `gpugrad train cifar10` (without the
lookahead and the alternating flips of airbench), their schedules shortened to the steps asked for.
Pictures are shifted and mirrored on the host, once for both. Prints the mean loss of every 100
steps (--every) side by side, and the accuracies on the test set. Deep networks at a high learning
rate amplify rounding, so their curves agree as those of two seeds do; --lr makes it smaller.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gpugrad as gg
from gpugrad import models
from gpugrad.data import CIFAR10
from gpugrad.train.airbench import BIAS_SCALE

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from parity.twin import twin

MEAN, STD = (np.array(v, np.float32).reshape(3, 1, 1) for v in (CIFAR10.mean, CIFAR10.std))
Batch = tuple[np.ndarray, np.ndarray]


class Plan:
    """One training: model, batches, optimizer and learning rate, in numbers."""

    def __init__(self, args: argparse.Namespace, images: np.ndarray, labels: np.ndarray) -> None:
        self.name, self.images, self.labels = args.model, images, labels
        self.batch = args.batch_size or {"cnn": 64, "resnet18": 128, "airbench": 1024}[self.name]
        self.steps = args.steps or args.epochs * (len(labels) // self.batch)
        self.every = args.every
        self.lr = args.lr or {"cnn": 0.001, "resnet18": 0.1, "airbench": 11.5}[self.name]
        self.smoothing = 0.2 if self.name == "airbench" else 0.0
        self.shift, self.mirror = {"cnn": (0, False), "resnet18": (4, True)}.get(
            self.name, (2, True)
        )

    def model(self, seed: int) -> gg.nn.Module:
        """With initial values by the seed."""
        gg.manual_seed(seed)
        if self.name == "airbench":
            model = models.Airbench()
            model.init_whitening(gg.tensor(normalised(self.images[:5000])))
            return model
        if self.name == "resnet18":
            return models.ResNet18(num_classes=10, stem="cifar")
        return models.CNN(in_channels=3, size=32)

    def batches(self, seed: int) -> Iterator[Batch]:
        """Shuffled anew in each epoch, full ones only, as many as there are steps."""
        rng = np.random.default_rng(seed)
        order = np.empty(0, np.int64)
        for _ in range(self.steps):
            if len(order) < self.batch:
                order = rng.permutation(len(self.labels))
            chosen, order = order[: self.batch], order[self.batch :]
            yield normalised(self._augmented(self.images[chosen], rng)), self.labels[chosen]

    def _augmented(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.shift:
            return images
        p = self.shift
        border = ((0, 0), (0, 0), (p, p), (p, p))
        padded = np.pad(images, border, "reflect" if self.name == "airbench" else "constant")
        tops, lefts = rng.integers(0, 2 * p + 1, (2, len(images)))
        mirrored = rng.random(len(images)) < 0.5
        parts = [
            padded[i, :, top : top + 32, left : left + 32]
            for i, (top, left) in enumerate(zip(tops, lefts, strict=True))
        ]
        return np.stack([p[..., ::-1] if m else p for p, m in zip(parts, mirrored, strict=True)])

    def optimizer(self, library: Any, model: Any) -> Any:
        """Of either library, which spell it alike."""
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if self.name != "airbench":
            decay = 5e-4 if self.name == "resnet18" else 0.0
            parameters = [p for _, p in trained]
            return library.optim.SGD(parameters, lr=self.lr, momentum=0.9, weight_decay=decay)
        lr, decay, momentum = self.lr, 0.0153, 0.85
        step = lr * self.batch / 1024 / (1 + 1 / (1 - momentum))
        groups = [
            {
                "params": [p for name, p in trained if ("norm" in name) == (scale > 1)],
                "lr": step * scale,
                "weight_decay": decay / lr / scale,
            }
            for scale in (BIAS_SCALE, 1.0)
        ]
        return library.optim.SGD(groups, momentum=momentum, nesterov=True)

    def factor(self, step: int) -> float:
        """Of the learning rate, before this step (from 0)."""
        if self.name == "cnn":
            return 1.0
        if self.name == "resnet18":
            return float(0.5 * (1 + np.cos(np.pi * step / self.steps)))
        corners = [0, int(0.23 * self.steps), self.steps]
        return float(np.interp(step, corners, [0.2, 1.0, 0.07]))


def normalised(images: np.ndarray) -> np.ndarray:
    return (images / np.float32(255) - MEAN) / STD


def train(library: Any, plan: Plan, model: Any, seed: int, device: str) -> np.ndarray:
    """The loss of each step."""
    optimizer = plan.optimizer(library, model)
    scheduler = library.optim.lr_scheduler.LambdaLR(optimizer, plan.factor)
    found = []
    for x, label in plan.batches(seed):
        optimizer.zero_grad()
        answer = model(library.tensor(np.ascontiguousarray(x), device=device))
        target = library.tensor(label, device=device)
        loss = library.nn.functional.cross_entropy(answer, target, label_smoothing=plan.smoothing)
        loss.backward()
        optimizer.step()
        scheduler.step()
        found.append(loss.item())
        if len(found) % plan.every == 0:
            print(f"  step {len(found)}: loss {np.mean(found[-plan.every :]):.4f}", flush=True)
    return np.array(found)


def accuracy(library: Any, model: Any, data: Batch, device: str) -> float:
    """On the test set, in percent."""
    images, labels = data
    model.eval()
    right = 0
    with library.no_grad():
        for i in range(0, len(labels), 500):
            x = library.tensor(normalised(images[i : i + 500]), device=device)
            answer = model(x).argmax(1).tolist()
            right += int((np.array(answer) == labels[i : i + 500]).sum())
    return 100 * right / len(labels)


def compare(plan: Plan, seed: int, test: Batch | None, device: str) -> dict[str, float]:
    """Train in both libraries; print the losses side by side; give the accuracies."""
    ours = plan.model(seed)
    theirs = twin(ours).to(device)
    ours = ours.to(device)
    losses, scores = {}, {}
    for name, library, model in (("gpugrad", gg, ours), ("PyTorch", torch, theirs)):
        print(f"seed {seed}, {name}:", flush=True)
        start = time.perf_counter()
        losses[name] = train(library, plan, model, seed, device)
        print(f"  {time.perf_counter() - start:.0f} s")
        if test is not None:
            scores[name] = accuracy(library, model, test, device)
            print(f"  test accuracy {scores[name]:.2f} %", flush=True)
    print("  steps            gpugrad   PyTorch   difference")
    for start in range(0, plan.steps, plan.every):
        end = min(start + plan.every, plan.steps)
        a, b = (losses[name][start:end].mean() for name in ("gpugrad", "PyTorch"))
        print(f"  {start + 1:6} - {end:6}  {a:8.4f}  {b:8.4f}  {a / b - 1:+.2%}")
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", choices=["cnn", "resnet18", "airbench"], default="cnn")
    add("--data", help="folder of CIFAR-10 (default: GPUGRAD_DATA)")
    add("--epochs", type=int, default=10)
    add("--steps", type=int, help="in place of --epochs")
    add("--batch-size", type=int)
    add("--lr", type=float)
    add("--every", type=int, default=100, help="steps in a line of the table")
    add("--seeds", type=int, nargs="+", default=[0])
    add("--device", default="cpu")
    add("--no-test", action="store_true", help="only the losses")
    args = parser.parse_args()
    train_set = CIFAR10(args.data, train=True)
    plan = Plan(args, planes(train_set), np.array(train_set.targets))
    test = None
    if not args.no_test:
        test_set = CIFAR10(args.data, train=False)
        test = planes(test_set), np.array(test_set.targets)
    found = [compare(plan, seed, test, args.device) for seed in args.seeds]
    if test is not None:
        for name in ("gpugrad", "PyTorch"):
            values = [each[name] for each in found]
            listed = ", ".join(f"{v:.2f}" for v in values)
            print(f"{name}: test accuracy {listed} %; mean {np.mean(values):.2f} %")


def planes(data: CIFAR10) -> np.ndarray:
    """uint8 (n, 3, 32, 32)."""
    return np.ascontiguousarray(data.data.transpose(0, 3, 1, 2))


if __name__ == "__main__":
    main()
