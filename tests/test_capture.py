"""Captured steps give the bits of eager ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from capturing import DEVICES, Step, batches, bits, network, opened, same_as_eager

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.errors import ArgumentError, CaptureError
from gpugrad.graphs import Captured
from gpugrad.nn import functional as F


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return opened(request.param, monkeypatch)


OPTIMIZERS: dict[str, Callable[[Any], optim.Optimizer]] = {
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "lamb": lambda p: optim.LAMB(p, lr=0.01),
    "nadam": lambda p: optim.NAdam(p, lr=0.01),
    "rprop": lambda p: optim.Rprop(p, lr=0.01),
    "adafactor": lambda p: optim.Adafactor(p, lr=0.01),
    "lr on the device": lambda p: optim.AdamW(p := list(p), lr=gg.tensor(0.01, device=p[0].device)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("debug", [False, True])
def test_a_training_step(device: str, name: str, debug: bool) -> None:
    def make() -> tuple[Step, nn.Module]:
        model = network(device, nn.BatchNorm1d(8), nn.Dropout(0.3))
        optimizer = OPTIMIZERS[name](model.parameters())

        def step(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            return loss

        return step, model

    same_as_eager(make, batches(device), debug=debug)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("debug", [False, True])
def test_schedules_inside(device: str, place: str, debug: bool) -> None:
    def make() -> tuple[Step, nn.Module]:
        model = network(device)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        optimizer.step()  # so that "before" does not warn
        parts = [optim.lr_scheduler.ExponentialLR(optimizer, 0.9) for _ in range(2)]
        schedule = optim.lr_scheduler.SequentialLR(optimizer, parts, [4])

        def step(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            if place == "before":
                schedule.step()
            optimizer.step()
            if place == "after":
                schedule.step()
            return loss

        return step, model

    same_as_eager(make, batches(device), debug=debug)


def test_schedules_outside(device: str) -> None:
    def run(wrap: Callable[[Step], Step]) -> list[bytes]:
        model = network(device)
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def inner(x: gg.Tensor, target: gg.Tensor) -> None:
            optimizer.zero_grad()
            F.cross_entropy(model(x), target).backward()
            optimizer.step()

        step = wrap(inner)
        for batch in batches(device):
            step(*batch)
            optimizer.param_groups[0]["lr"] *= 0.8
        return bits(*model.parameters())

    assert run(lambda step: step) == run(gg.capture)


def test_the_random_stream_goes_on(device: str) -> None:
    """Replays, other draws, another captured step and new seeds, in any order."""

    def run(wrap: Callable[[Step], Step]) -> list[bytes]:
        gg.manual_seed(1)
        own = gg.Generator().manual_seed(5)
        x = gg.ones(64, device=device)
        first = wrap(lambda x: (F.dropout(x, 0.5), gg.rand(3, device=device, generator=own)))
        # What x * 2 had is free when the first number is drawn: its state must not lie there.
        second = wrap(lambda x: (x * 2 + 1) * gg.randn(64, device=device) + F.dropout(x, 0.1))
        found = []
        for i in range(8):
            found += first(x)
            found.append(second(x))
            if i == 4:
                found.append(gg.rand(5, device=device))
                found.append(gg.rand(5, device=device, generator=own))
            if i == 5:
                gg.manual_seed(7)
        return bits(*found)

    assert run(lambda step: step) == run(gg.capture)


def test_checkpointing_and_forked_streams(device: str) -> None:
    def make() -> tuple[Step, nn.Module]:
        model = network(device, nn.Dropout(0.5))

        def step(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            model.zero_grad()
            with gg.random.fork_rng():
                noise = gg.rand(5, 6, device=device)
            y = gg.utils.checkpoint.checkpoint(model, x + noise, use_reentrant=False)
            loss = F.cross_entropy(y, target)
            loss.backward()
            return loss

        return step, model

    same_as_eager(make, batches(device))


@pytest.mark.parametrize(
    "zero", ["inside, first", "inside, last", "with zeros", "outside", "never"]
)
def test_gradients(device: str, zero: str) -> None:
    def run(wrap: Callable[[Step], Step]) -> list[bytes]:
        model = network(device)
        last = model[2]

        def inner(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            if zero in ("inside, first", "with zeros"):
                model.zero_grad(set_to_none=zero != "with zeros")
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            loss = loss + last.weight.grad.sum()
            if zero == "inside, last":
                model.zero_grad()
            return loss.detach()

        step, found = wrap(inner), []
        for batch in batches(device):
            found.append(step(*batch))
            grads = [p.grad for p in model.parameters()]
            found += [g.clone() for g in grads if g is not None]
            if zero == "outside":
                model.zero_grad()
        return bits(*found)

    assert run(lambda step: step) == run(gg.capture)


def test_gradients_that_are_missing_or_there(device: str) -> None:
    model = network(device)
    step = gg.capture(lambda x, t: F.cross_entropy(model(x), t).backward())
    data = batches(device)
    for batch in data:
        step(*batch)
    model.zero_grad()
    with pytest.raises(CaptureError, match=r"Sequential.0.weight.grad is missing, which it was"):
        step(*data[0])
    step.reset()
    for batch in data:
        model.zero_grad()
        step(*batch)
    with pytest.raises(CaptureError, match=r"Sequential.0.weight.grad is there"):
        step(*data[0])


def test_leaves_without_a_module(device: str) -> None:
    def run(wrap: Callable[[Step], Step]) -> list[bytes]:
        weight = gg.ones(3, device=device, requires_grad=True)

        def inner(x: gg.Tensor) -> None:
            (weight * weight * x).sum().backward()

        step, found = wrap(inner), []
        for i in range(6):
            step(gg.full((3,), i + 1.0, device=device))
            with gg.no_grad():
                weight -= 0.1 * weight.grad
            found.append(weight.grad.clone())
            weight.grad = None
        return bits(weight, *found)

    assert run(lambda step: step) == run(gg.capture)


@pytest.mark.parametrize("debug", [False, True])
def test_mixed_precision(device: str, debug: bool) -> None:
    """A scaler that finds an infinity, which halves its scale; and master weights, also of a
    parameter that is changed between two steps."""

    def scaled() -> tuple[Step, nn.Module]:
        model = network(device)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        scaler = gg.amp.GradScaler(device, init_scale=2.0**127, growth_interval=2)

        def step(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            optimizer.zero_grad()
            with gg.amp.autocast(device):
                loss = F.cross_entropy(model(x), target)
            scaler.scale(loss * 8).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss

        return step, model

    same_as_eager(scaled, batches(device, 12), debug=debug)


@pytest.mark.parametrize("lookahead", [False, True])
def test_master_weights(device: str, lookahead: bool) -> None:
    def run(wrap: Callable[[Step], Step]) -> list[bytes]:
        model = network(device).to(gg.bfloat16)
        optimizer = optim.AdamW(model.parameters(), lr=1e-3, master_weights=True)

        def inner(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x.to(gg.bfloat16)), target)
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(inner)
        for i, batch in enumerate(batches(device, 10)):
            if lookahead and i in (2, 5, 6):
                with gg.no_grad():
                    model[0].weight.mul_(0.75)
            (inner if i == 8 else step)(*batch)
        state = [x for entry in optimizer.state.values() for x in entry.values()]
        return bits(*[x.float() for x in state if isinstance(x, gg.Tensor)])

    assert run(lambda step: step) == run(gg.capture)


def test_inside_a_region_of_autocast(device: str) -> None:
    """Its copies of parameters are made by the graph, as the parameters may change later."""

    def run(wrap: Callable[[Step], Step]) -> list[bytes]:
        model, found = network(device), []
        with gg.amp.autocast(device):
            step = wrap(lambda x: model(x))
            for i, (x, _) in enumerate(batches(device)):
                found.append(step(x).float())
                if i >= 3:
                    with gg.no_grad():
                        model[0].weight.mul_(0.5)
        return bits(*found)

    assert run(lambda step: step) == run(gg.capture)


def test_settings_that_changed(device: str) -> None:
    step = gg.capture(lambda x: x @ x)
    x = gg.ones(3, 3, device=device)
    for _ in range(4):
        step(x)
    with gg.no_grad(), pytest.raises(CaptureError, match=r"grad mode are \(.*, None, False\)"):
        step(x)


def test_detect_nan_looks_at_every_value(device: str) -> None:
    model = network(device)
    step = gg.capture(lambda x: (model(x) * 0.0).log().sum().backward())
    x = gg.ones(2, 6, device=device)
    for _ in range(4):
        step(x)
    with gg.detect_nan(), pytest.raises(gg.errors.NonFiniteError):
        step(x)


def test_arguments_may_be_nested(device: str) -> None:
    def step(batch: dict[str, Any], pair: tuple[Any, Any], *, scale: float) -> dict[str, Any]:
        return {"y": [batch["x"] * scale + pair[0], pair[1].T * 1.0], "name": "sum"}

    captured = gg.capture(step)
    for i in range(5):
        x = gg.full((2, 3), float(i), device=device)
        turned = gg.arange(6.0, device=device).reshape(3, 2).T + i
        found = captured({"x": x}, (x + 1, turned), scale=0.5)
        expected = step({"x": x}, (x + 1, turned), scale=0.5)
        assert bits(*found["y"]) == bits(*expected["y"]) and found["name"] == "sum"


def test_results_are_the_callers(device: str) -> None:
    captured = gg.capture(lambda x: x * 2)
    found = [captured(gg.full((3,), float(i), device=device)) for i in range(5)]
    assert [y.tolist() for y in found] == [[2.0 * i] * 3 for i in range(5)]
    assert not any(y.requires_grad for y in found)


def test_values_made_inside(device: str) -> None:
    """A tensor made from numbers of the host begins with them in every replay."""
    total = gg.zeros(3, device=device)

    @gg.capture
    def step(x: gg.Tensor) -> gg.Tensor:
        sums = gg.tensor([1.0, 2.0, 3.0], device=device)
        sums += x
        total.add_(sums)
        return sums

    found = [step(gg.full((3,), float(i), device=device)).tolist() for i in range(5)]
    assert found == [[1.0 + i, 2.0 + i, 3.0 + i] for i in range(5)]
    assert total.tolist() == [15.0, 20.0, 25.0]


def test_decorations(device: str) -> None:
    class Job:
        def __init__(self) -> None:
            self.weight = gg.tensor(3.0, device=device)

        @gg.capture(warm_up=1)
        def step(self, x: gg.Tensor) -> gg.Tensor:
            """Three times."""
            return self.weight * twice(x)

    @gg.capture
    def twice(x: gg.Tensor) -> gg.Tensor:
        return x * 2

    job = Job()
    assert [job.step(gg.tensor(float(i), device=device)).item() for i in range(4)] == [0, 6, 12, 18]
    assert isinstance(Job.step, Captured) and Job.step.__doc__ == "Three times."
    assert repr(twice) == "<captured step twice: 0 of at most 1 shapes>"  # it was a part of step
    with pytest.raises(CaptureError, match=r"argument self is .* captured was"):
        Job().step(gg.tensor(1.0, device=device))


def test_steps_without_arguments(device: str) -> None:
    x = gg.zeros(2, device=device)
    step = gg.capture(lambda: x.add_(1).sum(), device=device)
    assert [step().item() for _ in range(5)] == [2.0, 4.0, 6.0, 8.0, 10.0]
    with pytest.raises(ArgumentError, match=r"no tensor arguments.*\n.*device=\"cuda\""):
        gg.capture(lambda: x)()


def test_the_example_of_readme(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text().split("## Captured steps")[1]
    exec(compile(text.split("```python\n")[1].split("```")[0], "README.md", "exec"), {})
    assert "loss 0." in capsys.readouterr().out
