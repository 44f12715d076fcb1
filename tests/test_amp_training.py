"""Training in bfloat16 and float16 beside float32."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F

UNIT = 2.0**-8
"""Largest relative error of a rounding to bfloat16."""


class Perceptron(nn.Module):
    """Two spirals' worth of nonlinearity: [64, 2] to 3 classes."""

    products, lr = 3, 0.5

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3)
        )

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return self.layers(x)

    @staticmethod
    def batch() -> tuple[gg.Tensor, gg.Tensor]:
        x = gg.randn(64, 2)
        return x, ((x[:, 0] * x[:, 1] > 0).to(gg.int64) + (x[:, 0] > 1).to(gg.int64))


class Transformer(nn.Module):
    """One block of width 16; says which of 5 tokens stands in front of the last 0."""

    lr = 0.1
    products = 7  # query, key and value; scores; values; output; two of the perceptron; head

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return self.head(self.block(self.embedding(x)).mean(1))

    @staticmethod
    def batch() -> tuple[gg.Tensor, gg.Tensor]:
        x = gg.randint(0, 5, (64, 4))
        return x, x[:, 1] * 1


def curve(make: type[Perceptron | Transformer], low: bool) -> np.ndarray:
    """[400, 2]: of each step the loss and the largest logit."""
    gg.manual_seed(5)
    model = make()
    x, t = make.batch()
    optimizer = gg.optim.SGD(model.parameters(), lr=make.lr)
    found = []
    for _ in range(400):
        optimizer.zero_grad()
        with gg.autocast("cpu", enabled=low):
            z = model(x)
            loss = F.cross_entropy(z, t)
        loss.backward()
        optimizer.step()
        found.append((loss.item(), z.detach().float().abs().max().item()))
    return np.array(found)


@pytest.mark.parametrize("make", [Perceptron, Transformer])
def test_bfloat16_follows_float32(make: type[Perceptron | Transformer]) -> None:
    """Each product rounds two operands and its result, forward and in both products of backward: n
    = 9 roundings a product, each a relative error of UNIT / 2 root mean square at most, which add
    up like a random walk: r = sqrt(n products) UNIT / 2. Of logits up to z that is an error of
    the cross-entropy of 2 (1 - p) z r <= 2 loss z r, p the probability of the target. In the
    weights, the gradients' errors: the loss falls by the sum of lr |g|^2 over the steps, so a part
    r of that, at most the first loss, is what they can be off.
    """
    exact, low = curve(make, False), curve(make, True)
    r = math.sqrt(9 * make.products) * UNIT / 2
    bound = r * (2 * exact[:, 0] * exact[:, 1] + exact[0, 0])
    error = np.abs(exact[:, 0] - low[:, 0])
    assert error.any() and (error < bound).all()
    assert exact[-1, 0] < exact[0, 0] / 3 and bound.max() < exact[0, 0] / 3  # it says something


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("scaled", [True, False])
def test_float16_needs_the_scale(device: str, scaled: bool) -> None:
    """Outputs that are 1e-3 off have a gradient of 2e-3 / 2^20 = 2e-9, far less than half of
    float16's smallest number, 2^-24: without a scale nothing moves, with one the loss falls to what
    float16 can tell of outputs (relative errors of 2^-11, squared; a thousandth is far above)."""
    rng = np.random.default_rng(0)
    x = gg.tensor(np.sign(rng.standard_normal((16, 8))).astype(np.float32), device=device)
    goal = gg.tensor((4e-4 * rng.standard_normal((8, 32))).astype(np.float32), device=device)
    target = x @ goal
    w = gg.zeros(8, 32, device=device, requires_grad=True)
    optimizer = gg.optim.SGD([w], lr=2.0**20 / 64)
    scaler = gg.GradScaler(device, init_scale=2.0**16, enabled=scaled)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        with gg.autocast(gg.float16):
            y = x @ w
            loss = F.mse_loss(y, target, reduction="sum") / 2.0**20
        assert y.dtype == gg.float16
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    if scaled:
        assert losses[-1] < 1e-3 * losses[0] and scaler.get_scale() == 2.0**16
    else:
        assert losses[-1] == losses[0] and not w.detach().any()


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_a_scale_that_is_too_large_is_found(device: str) -> None:
    """Begun at 2^40 the gradients are infinite until the scale fits; then training goes on as if
    it had begun below: scales are powers of two, so bit for bit, where no gradient underflows."""
    results = []
    for start in (2.0**40, 2.0**10):
        gg.manual_seed(1)
        w = gg.randn(4, 4, device=device).requires_grad_()
        x = gg.randn(3, 4, device=device)
        optimizer = gg.optim.AdamW([w], lr=0.1)
        scaler = gg.GradScaler(device, init_scale=start, growth_interval=1000)
        skipped = 0
        for _ in range(45):
            optimizer.zero_grad()
            with gg.autocast(gg.float16):
                loss = (x @ w).float().square().mean()
            before = scaler.get_scale()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
            if optimizer.state[w]["step"] == 10:
                break
        results.append((skipped, w.detach().cpu().numpy()))
    assert results[0][0] > 20 and results[1][0] == 0
    np.testing.assert_array_equal(results[0][1], results[1][1])
