"""What captured steps refuse, and what their debug mode finds."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from capturing import DEVICES, Step, batches, bits, network, opened, same_as_eager, training_step

import gpugrad as gg
from gpugrad import backends, nn, optim
from gpugrad.errors import ArgumentError, CaptureError
from gpugrad.graphs import Captured
from gpugrad.graphs.reads import _RefusedReads
from gpugrad.graphs.record import Observation
from gpugrad.nn import functional as F


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    return opened(request.param, monkeypatch)


def replaced(backend: backends.Backend) -> set[str]:
    """What a recording has left of what it puts in place of a backend's methods."""
    left = vars(backend).keys() & {"to_numpy", "synchronize", "synchronous"}
    asked = inspect.getattr_static(type(backend), "synchronous")
    return left if isinstance(asked, bool) else left | {"synchronous"}


READS: dict[str, Callable[[gg.Tensor], Any]] = {
    "item": lambda y: y.item(),
    "numpy": lambda y: y.numpy(),
    "tolist": lambda y: y.tolist(),
    "__bool__": lambda y: bool(y),
    "__float__": lambda y: float(y),
    "__repr__": lambda y: repr(y),
    "__format__": lambda y: f"{y:.3f}",
    "__contains__": lambda y: 1 in y,
    "nonzero": lambda y: y.nonzero(),
    "synchronize": lambda y: gg.synchronize(y.device),
}


@pytest.mark.parametrize("name", READS)
def test_host_reads(device: str, name: str) -> None:
    read = READS[name]
    step = gg.capture(lambda x: (read(x.sum()), x)[1])
    x = gg.ones(3, device=device)
    step(x), step(x)
    with pytest.raises(CaptureError) as caught:
        step(x)
    line = inspect.getsourcelines(read)[1]
    assert f"{name}() reads from the device, at {__file__}:{line}:\n    " in str(caught.value)
    assert "Return the tensor from the step" in str(caught.value)
    backend = backends.get(device)
    assert not replaced(backend)
    assert x.sum().item() == 3.0


def test_checks_of_values_are_no_reads(device: str) -> None:
    """Those that are made where looking at a value waits for nothing."""
    step = gg.capture(lambda x: gg.normal(0.0, x))
    x = gg.ones(3, device=device)
    assert all(step(x).shape == (3,) for _ in range(4))


def test_a_read_on_another_device(device: str) -> None:
    factor = gg.tensor(2.0)
    step = gg.capture(lambda x: x * factor.item())
    x = gg.ones(3, device=device)
    step(x), step(x)
    with pytest.raises(CaptureError, match=r"item\(\) reads"):
        step(x)


def test_arguments_that_do_not_fit(device: str) -> None:
    def step(x: gg.Tensor, scale: float = 1.0, *, table: Any = None) -> gg.Tensor:
        return x * scale

    def refusal(*args: Any, captured: Captured | None = None, **kwargs: Any) -> str:
        with pytest.raises(CaptureError) as caught:
            (captured or made)(*args, **kwargs)
        return str(caught.value)

    made, x = gg.capture(step), gg.ones(2, 3, device=device)
    for _ in range(4):
        made(x, 2.0)
    where = f"on {x.device}"
    assert (
        f"captured step step: argument x is float32 (2, 4) {where}, captured was float32 (2, 3) "
        f"{where}.\n  A graph is of one shape" in refusal(gg.ones(2, 4, device=device), 2.0)
    )
    assert f"argument x is int64 (2, 3) {where}" in refusal(x.long(), 2.0)
    assert "argument scale is 3.0, captured was 2.0" in refusal(x, 3.0)
    assert "nested in another way" in refusal(x)
    assert "argument x requires a gradient" in refusal(x.clone().requires_grad_())
    if device != "cpu":
        assert "argument x is float32 (2, 3) on cpu" in refusal(x.cpu(), 2.0)
        assert f"is on cpu, x on {x.device}" in refusal(x, gg.ones(1))
    tables = gg.capture(step)
    rows = np.zeros(2)
    tables(x, table=rows)
    rows[0] = 1
    assert "argument table is array([1., 0.])" in refusal(x, table=rows, captured=tables)
    inplace = gg.capture(lambda x: x.mul_(2.0))
    assert "changes its argument x in place (mul_)" in refusal(x, captured=inplace)
    assert made(x, 2.0).tolist() == (x * 2).tolist()


def test_arguments_that_require_gradients_later(device: str) -> None:
    step, x = gg.capture(lambda x: x * 2), gg.ones(3, device=device)
    for _ in range(4):
        step(x)
    with pytest.raises(CaptureError, match="argument x requires a gradient"):
        step(x.clone().requires_grad_())


@pytest.mark.parametrize("before", [0, 2], ids=["observed", "checked"])
def test_steps_in_several_threads(before: int) -> None:
    """The first to begin is the first to end; what was replaced meanwhile is as it was."""
    started, over = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def first(x: gg.Tensor) -> gg.Tensor:
        started.set()
        over.wait(0.5)  # in vain where the second has to wait for this one
        return x + 1

    def second(x: gg.Tensor) -> gg.Tensor:
        over.set()
        for thread in threads:
            thread.join(10)
        return x + 2

    x, call = gg.ones(2), nn.Module.__call__
    steps = [gg.capture(each, warm_up=1) for each in (second, first)]
    for _ in range(before):
        assert [step(x).tolist() for step in steps] == [[3.0, 3.0], [2.0, 2.0]]
    started.clear(), over.clear()
    threads.append(threading.Thread(target=steps[1], args=(x,)))
    threads[0].start()
    assert started.wait(10) and steps[0](x).tolist() == [3.0, 3.0]
    threads[0].join(10)
    assert not replaced(backends.get("cpu"))
    assert nn.Module.__call__ is call


def while_another_records(work: Callable[[], None]) -> None:
    """`work` in this thread, while a step of another is being recorded."""
    began, over = threading.Event(), threading.Event()

    def step(x: gg.Tensor) -> gg.Tensor:
        if len(calls) == 2:
            began.set()
            assert over.wait(10)
        calls.append(1)
        return x + 1

    calls: list[int] = []
    captured, x = gg.capture(step, warm_up=2), gg.ones(2)
    thread = threading.Thread(target=lambda: [captured(x) for _ in range(3)])
    thread.start()
    assert began.wait(10)
    try:
        work()
    finally:
        over.set()
        thread.join()


def test_checks_of_values_in_other_threads() -> None:
    def work() -> None:
        with pytest.raises(ArgumentError, match="normal"):
            gg.normal(0.0, gg.tensor([1.0, -1.0]))

    while_another_records(work)
    assert not replaced(backends.get("cpu"))


def test_reads_of_steps_that_only_warm_up_in_other_threads() -> None:
    """Whose kernels run, and are not recorded."""
    observed = Observation("step", backends.get("cpu"))

    def work() -> None:
        with observed.running():
            assert gg.ones(2).sum().item() == 2.0

    while_another_records(work)


def test_several_shapes(device: str) -> None:
    """Each has its own graph; random numbers and optimizer go on over all of them."""

    def make() -> tuple[Step, nn.Module]:
        model = network(device, nn.Dropout(0.5))
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        return training_step(model, optimizer), model

    mixed = [b for pair in zip(batches(device), batches(device, size=3), strict=True) for b in pair]
    same_as_eager(make, mixed, shapes=2)
    same_as_eager(make, [*mixed, *batches(device, size=7), *mixed], shapes=2, strict=False)
    step = gg.capture(make()[0], shapes=2)
    with pytest.raises(CaptureError, match=r"argument x is float32 \(7, 6\).*\n.*shapes=3"):
        for batch in [*mixed, *batches(device, size=7)]:
            step(*batch)


def changes(model: nn.Sequential, optimizer: optim.SGD) -> dict[str, tuple[Callable[[], Any], str]]:
    weight = model[0].weight

    def move() -> None:
        weight.array = weight.detach().clone().array

    return {
        "mode": (model.eval, r"Sequential.training is False"),
        "frozen": (lambda: model[0].requires_grad_(False), r"0.weight.requires_grad is False"),
        "option": (
            lambda: optimizer.param_groups[0].update(momentum=0.5),
            r"\['momentum'\] is 0.5",
        ),
        "memory": (move, r"Sequential.0.weight has other memory"),
        "groups": (
            lambda: optimizer.add_param_group({"params": [gg.zeros(1, requires_grad=True)]}),
            r"SGD has 2 parameter groups",
        ),
    }


@pytest.mark.parametrize("name", ["mode", "frozen", "option", "memory", "groups"])
def test_what_changed_since(device: str, name: str) -> None:
    """Strict steps refuse it; others capture anew, with the bits of eager steps."""

    def run(wrap: Callable[[Step], Step]) -> tuple[list[bytes], str]:
        model = network(device, nn.Dropout(0.5))
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        call, losses, refused = wrap(training_step(model, optimizer)), [], ""
        change, pattern = changes(model, optimizer)[name]
        for i, batch in enumerate(batches(device, 10)):
            if i == 5:
                change()
                try:
                    losses.append(call(*batch))
                    continue
                except CaptureError as error:
                    refused = str(error)
                    assert "call reset() after a change" in refused
                    with pytest.raises(CaptureError, match=pattern):
                        call(*batch)
                    call.reset()
            losses.append(call(*batch))
        return bits(*losses, *model.parameters()), refused

    eager = run(lambda step: step)[0]
    assert run(lambda step: gg.capture(step, strict=False)) == (eager, "")
    found, refused = run(gg.capture)
    assert found == eager and refused


def refusal(step: Step, x: gg.Tensor) -> str:
    captured = gg.capture(step, warm_up=1)
    with pytest.raises(CaptureError) as caught:
        captured(x), captured(x)
    return str(caught.value)


def test_state_that_python_keeps_is_refused(device: str) -> None:
    x = gg.ones(4, 6, device=device)

    assert "random stream starts anew" in refusal(lambda x: (gg.manual_seed(0), x)[1], x)
    average = nn.BatchNorm1d(6, momentum=None).to(device)
    assert "item() reads" in refusal(average, x)
    weight = gg.ones(6, device=device, requires_grad=True)

    class Counting(optim.Optimizer):
        def __init__(self) -> None:
            super().__init__([weight], {"lr": 0.1})

        def step(self, closure: Any = None) -> None:
            self.state[weight]["count"] = self.state[weight].get("count", 0) + 1

    counting = Counting()
    assert "Counting keeps 'count' as a Python number" in refusal(
        lambda x: (counting.step(), x)[1], x
    )


def test_what_must_not_change_inside(device: str) -> None:
    x, model = gg.ones(4, 6, device=device), nn.Linear(6, 1).to(device)

    def replacing(x: gg.Tensor) -> gg.Tensor:
        y = model(x)
        model.weight.array = model.weight.detach().clone().array
        return y

    assert "Linear.weight gets new memory inside the step" in refusal(replacing, x)
    sgd = optim.SGD(model.parameters(), lr=0.1)

    def two_rates(x: gg.Tensor) -> gg.Tensor:
        model(x).sum().backward()
        sgd.param_groups[0]["lr"] = 0.1
        sgd.step()
        sgd.param_groups[0]["lr"] = 0.2
        sgd.step()
        return x

    assert "learning rate of SGD changes between two of its steps" in refusal(two_rates, x)


def test_bad_options() -> None:
    with pytest.raises(TypeError, match=r"capture\(step\): int is no function"):
        gg.capture(3)
    with pytest.raises(ArgumentError, match=r"capture\(warm_up=0\): must be at least 1"):
        gg.capture(abs, warm_up=0)
    with pytest.raises(ArgumentError, match=r"capture\(shapes=0\)"):
        gg.capture(abs, shapes=0)


# ---- debug mode ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_debug_finds_what_the_graph_does_not_read(
    device: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUGRAD_DEBUG", "2" if how == "environment" else "0")
    calls = []

    def step(x: gg.Tensor) -> gg.Tensor:
        calls.append(1)
        return x * len(calls)

    step_ = gg.capture(step, debug=None if how == "environment" else True)
    x = gg.ones(3, device=device)
    for _ in range(3):
        step_(x)
    with pytest.raises(
        CaptureError, match=r"result 0 \(3,\) differs in 3 of 3 elements; at \(0,\)"
    ):
        step_(x)


def test_debug_compares_the_state(device: str) -> None:
    model = network(device)
    optimizer, calls = optim.SGD(model.parameters(), lr=0.1), []

    @gg.capture(debug=True)
    def step(x: gg.Tensor, target: gg.Tensor) -> None:
        calls.append(1)
        optimizer.zero_grad()
        (F.cross_entropy(model(x), target) * float(len(calls))).backward()
        optimizer.step()

    data = batches(device)
    for batch in data[:3]:
        step(*batch)
    with pytest.raises(CaptureError, match=r"Sequential.0.weight \(8, 6\) differs in"):
        step(*data[3])


class Asked:
    """As much of a backend as reads are refused on; each has an answer of its own."""

    def __init__(self, waits: bool) -> None:
        self.waits, self.kernels = waits, SimpleNamespace(nonzero=None)

    @property
    def synchronous(self) -> bool:
        return self.waits

    def to_numpy(self) -> None: ...

    def synchronize(self) -> None: ...


def test_backends_of_one_class_answer_for_themselves() -> None:
    asked: list[Any] = [Asked(True), Asked(False)]
    usual, refused = Asked.__dict__["synchronous"], _RefusedReads()
    for backend in asked:
        refused._replace(backend)
    assert [backend.synchronous for backend in asked] == [True, False]
    refused._back.close()
    assert Asked.__dict__["synchronous"] is usual
