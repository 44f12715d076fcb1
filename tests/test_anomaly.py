"""detect_nan and anomaly mode name the fault's place; gradcheck's options each find their fault."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.autograd import Function, anomaly, gradcheck, gradgradcheck
from gpugrad.errors import GradcheckError, NonFiniteError


def leaf(*values: float) -> gg.Tensor:
    return gg.tensor(values, dtype=gg.float64, requires_grad=True)


class Root(nn.Module):
    """y = sqrt(x w): its derivative at 0 is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(gg.ones(2))

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return (x * self.w).sqrt()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList([nn.Identity(), Root()])})

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        for layer in self.encoder["layers"]:
            x = layer(x)
        return x


WHERE = r"called at .*test_anomaly.py:\d+, in encoder.layers.1 \(Root\) of Net"


def test_the_module_is_named_in_forward_and_backward() -> None:
    net = Net()
    with gg.detect_nan():
        text = r"Sqrt forward: 1 of 2 elements of the result \(2,\) float32 are NaN.*"
        with pytest.raises(NonFiniteError, match=f"{text}\n  inputs: .*\n  {WHERE}"):
            net(gg.tensor([-1.0, 4.0]))
        y = net(gg.tensor([0.0, 4.0]))
        text = r"Sqrt backward: 1 of 2 elements of gradient 0 \(2,\) float32 are NaN.*"
        saved = r"inputs: \(2,\) float32; saved in forward: \(2,\) float32"
        with pytest.raises(NonFiniteError, match=f"{text}\n  {saved}\n  {WHERE}"):
            (y * 0).sum().backward()


def test_layers_of_the_package_are_named_too() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    with gg.no_grad():
        model[1][1].weight.fill_(np.inf)
        model[1][1].bias.fill_(-np.inf)
    text = (
        r"forward: .*NaN(.|\n)*\(2 infinite\)(.|\n)*test_anomaly.py:\d+, in 1.1 \(Linear\) of Seq"
    )
    with gg.detect_nan(), pytest.raises(NonFiniteError, match=text):
        model(gg.ones(2))


def test_inputs_that_were_infinite_are_told() -> None:
    x = gg.tensor([np.inf, 1.0, np.inf])
    with gg.detect_nan(), pytest.raises(NonFiniteError) as caught:
        x - x
    assert "2 of 3 elements" in str(caught.value)
    assert str(caught.value).count("(3,) float32 (2 infinite)") == 2


def test_as_decorator_and_switch() -> None:
    x = gg.tensor([-1.0])

    @gg.detect_nan
    def bare() -> gg.Tensor:
        return x.log()

    @gg.autograd.set_detect_anomaly(True)
    def switched() -> gg.Tensor:
        return x.log()

    for function in (bare, switched, gg.detect_nan()(lambda: x.log())):
        assert not gg.is_anomaly_enabled()
        with pytest.raises(NonFiniteError, match="Log forward"):
            function()
    gg.autograd.set_detect_anomaly(True)
    assert gg.is_anomaly_enabled() and gg.is_anomaly_check_nan_enabled()
    with gg.autograd.set_detect_anomaly(False):
        x.log()
    with gg.autograd.set_detect_anomaly(True, check_nan=False):
        assert gg.is_anomaly_enabled() and not gg.is_anomaly_check_nan_enabled()
        x.log()
    with pytest.raises(NonFiniteError):
        x.log()
    gg.autograd.set_detect_anomaly(False)
    assert not gg.is_anomaly_enabled()


def test_operations_are_looked_at_only_while_a_thread_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []
    inspected = anomaly._inspected
    monkeypatch.setattr(
        anomaly,
        "_inspected",
        lambda node, *rest: (looked.append(type(node).__name__), inspected(node, *rest))[1],
    )

    def seen() -> bool:
        """By the next operation."""
        looked.clear()
        gg.ones(2) + 1
        return bool(looked)

    def watch_too() -> None:
        with gg.autograd.detect_nan():
            inner.append(seen())

    inner: list[bool] = []
    assert not seen()
    with gg.autograd.detect_nan():
        assert seen()
        thread = threading.Thread(target=watch_too)
        thread.start(), thread.join()
        with gg.autograd.detect_nan():
            assert seen()
        assert seen() and inner == [True]
    assert not seen()
    gg.autograd.set_detect_anomaly(True), gg.autograd.set_detect_anomaly(True)
    assert seen()
    gg.autograd.set_detect_anomaly(False)
    assert not seen()
    with pytest.raises(NonFiniteError), gg.autograd.detect_nan():
        gg.zeros(2).log() * 0.0
    assert not seen()


def test_errors_in_backward_tell_the_line_of_the_call() -> None:
    class Fails(Function):
        def forward(self, x: Any) -> Any:
            return x + 1

        def backward(self, dy: gg.Tensor) -> Any:
            raise ZeroDivisionError("on purpose")

    with gg.autograd.detect_anomaly(check_nan=False):
        y = Fails.apply(leaf(1))
        with pytest.raises(ZeroDivisionError) as caught:
            y.sum().backward()
    notes = getattr(caught.value, "__notes__", ["Fails was called at test_anomaly.py:1"])
    assert re.search(r"Fails was called at .*test_anomaly.py:\d+", notes[0])


def test_moves_between_devices_are_watched() -> None:
    with gg.detect_nan():
        leaf(1, 2).to("sim").exp().sum().to("cpu").backward()


# ---- gradcheck -------------------------------------------------------------------------------


def test_a_gradient_that_varies_is_found() -> None:
    rng = np.random.default_rng(0)

    class Noisy(Function):
        def forward(self, x: Any) -> Any:
            return x * 2

        def backward(self, dy: gg.Tensor) -> Any:
            return dy * (2 + 1e-7 * float(rng.random()))

    with pytest.raises(
        GradcheckError, match=r"is not the same twice: it differs by .*nondet_tol 0"
    ):
        gradcheck(Noisy.apply, leaf(1, 2))
    assert gradcheck(Noisy.apply, leaf(1, 2), nondet_tol=1e-6)
    assert not gradcheck(Noisy.apply, leaf(1, 2), raise_exception=False)


def test_a_backward_that_mistakes_none_is_found() -> None:
    class Two(Function):
        def forward(self, x: Any) -> Any:
            return x * 2, x * 3

        def backward(self, da: Any, db: Any) -> Any:
            if da is not None and db is not None:
                return da * 2  # wrong
            return da * 2 if db is None else db * 3

    with pytest.raises(GradcheckError, match="where output 0 gets no gradient"):
        gradcheck(Two.apply, leaf(1, 2))
    assert gradcheck(Two.apply, leaf(1, 2), check_undefined_grad=False)


def test_given_and_strided_cotangents() -> None:
    x = leaf(0.5, 1.5)
    assert gradgradcheck(gg.exp, x, gg.tensor([2.0, 3.0], dtype=gg.float64))
    assert gradgradcheck(gg.exp, x, gen_non_contig_grad_outputs=True, fast_mode=True)


def test_a_dtype_is_checked_where_asked() -> None:
    assert gradcheck(gg.exp, leaf(1, 2), check_grad_dtypes=True)
