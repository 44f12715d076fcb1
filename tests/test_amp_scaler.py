"""GradScaler: the order of its calls, its settings, optimizers that know nothing of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, CaptureError, DTypeError, GraphError


def test_scaler_order_of_calls() -> None:
    p = gg.ones(2, requires_grad=True)
    sgd, scaler = gg.optim.SGD([p], lr=0.5), gg.GradScaler(init_scale=8.0)
    with pytest.raises(GraphError, match="update: there is no scale yet"):
        scaler.update()
    with pytest.raises(GraphError, match="no gradients to unscale"):
        scaler.step(sgd)
    scaler.scale(p.sum()).backward()
    assert p.grad.tolist() == [8.0, 8.0]
    with pytest.raises(GraphError, match="no gradients were unscaled since the last update"):
        scaler.update()
    scaler.unscale_(sgd)
    assert p.grad.tolist() == [1.0, 1.0]
    with pytest.raises(GraphError, match=r"unscale_\(\) has been called"):
        scaler.unscale_(sgd)
    scaler.step(sgd)
    assert p.tolist() == [0.5, 0.5]
    with pytest.raises(GraphError, match=r"step\(\) has been called.*update"):
        scaler.step(sgd)
    with pytest.raises(GraphError, match=r"unscale_: step\(\) has been called"):
        scaler.unscale_(sgd)
    with pytest.raises(ArgumentError, match="closure"):
        scaler.step(sgd, lambda: None)
    scaler.update(2.0)
    assert scaler.get_scale() == 2.0
    with pytest.raises(ArgumentError, match="one element"):
        scaler.update(gg.ones(2))


def test_scaler_settings_and_kinds() -> None:
    for wrong, text in (
        ({"growth_factor": 1.0}, "growth_factor must be above 1"),
        ({"backoff_factor": 1.0}, "backoff_factor must lie between 0 and 1"),
        ({"growth_interval": 0}, "growth_interval must be an int above 0"),
    ):
        with pytest.raises(ArgumentError, match=text):
            gg.GradScaler(**wrong)
    scaler = gg.GradScaler(init_scale=4.0)
    assert scaler.get_growth_factor() == 2.0 and scaler.get_backoff_factor() == 0.5
    assert scaler.get_growth_interval() == 2000 and scaler.is_enabled()
    pair = scaler.scale([gg.ones(()), (gg.full((), 2.0),)])
    assert pair[0].item() == 4.0 and pair[1][0].item() == 8.0
    with pytest.raises(DTypeError, match="float is no tensor"):
        scaler.scale(1.0)
    with pytest.raises(ArgumentError, match="state is empty"):
        scaler.load_state_dict({})
    off = gg.GradScaler(enabled=False)
    p = gg.ones(2, requires_grad=True)
    sgd = gg.optim.SGD([p], lr=1.0)
    off.scale(p.sum()).backward()
    off.unscale_(sgd), off.step(sgd), off.update()
    assert p.tolist() == [0.0, 0.0] and off.get_scale() == 1.0


def test_scaler_refuses_float16_gradients() -> None:
    p = gg.ones(2, dtype=gg.float16, requires_grad=True)
    sgd, scaler = gg.optim.SGD([p], lr=1.0), gg.GradScaler(init_scale=2.0)
    scaler.scale(p.sum()).backward()
    with pytest.raises(DTypeError, match=r"float16, where dividing.*\n.*gg\.autocast, or use bfl"):
        scaler.step(sgd)


def test_scaler_with_a_step_of_ones_own() -> None:
    """An optimizer that knows nothing of flags is not called."""
    calls: list[int] = []

    class Own(gg.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {})

        def step(self, closure: Any = None) -> None:
            calls.append(1)

    p = gg.ones(2, requires_grad=True)
    own, scaler = Own([p]), gg.GradScaler(init_scale=2.0)
    for factor in (1.0, np.inf, 1.0):
        p.grad = None
        scaler.scale((p * factor).sum()).backward()
        scaler.step(own)
        scaler.update()
    assert len(calls) == 2 and scaler.get_scale() == 1.0


def test_clipping_between_unscale_and_step() -> None:
    p = gg.zeros(2, requires_grad=True)
    sgd, scaler = gg.optim.SGD([p], lr=1.0), gg.GradScaler(init_scale=1024.0)
    scaler.scale((p * gg.tensor([3.0, 4.0])).sum()).backward()
    scaler.unscale_(sgd)
    norm = nn.utils.clip_grad_norm_([p], 1.0)
    scaler.step(sgd)
    assert norm.item() == 5.0
    np.testing.assert_allclose(p.detach().numpy(), [-0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "sim"])
def test_captured_steps_adapt(device: str) -> None:
    """Forward under autocast, scaling, step and update in a captured step: the same bits as
    eagerly, skipped steps included."""
    results = []
    for captured in (False, True):
        gg.manual_seed(0)
        model = nn.Linear(4, 3).to(device)
        adam = gg.optim.AdamW(model.parameters(), lr=0.01)
        scaler = gg.GradScaler(device, init_scale=2.0**20, growth_interval=3)
        x, t = gg.randn(8, 4, device=device), gg.zeros(8, dtype=gg.int64, device=device)

        def step(x: gg.Tensor, t: gg.Tensor, m: Any = model, o: Any = adam, s: Any = scaler) -> Any:
            o.zero_grad()
            with gg.autocast(gg.float16):
                loss = nn.functional.cross_entropy(m(x), t)
            s.scale(loss).backward()
            s.step(o)
            s.update()
            return loss

        run = gg.capture(step) if captured else step
        losses = [run(x, t).item() for _ in range(8)]
        results.append((losses, scaler.state_dict(), model.weight.tolist()))
    assert results[0] == results[1] and results[0][1]["scale"] < 2.0**20


def test_flags_of_other_devices_are_of_one_step() -> None:
    """An infinity on a device that has no gradients in the next step."""
    ps = [gg.ones(2, device=device, requires_grad=True) for device in ("cpu", "sim")]
    sgd, scaler = gg.optim.SGD(ps, lr=1.0), gg.GradScaler(init_scale=8.0)
    for used, factor in ((ps, np.inf), (ps[:1], 1.0)):
        sgd.zero_grad()
        for p in used:
            scaler.scale((p * factor).sum()).backward()
        scaler.step(sgd)
        scaler.update()
        assert scaler.get_scale() == 4.0
    assert ps[0].tolist() == [0.0, 0.0] and ps[1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("clip", [False, True])
def test_a_refused_step_leaves_the_scaler_ready(clip: bool) -> None:
    p = gg.ones(2, requires_grad=True)
    own, scaler = gg.optim.Adafactor([p]), gg.GradScaler("cpu", init_scale=2.0)

    def step(x: gg.Tensor) -> None:
        own.zero_grad()
        scaler.scale((p * x).sum()).backward()
        if clip:
            scaler.unscale_(own)
        scaler.step(own)
        scaler.update()

    captured, x = gg.capture(step), gg.ones(2)
    captured(x), captured(x)
    for _ in range(2):
        with pytest.raises(CaptureError, match="reads from the device"):
            captured(x)
    step(x)
