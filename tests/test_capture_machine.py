"""Graphs on the stand-in for a GPU: launches, memory, failures."""

from __future__ import annotations

import gc

import graph_machine
import pytest
from capturing import Step, batches, bits, network, training_step

import gpugrad as gg
from gpugrad import nn, optim
from gpugrad.amp import autocast_mode
from gpugrad.errors import CaptureError, OutOfMemoryError
from gpugrad.nn import functional as F


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> graph_machine.FakeCupy:
    return graph_machine.install(monkeypatch)


def test_one_launch(machine: graph_machine.FakeCupy) -> None:
    model, calls = network("cuda"), []

    @gg.capture
    def step(x: gg.Tensor) -> gg.Tensor:
        calls.append(1)
        return model(x).sum()

    for x, _ in batches("cuda"):
        step(x)
    assert len(calls) == 3 and machine.launched == 4


def test_a_profile_sees_replays(machine: graph_machine.FakeCupy) -> None:
    """One event for the kernels of the graph, under the step's name."""
    model = network("cuda")

    @gg.capture
    def step(x: gg.Tensor) -> gg.Tensor:
        return model(x).sum()

    data = [x for x, _ in batches("cuda")]
    for x in data[:3]:
        step(x)
    with gg.profile() as p:
        for x in data[3:]:
            step(x)
    (replays,) = [a for a in p.key_averages() if a.key.startswith("graph")]
    assert replays.key == "graph step" and replays.count == 3 and replays.seconds > 0
    assert not any("gemm" in event.kernel for event in p.events())


def test_memory_is_kept(machine: graph_machine.FakeCupy) -> None:
    """What the graph reads stays alive and is given to nobody else."""
    parts = [gg.full((64,), float(i), device="cuda") for i in range(3)]
    step = gg.capture(lambda x: x + parts[0] * 2 + (parts[1] + parts[2]) * x)
    x = gg.ones(64, device="cuda")
    first = [step(x).tolist() for _ in range(3)][-1]
    parts.clear()
    gc.collect()
    others = [gg.full((64,), 99.0, device="cuda") for _ in range(20)]
    assert step(x).tolist() == first
    assert all(other.tolist() == [99.0] * 64 for other in others)


def test_no_garbage_is_collected_while_a_stream_captures(machine: graph_machine.FakeCupy) -> None:
    """In it may be a graph, which CUDA does not let go then."""
    seen = []

    @gg.capture
    def step(x: gg.Tensor) -> gg.Tensor:
        seen.append((bool(machine.capturing), gc.isenabled()))
        return x + 1

    for x, _ in batches("cuda"):
        step(x)
    assert set(seen) == {(False, True), (True, False)} and gc.isenabled()


def test_a_failed_capture_leaves_no_casts(machine: graph_machine.FakeCupy) -> None:
    """Of those that never ran: an eager step in the same region makes its own."""
    layer = nn.Linear(4, 3).to("cuda")
    step = gg.capture(lambda x: (layer(x).sum().item(), x)[1], warm_up=1)
    x = gg.ones(2, 4, device="cuda")
    with gg.autocast("cuda"):
        expected = layer(x).tolist()
        with pytest.raises(CaptureError):
            step(x), step(x)
        assert not autocast_mode._HERE.cache and layer(x).tolist() == expected


def test_a_failed_capture_changes_nothing(machine: graph_machine.FakeCupy) -> None:
    def run(read: bool) -> list[bytes]:
        model = network("cuda", nn.Dropout(0.5))
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def plain(x: gg.Tensor, target: gg.Tensor) -> gg.Tensor:
            loss = F.cross_entropy(model(x), target)
            loss.backward()
            optimizer.step()
            return loss

        step = gg.capture(lambda x, t: (plain(x, t).item(), x)[1])
        for i, (x, target) in enumerate(batches("cuda")):
            if i < 2 and read:
                step(x, target)
                continue
            if read:
                with pytest.raises(CaptureError):
                    step(x, target)
            plain(x, target)
        return bits(*model.parameters(), *(p.grad for p in model.parameters()))

    def expected() -> list[bytes]:
        model = network("cuda", nn.Dropout(0.5))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        for x, target in batches("cuda"):
            F.cross_entropy(model(x), target).backward()
            optimizer.step()
        return bits(*model.parameters(), *(p.grad for p in model.parameters()))

    assert run(read=False) == expected() == run(read=True)


def test_what_cuda_refuses(machine: graph_machine.FakeCupy) -> None:
    x = gg.ones(3, device="cuda")

    def refusal(step: Step) -> str:
        captured = gg.capture(step, warm_up=1)
        captured(x)
        with pytest.raises(CaptureError) as caught:
            captured(x)
        assert not machine.capturing and len(machine.streams) == 1
        return str(caught.value)

    text = refusal(lambda x: (x.array.get(), x * 1)[1])
    assert "the current stream is capturing" in text and "only gpugrad may use the GPU" in text
    other = gg.ones(3)
    assert "it runs no kernel on cuda:0" in refusal(lambda x: other * 2)
    assert "drawn on cpu, the step runs on cuda:0" in refusal(lambda x: (gg.rand(2), x * 1)[1])
    machine.broken = True
    assert "cudaErrorStreamCaptureInvalidated" in refusal(lambda x: x * 1)


def test_no_room_for_a_graph(machine: graph_machine.FakeCupy) -> None:
    x, step = gg.ones(1000, device="cuda"), gg.capture(lambda x: x * 2, warm_up=1)
    step(x)
    machine.limit = 100
    with pytest.raises(OutOfMemoryError, match=r"out of memory while a step was captured"):
        step(x)
    machine.limit = 1 << 30
    assert step(x).sum().item() == 2000.0


def test_a_new_optimizer_state_is_made_outside(machine: graph_machine.FakeCupy) -> None:
    """A layer that begins to train in the very call that is recorded."""

    def run(captured: bool) -> list[bytes]:
        model = network("cuda")
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        model[0].requires_grad_(False)
        step = training_step(model, optimizer)
        call = gg.capture(step) if captured else step
        for i, batch in enumerate(batches("cuda", 8)):
            if i == 2:
                model[0].requires_grad_(True)
            call(*batch)
        return bits(*model.parameters())

    assert run(True) == run(False)


def test_versions_of_parameters_move_on(machine: graph_machine.FakeCupy) -> None:
    model = nn.Linear(6, 3).to("cuda")
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @gg.capture
    def step(x: gg.Tensor) -> None:
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    (x, _), *rest = batches("cuda")
    for each, _ in rest:
        step(each)
    y = model(x.clone().requires_grad_()).sum()
    count = optimizer.step_count
    step(x)
    assert optimizer.step_count == count + 1
    with pytest.raises(gg.errors.GraphError, match="changed"):
        y.backward()
