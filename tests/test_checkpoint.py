"""Checkpoints change no bit of a gradient, keep less, and tell when the second run differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.errors import ArgumentError, CheckpointError, GraphError
from gpugrad.utils.checkpoint import checkpoint, checkpoint_sequential


def leaf(*values: float) -> gg.Tensor:
    return gg.tensor(values, dtype=gg.float64, requires_grad=True)


def block(seed: int = 0) -> nn.Module:
    gg.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Linear(16, 16), nn.GELU(), nn.Dropout(0.4), nn.LayerNorm(16)]
    return nn.Sequential(*layers)


def gradients(model: nn.Module, run: Callable[[gg.Tensor], gg.Tensor]) -> list[Any]:
    """Output, gradients, and what is drawn before, between and after."""
    gg.manual_seed(7)
    model.zero_grad()
    x = gg.rand(4, 16).requires_grad_()
    y = run(x)
    between = gg.rand(3)
    (y * y).sum().backward()
    drawn = [between, gg.rand(3)]
    return [t.detach().numpy() for t in [y, x.grad, *drawn, *[p.grad for p in model.parameters()]]]


@pytest.mark.parametrize("early_stop", [True, False])
def test_checkpoints_change_no_bit(early_stop: bool) -> None:
    model = block()
    options = {"early_stop": early_stop}
    outer = lambda x: checkpoint_sequential(model, 3, x, **options)  # noqa: E731
    expected = gradients(model, model)
    for run in (
        lambda x: checkpoint(model, x, **options),
        outer,
        lambda x: checkpoint(outer, x, use_reentrant=True, **options),
        lambda x: checkpoint_sequential(list(model), 24, x, **options),
    ):
        for a, b in zip(expected, gradients(model, run), strict=True):
            np.testing.assert_array_equal(a, b)


def test_checkpoints_on_the_kernels() -> None:
    """The same on the device that runs the CUDA kernels, masks and all."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 4)).to("sim")
    found = []
    for run in (model, lambda x: checkpoint(model, x)):
        gg.manual_seed(5)
        model.zero_grad()
        (run(gg.ones(3, 8, device="sim")) ** 2).sum().backward()
        found.append([p.grad.cpu().numpy() for p in model.parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_the_random_state_masks_differ() -> None:
    """Shows that the test above would see a lost random state."""
    model = block()
    lost = gradients(model, lambda x: checkpoint(model, x, preserve_rng_state=False))
    assert not np.array_equal(gradients(model, model)[1], lost[1])


def kept_bytes(model: nn.Module, run: Callable[[gg.Tensor], gg.Tensor]) -> int:
    """Bytes of the arrays that live on for backward, the parameters not counted."""
    own = {id(p.array) for p in model.parameters()}
    alive: dict[int, Any] = {}
    y = run(gg.rand(64, 16).requires_grad_())
    waiting, seen = [y.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        waiting += list(node.edges)
        for entry in getattr(node, "_saved", None) or ():
            found = entry[1]
            frame = getattr(getattr(found, "packed", None), "frame", None)
            if frame is not None and frame.inputs is not None:
                waiting.append(frame.inputs)
            if hasattr(found, "nbytes") and id(found) not in own:
                alive[id(found)] = found.nbytes
    return sum(alive.values())


def test_checkpoints_keep_less() -> None:
    model = block()
    plain = kept_bytes(model, model)
    whole = kept_bytes(model, lambda x: checkpoint(model, x))
    parts = kept_bytes(model, lambda x: checkpoint_sequential(model, 6, x))
    nested = kept_bytes(
        model, lambda x: checkpoint(lambda x: checkpoint_sequential(model, 6, x), x)
    )
    assert whole == nested == 64 * 16 * 4, "the input alone"
    assert whole < parts < plain / 2


def test_a_checkpoint_runs_twice_and_only_when_needed() -> None:
    calls: list[int] = []

    def run(x: gg.Tensor) -> gg.Tensor:
        calls.append(1)
        return x.exp().sin().tanh()

    x = leaf(1)
    y = checkpoint(run, x)
    y.sum().backward(retain_graph=True)
    assert len(calls) == 2
    y.sum().backward()
    assert len(calls) == 3
    with gg.no_grad():
        checkpoint(run, x)
    assert len(calls) == 4


def test_early_stop_saves_the_tail() -> None:
    done: list[bool] = []

    def run(x: gg.Tensor) -> gg.Tensor:
        y = x.exp()
        y = y + 1  # keeps nothing
        done.append(True)
        return y

    for early_stop in (True, False):
        checkpoint(run, leaf(1), early_stop=early_stop).sum().backward()
    assert len(done) == 3


def test_a_checkpoint_that_differs_is_told() -> None:
    state = {"runs": 0}

    def fewer(x: gg.Tensor) -> gg.Tensor:
        state["runs"] += 1
        return x.exp().sin() if state["runs"] == 1 else x.exp()

    def more(x: gg.Tensor) -> gg.Tensor:
        state["runs"] += 1
        return x.exp() if state["runs"] == 1 else x.exp().sin()

    def other(x: gg.Tensor) -> gg.Tensor:
        state["runs"] += 1
        return (x if state["runs"] == 1 else x[:1]).exp()

    cases = [
        (fewer, "the first run of .*fewer kept 2 tensors for backward, the second only 1"),
        (more, "the second run of .*more keeps more than the 1 tensors"),
        (other, r"tensor 0 that .*other keeps for backward was \(2,\) float64 .* is \(1,\)"),
    ]
    for function, text in cases:
        state["runs"] = 0
        y = checkpoint(function, leaf(1, 2), early_stop=False)
        with pytest.raises(CheckpointError, match=text):
            y.sum().backward()


def test_changes_in_place_around_a_checkpoint_are_noticed() -> None:
    x = leaf(1, 2) * 1
    y = checkpoint(lambda x: x.exp(), x)
    x.add_(1)
    with pytest.raises(GraphError, match=r"CheckpointInputs.backward: .* changed in place"):
        y.sum().backward()

    def inside(x: gg.Tensor) -> gg.Tensor:
        y = x.exp()
        return y.add_(1)

    with pytest.raises(GraphError, match="changes a tensor in place"):
        checkpoint(inside, leaf(1), early_stop=False).sum().backward()


def test_checkpoint_arguments() -> None:
    with pytest.raises(ArgumentError, match="determinism_check must be"):
        checkpoint(gg.exp, leaf(1), determinism_check="none at all")
    with pytest.raises(ArgumentError, match="segments must be from 1 to 2"):
        checkpoint_sequential([gg.exp, gg.sin], 3, leaf(1))
    entered: list[str] = []

    class Context:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            entered.append(self.name)

        def __exit__(self, *error: object) -> None:
            entered.append(f"end {self.name}")

    y = checkpoint(gg.exp, leaf(1), context_fn=lambda: (Context("first"), Context("second")))
    assert entered == ["first", "end first"]
    y.sum().backward()
    assert entered[2:] == ["second", "end second"]


def test_generators_go_on_after_fork_rng() -> None:
    gg.manual_seed(3)
    expected = gg.rand(4).tolist()
    gg.manual_seed(3)
    with gg.random.fork_rng():
        gg.manual_seed(9)
        gg.rand(7)
        gg.rand(2, device="sim")
    assert gg.rand(4).tolist() == expected
