"""Optimizers and schedules against PyTorch's values, and what is particular to ours."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parameters import parameter, set_grad, values

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.errors import (
    ArgumentError,
    DataError,
    DeviceError,
    DTypeError,
    GraphError,
    ShapeError,
)

REFERENCE = json.loads((Path(__file__).parent / "data" / "optim.json").read_text())
NEW = "Adagrad Adadelta Adafactor Adamax NAdam RAdam Lion LAMB Rprop ASGD"
ALL = [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, *(getattr(optim, n) for n in NEW.split())]
"""But Muon, of matrices alone, and LBFGS, which has no step of its own for each parameter."""


def gradient(step: int, n: int) -> np.ndarray:
    return np.sin(np.arange(n, dtype=np.float64) * (step + 1) + step)


def stepped(optimizer: optim.Optimizer, params: list[gg.Tensor], steps: range) -> None:
    for step in steps:
        for p in params:
            set_grad(p, gradient(step, p.numel()).reshape(p.shape))
        optimizer.step()


# ---- the numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "sim"])
@pytest.mark.parametrize("case", REFERENCE["optimizers"], ids=lambda c: f"{c[0]}-{c[1]}")
def test_values_of_pytorch(case: Any, device: str) -> None:
    name, options, expected = case
    for dtype, tolerance in [("float64", 1e-12), ("float32", 3e-6)]:
        p = parameter(np.cos(np.arange(5.0)), dtype, device)
        stepped(getattr(optim, name)([p], **options), [p], range(6))
        np.testing.assert_allclose(values(p), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("cls", ALL)
def test_half_parameters_have_float32_state(cls: Any, dtype: str) -> None:
    p = parameter(np.cos(np.arange(5.0)), dtype)
    start = values(p)
    wide = parameter(start, "float32")
    options = {"momentum": 0.9} if cls is optim.SGD else {}
    narrow_optimizer, wide_optimizer = cls([p], lr=0.01, **options), cls([wide], lr=0.01, **options)
    set_grad(p, gradient(1, 5))
    wide.grad = p.grad.float()
    narrow_optimizer.step()
    wide_optimizer.step()
    state = narrow_optimizer.state[p]
    assert all(t.dtype == gg.float32 for t in state.values() if isinstance(t, gg.Tensor))
    assert p.dtype == gg.as_dtype(dtype)
    np.testing.assert_array_equal(values(p), values(wide.detach().to(p.dtype)))


def test_groups_have_their_own_options() -> None:
    a, b = parameter([1.0]), parameter([1.0])
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    set_grad(a, 1)
    set_grad(b, 1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.9, 0.5)
    optimizer.param_groups[0]["lr"] = 1.0  # a change counts from the next step on
    optimizer.step()
    assert (a.item(), b.item()) == (pytest.approx(-0.1), 0.0)
    c = parameter([1.0])
    optimizer.add_param_group({"params": [c], "lr": 0.25})
    set_grad(c, 1)
    optimizer.step()
    assert c.item() == 0.75 and len(optimizer.param_groups) == 3


def test_dtypes_mix_in_one_group() -> None:
    params = [parameter([1.0, 2.0], d) for d in ("float32", "float64", "float16", "float32")]
    stepped(optim.Adam(params, lr=0.1), params, range(3))
    for p in params:
        alone = parameter([1.0, 2.0], p.dtype.name)
        stepped(optim.Adam([alone], lr=0.1), [alone], range(3))
        np.testing.assert_array_equal(values(p), values(alone))


@pytest.mark.parametrize("cls", ALL)
def test_parameters_without_gradient_are_passed_over(cls: Any) -> None:
    """Each parameter counts its own steps, also when they part and come together again."""
    options = {"lr": 0.1, "momentum": 0.9} if cls is optim.SGD else {"lr": 0.1}
    together = [parameter(np.cos(np.arange(3.0) + i)) for i in range(4)]
    alone = [parameter(values(p)) for p in together]
    optimizer = cls(together, **options)
    single = [cls([p], **options) for p in alone]
    rng = np.random.default_rng(1)
    for step in range(12):
        for i in range(4):
            present = i == 0 or (i < 3 and rng.random() < 0.6) or (i == 3 and step > 8)
            for p in (together[i], alone[i]):
                p.grad = None
                if present:
                    set_grad(p, gradient(step + i, 3))
            if present:
                single[i].step()
        optimizer.step()
    for p, q in zip(together, alone, strict=True):
        np.testing.assert_array_equal(values(p), values(q))
    if cls not in (optim.SGD, optim.Lion):
        counts = [optimizer.state[p]["step"] for p in together]
        assert counts == [s.state[q]["step"] for s, q in zip(single, alone, strict=True)]


def test_strided_parameters_and_gradients() -> None:
    base = np.arange(12.0).reshape(3, 4)
    memory = gg.tensor(base.copy())
    p = nn.Parameter(memory.T)
    assert not p.is_contiguous()
    q = parameter(base.T.copy())
    p.grad = gg.tensor(np.sin(base)).T
    q.grad = gg.tensor(np.sin(base).T.copy())
    for optimizer in (optim.Adam([p], lr=0.1), optim.Adam([q], lr=0.1)):
        optimizer.step()
        optimizer.step()
    np.testing.assert_array_equal(values(p), values(q))
    np.testing.assert_array_equal(memory.numpy().T, values(q))  # still the same memory


def test_a_model_may_be_moved_after_the_optimizer_was_made() -> None:
    p = parameter([1.0, 2.0], "float32")
    model = nn.ParameterList([p])
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    stepped(optimizer, [p], range(2))
    model.double()
    stepped(optimizer, [p], range(2, 4))
    q = parameter([1.0, 2.0], "float64")
    stepped(optim.Adam([q], lr=0.1), [q], range(4))
    assert optimizer.state[p]["exp_avg"].dtype == gg.float64 and optimizer.state[p]["step"] == 4
    np.testing.assert_allclose(values(p), values(q), rtol=1e-6)


def test_a_model_may_change_device_after_the_optimizer_was_made() -> None:
    p, q = parameter([1.0, 2.0]), parameter([1.0, 2.0])
    optimizer = optim.Adam([p], lr=0.1)
    stepped(optimizer, [p], range(2))
    nn.ParameterList([p]).to("sim")
    stepped(optimizer, [p], range(2, 4))
    stepped(optim.Adam([q], lr=0.1), [q], range(4))
    assert optimizer.state[p]["step"] == 4 and str(optimizer.state[p]["exp_avg"].device) == "sim"
    np.testing.assert_allclose(values(p), values(q), rtol=1e-12)
    with pytest.raises(DeviceError, match=r"float64 on cpu, the tensor is .* on sim; they must"):
        p.grad = q.grad


def test_a_parameter_may_not_change_shape() -> None:
    p = parameter([1.0, 2.0])
    optimizer = optim.Adam([p])
    stepped(optimizer, [p], range(1))
    other = parameter([1.0, 2.0, 3.0], "float32")
    p.array, p.grad = other.array, None
    set_grad(p, 1.0)
    with pytest.raises(ShapeError, match=r"changed shape from \(2,\) to \(3,\)"):
        optimizer.step()


def test_a_parameter_of_the_same_dtype_may_not_change_shape() -> None:
    p = parameter([1.0, 2.0])
    optimizer = optim.Adam([p])
    stepped(optimizer, [p], range(1))
    p.array, p.grad = parameter([1.0, 2.0, 3.0]).array, None
    set_grad(p, 1.0)
    with pytest.raises(ShapeError, match=r"changed shape from \(2,\) to \(3,\); make a new"):
        optimizer.step()


def test_nan_gradients_pass_and_a_missing_lr_is_told() -> None:
    p = parameter([1.0, 2.0])
    optimizer = optim.SGD([p], lr=0.5)
    set_grad(p, [math.nan, 1.0])
    optimizer.step()
    np.testing.assert_array_equal(values(p), [math.nan, 1.5])
    fresh = optim.SGD([parameter([1.0])])
    set_grad(fresh.param_groups[0]["params"][0], 1.0)
    fresh.param_groups[0]["lr"] = None
    with pytest.raises(TypeError, match="NoneType"):
        fresh.step()


def test_momentum_switched_on_later_begins_with_the_gradient() -> None:
    p = parameter([1.0])
    optimizer = optim.SGD([p], lr=0.1, dampening=0.5)
    set_grad(p, 1.0)
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.9
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].item() == 1.0
    optimizer.step()
    assert optimizer.state[p]["momentum_buffer"].item() == pytest.approx(1.4)


def test_a_step_is_one_launch_and_uploads_lr_only_when_changed(monkeypatch: Any) -> None:
    params = [parameter(np.ones(n), "float32") for n in (3, 1, 5)]
    optimizer = optim.Adam(params)
    stepped(optimizer, params, range(2))
    calls: list[str] = []
    kernels = params[0].backend.kernels
    for name in ("adam_step", "fill", "copy", "cast", "contiguous"):
        original = getattr(kernels, name)

        def counted(*args: Any, name: str = name, original: Any = original) -> Any:
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(kernels, name, counted)
    optimizer.step()
    assert calls == ["adam_step"]
    optimizer.param_groups[0]["lr"] = 0.5
    optimizer.step()
    assert calls == ["adam_step", "fill", "adam_step"]


def test_step_is_seen_by_the_graph() -> None:
    p = parameter([2.0])
    y = (p * p).sum()
    set_grad(p, 1.0)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(GraphError, match=r"changed in place since .last by SGD.step"):
        y.backward()


def test_closure() -> None:
    p = parameter([1.0])
    optimizer = optim.SGD([p], lr=0.1)

    def closure() -> gg.Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with gg.no_grad():
        assert optimizer.step(closure).item() == 1.0
    assert p.item() == pytest.approx(0.8)


# ---- state -------------------------------------------------------------------------------------

STATEFUL = [
    (optim.SGD, {"momentum": 0.9}),
    (optim.SGD, {}),
    (optim.Adam, {"amsgrad": True}),
    (optim.AdamW, {}),
    (optim.RMSprop, {"centered": True, "momentum": 0.5}),
    (optim.Adagrad, {"initial_accumulator_value": 0.1, "lr_decay": 0.1}),
    (optim.Adadelta, {}),
    (optim.Adafactor, {"weight_decay": 0.1}),
    (optim.Adamax, {}),
    (optim.NAdam, {"momentum_decay": 0.1}),
    (optim.RAdam, {"betas": (0.8, 0.9)}),
    (optim.Lion, {}),
    (optim.LAMB, {"weight_decay": 0.1}),
    (optim.Rprop, {}),
    (optim.ASGD, {"t0": 2}),
]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("cls", "options"), STATEFUL)
def test_state_goes_through_a_file_bit_equal(
    cls: Any, options: Any, dtype: str, tmp_path: Path
) -> None:
    """Interrupted and resumed gives the bits of a run without interruption."""
    start = [np.cos(np.arange(6.0)).reshape(2, 3), np.ones(2), np.zeros(1)]
    params = [parameter(x, dtype) for x in start]
    optimizer = cls(params, lr=0.05, **options)
    stepped(optimizer, params[:2], range(3))  # the third has had no gradient yet
    gg.save(
        {"params": [p.detach() for p in params], "optim": optimizer.state_dict()}, tmp_path / "f"
    )
    stepped(optimizer, params, range(3, 6))

    saved = gg.load(tmp_path / "f")
    resumed = [nn.Parameter(t) for t in saved["params"]]
    second = cls(resumed, lr=1.0)
    second.load_state_dict(saved["optim"])
    assert second.param_groups[0]["lr"] == 0.05
    stepped(second, resumed, range(3, 6))
    for p, q in zip(params, resumed, strict=True):
        np.testing.assert_array_equal(values(p), values(q))
    one, two = optimizer.state_dict(), second.state_dict()
    assert one["param_groups"] == two["param_groups"] and list(one["state"]) == list(two["state"])
    for i, entry in one["state"].items():
        for key, value in entry.items():
            other = two["state"][i][key]
            equal = gg.equal(value, other) if isinstance(value, gg.Tensor) else value == other
            assert equal, (i, key)


def test_layout_of_state_dict() -> None:
    a, b, c = parameter([1.0]), parameter([1.0, 2.0]), parameter([0.0])
    optimizer = optim.Adam([{"params": [a]}, {"params": [b, c], "lr": 0.5}], betas=(0.5, 0.9))
    set_grad(b, 1.0)
    optimizer.step()
    state = optimizer.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0], [1, 2]]
    assert state["param_groups"][1]["lr"] == 0.5 and state["param_groups"][0]["betas"] == (0.5, 0.9)
    assert list(state["state"]) == [1] and state["state"][1]["step"] == 1
    assert state["state"][1]["exp_avg"].tolist() == [0.5, 0.5]


def test_bad_states_are_told_and_change_nothing() -> None:
    p, q = parameter([1.0, 2.0]), parameter([1.0])
    optimizer = optim.Adam([p, q])
    stepped(optimizer, [p, q], range(2))
    before = copy.deepcopy(optimizer.state_dict()["state"][0]["exp_avg"].tolist())
    sgd = optim.SGD([p, q], momentum=0.9)
    stepped(sgd, [p, q], range(1))
    swapped = optim.Adam([q, p])
    stepped(swapped, [q, p], range(1))
    half = optimizer.state_dict()
    del half["state"][0]["exp_avg_sq"]
    for state, text in [
        ({}, "a dict with the keys 'state' and 'param_groups'"),
        (optim.Adam([{"params": [p]}, {"params": [q]}]).state_dict(), "2 parameter groups"),
        (optim.Adam([p]).state_dict(), "group 0 has 1 parameters in the state, 2 in this"),
        (sgd.state_dict(), "lacks betas, .*another kind of optimizer"),
        (swapped.state_dict(), r"exp_avg of parameter 0 has shape \(1,\), the parameter \(2,\)"),
        (half, "state of parameter 0 lacks exp_avg_sq"),
    ]:
        with pytest.raises(DataError, match=text):
            optimizer.load_state_dict(state)
    assert optimizer.state_dict()["state"][0]["exp_avg"].tolist() == before


# ---- mistakes ----------------------------------------------------------------------------------


def test_mistakes_in_making_an_optimizer() -> None:
    p = parameter([1.0])
    for make, kind, text in [
        (lambda: optim.SGD([]), ArgumentError, "parameter list is empty"),
        (lambda: optim.SGD(iter([])), ArgumentError, "can be used once"),
        (lambda: optim.SGD(p), TypeError, r"a single tensor; write \[tensor\]"),
        (lambda: optim.Adam([p], lr=-0.1), ArgumentError, r"Adam\(lr=-0.1\): must be a number"),
        (lambda: optim.Adam([p], lr=math.nan), ArgumentError, r"Adam\(lr=nan\)"),
        (lambda: optim.AdamW([p], betas=(0.9, 1.0)), ArgumentError, r"AdamW\(betas=\(0.9, 1.0\)\)"),
        (lambda: optim.RMSprop([p], alpha=-1), ArgumentError, r"RMSprop\(alpha=-1\)"),
        (lambda: optim.SGD([p], nesterov=True), ArgumentError, "needs a momentum above 0"),
        (lambda: optim.SGD([p, p]), ArgumentError, r"params\[1\] of shape \(1,\) appears twice"),
        (lambda: optim.SGD([{"params": [p]}, {"params": [p]}]), ArgumentError, "appears twice"),
        (lambda: optim.SGD([p * 2]), GraphError, r"params\[0\] of shape \(1,\) is the result"),
        (lambda: optim.SGD([1.0]), TypeError, r"params\[0\] is a float, not a Tensor"),
        (lambda: optim.SGD([gg.tensor([1])]), DTypeError, "int64; only floating can be trained"),
        (lambda: optim.SGD([{"params": {p}}]), TypeError, "give an ordered collection"),
        (lambda: optim.SGD([{"lr": 1.0}]), ArgumentError, "no key 'params'"),
    ]:
        with pytest.raises(kind, match=text):
            make()


def test_gradient_of_another_shape() -> None:
    p = parameter([1.0, 2.0])
    p.grad = gg.tensor([1.0, 2.0]).double()
    p.array = np.ones(3)  # the raw array, unchecked
    with pytest.raises(ShapeError, match=r"gradient of shape \(2,\), .* of shape \(3,\)"):
        optim.SGD([p]).step()


def test_gradient_of_another_dtype() -> None:
    p = parameter([1.0, 2.0], "float64")
    p.grad = gg.tensor([1.0, 2.0]).double()
    p.array = np.ones(2, np.float32)
    text = r"gradient of shape \(2,\), float64 on cpu .*, float32 on cpu; .*\n.*grad.to\("
    with pytest.raises(DTypeError, match=text):
        optim.SGD([p]).step()


def test_repr_shows_options_and_counts() -> None:
    text = repr(optim.SGD([parameter(np.ones((3, 4)))], lr=0.5))
    assert "SGD (" in text and "1 tensors, 12 parameters" in text and "    lr: 0.5" in text
