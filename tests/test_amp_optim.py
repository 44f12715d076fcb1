"""Master weights of float16 and bfloat16 parameters, and steps that a flag skips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import optim
from gpugrad.errors import DataError

DEVICES = ["cpu", "sim"]
WITH_MASTERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "momentum": 0.5},
    "Adagrad": {"lr": 0.01},
    "Adadelta": {"lr": 1.0},
    "Adamax": {"lr": 0.01},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "Lion": {"lr": 0.01},
}
"""Name -> options."""


def parameter(shape: tuple[int, ...], dtype: Any, device: str, seed: int = 0) -> gg.Tensor:
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return gg.tensor(values, device=device).to(dtype).requires_grad_()


def give(p: gg.Tensor, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal(p.shape).astype(np.float32)
    p.grad = gg.tensor(values, device=p.device).to(p.dtype)


def host(x: gg.Tensor) -> np.ndarray:
    return x.detach().cpu().float().numpy()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [gg.float16, gg.bfloat16])
@pytest.mark.parametrize("name", WITH_MASTERS)
def test_masters_are_float32_training(name: str, dtype: Any, device: str) -> None:
    """The masters go exactly where float32 parameters go that start at the same rounded values and
    get the same gradients; the parameters are the masters, rounded."""
    options = WITH_MASTERS[name]
    p, q = parameter((5, 3), dtype, device), parameter((5, 3), dtype, device).float()
    q = q.detach().requires_grad_()
    mine = getattr(optim, name)([p], **options, master_weights=True)
    plain = getattr(optim, name)([q], **options)
    for step in range(4):
        give(p, step)
        q.grad = p.grad.float()
        mine.step()
        plain.step()
        master = mine.state[p]["master_param"]
        assert master.dtype == gg.float32 and p.dtype == dtype
        np.testing.assert_allclose(host(master), host(q), rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(host(p), host(master.to(dtype)))


@pytest.mark.parametrize("device", DEVICES)
def test_small_steps_are_not_lost(device: str) -> None:
    """Steps of 2^-12 at 1 are below half of bfloat16's 2^-7: without masters nothing moves."""
    for masters, expected in ((False, 1.0), (True, 1.0 - 2.0**-12 * 64)):
        p = gg.ones(3, device=device, dtype=gg.bfloat16, requires_grad=True)
        sgd = optim.SGD([p], lr=2.0**-12, master_weights=masters)
        for _ in range(64):
            p.grad = gg.ones_like(p).detach()
            sgd.step()
        np.testing.assert_array_equal(host(p), np.full(3, expected, np.float32))


def test_float32_parameters_have_no_masters() -> None:
    p, h = parameter((3,), gg.float32, "cpu"), parameter((3,), gg.float16, "cpu")
    adam = optim.Adam([p, h], master_weights=True)
    for x in (p, h):
        give(x, 0)
    adam.step()
    assert "master_param" not in adam.state[p] and "master_param" in adam.state[h]


def test_masters_follow_changed_parameters() -> None:
    p = parameter((4,), gg.bfloat16, "cpu")
    sgd = optim.SGD([p], lr=0.0, master_weights=True)
    five = gg.full((4,), 5.0).bfloat16().array
    for change in (lambda: p.fill_(3.0), lambda: setattr(p, "array", five)):
        give(p, 0)
        sgd.step()
        before = host(p)
        with gg.no_grad():
            change()
        after = host(p)
        assert not np.array_equal(before, after)
        give(p, 1)
        sgd.step()
        np.testing.assert_array_equal(host(sgd.state[p]["master_param"]), after)


@pytest.mark.parametrize("device", DEVICES)
def test_masters_follow_a_change_before_a_split(device: str) -> None:
    """One of two parameters is written to and steps on without the other."""
    p, q = (parameter((4,), gg.bfloat16, device, seed) for seed in range(2))
    sgd = optim.SGD([p, q], lr=0.0, master_weights=True)
    give(p, 0), give(q, 1)
    sgd.step()
    with gg.no_grad():
        p.fill_(3.0)
    q.grad = None
    sgd.step()
    np.testing.assert_array_equal(host(p), np.full(4, 3.0, np.float32))
    np.testing.assert_array_equal(host(sgd.state[p]["master_param"]), host(p))


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_loaded_masters_follow_changed_elements(device: str, split: bool) -> None:
    """What is written after load_state_dict stays; the other elements keep their masters' low
    bits, and so they do where a model is loaded, or a bucket split, after it."""
    p, q = (parameter((3, 4), gg.bfloat16, device, seed) for seed in range(2))
    p = gg.Tensor(p.array.T, p.backend, True)
    sgd = optim.SGD([p, q], lr=2.0**-12, master_weights=True)
    give(p, 0), give(q, 1)
    sgd.step()
    masters = [host(sgd.state[x]["master_param"]).copy() for x in (p, q)]
    assert not np.array_equal(masters[0], host(p))
    sgd.load_state_dict(sgd.state_dict())
    sgd.param_groups[0]["lr"] = 0.0
    with gg.no_grad():
        p[:2] = 2.0
        q.copy_(q.clone())
    q.grad = None if split else q.grad
    sgd.step()
    masters[0][:2] = 2.0
    for x, expected in zip((p, q), masters, strict=True):
        np.testing.assert_array_equal(host(sgd.state[x]["master_param"]), expected)
        np.testing.assert_array_equal(host(x), host(gg.tensor(expected).to(gg.bfloat16)))


def test_strided_parameters_and_late_switches() -> None:
    """A transposed parameter; masters switched on between steps keep momentum and its count."""
    p = gg.Tensor(parameter((3, 4), gg.bfloat16, "cpu").array.T, gg.zeros(1).backend, True)
    q = gg.tensor(host(p), requires_grad=True)
    sgd, plain = (optim.SGD([x], lr=0.5, momentum=0.9) for x in (p, q))
    for step in range(3):
        sgd.param_groups[0]["master_weights"] = step > 0
        give(p, step)
        q.grad = p.grad.float()
        sgd.step(), plain.step()
        if step == 0:  # so far the steps were rounded
            q.array[...] = host(p)
            q._counter.changed("test")
    np.testing.assert_allclose(host(sgd.state[p]["master_param"]), host(q), rtol=1e-6)
    np.testing.assert_array_equal(host(p), host(q.to(gg.bfloat16)))


def test_state_goes_on_exactly() -> None:
    """Saved and loaded, also into a fresh parameter rounded from the masters; a state without
    masters starts them at the parameters; masters of another shape are refused."""
    p = parameter((6,), gg.float16, "cpu")
    adam = optim.AdamW([p], lr=0.01, master_weights=True)
    for step in range(3):
        give(p, step)
        adam.step()
    copy = p.detach().clone().requires_grad_()
    other = optim.AdamW([copy], lr=0.3, master_weights=True)
    saved = adam.state_dict()
    assert saved["state"][0]["master_param"].dtype == gg.float32
    other.load_state_dict(saved)
    for step in range(3, 6):
        for x, optimizer in ((p, adam), (copy, other)):
            give(x, step)
            optimizer.step()
    np.testing.assert_array_equal(
        host(adam.state[p]["master_param"]), host(other.state[copy]["master_param"])
    )
    del saved["state"][0]["master_param"]
    other.load_state_dict(saved)
    np.testing.assert_array_equal(host(other.state[copy]["master_param"]), host(copy))
    saved["state"][0]["master_param"] = gg.zeros(5)
    with pytest.raises(DataError, match=r"master_param of parameter 0 has shape \(5,\)"):
        other.load_state_dict(saved)


# ---- skipped steps ----------------------------------------------------------------------------

EVERY: dict[str, Callable[[Any], optim.Optimizer]] = {
    **{name: lambda p, n=name, o=o: getattr(optim, n)(p, **o) for name, o in WITH_MASTERS.items()},
    "Rprop": lambda p: optim.Rprop(p, lr=0.01),
    "ASGD": lambda p: optim.ASGD(p, lr=0.01, t0=1.0),
    "Muon": lambda p: optim.Muon(p, lr=0.01),
    "LAMB": lambda p: optim.LAMB(p, lr=0.01, weight_decay=0.1),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.01),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", EVERY)
def test_infinite_gradients_skip_the_step(name: str, device: str) -> None:
    """Good, infinite, NaN and good steps by a GradScaler go where two good steps go without one:
    parameters, state and counts."""
    p, q = parameter((4, 3), gg.float32, device), parameter((4, 3), gg.float32, device)
    scaled, plain = EVERY[name]([p]), EVERY[name]([q])
    scaler = gg.GradScaler(init_scale=4.0, growth_interval=100)
    scale = 4.0
    for step, bad in enumerate((None, np.inf, np.nan, None)):
        give(p, step)
        if bad is None:
            q.grad = p.grad.clone()
            plain.step()
        gradient = host(p.grad)
        if bad is not None:
            gradient[-1, -1] = bad
        p.grad = gg.tensor(gradient * scale, device=device)
        scaler.scale(gg.ones((), device=device))
        scaler.step(scaled)
        scaler.update()
        scale = scale if bad is None else scale / 2
        assert scaler.get_scale() == scale
        np.testing.assert_array_equal(host(p), host(q))
    mine, theirs = scaled.state[p], plain.state[q]
    assert mine.keys() == theirs.keys()
    for key in mine:
        np.testing.assert_array_equal(np.asarray(mine[key]), np.asarray(theirs[key]))


@pytest.mark.parametrize("name", sorted(EVERY.keys() - {"Adafactor"}))
def test_steps_read_nothing_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = parameter((4, 3), gg.float32, "sim")
    optimizer, scaler = EVERY[name]([p]), gg.GradScaler()
    for step in range(2):
        if step:  # what is made once may come from the host

            def refuse(*_: Any) -> None:
                raise AssertionError("a value was read from the device")

            monkeypatch.setattr(type(p.backend), "to_numpy", refuse)
            monkeypatch.setattr(type(p.backend), "synchronize", refuse)
        scaler.scale((p * p).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
